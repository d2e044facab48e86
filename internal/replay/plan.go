package replay

import (
	"context"
	"fmt"
	"time"

	"github.com/livedb/livedb/cdc"
)

// Place is a transaction, or an event of it, as people and scripts are told of it.
type Place struct {
	Position cdc.Position `json:"position"`
	Seq      uint64       `json:"seq"`
	Time     time.Time    `json:"time"` // of the commit, by the source's clock
	XID      uint32       `json:"xid"`
}

// Window is what can be replayed now: the first event of the oldest transaction and the last one of the newest.
type Window struct {
	From Place `json:"from"`
	To   Place `json:"to"`
}

func (w *Window) String() string {
	return fmt.Sprintf("what can be replayed begins at %s (seq %d, committed at %s) and ends at %s (seq %d, committed at %s)",
		w.From.Position, w.From.Seq, text(w.From.Time), w.To.Position, w.To.Seq, text(w.To.Time))
}

func text(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// place names the event of an index.
func (t *transaction) place(index uint64) Place {
	return Place{Position: cdc.Position{Commit: t.Commit, Index: index}, Seq: t.First + index - 1, Time: t.Time, XID: t.XID}
}

// plan is what a replay will hold, found in <prefix>.transaction before anything is decoded.
type plan struct {
	Epoch        uint32            `json:"epoch"`
	From         Place             `json:"from"` // the first event
	To           Place             `json:"to"`   // the last event; a change of which it is one is not divided
	Whole        bool              `json:"whole"`
	Previous     cdc.CommitLSN     `json:"previous"` // of the transaction before the first
	Transactions uint64            `json:"transactions"`
	Events       uint64            `json:"events"`
	WALBytes     uint64            `json:"wal_bytes"` // from the commit before the first transaction to the end of the last
	Counts       map[string]uint64 `json:"counts"`    // events of all transactions, whole, by the stream's topics
}

// finder finds what is to be replayed.
type finder struct {
	order     *order
	slot      string  // of the replay
	confirmed cdc.LSN // the slot decodes transactions that commit from here on
	window    Window
	oldest    *transaction
	newest    *transaction
}

// look finds the window's ends.
func (f *finder) look(ctx context.Context) error {
	c, err := f.order.from(ctx, &bound{kind: byLSN, lsn: cdc.CommitLSN(f.confirmed)})
	if err != nil {
		return err
	}
	for f.oldest == nil || cdc.LSN(f.oldest.Commit) < f.confirmed || !f.oldest.known {
		if f.oldest, err = c.next(ctx); err != nil {
			return err
		}
		if f.oldest == nil {
			return &cdc.Refusal{Name: "replay_window_empty", Problem: fmt.Sprintf("no transaction of the stream lies behind %s, where the slot %s begins", f.confirmed, f.slot),
				Remedy: "what commits from now on can be replayed once livedb cdc has delivered it"}
		}
	}
	if f.newest, err = f.order.newest(ctx); err != nil {
		return err
	}
	f.window = Window{From: f.oldest.place(1), To: f.newest.place(f.newest.events())}
	return nil
}

// plan finds the transactions between two bounds.
func (f *finder) plan(ctx context.Context, lower, upper bound) (*plan, error) {
	if err := f.byXID(ctx, &lower, &upper); err != nil {
		return nil, err
	}
	if lower.kind == byNothing {
		lower = bound{kind: byLSN, lsn: f.oldest.Commit, text: "the oldest"}
	}
	if upper.before(&lower) {
		return nil, f.inverted(&lower, &upper)
	}
	c, err := f.order.from(ctx, &lower)
	if err != nil {
		return nil, err
	}
	first, err := f.first(ctx, c, &lower)
	if err != nil {
		return nil, err
	}
	p := &plan{Epoch: f.order.epoch, From: first.place(max(1, lower.index)), Previous: first.Previous, Whole: true, Counts: map[string]uint64{}}
	var last *transaction
	for t := first; t != nil && upper.holds(t); {
		last = t
		p.Transactions++
		for topic, n := range t.Counts {
			p.Counts[topic] += n
		}
		if t, err = c.next(ctx); err != nil {
			return nil, err
		}
	}
	if last == nil {
		return nil, f.nothing(first, &lower, &upper)
	}
	if upper.kind == byPosition && (last.Commit != upper.lsn || upper.index > last.events()) {
		return nil, f.unknown("to", &upper)
	}
	p.To, p.WALBytes = last.place(last.events()), uint64(last.End)-max(uint64(first.Previous), uint64(f.confirmed))
	if upper.kind == byPosition && upper.index > 0 && upper.index < last.events() {
		p.To, p.Whole = last.place(upper.index), false
	}
	p.Events = p.To.Seq - p.From.Seq + 1
	if p.To.Seq > f.newest.Last { // it was delivered since we looked
		f.window.To = p.To
	}
	return p, nil
}

// first finds the transaction to begin with, which must be inside the window.
func (f *finder) first(ctx context.Context, c *cursor, lower *bound) (*transaction, error) {
	for {
		t, err := c.next(ctx)
		switch {
		case err != nil:
			return nil, err
		case t == nil:
			return nil, &cdc.Refusal{Name: "replay_from_after_end", Problem: fmt.Sprintf("no transaction lies at or behind --from %s: %s", lower.text, &f.window),
				Remedy: "choose an earlier --from, or wait until livedb cdc has delivered what you look for"}
		case !lower.begins(t):
			continue
		case !t.known: // what was removed before it may have been meant, and is needed to tell what came before
			return nil, &cdc.Refusal{Name: "replay_order_removed", Problem: fmt.Sprintf("the topic %s no longer tells of --from %s: %s", f.order.topic, lower.text, &f.window),
				Remedy: "choose a later --from, and let that topic keep its records at least as long as the replay window"}
		case cdc.LSN(t.Commit) < f.confirmed, t.First == 1 && f.older(lower, t):
			return nil, f.below(lower.text)
		case lower.kind == byPosition && (t.Commit != lower.lsn || lower.index > t.events()):
			return nil, f.unknown("from", lower)
		}
		return t, nil
	}
}

// older reports whether a bound lies before the stream itself, which begins with a transaction and cannot tell what was before.
func (f *finder) older(lower *bound, first *transaction) bool {
	if lower.kind == byTime {
		return lower.time.Before(first.Time)
	}
	return cdc.LSN(lower.lsn) < f.confirmed
}

// below refuses what the slot does not reach.
func (f *finder) below(from string) *cdc.Refusal {
	return &cdc.Refusal{Name: "below_replay_window", Problem: fmt.Sprintf("--from %s lies before the replay window: %s", from, &f.window),
		Remedy: "choose a later --from; a larger replay window of livedb cdc keeps more from then on"}
}

// byXID replaces transaction ids by where the transactions commit.
func (f *finder) byXID(ctx context.Context, lower, upper *bound) error {
	if lower.kind != byXID && upper.kind != byXID {
		return nil
	}
	c, err := f.order.from(ctx, &bound{kind: byLSN, lsn: f.oldest.Commit})
	if err != nil {
		return err
	}
	for lower.kind == byXID || upper.kind == byXID {
		t, err := c.next(ctx)
		if err != nil {
			return err
		}
		if t == nil {
			missing, flag := lower, "from"
			if lower.kind != byXID {
				missing, flag = upper, "to"
			}
			return f.unknown(flag, missing)
		}
		for _, b := range []*bound{lower, upper} {
			if b.kind == byXID && b.xid == t.XID && t.Commit >= f.oldest.Commit {
				b.kind, b.lsn = byPosition, t.Commit
			}
		}
	}
	return nil
}

func (f *finder) unknown(flag string, b *bound) *cdc.Refusal {
	return &cdc.Refusal{Name: "replay_place_unknown", Problem: fmt.Sprintf("the stream has no event of --%s %s inside the replay window: %s", flag, b.text, &f.window),
		Remedy: fmt.Sprintf("correct --%s, or give an LSN or a time, which need not be exact", flag)}
}

func (f *finder) inverted(lower, upper *bound) *cdc.Refusal {
	return &cdc.Refusal{Name: "replay_to_before_from", Problem: fmt.Sprintf("--to %s lies before --from %s", upper.text, lower.text), Remedy: "exchange them, or correct one"}
}

// nothing refuses a range that holds no transaction; first is the first one behind its lower bound.
func (f *finder) nothing(first *transaction, lower, upper *bound) *cdc.Refusal {
	if timed := byTime; (lower.kind == timed) != (upper.kind == timed) {
		return f.inverted(lower, upper)
	}
	return &cdc.Refusal{Name: "replay_range_empty", Problem: fmt.Sprintf("no transaction committed between --from %s and --to %s: the next one is at %s (committed at %s)",
		lower.text, upper.text, first.Commit, text(first.Time)), Remedy: "choose a wider range"}
}
