package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/producer"
)

// keyPosition is the key of checkpoints in their topic.
const keyPosition = "position"

// checkpoints holds the records of <prefix>.checkpoint against the events. Compaction may have removed any of them but
// the last.
type checkpoints struct {
	topic  string
	cursor cursor // nil at the end of what there is
	next   int64  // the offset to go on from
	head   *producer.Checkpoint
	offset int64                // of head
	last   *producer.Checkpoint // the last one with a true seq
	found  *Verdict
	count  *uint64

	unsure bool // what the log holds here is known to be incomplete
}

// peek reads on to a position.
func (c *checkpoints) peek(ctx context.Context) (*producer.Checkpoint, error) {
	for c.head == nil && c.cursor != nil {
		r, more, err := c.cursor.Next(ctx)
		if err != nil {
			return nil, err
		}
		if !more {
			c.cursor = nil
			break
		}
		c.next, c.offset = r.Offset+1, r.Offset
		if string(r.Key) != keyPosition || r.Value == nil {
			continue
		}
		var read producer.Checkpoint
		if err := json.Unmarshal(r.Value, &read); err != nil {
			c.found.Find(Finding{Kind: Misplaced, Topic: c.topic, Offset: r.Offset, Key: string(r.Key), Text: fmt.Sprintf("the checkpoint cannot be read: %v", err)})
			continue
		}
		c.head = &read
	}
	return c.head, nil
}

// due judges the checkpoints that belong at or before the place that the judge has reached. A checkpoint tells its place
// twice, by its seq and by its position: one of the two is enough to call it.
func (c *checkpoints) due(ctx context.Context, j *judge) error {
	for {
		head, err := c.peek(ctx)
		if err != nil || head == nil {
			return err
		}
		if head.Epoch < j.began { // of what retention has removed
			c.head = nil
			continue
		}
		if head.Epoch > j.epoch && head.Epoch <= j.target || head.Epoch == j.epoch && head.Seq >= j.due && !reached(head, j) {
			return nil
		}
		if wrong := c.judge(head, j); len(wrong) > 0 {
			c.found.Find(Finding{Kind: Misplaced, Position: placeOf(head), Seq: head.Seq, Topic: c.topic, Offset: c.offset,
				Key: keyPosition, Text: contradictions(wrong)})
			if head.Seq == j.upto { // the round was to end at a seq that is not true
				j.upto = j.due - 1
			}
		}
		*c.count++
		c.head = nil
		if head.Seq == j.due-1 {
			c.last = head
		}
	}
}

// placeOf is the position of the last event that the checkpoint covers; of index 0 after a transaction without events.
func placeOf(c *producer.Checkpoint) cdc.Position {
	if c.Partial != nil {
		return cdc.Position{Commit: c.Partial.Commit, Index: c.Partial.EventsDone}
	}
	return cdc.Position{Commit: c.Commit, Index: c.Index}
}

// reached reports whether a checkpoint's position is not behind the last event judged.
func reached(c *producer.Checkpoint, j *judge) bool {
	at := cdc.Position{Commit: j.entry.Commit}
	if j.known {
		at.Index = j.index
	}
	return c.Seq > 0 && placeOf(c).Compare(at) <= 0
}

// judge returns what a checkpoint contradicts.
func (c *checkpoints) judge(k *producer.Checkpoint, j *judge) (wrong []string) {
	wrongf := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if last := c.last; last != nil {
		if k.Seq < last.Seq {
			wrongf("its seq %d is less than %d of the one before", k.Seq, last.Seq)
		}
		if k.AckedUpto < last.AckedUpto && k.Timeline == last.Timeline { // a promotion goes back to where it left the old timeline
			wrongf("its acked_upto %s is less than %s of the one before", k.AckedUpto, last.AckedUpto)
		}
	}
	if k.AckedUpto < cdc.LSN(k.End) {
		wrongf("its acked_upto %s is less than its end_lsn %s", k.AckedUpto, k.End)
	}
	if k.Epoch != j.epoch {
		return append(wrong, fmt.Sprintf("it says epoch %d in epoch %d", k.Epoch, j.epoch))
	}
	if k.Seq+1 < j.from || j.entry.Last == 0 || c.unsure {
		return wrong // what it stands for cannot be read any more, or is known to be incomplete
	}
	if k.Seq != j.due-1 {
		wrongf("it says seq %d where the log has seq %d", k.Seq, j.due-1)
		return wrong
	}
	wrong = append(wrong, progress(k, j)...)
	if j.whole && len(k.Touched) > 0 && (c.last == nil || c.last.Seq < k.Seq) {
		wrong = append(wrong, touched(k, j.tails)...)
	}
	return wrong
}

// progress holds a checkpoint's transaction against the last entry.
func progress(k *producer.Checkpoint, j *judge) (wrong []string) {
	wrongf := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	e := &j.entry
	switch p := k.Partial; {
	case j.open && p == nil:
		wrongf("it does not tell that transaction %d at %s is half done", e.XID, e.Commit)
	case p != nil && !j.open:
		wrongf("it calls transaction %d at %s half done, and the log has the whole", p.XID, p.Commit)
	case p != nil && (p.Commit != e.Commit || p.XID != e.XID || j.known && p.EventsDone != j.index):
		wrongf("it says %d events of transaction %d at %s, and the log has %d of transaction %d at %s", p.EventsDone, p.XID, p.Commit, j.index, e.XID, e.Commit)
	case p == nil && k.Commit > e.Commit && k.Index > 0:
		wrongf("it covers %d events of the transaction at %s, and the log ends before it", k.Index, k.Commit)
	case p == nil && k.Commit < e.Commit:
		wrongf("it ends with the transaction at %s, and the log has the one at %s", k.Commit, e.Commit)
	case p == nil && k.Commit == e.Commit && (k.XID != e.XID || k.End != e.End || j.known && k.Index != j.index):
		wrongf("it says transaction %d, end_lsn %s, index %d, and the log has transaction %d, end_lsn %s, index %d at %s",
			k.XID, k.End, k.Index, e.XID, e.End, j.index, e.Commit)
	}
	return wrong
}

// touched holds the tails that a checkpoint tells against those of its Kafka transaction.
func touched(k *producer.Checkpoint, tails map[place]uint64) (wrong []string) {
	left := maps.Clone(tails)
	for topic, partitions := range k.Touched {
		for partition, seq := range partitions {
			at := place{topic, partition}
			if tails[at] != seq {
				wrong = append(wrong, fmt.Sprintf("it says seq %d ends %s[%d], and seq %d does", seq, topic, partition, tails[at]))
			}
			delete(left, at)
		}
	}
	for at, seq := range left {
		wrong = append(wrong, fmt.Sprintf("it does not tell that seq %d ends %s[%d]", seq, at.topic, at.partition))
	}
	return wrong
}
