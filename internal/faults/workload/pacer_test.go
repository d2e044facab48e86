package workload

import (
	"testing"
	"time"
)

// The rate is kept, and after an outage a second of it is made up for, not all.
func TestPacerKeepsTheRate(t *testing.T) {
	p := newPacer(100)
	start := p.next
	now := start
	for range 50 {
		if at := p.take(now); at.After(now) {
			now = at
		}
	}
	if took := now.Sub(start); took != 490*time.Millisecond {
		t.Errorf("50 transactions at 100/s took %s, want 490ms", took)
	}

	now = now.Add(time.Hour)
	atOnce := 0
	for !p.take(now).After(now) {
		atOnce++
	}
	if atOnce != 101 {
		t.Errorf("after an hour %d transactions go at once, want 101", atOnce)
	}
}
