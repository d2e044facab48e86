package audit

import (
	"container/heap"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// judge merges the partitions by seq and holds the events against the records of <prefix>.transaction. What it keeps does
// not grow with the stream: a head per partition, one transaction record, some gaps.
type judge struct {
	report     *StreamReport
	topics     envelope.Topics
	partitions []*partition
	heads      heads
	visit      func(*event) error // nil, or sees every event
	learn      func(ctx context.Context, topics []string) error
	renew      func() // nil, or is told that an epoch begins

	began  uint32 // the epoch that judging began with; 0: it has not
	epoch  uint32
	target uint32 // the epoch of the round's checkpoint
	end    uint64 // and its seq
	from   uint64 // the first seq to judge
	due    uint64 // the next seq
	upto   uint64 // of this round

	entry envelope.TransactionEntry // the last one
	open  bool                      // it did not end its transaction
	again bool                      // it has the commit LSN of the one before, as a part of a snapshot has
	index uint64                    // of the last event before the entry, then of its last
	known bool                      // the index is

	within   bool // events that no record announces belong to the open transaction
	gaps     []gap
	tails    map[place]uint64 // of the Kafka transaction in hand
	whole    bool             // nothing is missing in it
	broken   bool             // in the entry in hand
	lacking  int              // gaps of the entry in hand
	marks    checkpoints
	announce order
}

// place is a partition's name.
type place struct {
	topic     string
	partition int32
}

// newJudge returns a judge that has seen nothing and writes what it finds into the report.
func newJudge(r *StreamReport, topics envelope.Topics, learn func(context.Context, []string) error) judge {
	return judge{report: r, topics: topics, learn: learn,
		announce: order{topic: topics.Transaction(), at: oldest, found: &r.Verdict},
		marks:    checkpoints{topic: topics.Checkpoint(), next: oldest, found: &r.Verdict, count: &r.Checkpoints}}
}

// newPartition returns a partition of the judge that has read nothing.
func (j *judge) newPartition(at place, cut bool, c cursor) *partition {
	return &partition{prefix: j.topics, topic: at.topic, number: at.partition, cut: cut, cursor: c, next: oldest,
		upto: &j.upto, epoch: &j.epoch, began: &j.began, found: &j.report.Verdict, tombstones: &j.report.Tombstones}
}

// round judges what the cursors hold, up to a seq of an epoch that a checkpoint has told. All of earlier epochs is final.
func (j *judge) round(ctx context.Context, epoch uint32, upto uint64) error {
	j.target, j.end = epoch, upto
	if err := j.begin(ctx); err != nil {
		return err
	}
	if err := j.marks.due(ctx, j); err != nil {
		return err
	}
	for {
		r, more, err := j.announce.next(ctx, j)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if r.Epoch > j.epoch {
			if err := j.turn(ctx, r); err != nil {
				return err
			}
		}
		if r.Gap != nil {
			continue
		}
		if err := j.transaction(ctx, r); err != nil {
			return err
		}
	}
	if j.epoch == j.target && j.due <= j.upto {
		if err := j.unannounced(ctx, j.upto, nil); err != nil {
			return err
		}
	}
	if err := j.marks.due(ctx, j); err != nil {
		return err
	}
	j.settle()
	return nil
}

// refill puts a partition that has something new among the heads.
func (j *judge) refill(ctx context.Context, p *partition) error {
	if p.head != nil {
		return nil // it is among them
	}
	if err := p.advance(ctx); err != nil || p.head == nil {
		return err
	}
	heap.Push(&j.heads, p)
	return nil
}

// transaction judges what one Kafka transaction holds.
func (j *judge) transaction(ctx context.Context, r *envelope.TransactionRecord) error {
	if err := j.learn(ctx, r.Topics); err != nil {
		return err
	}
	j.tails, j.whole = map[place]uint64{}, true
	for i := range r.Entries {
		e := &r.Entries[i]
		if e.First < j.due {
			j.whole = false
			if e.First < j.from {
				j.from = max(j.from, e.Last+1)
				j.due, j.report.From = j.from, j.from
				continue
			}
			j.announce.find(Duplicated, e.Commit, 1, e.First, "the record announces seq %d to %d a second time", e.First, min(e.Last, j.due-1))
			if e.Last < j.due {
				continue
			}
		}
		if e.First > j.due {
			if err := j.unannounced(ctx, e.First-1, e); err != nil {
				return err
			}
		}
		j.follow(e)
		if err := j.window(ctx, e.Last, r); err != nil {
			return err
		}
		j.report.closed(e)
	}
	j.report.KafkaTransactions++
	return j.marks.due(ctx, j)
}

// follow makes an entry the current one, and holds it against the one before.
func (j *judge) follow(e *envelope.TransactionEntry) {
	last := j.entry
	first := last.Last == 0 && !j.open
	switch {
	case first || j.open && !e.Starts && e.Commit == last.Commit && e.XID == last.XID:
	case j.open:
		j.announce.find(Torn, last.Commit, j.index, e.First, "transaction %d at %s goes on here, and the rest of transaction %d at %s is not there", e.XID, e.Commit, last.XID, last.Commit)
	case !e.Starts:
		j.announce.find(Torn, e.Commit, 1, e.First, "transaction %d at %s begins here with its second part", e.XID, e.Commit)
		j.known = false
	case e.Commit < last.Commit:
		j.announce.find(Disordered, e.Commit, 1, e.First, "transaction %d at %s stands behind transaction %d at %s", e.XID, e.Commit, last.XID, last.Commit)
	}
	switch {
	case e.Starts && (first || e.Commit != last.Commit):
		j.index, j.known = 0, true
	case first:
		j.known = false
	}
	if c := j.marks.last; c != nil && c.Partial == nil && e.Commit <= c.Commit && c.Seq < e.First && e.Starts && e.Commit != last.Commit {
		j.announce.find(Misplaced, e.Commit, 1, e.First, "the checkpoint of seq %d called the transaction at %s delivered", c.Seq, c.Commit)
	}
	j.again = e.Starts && !first && e.Commit == last.Commit
	j.entry, j.open = *e, !e.Ends
}

// window takes the events up to a seq. r is the record whose entry is the current one, nil if none announced them.
func (j *judge) window(ctx context.Context, last uint64, r *envelope.TransactionRecord) error {
	counts := map[string]uint64{}
	j.broken, j.lacking = false, 0
	for len(j.heads) > 0 && j.heads[0].head.seq <= last {
		p := j.heads[0]
		e := p.head
		if err := j.event(e, r, counts); err != nil {
			return err
		}
		if err := p.advance(ctx); err != nil {
			return err
		}
		if p.head == nil {
			heap.Pop(&j.heads)
		} else {
			heap.Fix(&j.heads, 0)
		}
	}
	if j.due <= last {
		j.missed(last, r)
		j.due = last + 1
	}
	if r != nil {
		j.count(r, counts)
		j.index += j.entry.Last - j.entry.First + 1
	}
	return nil
}

// event takes the least head.
func (j *judge) event(e *event, r *envelope.TransactionRecord, counts map[string]uint64) error {
	late := e.seq < j.due
	switch {
	case e.seq < j.from:
		return nil
	case late && j.fill(e.seq):
		j.report.Find(e.finding(Disordered, "it stands behind seq %d in its partition", e.from.last))
	case late:
		j.report.Find(e.finding(Duplicated, "an event of this seq stands before it"))
	default:
		if e.seq > j.due {
			j.missed(e.seq-1, r)
		}
		j.due = e.seq + 1
		counts[e.from.topic]++
		if r != nil {
			j.compare(e)
		}
		if j.tails != nil {
			j.tails[place{e.from.topic, e.from.number}] = e.seq
		}
	}
	if len(e.wrong) > 0 {
		j.report.Find(e.finding(Altered, "%s", contradictions(e.wrong)))
	}
	j.report.event(e)
	if j.visit == nil {
		return nil
	}
	return j.visit(e)
}

// compare holds an event against its entry.
func (j *judge) compare(e *event) {
	n := &j.entry
	if !j.known {
		j.index, j.known = e.position.Index-min(e.position.Index, e.seq-n.First+1), true
	}
	if want := j.at(e.seq); e.position != want {
		e.wrongf("its position says %s and its seq makes it %s", e.position, want)
	}
	if e.payload.Source.Epoch != j.epoch {
		e.wrongf("its payload says epoch %d in epoch %d", e.payload.Source.Epoch, j.epoch)
	}
	if e.payload.Op == string(rune(cdc.Read)) {
		return // a row of a snapshot has its own transaction and time
	}
	if j.again {
		e.wrongf("two transactions have the commit LSN %s", n.Commit)
	}
	if s := &e.payload.Source; s.TxID != n.XID {
		e.wrongf("its payload says transaction %d and its entry %d", s.TxID, n.XID)
	}
	if s := &e.payload.Source; s.TsUS != n.TimeUS {
		e.wrongf("its payload says commit time %d and its entry %d", s.TsUS, n.TimeUS)
	}
}

// at is the position that a seq of the current entry has.
func (j *judge) at(seq uint64) cdc.Position {
	return cdc.Position{Commit: j.entry.Commit, Index: j.index + (seq - j.entry.First + 1)}
}

// count holds the entry's counts against the events. Where events are missing it learns from them in which topic.
func (j *judge) count(r *envelope.TransactionRecord, counts map[string]uint64) {
	var short []string
	for _, c := range j.entry.Counts {
		topic := r.Topics[c.Topic]
		if counts[topic] < c.Events {
			short = append(short, topic)
		}
		if !j.broken && counts[topic] != c.Events {
			j.announce.find(Altered, j.entry.Commit, j.index+1, j.entry.First, "the entry counts %d events in topic %s and the log holds %d", c.Events, topic, counts[topic])
		}
		delete(counts, topic)
	}
	for _, topic := range slices.Sorted(maps.Keys(counts)) {
		if !j.broken {
			j.announce.find(Altered, j.entry.Commit, j.index+1, j.entry.First, "the entry counts no event in topic %s and the log holds %d", topic, counts[topic])
		}
	}
	if len(short) == 1 {
		for i := max(0, len(j.gaps)-j.lacking); i < len(j.gaps); i++ {
			j.gaps[i].topic = short[0]
		}
	}
}

// unannounced reports events that no transaction record tells of, takes them as they come, and passes over the
// checkpoints among them. next is the entry behind them, nil at the end: if it goes on with the transaction that is open,
// they are its.
func (j *judge) unannounced(ctx context.Context, last uint64, next *envelope.TransactionEntry) error {
	j.within = j.open && j.known && next != nil && !next.Starts && next.Commit == j.entry.Commit && next.XID == j.entry.XID
	j.report.Find(Finding{Kind: Missing, Seq: j.due, Topic: j.announce.topic, Offset: -1,
		Text: fmt.Sprintf("no readable record here announces seq %d to %d", j.due, last)})
	if err := j.window(ctx, last, nil); err != nil {
		return err
	}
	if j.within {
		j.index += last - j.entry.Last
	}
	j.whole, j.known, j.marks.unsure = false, j.within, true
	err := j.marks.due(ctx, j)
	j.marks.unsure = false
	return err
}

// beyond returns the least seq that was read and not judged, 0 if there is none.
func (j *judge) beyond() uint64 {
	var least uint64
	if len(j.heads) > 0 {
		least = j.heads[0].head.seq
	}
	if r := j.announce.head; r != nil && r.Epoch == j.epoch && (least == 0 || r.Entries[0].First < least) {
		least = r.Entries[0].First
	}
	return least
}

// cutAt is the greatest seq of which retention may have removed a part.
func (j *judge) cutAt() uint64 {
	var cut uint64
	if r := j.announce.head; r != nil && j.announce.cut && r.Gap == nil {
		cut = r.Entries[0].First - 1
	}
	for _, p := range j.partitions {
		switch {
		case p.cut && p.head != nil:
			cut = max(cut, p.head.seq)
		case p.cut:
			cut = max(cut, j.upto)
		}
	}
	return cut
}
