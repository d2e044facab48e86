package ui

import (
	"strconv"
	"sync"
	"time"
)

// historySeconds is how far back the page's charts reach.
const historySeconds = 900

// point is one second of the charts. Rates are rows or events a second; a negative value is not known.
type point struct {
	time                                           int64 // seconds since 1970
	offered, written, captured, processed, arrived float64
	latency                                        quantiles
	heat                                           []uint32
}

// MarshalJSON writes [time, offered, written, captured, processed, arrived, p50, p95, p99, max, heat], with null for
// what is not known.
func (p point) MarshalJSON() ([]byte, error) {
	b := strconv.AppendInt(append(make([]byte, 0, 96), '['), p.time, 10)
	for _, rate := range [...]float64{p.offered, p.written, p.captured, p.processed, p.arrived} {
		if rate < 0 {
			b = append(b, ",null"...)
			continue
		}
		b = strconv.AppendFloat(append(b, ','), rate, 'f', 0, 64)
	}
	for _, ms := range [...]float64{p.latency.P50, p.latency.P95, p.latency.P99, p.latency.Max} {
		if p.latency.Count == 0 {
			b = append(b, ",null"...)
			continue
		}
		b = strconv.AppendFloat(append(b, ','), ms, 'f', -1, 64)
	}
	b = append(b, ",["...)
	for i, n := range p.heat {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(n), 10)
	}
	return append(b, "]]"...), nil
}

// history holds the last points.
type history struct {
	mu     sync.Mutex
	points []point
	next   uint64 // number of the next point; points count from 1
}

func newHistory() *history { return &history{next: 1} }

func (h *history) add(p point) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.points) == historySeconds {
		h.points = append(h.points[:0:0], h.points[historySeconds/10:]...)
	}
	h.points = append(h.points, p)
	h.next++
}

// since returns the points from a number on that are held, and the number of the next.
func (h *history) since(number uint64) ([]point, uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(uint64(len(h.points)), h.next-min(number, h.next))
	return append(make([]point, 0, n), h.points[uint64(len(h.points))-n:]...), h.next
}

// commits remembers when the last transactions committed, so that a view's result, which carries its position, tells
// how long it took.
type commits struct {
	mu    sync.Mutex
	slots [4096]commit
	n     int
}

type commit struct {
	lsn  uint64
	time time.Time
}

func (c *commits) add(lsn uint64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slots[c.n%len(c.slots)] = commit{lsn, at}
	c.n++
}

// find returns a transaction's commit time.
func (c *commits) find(lsn uint64) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Commit records ascend, so that the search runs over an ordered, if rotated, list.
	low, high := max(0, c.n-len(c.slots)), c.n
	for low < high {
		middle := int(uint(low+high) / 2)
		if c.slots[middle%len(c.slots)].lsn < lsn {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < c.n {
		if s := c.slots[low%len(c.slots)]; s.lsn == lsn {
			return s.time, true
		}
	}
	return time.Time{}, false
}
