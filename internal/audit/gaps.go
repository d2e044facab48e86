package audit

import (
	"slices"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// maxGaps bounds what is remembered of missing events. One that comes late counts as duplicated if its gap was forgotten.
const maxGaps = 1000

// gap is a run of seqs that did not come, both included.
type gap struct {
	from, to uint64
	first    cdc.Position // of from; index 0: not known
	topic    string       // empty: not known
	told     bool
}

// missed opens a gap from the seq that is due. r is nil if no record announces it.
func (j *judge) missed(to uint64, r *envelope.TransactionRecord) {
	g := gap{from: j.due, to: to}
	switch next := j.entry.Last + 1; {
	case r != nil && j.known:
		g.first = j.at(g.from)
	case r != nil:
		g.first.Commit = j.entry.Commit
	case j.open && j.known && (j.within || g.from == next):
		g.first = cdc.Position{Commit: j.entry.Commit, Index: j.index + (g.from - j.entry.Last)}
		if !j.within && to > g.from { // only the first is certain to belong to the open transaction
			g.to = g.from
			j.remember(g)
			g = gap{from: g.from + 1, to: to}
		}
	}
	j.remember(g)
}

// remember keeps a gap for what may come late.
func (j *judge) remember(g gap) {
	if len(j.gaps) == maxGaps {
		j.tell(&j.gaps[0])
		j.gaps = slices.Delete(j.gaps, 0, 1)
	}
	j.gaps = append(j.gaps, g)
	j.whole, j.broken = false, true
	j.lacking++
}

// fill takes a seq out of the gaps, if it is there.
func (j *judge) fill(seq uint64) bool {
	i := slices.IndexFunc(j.gaps, func(g gap) bool { return g.from <= seq && seq <= g.to })
	if i < 0 {
		return false
	}
	g := j.gaps[i]
	var left []gap
	if g.from < seq {
		before := g
		before.to = seq - 1
		left = append(left, before)
	}
	if seq < g.to {
		after := g
		after.from = seq + 1
		if after.first.Index > 0 {
			after.first.Index += after.from - g.from
		}
		left = append(left, after)
	}
	j.gaps = slices.Replace(j.gaps, i, i+1, left...)
	return true
}

// settle ends a round: what has not come by now is missing.
func (j *judge) settle() {
	for i := range j.gaps {
		j.tell(&j.gaps[i])
	}
	for _, p := range j.partitions {
		if p.head == nil && p.ahead == nil {
			p.lostTombstone()
		}
	}
	j.report.To = j.due - 1
}

// tell reports the events of a gap, each by its position.
func (j *judge) tell(g *gap) {
	if g.told {
		return
	}
	g.told = true
	for seq := g.from; seq <= g.to; seq++ {
		f := Finding{Kind: Missing, Position: g.first, Seq: seq, Topic: g.topic, Offset: -1, Text: "no event has this seq"}
		if f.Position.Index > 0 {
			f.Position.Index += seq - g.from
		}
		if seq-g.from >= maxFindings {
			j.report.FindMany(g.to-seq+1, f)
			return
		}
		j.report.Find(f)
	}
}
