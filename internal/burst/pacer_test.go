package burst

import (
	"context"
	"math"
	"testing"
	"time"
)

// clock is a time that only moves when told to.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// write has the pacer's rows written in transactions of a size, for a time, as fast as it lets them.
func (c *clock) write(p *pacer, size int, span time.Duration) (written int) {
	for end := c.at.Add(span); ; {
		wait := p.tryTake(size)
		if wait == 0 {
			written += size
			continue
		}
		if c.at = c.at.Add(wait); c.at.After(end) {
			c.at = end
			return written
		}
	}
}

func near(t *testing.T, what string, got, want, slack float64) {
	t.Helper()
	if math.Abs(got-want) > slack {
		t.Errorf("%s is %g, want %g", what, got, want)
	}
}

func TestPacerKeepsTheRate(t *testing.T) {
	for _, size := range []int{1, 7, 500, 50_000} {
		c := &clock{at: time.Unix(0, 0)}
		p := newPacer(1000, Burst{}, c.now)
		near(t, "written", float64(c.write(p, size, 100*time.Second)), 100_000, float64(size))
		near(t, "offered", p.Offered(), 100_000, 1)
	}
}

func TestPacerBursts(t *testing.T) {
	c := &clock{at: time.Unix(0, 0)}
	p := newPacer(100, Burst{Size: 5000, Every: 10 * time.Second}, c.now)
	near(t, "before the burst", float64(c.write(p, 10, 9900*time.Millisecond)), 990, 10)
	near(t, "at the burst", float64(c.write(p, 10, 200*time.Millisecond)), 5020, 20)
	near(t, "after three more", float64(c.write(p, 10, 30*time.Second)), 18_000, 20)
	near(t, "offered", p.Offered(), 24_010, 20)
}

func TestPacerCountsWhatWasNotWritten(t *testing.T) {
	c := &clock{at: time.Unix(0, 0)}
	p := newPacer(1000, Burst{}, c.now)
	c.at = c.at.Add(time.Minute) // Postgres was away
	near(t, "offered", p.Offered(), 60_000, 1)
	near(t, "caught up", float64(c.write(p, 10, time.Second)), 1000+1000*maxDebt.Seconds(), 20)
	near(t, "offered in the end", p.Offered(), 61_000, 1)
}

func TestPacerSettlesWhatWasRolledBack(t *testing.T) {
	c := &clock{at: time.Unix(0, 0)}
	p := newPacer(1000, Burst{}, c.now)
	c.at = c.at.Add(time.Millisecond)
	if wait := p.tryTake(500); wait != 0 {
		t.Fatalf("a row is due, but the wait is %s", wait)
	}
	near(t, "the wait after 500 rows", p.tryTake(1).Seconds(), .499, .001)
	p.settle(500, 0)
	if wait := p.tryTake(1); wait != 0 {
		t.Errorf("all was given back, but the wait is %s", wait)
	}
}

func TestPacerWithoutARate(t *testing.T) {
	p := newPacer(0, Burst{}, time.Now)
	for range 10 {
		if err := p.take(t.Context(), 20); err != nil {
			t.Fatal(err)
		}
		p.settle(20, 25)
	}
	near(t, "offered", p.Offered(), 250, 0)
}

func TestPacerEndsWithItsContext(t *testing.T) {
	p := newPacer(.001, Burst{}, time.Now)
	p.settle(0, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.take(ctx, 1); err == nil {
		t.Error("take waits for a row of the next hour")
	}
}
