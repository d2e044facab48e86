package burst

import (
	"context"
	"sync"
	"time"
)

// pacer is a bucket of rows that all connections take from. Rows flow in at the rate, and a burst at once. A transaction
// may begin whenever the bucket is not empty and then takes what it needs, below zero if it must, so that transactions of
// any size keep the rate. What cannot be written in time is remembered up to a limit: after an outage the writer catches
// up a little, not all of it.
type pacer struct {
	rate  float64 // rows per second; 0 is no limit
	burst Burst
	now   func() time.Time

	mu      sync.Mutex
	last    time.Time // when the flow was last reckoned
	next    time.Time // the next burst
	balance float64
	offered float64
}

// maxDebt is for how long a source that is away is written to later.
const maxDebt = 2 * time.Second

func newPacer(rate float64, burst Burst, now func() time.Time) *pacer {
	start := now()
	return &pacer{rate: rate, burst: burst, now: now, last: start, next: start.Add(burst.Every)}
}

// take waits until rows are due and takes about that many; settle mends the guess. It ends with ctx.
func (p *pacer) take(ctx context.Context, rows int) error {
	for {
		wait := p.tryTake(rows)
		if wait == 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// tryTake takes the rows, or says how long to wait.
func (p *pacer) tryTake(rows int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate == 0 {
		p.offered += float64(rows)
		return 0
	}
	now := p.now()
	p.flow(now)
	if p.balance > 0 {
		p.balance -= float64(rows)
		return 0
	}
	wait := time.Duration(-p.balance/p.rate*float64(time.Second)) + time.Microsecond // then it is not empty
	if p.burst.Size > 0 {
		wait = min(wait, p.next.Sub(now))
	}
	return max(wait, time.Microsecond)
}

// settle gives back what was taken but not written: taken is the guess, written what was committed.
func (p *pacer) settle(taken, written int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate == 0 {
		p.offered += float64(written - taken)
		return
	}
	p.balance += float64(taken - written)
}

// Offered is how many rows the rate has asked for so far.
func (p *pacer) Offered() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flow(p.now())
	return p.offered
}

// flow brings in what has become due.
func (p *pacer) flow(now time.Time) {
	if p.rate == 0 || now.Before(p.last) {
		return
	}
	due := p.rate * now.Sub(p.last).Seconds()
	p.last = now
	if p.burst.Size > 0 && !now.Before(p.next) {
		n := 1 + now.Sub(p.next)/p.burst.Every
		due += float64(n) * float64(p.burst.Size)
		p.next = p.next.Add(n * p.burst.Every)
	}
	p.offered += due
	p.balance = min(p.balance+due, p.rate*maxDebt.Seconds()+float64(2*p.burst.Size))
}
