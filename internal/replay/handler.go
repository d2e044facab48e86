package replay

import (
	"errors"
	"fmt"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/producer"
)

// errReached ends the stream: all that was wanted has been decoded.
var errReached = errors.New("the end of the replay")

// handler holds what the source decodes against what the stream's order tells of it, transaction by transaction, and lets
// through to the writer only what is the same. It belongs to the stream's goroutine.
type handler struct {
	*producer.Writer
	topics   envelope.Topics // of the stream that is replayed
	to       cdc.Position    // the last event wanted; of the last transaction as a whole if cut is false
	cut      bool
	expected <-chan *transaction // in the order of commits
	ready    <-chan struct{}     // has a token when one may have come

	next    *transaction // the one that must come; nil: not known yet
	open    bool
	counts  map[*cdc.Table]uint64 // events of the open transaction
	emptied uint64                // truncates of it
	seen    cdc.LSN

	pace *pacer
}

// Begin implements the stream's handler.
func (h *handler) Begin(tx cdc.Transaction) error {
	h.seen = max(h.seen, cdc.LSN(tx.Commit))
	n := h.next
	if n == nil {
		return errors.New("the source sent a transaction before it was asked to")
	}
	if tx.Commit != n.Commit || tx.XID != n.XID || !tx.Time.Equal(n.Time) {
		return differs("the stream delivered transaction %d of %s at %s, and the source has %d of %s at %s",
			n.XID, text(n.Time), n.Commit, tx.XID, text(tx.Time), tx.Commit)
	}
	h.open, h.emptied = true, 0
	clear(h.counts)
	return h.Writer.Begin(tx)
}

// Change implements the stream's handler.
func (h *handler) Change(c *cdc.Change) error {
	before := h.Index()
	if err := h.Writer.Change(c); err != nil {
		return err
	}
	h.counts[c.Table] += h.Index() - before
	return h.assembled()
}

// Truncate implements the stream's handler.
func (h *handler) Truncate(lsn cdc.LSN, tables []*cdc.Table) error {
	if err := h.Writer.Truncate(lsn, tables); err != nil {
		return err
	}
	h.emptied += uint64(len(tables))
	return h.assembled()
}

// assembled ends a replay that ends inside a transaction.
func (h *handler) assembled() error {
	h.pace.take()
	if h.Index() > h.next.events() {
		return differs("transaction %d at %s was delivered with %d events, and the source has more", h.next.XID, h.next.Commit, h.next.events())
	}
	if !h.cut || h.next.Commit != h.to.Commit || h.Index() < h.to.Index {
		return nil
	}
	if err := h.Writer.Commit(h.next.Transaction); err != nil {
		return err
	}
	return errReached
}

// Commit implements the stream's handler.
func (h *handler) Commit(tx cdc.Transaction) error {
	h.seen = max(h.seen, cdc.LSN(tx.End))
	if err := h.whole(tx); err != nil {
		return err
	}
	if err := h.Writer.Commit(tx); err != nil {
		return err
	}
	h.open = false
	if h.next.Commit == h.to.Commit {
		return errReached
	}
	h.next = nil
	return nil
}

// whole holds a transaction's events, by topic, against the order.
func (h *handler) whole(tx cdc.Transaction) error {
	n := h.next
	if h.Index() != n.events() || h.Seq() != n.Last || tx.End != n.End {
		return differs("transaction %d at %s was delivered with %d events up to seq %d and ends at %s, and the source has %d up to seq %d and %s",
			n.XID, n.Commit, n.events(), n.Last, n.End, h.Index(), h.Seq(), tx.End)
	}
	counts := map[string]uint64{}
	for table, events := range h.counts {
		topic, err := h.topics.Table(table.Schema, table.Name)
		if err != nil {
			return err
		}
		counts[topic] += events
	}
	if h.emptied > 0 {
		counts[h.topics.Truncate()] += h.emptied
	}
	for topic, events := range counts {
		if n.Counts[topic] != events {
			return differs("transaction %d at %s was delivered with %d events in topic %s, and the source has %d", n.XID, n.Commit, n.Counts[topic], topic, events)
		}
	}
	return nil // the sums are the same, so no topic is left out
}

// Quiet implements the stream's handler. Every commit before the position has been sent.
func (h *handler) Quiet(lsn cdc.LSN, _ bool) error {
	h.seen = max(h.seen, lsn)
	if n := h.next; n != nil && !h.open && lsn > cdc.LSN(n.Commit) {
		return differs("the stream delivered transaction %d of %s at %s, and the source has none there", n.XID, text(n.Time), n.Commit)
	}
	return nil
}

// Full implements the stream's handler: nothing is read while it is not known what must come, or while it is too early.
func (h *handler) Full() <-chan struct{} {
	if h.next == nil {
		select {
		case h.next = <-h.expected:
		default:
			return h.ready
		}
	}
	if h.pace.waits() {
		return never
	}
	return h.Writer.Full()
}

// never has Alarm tell when to go on.
var never = make(chan struct{})

// Alarm implements the stream's handler.
func (h *handler) Alarm() time.Time {
	alarm := h.Writer.Alarm()
	if h.pace.until.Before(alarm) && h.pace.waiting {
		return h.pace.until
	}
	return alarm
}

// Durable implements the stream's handler. The slot is the replay's own, and goes with it: all that was received is
// acknowledged, or Postgres could not stop.
func (h *handler) Durable() cdc.LSN { return h.seen }

func differs(format string, args ...any) *cdc.Refusal {
	return &cdc.Refusal{Name: "replay_differs", Unsafe: true, Problem: fmt.Sprintf(format, args...),
		Remedy: "the replay stops before it: check that --source, --slot and --prefix belong together, and run livedb audit on the stream"}
}

// pacer holds a replay to a number of changes a second.
type pacer struct {
	each    time.Duration // for a change; 0: no limit
	taken   int
	until   time.Time // when the next change may come
	waiting bool
}

const (
	paceLook = 64                    // changes between two looks at the clock
	paceWait = 5 * time.Millisecond  // a shorter wait is not worth it
	paceSlip = 50 * time.Millisecond // of time that was not used, what may be made up for
)

func newPacer(rate int) *pacer {
	p := &pacer{until: time.Now()}
	if rate > 0 {
		p.each = time.Second / time.Duration(rate)
	}
	return p
}

// take counts a change.
func (p *pacer) take() {
	if p.each == 0 {
		return
	}
	if p.taken++; p.taken < paceLook {
		return
	}
	now := time.Now()
	p.until = p.until.Add(time.Duration(p.taken) * p.each)
	if slipped := now.Add(-paceSlip); p.until.Before(slipped) {
		p.until = slipped
	}
	p.taken, p.waiting = 0, p.until.Sub(now) > paceWait
}

// waits reports whether it is too early for the next change.
func (p *pacer) waits() bool {
	if p.waiting && !time.Now().Before(p.until) {
		p.waiting = false
	}
	return p.waiting
}
