package replay

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// transaction is a whole transaction as <prefix>.transaction tells of it, whatever parts it was written in.
type transaction struct {
	cdc.Transaction
	First, Last uint64            // seqs of its events
	Counts      map[string]uint64 // events by topic

	Previous cdc.CommitLSN // of the transaction before it; 0 before the first
	known    bool          // Previous is known: nothing before it was removed
}

// events returns how many there are.
func (t *transaction) events() uint64 { return t.Last - t.First + 1 }

// merger puts the parts of split transactions together, and holds that they follow each other. Pure.
type merger struct {
	epoch uint32

	begun  bool
	last   uint64 // seq
	commit cdc.CommitLSN
	open   *transaction // its parts have not all come; nil between transactions
	passed bool         // the part of a transaction whose beginning was not read is being passed over
}

// add takes the next entry. It returns the transaction that is whole with it, nil if none is.
func (m *merger) add(topics []string, e *envelope.TransactionEntry) (*transaction, error) {
	if m.begun && e.First != m.last+1 {
		return nil, damaged("seq %d follows %d", e.First, m.last)
	}
	known := m.begun || e.First == 1
	m.begun, m.last = true, e.Last
	if e.Starts {
		if m.open != nil {
			return nil, damaged("transaction %d at %s does not end", m.open.XID, m.open.Commit)
		}
		m.passed = false
		m.open = &transaction{Transaction: cdc.Transaction{XID: e.XID, Commit: e.Commit, Time: e.Time()}, First: e.First, Counts: map[string]uint64{},
			Previous: m.commit, known: known}
	} else if m.open == nil {
		m.passed = true
	}
	m.commit = e.Commit
	if m.passed {
		return nil, nil
	}
	t := m.open
	if t.XID != e.XID || t.Commit != e.Commit {
		return nil, damaged("transaction %d at %s goes on as %d at %s", t.XID, t.Commit, e.XID, e.Commit)
	}
	t.Last = e.Last
	for _, c := range e.Counts {
		t.Counts[topics[c.Topic]] += c.Events
	}
	if !e.Ends {
		return nil, nil
	}
	t.End, m.open = e.End, nil
	return t, nil
}

func damaged(format string, args ...any) error {
	return &cdc.Refusal{Name: "order_damaged", Unsafe: true, Problem: "the stream's order cannot be read: " + fmt.Sprintf(format, args...),
		Remedy: "keep the topics as they are for an examination, and run livedb audit"}
}

// cursor reads whole transactions out of <prefix>.transaction, as far as they are committed when it was opened.
type cursor struct {
	scan   *kafka.Scan
	merger merger

	record *envelope.TransactionRecord // being read; nil: none
	entry  int
	first  cdc.CommitLSN // of the first entry read
}

// next returns the next transaction, nil at the end.
func (c *cursor) next(ctx context.Context) (*transaction, error) {
	for {
		for c.record == nil || c.entry == len(c.record.Entries) {
			r, more, err := c.scan.Next(ctx)
			if err != nil || !more {
				return nil, err
			}
			if c.record, err = parse(r); err != nil {
				return nil, err
			}
			c.entry = 0
			if c.record.Epoch != c.merger.epoch {
				c.record = nil // of an epoch that is over, or of one that has begun since
			}
		}
		e := &c.record.Entries[c.entry]
		c.entry++
		if c.first == 0 {
			c.first = e.Commit
		}
		t, err := c.merger.add(c.record.Topics, e)
		if err != nil || t != nil {
			return t, err
		}
	}
}

func parse(r kafka.Record) (*envelope.TransactionRecord, error) {
	parsed, err := envelope.ParseTransaction(r.Value)
	if err != nil {
		return nil, damaged("offset %d: %v", r.Offset, err)
	}
	return parsed, nil
}

// order finds transactions in <prefix>.transaction.
type order struct {
	client sarama.Client
	topic  string
	epoch  uint32
}

// read opens a cursor at an offset; everything that was committed when it is called will come.
func (o *order) read(offset int64) (*cursor, error) {
	scan, err := kafka.OpenScan(o.client, o.topic, 0, offset)
	if err != nil {
		return nil, err
	}
	return &cursor{scan: scan, merger: merger{epoch: o.epoch}}, nil
}

// seek opens a cursor some way before the first entry for which reached holds, so that the entry before that comes too if
// there is one. Of entries in commit order, those for which reached holds must be the later ones.
func (o *order) seek(ctx context.Context, reached func(*envelope.TransactionEntry) bool) (*cursor, error) {
	top, err := kafka.OpenScan(o.client, o.topic, 0, sarama.OffsetOldest)
	if err != nil {
		return nil, err
	}
	// The record at or after low begins before the place, or low is the log's first offset; that after high does not.
	low, high := top.Start(), top.End()
	for high-low > 1 {
		middle := low + (high-low)/2
		before, err := o.before(ctx, middle, reached)
		if err != nil {
			return nil, err
		}
		if before {
			low = middle
		} else {
			high = middle
		}
	}
	return o.read(low)
}

// before reports whether the first record at an offset or after it begins before the place.
func (o *order) before(ctx context.Context, offset int64, reached func(*envelope.TransactionEntry) bool) (bool, error) {
	scan, err := kafka.OpenScan(o.client, o.topic, 0, offset)
	if err != nil {
		return false, err
	}
	for {
		r, more, err := scan.Next(ctx)
		if err != nil || !more {
			return false, err
		}
		parsed, err := parse(r)
		if err != nil {
			return false, err
		}
		if parsed.Epoch < o.epoch || parsed.Epoch == o.epoch && len(parsed.Entries) > 0 {
			return parsed.Epoch < o.epoch || !reached(&parsed.Entries[0]), nil
		}
	}
}

// newest returns the last whole transaction, nil if there is none.
func (o *order) newest(ctx context.Context) (*transaction, error) {
	r, found, err := kafka.Tail(ctx, o.client, o.topic, 0)
	if err != nil || !found {
		return nil, err
	}
	parsed, err := parse(r)
	if err != nil || len(parsed.Entries) == 0 {
		return nil, err
	}
	last := parsed.Entries[len(parsed.Entries)-1].Commit
	for {
		t, earlier, err := o.newestFrom(ctx, last)
		if err != nil || t != nil || earlier == last {
			return t, err
		}
		last = earlier // all that was read are parts of transactions that began before or have not ended
	}
}

// newestFrom returns the last whole transaction of those that begin in the last records before a commit or behind it, and
// the first commit that it met.
func (o *order) newestFrom(ctx context.Context, commit cdc.CommitLSN) (newest *transaction, first cdc.CommitLSN, err error) {
	c, err := o.seek(ctx, func(e *envelope.TransactionEntry) bool { return e.Commit >= commit })
	if err != nil {
		return nil, 0, err
	}
	for {
		t, err := c.next(ctx)
		if err != nil || t == nil {
			return newest, c.first, err
		}
		newest = t
	}
}

// disorder is by how much commit times may run against the order of commits: they are taken a moment before the commit
// record is written.
const disorder = 10 * time.Second

// from opens a cursor before a lower bound.
func (o *order) from(ctx context.Context, b *bound) (*cursor, error) {
	return o.seek(ctx, func(e *envelope.TransactionEntry) bool {
		if b.kind == byTime {
			return e.Time().After(b.time.Add(-disorder))
		}
		return e.Commit >= b.lsn
	})
}
