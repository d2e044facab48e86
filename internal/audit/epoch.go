package audit

import (
	"container/heap"
	"context"
	"math"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// maxCertified bounds the gaps that a report lists.
const maxCertified = 100

// covers reports whether the round's checkpoint covers a transaction record.
func (j *judge) covers(r *envelope.TransactionRecord) bool {
	switch {
	case r.Epoch > j.target:
		return false
	case r.Gap != nil || r.Epoch < j.target:
		return true
	case j.epoch < j.target:
		return r.Entries[0].First <= j.end
	}
	return r.Entries[0].First <= j.upto
}

// begin prepares a round, and before the first one finds out where judging begins: with what retention left.
func (j *judge) begin(ctx context.Context) error {
	first := j.began == 0
	if first {
		r, err := j.announce.peek(ctx)
		if err != nil {
			return err
		}
		j.epoch = j.target
		if r != nil {
			j.epoch = min(r.Epoch, j.target)
		}
		j.began = j.epoch
	}
	j.bound()
	if err := j.refillAll(ctx); err != nil || !first {
		return err
	}
	if r := j.announce.head; r != nil && r.Gap != nil && r.Epoch == j.epoch { // the order begins here
		j.announce.head = nil
		j.certified(r.Gap)
		j.from = 0
	} else if err := j.skipEpoch(ctx); err != nil {
		return err
	}
	j.from = j.cutAt() + 1
	j.due, j.report.From = j.from, j.from
	return nil
}

// bound sets the seq that the round goes to in the epoch that is judged.
func (j *judge) bound() {
	j.upto = math.MaxUint64
	if j.epoch == j.target {
		j.upto = j.end
	}
}

func (j *judge) refillAll(ctx context.Context) error {
	for _, p := range j.partitions {
		if err := j.refill(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// skipEpoch leaves out an epoch that has ended and of which retention has removed all that a partition held: nobody can
// tell how far that went.
func (j *judge) skipEpoch(ctx context.Context) error {
	for j.epoch < j.target && j.emptied() {
		r, err := j.announce.peek(ctx)
		for ; err == nil && r != nil && r.Epoch == j.epoch; r, err = j.announce.peek(ctx) {
			j.announce.head = nil
		}
		if err != nil || r == nil {
			return err
		}
		j.epoch = min(r.Epoch, j.target)
		j.began = j.epoch
		if r.Gap != nil && r.Epoch == j.epoch {
			j.announce.head = nil
			j.certified(r.Gap)
		}
		j.bound()
		for _, p := range j.partitions {
			p.head = nil
		}
		j.heads = nil
		if err := j.refillAll(ctx); err != nil {
			return err
		}
	}
	return nil
}

// emptied reports whether retention has removed all that a partition held of the epoch.
func (j *judge) emptied() bool {
	for _, p := range j.partitions {
		if p.cut && p.head == nil {
			return true
		}
	}
	return false
}

// turn ends an epoch and begins the next one, whose first record is given. What was lost in between is certified there, and
// no fault; that nobody certifies it is one.
func (j *judge) turn(ctx context.Context, r *envelope.TransactionRecord) error {
	g := r.Gap
	if g != nil {
		j.upto = g.From.Seq
		if j.due <= g.From.Seq {
			if err := j.unannounced(ctx, g.From.Seq, nil); err != nil {
				return err
			}
		}
	}
	if err := j.marks.due(ctx, j); err != nil {
		return err
	}
	switch {
	case g == nil || r.Epoch != j.epoch+1:
		j.announce.find(Missing, 0, 0, 0, "epoch %d follows epoch %d without a certificate of what is lost in between", r.Epoch, j.epoch)
	case g.From.Seq < j.due-1:
		j.announce.find(Altered, 0, 0, j.due-1, "the certificate ends epoch %d with seq %d, and the log has seq %d", j.epoch, g.From.Seq, j.due-1)
	case g.From.Partial != j.open:
		j.announce.find(Torn, j.entry.Commit, j.index, j.due-1, "the certificate does not tell truly whether epoch %d ends within a transaction", j.epoch)
	}
	if err := j.leftovers(ctx); err != nil {
		return err
	}
	j.settle()
	if g != nil {
		j.certified(g)
	}
	if j.renew != nil {
		j.renew()
	}
	j.epoch, j.from, j.due = r.Epoch, 1, 1
	j.report.From, j.report.To, j.report.First, j.report.Last = 1, 0, cdc.Position{}, cdc.Position{}
	j.entry, j.open, j.again, j.index, j.known, j.within = envelope.TransactionEntry{}, false, false, 0, false, false
	j.gaps, j.tails, j.whole, j.broken, j.lacking, j.marks.last = nil, nil, false, false, 0, nil
	j.bound()
	for _, p := range j.partitions {
		p.last = 0
	}
	if err := j.refillAll(ctx); err != nil {
		return err
	}
	return j.marks.due(ctx, j)
}

// leftovers reports the events of an epoch that has ended which no record announces.
func (j *judge) leftovers(ctx context.Context) error {
	for len(j.heads) > 0 {
		p := j.heads[0]
		j.report.Find(p.head.finding(Duplicated, "epoch %d has ended before it", j.epoch))
		if err := p.advance(ctx); err != nil {
			return err
		}
		if p.head == nil {
			heap.Pop(&j.heads)
		} else {
			heap.Fix(&j.heads, 0)
		}
	}
	return nil
}

// certified lists a gap.
func (j *judge) certified(g *envelope.Gap) {
	if len(j.report.Gaps) < maxCertified {
		j.report.Gaps = append(j.report.Gaps, *g)
	}
}
