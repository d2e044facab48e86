package ui

import (
	"sync"
	"time"
)

// Bounds of the ring and of what one page is sent of it.
const (
	ringEntries = 2000
	ringBytes   = 64 << 20

	frameRows  = 200              // at most in one frame
	frameBytes = 512 << 10        // about, in one frame
	frameEvery = time.Second / 20 // at most so often
	burstRows  = ringEntries      // sent as fast as frames go; then
	steadyRows = 1000             // so many a second: nobody reads faster, and a page must stay light
)

// ring holds the last events that the dashboard read. Appending never waits for a page.
type ring struct {
	mu    sync.Mutex
	slots [ringEntries]*entry // place p lies in slot p % ringEntries
	first uint64              // the oldest place held
	next  uint64              // the place of the next entry; places count from 1
	total uint64              // events up to next, those of gaps among them
	bytes int
}

func newRing() *ring { return &ring{first: 1, next: 1} }

// append gives the entry its place.
func (r *ring) append(e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total += e.weight()
	r.bytes += e.size()
	for r.next-r.first == ringEntries || r.bytes > ringBytes && r.first < r.next {
		slot := &r.slots[r.first%ringEntries]
		r.bytes -= (*slot).size()
		*slot = nil
		r.first++
	}
	e.place, e.total = r.next, r.total
	r.slots[r.next%ringEntries] = e
	r.next++
}

// since returns the entries held from a place on, oldest first, and how many events were lost between that place,
// before which the caller had counted total events, and the first entry returned.
func (r *ring) since(place, total uint64) (held []*entry, lost uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if place < r.first {
		place = r.first
		lost = r.total - total
		if place < r.next {
			e := r.slots[place%ringEntries]
			lost = e.total - e.weight() - total
		}
	}
	if place >= r.next {
		return nil, lost
	}
	held = make([]*entry, 0, r.next-place)
	for ; place < r.next; place++ {
		held = append(held, r.slots[place%ringEntries])
	}
	return held, lost
}

// all returns every entry held, oldest first.
func (r *ring) all() []*entry {
	held, _ := r.since(0, 0)
	return held
}

// end returns the next place and the count of events before it.
func (r *ring) end() (place, total uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next, r.total
}

// last returns up to n of the newest events that match, oldest first, with the gaps between them.
func (r *ring) last(n int, f filter) []*entry {
	held := r.all()
	from := len(held)
	for i := len(held) - 1; i >= 0 && n > 0; i-- {
		if f.match(held[i]) {
			from = i
			if held[i].gap == nil {
				n--
			}
		}
	}
	matching := held[:0]
	for _, e := range held[from:] {
		if f.match(e) {
			matching = append(matching, e)
		}
	}
	return matching
}

// cursor is one page's place in the ring and what it may still be sent.
type cursor struct {
	ring   *ring
	filter filter

	next   uint64 // place of the next entry to look at
	total  uint64 // events before it
	at     *entry // the last event looked at; nil before the first
	resume *mark  // where the page was in its last connection, until the gap since then is known

	tokens   float64
	refilled time.Time
}

// frame is what a page is sent at once.
type frame struct {
	skipped uint64   // events before rows that were not looked at, because more came than a page is sent
	rows    []*entry // matching events and gaps
	at      *entry   // the last event looked at
}

// newCursor returns a cursor that begins where the mark says, else with the last rows that match. It reports whether
// the page may keep the rows it has: nothing that the ring still holds is missing from them.
func newCursor(r *ring, f filter, m *mark, now time.Time) (c *cursor, resumed bool) {
	c = &cursor{ring: r, filter: f, tokens: burstRows, refilled: now}
	held := r.all()
	if m != nil {
		for i := len(held) - 1; i >= 0; i-- {
			if m.is(held[i]) {
				c.at, c.next, c.total = held[i], held[i].place+1, held[i].total
				return c, true
			}
		}
		c.resume = m
	}
	c.next, c.total = r.end()
	back := r.last(snapshotRows, f)
	if m != nil {
		back = held // all that is held is new to this page, or the stream began again
	}
	if len(back) > 0 {
		c.next, c.total = back[0].place, back[0].total-back[0].weight()
	}
	return c, m != nil
}

// snapshotRows is how many rows a new page begins with.
const snapshotRows = 400

// take returns what the page may be sent now. An empty frame is not worth sending.
func (c *cursor) take(now time.Time) frame {
	c.tokens = min(burstRows, c.tokens+steadyRows*now.Sub(c.refilled).Seconds())
	c.refilled = now
	pending, lost := c.ring.since(c.next, c.total)
	if c.tokens < frameRows && float64(len(pending)) > c.tokens {
		return frame{} // a flood: whole frames now and then show more of it than single rows
	}

	f := frame{skipped: lost}
	pending = c.settle(&f, pending)
	bytes := 0
	for _, e := range pending {
		if len(f.rows) >= frameRows || bytes > frameBytes {
			break
		}
		c.next, c.total = e.place+1, e.total
		if e.gap == nil {
			c.at = e
		}
		if c.filter.match(e) {
			f.rows = append(f.rows, e)
			bytes += e.size()
			c.tokens--
		}
	}
	f.at = c.at
	return f
}

// settle tells a page that came back how many events it missed meanwhile, once the first event after them is known.
func (c *cursor) settle(f *frame, pending []*entry) []*entry {
	if c.resume == nil {
		return pending
	}
	for i, e := range pending {
		if e.gap != nil {
			continue // the mark counts what this gap counts
		}
		if g := c.resume.gapTo(e); g != nil {
			f.rows = append(f.rows, &entry{gap: g})
		}
		f.skipped, c.resume = 0, nil
		return pending[i:]
	}
	return nil
}
