package postgres

import (
	"testing"
	"time"
)

// pacing is a story of reads: what each brought, and how long after the one before.
type pacing struct {
	*testing.T
	pace pace
	now  time.Time
}

func (p *pacing) reads(times, bytes int, apart time.Duration) {
	for range times {
		p.now = p.now.Add(max(apart, p.pace.pause()))
		p.pace.brought(bytes, p.now)
	}
}

func (p *pacing) want(wait time.Duration, why string) {
	p.Helper()
	if got := p.pace.pause(); got != wait {
		p.Errorf("%s: it waits for %s, want %s", why, got, wait)
	}
}

func TestABusyStreamIsLeftAloneForAWhile(t *testing.T) {
	p := &pacing{T: t, now: time.Unix(0, 0)}
	p.want(0, "a new stream")
	p.reads(100, 300, 5*time.Millisecond)
	p.want(0, "200 messages in a second")
	p.reads(paceReads+2, 300, 100*time.Microsecond)
	p.want(paceWait, "10,000 messages in a second")
	p.reads(100, 4096, 0)
	p.want(paceWait, "while each wait brings a dozen")
	p.reads(1, 32<<10, 0)
	p.want(0, "after a read that brought much the next may be at once")
	p.reads(1, 300, 0)
	p.want(paceWait, "and waits again when it brought little")
	p.reads(1, 0, 0)
	p.want(paceWait, "a single wait in vain says nothing")
	p.reads(paceReads, 200, 0)
	p.want(0, "the burst is over")
	p.reads(20, 0, 100*time.Microsecond)
	p.want(0, "reads that time out are no messages")
}

// A full speed stream, whose reads all bring much, needs no waits.
func TestAStreamOfLargeReadsIsNeverPaced(t *testing.T) {
	p := &pacing{T: t, now: time.Unix(0, 0)}
	p.reads(1000, 64<<10, 100*time.Microsecond)
	p.want(0, "a saturated stream")
}
