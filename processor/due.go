package processor

import (
	"fmt"
	"slices"
)

// An event that is not the next seq may be delivered only once it is certain that none before it is missing. A reader of
// all topics knows by the seqs themselves. A reader of some knows by the counts: it holds an entry's events back until as
// many are here as the entry counts, in each topic. An entry is part of one Kafka transaction, so what is held is bounded.

// missing returns the reason why what is due will never come, or nil while it may.
func (s *sequencer) missing() error {
	if s.err != nil || s.current == nil {
		return s.err
	}
	if s.dense {
		if !s.lost() {
			return nil
		}
		kind := ErrGap
		for _, t := range s.counted {
			kind = t.blame(kind)
		}
		p := s.heads[0]
		r := p.queue.head()
		return p.violation(kind, r.offset, seqText("seq", s.next), r.mark().text("seq", s.epoch))
	}
	for _, t := range s.counted {
		if t.passed(s.last()) && t.here(s.last()) < t.left {
			p := t.partitions[0]
			return p.violation(t.blame(ErrGap), p.next, s.dueOf(t), fmt.Sprintf("a set of %d, with later ones,", t.here(s.last())))
		}
	}
	return nil
}

// lost reports whether every partition that may hold the event that is due shows a later one.
func (s *sequencer) lost() bool {
	for _, t := range s.counted {
		if t.left > 0 && t.empty > 0 {
			return false
		}
	}
	return true
}

// check finds out whether all that is left of the current entry is here, and refuses what cannot be that.
func (s *sequencer) check() error {
	if s.dense || !s.filled() {
		return s.missing()
	}
	s.seqs = s.seqs[:0]
	for _, t := range s.counted {
		for _, p := range t.partitions {
			for i := range p.until(s.last()) {
				s.seqs = append(s.seqs, p.queue.at(i).seq)
			}
		}
	}
	slices.Sort(s.seqs)
	for i := 1; i < len(s.seqs); i++ {
		if s.seqs[i] == s.seqs[i-1] {
			return s.repeat(s.seqs[i])
		}
	}
	s.complete = true
	return nil
}

// filled reports whether as many events as are left of the current entry, which is not dense, are here.
func (s *sequencer) filled() bool {
	for _, t := range s.counted {
		if t.here(s.last()) < t.left {
			return false
		}
	}
	return true
}

// repeat tells of a seq that stands in two partitions.
func (s *sequencer) repeat(seq uint64) error {
	seen := false
	for _, t := range s.counted {
		for _, p := range t.partitions {
			i := p.until(mark{s.epoch, seq}) - 1
			if i < 0 || p.queue.at(i).seq != seq {
				continue
			}
			if seen {
				return p.violation(ErrRepeat, p.queue.at(i).offset, "another seq, for this one stands in another partition,", seqText("seq", seq))
			}
			seen = true
		}
	}
	return nil
}

// wants reports whether a partition must go on filling, however much it holds: what is left of the current entry can be
// delivered only when all of it is here.
func (s *sequencer) wants(p *partition) bool {
	return s.current != nil && !s.dense && !s.complete && p.topic.left > 0 && p.last.before(s.last())
}

// ready reports whether pop is worth calling again after it had to wait.
func (s *sequencer) ready() bool {
	switch {
	case s.err != nil || s.chainErr != nil:
		return true
	case s.current == nil:
		return s.queue.count > 0 || s.repeated()
	case len(s.heads) > 0 && !s.due().before(s.heads[0].queue.head().mark()):
		return true
	}
	return !s.dense && s.filled() || s.missing() != nil
}

// repeated reports whether an event waits that was delivered already: from another partition.
func (s *sequencer) repeated() bool {
	return len(s.heads) > 0 && s.heads[0].queue.head().mark().before(s.due())
}

// stalled names what is due and does not come, and the first partition it may be in.
func (s *sequencer) stalled() *Violation {
	v := &Violation{Err: ErrStall, Want: seqText("seq", s.next), Got: "nothing"}
	for _, t := range s.counted {
		if t.left == 0 || !s.dense && t.here(s.last()) == t.left {
			continue
		}
		for _, p := range t.partitions {
			if v.Topic == "" && (p.queue.count == 0 || !s.dense && !s.last().before(p.last)) {
				v.Topic, v.Partition, v.Offset = t.name, p.number, p.next
				if !s.dense {
					v.Want = s.dueOf(t)
				}
			}
		}
		v.Err = t.blame(v.Err)
	}
	return v
}

// dueOf says what is due in a topic, for an entry that is not dense.
func (s *sequencer) dueOf(t *topic) string {
	return fmt.Sprintf("a set of %d events of seq %d to %d", t.left, s.next, s.current.Last)
}

// here counts the events of the topic that have arrived, up to a mark.
func (t *topic) here(last mark) (count uint64) {
	for _, p := range t.partitions {
		count += uint64(p.until(last))
	}
	return count
}

// passed reports whether every partition of the topic shows an event after a mark.
func (t *topic) passed(last mark) bool {
	return !slices.ContainsFunc(t.partitions, func(p *partition) bool { return !last.before(p.last) })
}

// blame says why an event of the topic is missing: retention, if it removed anything that was to be read.
func (t *topic) blame(otherwise error) error {
	if slices.ContainsFunc(t.partitions, func(p *partition) bool { return p.cut }) {
		return ErrRetention
	}
	return otherwise
}

// until counts the records in the queue up to a mark.
func (p *partition) until(last mark) int {
	low, high := 0, p.queue.count
	for low < high {
		if middle := (low + high) / 2; !last.before(p.queue.at(middle).mark()) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}
