package producer

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// Promoted carries the checkpoint over to the timeline that its source was promoted to; fork is where that one left the
// checkpoint's own. It reports false if something was delivered that the new timeline does not hold. Pure.
//
// What was acknowledged beyond the fork held nothing for the stream. Other WAL stands there now, which is still to be read:
// so no more than the fork counts as acknowledged.
func (c Checkpoint) Promoted(timeline int32, fork cdc.LSN) (Checkpoint, bool) {
	if cdc.LSN(c.End) > fork || c.Partial != nil && cdc.LSN(c.Partial.Commit) >= fork {
		return c, false
	}
	c.Timeline, c.AckedUpto = timeline, min(c.AckedUpto, fork)
	return c, true
}

// Phantom is a transaction that stands in Kafka and no longer in the source: a promotion lost it.
type Phantom struct {
	Position    cdc.Position // of its first event
	XID         uint32
	Time        time.Time // of its commit
	First, Last uint64    // seqs of its events
}

// String is as a refusal shows it.
func (p Phantom) String() string {
	return fmt.Sprintf("%s xid %d of %s, seq %d to %d", p.Position, p.XID, p.Time.Format(time.RFC3339Nano), p.First, p.Last)
}

// Phantoms are the transactions that a promotion lost, in commit order. It is an error, so that a refusal can carry it.
type Phantoms struct {
	Fork  cdc.LSN   // all that committed there or later
	First []Phantom // no more than phantomsKept
	Count int
	Last  uint64 // the last seq of them
	Open  bool   // a Kafka transaction has not ended yet, and may hold more of them
}

// phantomsKept bounds the list; the rest is counted.
const phantomsKept = 1000

// Error tells of them in one line, the first few by name.
func (p *Phantoms) Error() string {
	const named = 5
	var b strings.Builder
	for i, one := range p.First[:min(named, len(p.First))] {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(one.String())
	}
	if more := p.Count - named; more > 0 {
		fmt.Fprintf(&b, "; and %d more, to seq %d", more, p.Last)
	}
	if p.Open {
		b.WriteString("; a Kafka transaction that is still open may add to them: start again after --transaction-timeout for all")
	}
	return b.String()
}

// add notes an entry of the order: a transaction, or a part of one.
func (p *Phantoms) add(e *envelope.TransactionEntry) {
	if n := len(p.First); p.Count > 0 && !e.Starts {
		if n == p.Count {
			p.First[n-1].Last = e.Last
		}
	} else {
		p.Count++
		if n < phantomsKept {
			p.First = append(p.First, Phantom{Position: cdc.Position{Commit: e.Commit, Index: 1}, XID: e.XID, Time: e.Time(), First: e.First, Last: e.Last})
		}
	}
	p.Last = e.Last
}

// ReadPhantoms reads from <prefix>.transaction what an epoch delivered of the transactions that committed at a fork or
// later. They stand at its end: it is read from ever further back, until one before the fork is found.
func ReadPhantoms(ctx context.Context, client sarama.Client, topics envelope.Topics, epoch uint32, fork cdc.LSN) (*Phantoms, error) {
	for span := int64(1000); ; span *= 8 {
		p, whole, err := readPhantoms(ctx, client, topics.Transaction(), span, epoch, fork)
		if err != nil {
			return nil, fmt.Errorf("look for what the promotion lost: %w", err)
		}
		if whole {
			return p, nil
		}
	}
}

// readPhantoms reads the last so many offsets of the order. It reports false if phantoms may stand before them.
func readPhantoms(ctx context.Context, client sarama.Client, topic string, span int64, epoch uint32, fork cdc.LSN) (*Phantoms, bool, error) {
	p := &Phantoms{Fork: fork}
	scan, err := kafka.OpenScan(client, topic, 0, sarama.OffsetOldest)
	if err != nil {
		return nil, false, err
	}
	p.Open = scan.HighWater() > scan.End()
	whole := scan.End()-span <= scan.Start()
	if !whole {
		if scan, err = kafka.OpenScan(client, topic, 0, scan.End()-span); err != nil {
			return nil, false, err
		}
	}
	for {
		record, more, err := scan.Next(ctx)
		if err != nil || !more {
			return p, whole, err
		}
		r, err := envelope.ParseTransaction(record.Value)
		if err != nil {
			return nil, false, fmt.Errorf("offset %d of topic %s: %w", record.Offset, topic, err)
		}
		for i := range r.Entries {
			if e := &r.Entries[i]; r.Epoch != epoch || cdc.LSN(e.Commit) < fork {
				whole = true
			} else {
				p.add(e)
			}
		}
	}
}
