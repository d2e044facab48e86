package processor

import (
	"bytes"
	"fmt"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// sequencer restores commit order. Transaction records and the records of each partition go in as they arrive, each
// kind in its own order; items come out in the order of their seqs. It is pure: what it says depends on nothing but
// what went in, and it holds no more than that.
type sequencer struct {
	topics     map[string]*topic
	partitions []*partition
	heads      heads // the partitions that hold records
	offsets    map[string]map[int32]int64

	chain chain
	queue ring[announced] // transaction records whose entries are to be delivered
	bytes int             // of them
	entry int             // of the first of them: how many entries are done

	current  *envelope.TransactionEntry // being delivered
	counted  []*topic                   // the topics it counts
	open     bool                       // Begin was delivered and End was not
	tx       Transaction
	next     uint64       // seq
	position cdc.Position // of the last event
	resumed  uint64       // seq of the last event that an earlier reading delivered
	from     int64        // offset of the transaction record to read next
	popped   *partition   // of the last event

	chainErr error // what follows the announced entries is not a stream
	err      error // what arrived is not a stream
}

// announced is a transaction record in the queue.
type announced struct {
	topics  []string
	entries []envelope.TransactionEntry
	skipped int // entries before these
	offset  int64
	size    int
}

// topic is a topic of events.
type topic struct {
	name       string
	partitions []*partition
	empty      int    // partitions that hold no record
	left       uint64 // events still to come for the current entry
}

// partition is a queue of records that arrived and wait for their turn.
type partition struct {
	index  int // in sequencer.partitions
	topic  *topic
	number int32
	queue  ring[record]
	bytes  int
	cut    bool  // retention removed records from the place where reading was to begin
	next   int64 // the offset after the last record delivered

	// The last record that arrived, to hold the next one against.
	last      uint64
	lastKey   []byte
	tombstone bool
}

func newSequencer(prefix string, start Start, offsets map[string]map[int32]int64) *sequencer {
	s := &sequencer{topics: map[string]*topic{}, offsets: offsets, chain: newChain(envelope.Topics(prefix).Transaction(), start)}
	if start.kind == fromSaved {
		s.resumed, s.position.Commit = start.saved.Seq, start.saved.Commit
	}
	return s
}

// announce takes the next transaction record and returns the topics it names that add must be told of. After an error
// no further record must come; pop returns the error when it has delivered what was announced before.
func (s *sequencer) announce(r *envelope.TransactionRecord, offset int64, size int) (unknown []string, err error) {
	entries, err := s.chain.follow(r, offset)
	if err != nil {
		s.breakOff(err)
		return nil, err
	}
	if len(entries) == 0 {
		return nil, nil
	}
	used := make([]bool, len(r.Topics))
	for i := range entries {
		for _, c := range entries[i].Counts {
			if !used[c.Topic] && s.topics[r.Topics[c.Topic]] == nil {
				unknown = append(unknown, r.Topics[c.Topic])
			}
			used[c.Topic] = true
		}
	}
	s.queue.push(announced{r.Topics, entries, len(r.Entries) - len(entries), offset, size})
	s.bytes += size
	return unknown, nil
}

// begin says where a partition's records begin.
type begin struct {
	offset int64
	cut    bool
}

// add makes a topic known, with the place where each of its partitions begins.
func (s *sequencer) add(name string, partitions []begin) *topic {
	t := &topic{name: name, empty: len(partitions)}
	for i, b := range partitions {
		p := &partition{index: len(s.partitions), topic: t, number: int32(i), cut: b.cut, next: b.offset}
		t.partitions = append(t.partitions, p)
		s.partitions = append(s.partitions, p)
	}
	s.topics[name] = t
	return t
}

// push takes the next record of a partition. After an error no further record of the partition must come; pop returns
// the error when it cannot go on without what should have come.
func (s *sequencer) push(p *partition, r record) error {
	if r.seq < s.chain.start {
		return nil // from before the beginning
	}
	if err := s.checkArrival(p, &r); err != nil {
		s.fail(err)
		return err
	}
	tombstone := r.value == nil
	p.last, p.lastKey, p.tombstone = r.seq, r.key, tombstone
	if tombstone {
		return nil
	}
	p.queue.push(r)
	p.bytes += r.size()
	if p.queue.count == 1 {
		p.topic.empty--
		s.heads.add(p)
	}
	return nil
}

// checkArrival holds a record against the one before it in its partition.
func (s *sequencer) checkArrival(p *partition, r *record) error {
	switch {
	case r.value == nil && p.last == 0 && (r.seq <= s.resumed || p.cut):
		return nil // its delete was delivered before the place saved, or removed
	case r.value == nil:
		if p.tombstone || r.seq != p.last || !bytes.Equal(r.key, p.lastKey) {
			return p.violation(ErrOrder, r.offset, seqText("a seq above", p.last), seqText("a tombstone without its delete, seq", r.seq))
		}
	case r.seq < p.last:
		return p.violation(ErrOrder, r.offset, seqText("a seq above", p.last), seqText("seq", r.seq))
	case r.seq == p.last:
		return p.violation(ErrRepeat, r.offset, seqText("a seq above", p.last), seqText("seq", r.seq))
	case r.seq < s.next || r.seq <= s.resumed:
		return p.violation(ErrRepeat, r.offset, seqText("a seq from", max(s.next, s.resumed+1)), seqText("seq", r.seq))
	}
	return nil
}

// breakOff has pop return an error when it has delivered all that was announced.
func (s *sequencer) breakOff(err error) { s.chainErr = err }

// fail has pop return an error when it cannot go on. The first one counts.
func (s *sequencer) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// pop delivers the next item, or reports that it has to wait for something to arrive.
func (s *sequencer) pop(item *Item) (bool, error) {
	if s.repeated() {
		p := s.heads[0]
		r := p.queue.head()
		return false, p.violation(ErrRepeat, r.offset, seqText("a seq from", s.next), seqText("seq", r.seq))
	}
	for {
		if s.current == nil && !s.take() {
			if s.queue.count == 0 && s.chainErr != nil {
				return false, s.chainErr
			}
			return false, s.err
		}
		e := s.current
		switch {
		case !s.open:
			s.open = true
			s.tx = Transaction{Epoch: s.chain.epoch, XID: e.XID, Commit: e.Commit, Time: e.Time(), First: e.First}
			*item = Item{Kind: Begin, Tx: s.tx, Seq: e.First}
			return true, nil
		case s.next <= e.Last:
			return s.event(item)
		}
		s.done()
		if e.Ends {
			s.open, s.tx.End = false, e.End
			*item = Item{Kind: End, Tx: s.tx, Seq: e.Last, Position: s.position}
			return true, nil
		}
	}
}

// take makes the next announced entry the current one, if its topics are known.
func (s *sequencer) take() bool {
	if s.queue.count == 0 {
		return false
	}
	a := s.queue.head()
	e := &a.entries[s.entry]
	s.counted = s.counted[:0]
	for _, c := range e.Counts {
		t := s.topics[a.topics[c.Topic]]
		if t == nil {
			return false
		}
		s.counted = append(s.counted, t)
	}
	for i, c := range e.Counts {
		s.counted[i].left += c.Events
	}
	s.current, s.next = e, e.First
	return true
}

// done leaves the current entry behind.
func (s *sequencer) done() {
	a := s.queue.head()
	s.current = nil
	s.entry++
	if s.entry == len(a.entries) {
		s.entry, s.from = 0, a.offset+1
		s.bytes -= a.size
		s.queue.pop()
	}
}

// event delivers the event that is due, if it is here.
func (s *sequencer) event(item *Item) (bool, error) {
	if len(s.heads) == 0 {
		return false, s.missing()
	}
	p := s.heads[0]
	r := p.queue.head()
	switch {
	case r.seq > s.next:
		return false, s.missing()
	case p.topic.left == 0:
		return false, p.violation(ErrCount, r.offset, "no further event of its transaction", seqText("seq", r.seq))
	case r.position.Commit != s.current.Commit || r.position.Compare(s.position) < 0:
		return false, p.violation(ErrOrder, r.offset, fmt.Sprintf("a position of %s from %s", s.current.Commit, s.position), r.position.String())
	}
	s.position, s.popped = r.position, p
	*item = Item{Kind: Event, Tx: s.tx, Seq: r.seq, Position: r.position,
		Topic: p.topic.name, Partition: p.number, Offset: r.offset, Key: r.key, Value: r.value}

	p.next = r.offset + 1
	p.bytes -= r.size()
	p.topic.left--
	s.next++
	p.queue.pop()
	if p.queue.count > 0 {
		s.heads.sinkFirst()
	} else {
		s.heads.dropFirst()
		p.topic.empty++
	}
	return true, nil
}

// missing returns the reason why the event that is due will never come, or nil while it may.
func (s *sequencer) missing() error {
	if s.err != nil || !s.lost() {
		return s.err
	}
	kind := ErrGap
	for _, t := range s.counted {
		kind = t.blame(kind)
	}
	p := s.heads[0]
	r := p.queue.head()
	return p.violation(kind, r.offset, seqText("seq", s.next), seqText("seq", r.seq))
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

// ready reports whether pop is worth calling again after it had to wait.
func (s *sequencer) ready() bool {
	switch {
	case s.err != nil || s.chainErr != nil:
		return true
	case s.current == nil:
		return s.queue.count > 0 || s.repeated()
	}
	return len(s.heads) > 0 && s.heads[0].queue.head().seq <= s.next || s.lost()
}

// repeated reports whether an event waits that was delivered already: from another partition.
func (s *sequencer) repeated() bool {
	return len(s.heads) > 0 && s.heads[0].queue.head().seq < s.next
}

// stalled names the event that is due and does not come, and the first partition it may be in.
func (s *sequencer) stalled() *Violation {
	v := &Violation{Err: ErrStall, Want: seqText("seq", s.next), Got: "nothing"}
	for _, t := range s.counted {
		for _, p := range t.partitions {
			if t.left > 0 && p.queue.count == 0 && v.Topic == "" {
				v.Topic, v.Partition, v.Offset = t.name, p.number, p.next
			}
		}
		v.Err = t.blame(v.Err)
	}
	return v
}

// blame says why an event of the topic is missing: retention, if it removed anything that was to be read.
func (t *topic) blame(otherwise error) error {
	for _, p := range t.partitions {
		if p.cut {
			return ErrRetention
		}
	}
	return otherwise
}

// saved returns the place after the last item, which was an End.
func (s *sequencer) saved() Saved {
	saved := Saved{Epoch: s.tx.Epoch, Seq: s.next - 1, First: s.chain.start, Commit: s.tx.Commit, Transaction: s.from,
		Offsets: map[string]map[int32]int64{}}
	if s.entry > 0 {
		a := s.queue.head()
		saved.Transaction, saved.Entry = a.offset, a.skipped+s.entry
	}
	for name, partitions := range s.offsets {
		saved.Offsets[name] = partitions // never read yet, unless overwritten below
	}
	for name, t := range s.topics {
		offsets := make(map[int32]int64, len(t.partitions))
		for _, p := range t.partitions {
			offsets[p.number] = p.next
		}
		saved.Offsets[name] = offsets
	}
	return saved
}

func (p *partition) violation(kind error, offset int64, want, got string) error {
	return &Violation{Err: kind, Topic: p.topic.name, Partition: p.number, Offset: offset, Want: want, Got: got}
}

func seqText(text string, seq uint64) string { return fmt.Sprint(text, " ", seq) }
