package ui_test

import (
	"testing"
	"time"

	"github.com/livedb/livedb/internal/status"
)

// The page says how far an audit has come, and the first broken promise stands above all else.
func TestThePageShowsTheAudit(t *testing.T) {
	s := newScene(t)
	b := newTab(t, 1280, 900)
	b.open(s.url)
	s.insert(1, 5)
	for _, name := range []string{"cdc", "process"} {
		s.report(role(name, 5))
	}
	audit := role("audit", 5)
	audit.Texts = map[string]string{"verified_lsn": "16/B374D848"}
	s.report(audit)
	b.until("the audit", `document.querySelector('[data-testid=audited]')?.textContent.includes('proven to seq 5')`)
	b.shot("audited")

	audit.State, audit.Time = status.Warning, time.Now()
	audit.Numbers = map[string]float64{status.Seq: 6, status.ViolationsTotal: 2}
	audit.Texts = map[string]string{status.FirstViolation: "missing: 16/B374D848:7 seq 4 shop.public.orders: no event has this seq"}
	s.report(audit)
	b.until("the broken promise", `document.querySelector('[data-testid=verdict]').dataset.state === 'error' && document.querySelector('[data-testid=banner]').textContent.includes('16/B374D848:7')`)
	b.until("the next step", `document.querySelector('[data-testid=banner] code').textContent.includes('livedb audit --prefix')`)
	if eval[bool](b, `document.querySelector('[data-testid=audited]') !== null`) {
		t.Error("it is still called proven")
	}
	b.shot("broken-promise")
}
