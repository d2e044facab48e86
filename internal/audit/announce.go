package audit

import (
	"context"
	"fmt"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// order reads <prefix>.transaction. It holds the record that is next.
type order struct {
	topic  string
	cut    bool   // retention removed the log's beginning
	cursor cursor // nil at the end of what there is
	at     int64  // the offset to go on from
	head   *envelope.TransactionRecord
	offset int64 // of the record in hand
	found  *Verdict
}

// peek reads on to a record that can be read and holds something.
func (o *order) peek(ctx context.Context) (*envelope.TransactionRecord, error) {
	for o.head == nil && o.cursor != nil {
		r, more, err := o.cursor.Next(ctx)
		if err != nil {
			return nil, err
		}
		if !more {
			o.cursor = nil
			break
		}
		o.at, o.offset = r.Offset+1, r.Offset
		record, err := envelope.ParseTransaction(r.Value)
		if err != nil {
			o.found.Find(Finding{Kind: Altered, Topic: o.topic, Offset: r.Offset, Text: err.Error()})
			continue
		}
		if len(record.Entries) > 0 || record.Gap != nil {
			o.head = record
		}
	}
	return o.head, nil
}

// next returns the next record that the round's checkpoint covers, and checks its epoch. The checkpoint of a Kafka
// transaction covers the whole of its record; one that does not is reported with the checkpoints.
func (o *order) next(ctx context.Context, j *judge) (*envelope.TransactionRecord, bool, error) {
	r, err := o.peek(ctx)
	if err != nil || r == nil || !j.covers(r) {
		return nil, false, err
	}
	o.head = nil
	if r.Gap != nil || r.Epoch > j.epoch {
		return r, true, nil
	}
	first, last := &r.Entries[0], &r.Entries[len(r.Entries)-1]
	if r.Epoch != j.epoch {
		o.find(Altered, first.Commit, 1, first.First, "the record says epoch %d in epoch %d", r.Epoch, j.epoch)
	}
	j.upto = max(j.upto, last.Last)
	return r, true, nil
}

// find reports a fault of the record in hand.
func (o *order) find(kind Kind, commit cdc.CommitLSN, index, seq uint64, format string, args ...any) {
	f := Finding{Kind: kind, Seq: seq, Topic: o.topic, Offset: o.offset, Text: fmt.Sprintf(format, args...)}
	if commit != 0 {
		f.Position = cdc.Position{Commit: commit, Index: index}
	}
	o.found.Find(f)
}
