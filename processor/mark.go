package processor

import "fmt"

// mark is an event's place in the stream: seqs count from 1 in each epoch.
type mark struct {
	epoch uint32
	seq   uint64
}

// before reports whether m stands before n.
func (m mark) before(n mark) bool {
	return m.epoch < n.epoch || m.epoch == n.epoch && m.seq < n.seq
}

// later returns the later of two.
func later(m, n mark) mark {
	if m.before(n) {
		return n
	}
	return m
}

// text says it after some words, with its epoch where that is another than the one that is spoken of.
func (m mark) text(words string, epoch uint32) string {
	if m.epoch == epoch {
		return fmt.Sprint(words, " ", m.seq)
	}
	return fmt.Sprintf("%s %d of epoch %d", words, m.seq, m.epoch)
}
