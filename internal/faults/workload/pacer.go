package workload

import (
	"context"
	"sync"
	"time"
)

// pacer spaces the transactions of all writers evenly. What could not begin in time is made up for during maxDebt at most.
type pacer struct {
	every time.Duration // 0 does not wait

	mu   sync.Mutex
	next time.Time
}

const maxDebt = time.Second

func newPacer(rate float64) *pacer {
	p := &pacer{next: time.Now()}
	if rate > 0 {
		p.every = time.Duration(float64(time.Second) / rate)
	}
	return p
}

// wait takes the next place in the line and waits for it. Its error is that of ctx.
func (p *pacer) wait(ctx context.Context) error {
	if p.every == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(time.Until(p.take(time.Now())))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}

func (p *pacer) take(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if oldest := now.Add(-maxDebt); p.next.Before(oldest) {
		p.next = oldest
	}
	place := p.next
	p.next = p.next.Add(p.every)
	return place
}
