package ui

import (
	"math"
	"sync"
	"time"
)

// A histogram's buckets grow by an eighth of an octave from 100 µs: a quantile is at most 9 % off, from 0.1 ms to some
// 20 minutes.
const (
	bucketLow    = 100 * time.Microsecond
	bucketOctave = 8
	bucketCount  = 192
)

type histogram struct {
	counts [bucketCount]uint32
	n      uint64
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(d)]++
	h.n++
	h.max = max(h.max, d)
}

func (h *histogram) merge(o *histogram) {
	if o.n == 0 {
		return
	}
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
	h.max = max(h.max, o.max)
}

func bucketOf(d time.Duration) int {
	if d <= bucketLow {
		return 0
	}
	return min(bucketCount-1, 1+int(bucketOctave*math.Log2(float64(d)/float64(bucketLow))))
}

// bucketEdge returns the upper end of a bucket.
func bucketEdge(i int) time.Duration {
	return time.Duration(float64(bucketLow) * math.Exp2(float64(i)/bucketOctave))
}

// quantile returns the value below which a share q of the observations lie, from 0 to 1. It is 0 without any.
func (h *histogram) quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank, sum := q*float64(h.n), 0.0
	for i, c := range h.counts {
		if c == 0 {
			continue
		}
		if sum+float64(c) >= rank {
			low := time.Duration(0)
			if i > 0 {
				low = bucketEdge(i - 1)
			}
			within := (rank - sum) / float64(c)
			return min(h.max, low+time.Duration(within*float64(bucketEdge(i)-low)))
		}
		sum += float64(c)
	}
	return h.max
}

// heat sums the histogram into half octaves: the first of them that is not empty, then the counts. The page draws a
// column of a heat map of it.
func (h *histogram) heat() []uint32 {
	const per, columns = bucketOctave / 2, bucketCount / (bucketOctave / 2)
	var sums [columns]uint32
	first, last := -1, -1
	for i, c := range h.counts {
		if c > 0 {
			if first < 0 {
				first = i / per
			}
			last = i / per
			sums[i/per] += c
		}
	}
	if first < 0 {
		return nil
	}
	return append([]uint32{uint32(first)}, sums[first:last+1]...)
}

// window holds the latencies of the last seconds, a slot per tick of the model.
type window struct {
	mu    sync.Mutex
	slots [latencySeconds * ticksPerSecond]histogram
	at    int
	skew  time.Duration // the most negative latency seen lately: the clocks disagree by at least so much
	skewd time.Time
}

const latencySeconds = 10

func (w *window) add(d time.Duration, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d < 0 {
		if d < w.skew {
			w.skew, w.skewd = d, now
		}
		d = 0
	}
	w.slots[w.at].add(d)
}

// tick begins a new slot and returns the sums of all slots and of the last second.
func (w *window) tick(now time.Time) (all, second histogram, skew time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.slots {
		all.merge(&w.slots[i])
	}
	for i := range ticksPerSecond {
		second.merge(&w.slots[(w.at-i+len(w.slots))%len(w.slots)])
	}
	w.at = (w.at + 1) % len(w.slots)
	w.slots[w.at] = histogram{}
	if now.Sub(w.skewd) > time.Minute {
		w.skew = 0
	}
	return all, second, w.skew
}

// quantiles is what a page shows of a window, in milliseconds.
type quantiles struct {
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
	Count uint64  `json:"count"`
}

func (h *histogram) quantiles() quantiles {
	return quantiles{milliseconds(h.quantile(.5)), milliseconds(h.quantile(.95)), milliseconds(h.quantile(.99)), milliseconds(h.max), h.n}
}

// milliseconds rounds to three significant digits or so: more would be noise, and bytes.
func milliseconds(d time.Duration) float64 {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms >= 100:
		return math.Round(ms)
	case ms >= 10:
		return math.Round(ms*10) / 10
	}
	return math.Round(ms*100) / 100
}
