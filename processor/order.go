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
	choice     choice // the topics that are read
	topics     map[string]*topic
	partitions []*partition
	heads      heads // the partitions that hold records
	offsets    map[string]map[int32]int64

	chain chain
	queue ring[announced] // transaction records whose entries are to be delivered
	bytes int             // of them
	entry int             // of the first of them: how many entries are done

	current  *envelope.TransactionEntry // being delivered
	counted  []*topic                   // the topics of the choice that it counts
	left     uint64                     // its events still to come, of these topics
	dense    bool                       // it has no events of other topics
	complete bool                       // it is not dense, and all that is left of it is here
	seqs     []uint64                   // room for check
	used     []bool                     // room for announce
	open     bool                       // Begin was delivered and End was not
	tx       Transaction
	epoch    uint32       // of what is delivered now; 0: nothing was
	next     uint64       // the least seq that may come now
	position cdc.Position // of the last event
	start    mark         // of the first event to deliver; seq 0: not known yet
	resumed  mark         // up to which an earlier reading delivered
	place    place        // after the last transaction
	popped   *partition   // of the last event

	chainErr error // what follows the announced entries is not a stream
	err      error // what arrived is not a stream
}

// place is where a transaction ended.
type place struct {
	epoch       uint32
	seq         uint64
	commit      cdc.CommitLSN
	transaction int64 // offset of the transaction record to read next
	entry       int   // how many of its entries are done
}

// announced is a transaction record in the queue.
type announced struct {
	epoch   uint32
	gap     *envelope.Gap // set in a record that begins an epoch and has no entries
	topics  []string
	known   []*topic // by their index, once they were looked up
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
	last      mark
	lastKey   []byte
	tombstone bool
}

func newSequencer(prefix string, chosen choice, start Start, offsets map[string]map[int32]int64) *sequencer {
	s := &sequencer{choice: chosen, topics: map[string]*topic{}, offsets: offsets, chain: newChain(envelope.Topics(prefix).Transaction(), start)}
	if start.kind == fromSaved {
		saved := start.saved
		s.epoch, s.start = saved.Epoch, mark{saved.Epoch, saved.First}
		s.resumed, s.position.Commit = mark{saved.Epoch, saved.Seq}, saved.Commit
		s.place = place{saved.Epoch, saved.Seq, saved.Commit, saved.Transaction, saved.Entry}
	}
	return s
}

// announce takes the next transaction record and returns the topics to be read that it names and add must be told of. After an error
// no further record must come; pop returns the error when it has delivered what was announced before.
func (s *sequencer) announce(r *envelope.TransactionRecord, offset int64, size int) (unknown []string, err error) {
	entries, err := s.chain.follow(r, offset)
	if err != nil {
		s.breakOff(err)
		return nil, err
	}
	if s.start.seq == 0 && s.chain.start != 0 {
		s.start = mark{r.Epoch, s.chain.start}
	}
	if r.Gap != nil {
		s.queue.push(announced{epoch: r.Epoch, gap: r.Gap, offset: offset, size: size})
		s.bytes += size
	}
	if len(entries) == 0 {
		return nil, nil
	}
	s.used = append(s.used[:0], make([]bool, len(r.Topics))...)
	for i := range entries {
		for _, c := range entries[i].Counts {
			if name := r.Topics[c.Topic]; !s.used[c.Topic] && s.topics[name] == nil && s.choice.has(name) {
				unknown = append(unknown, name)
			}
			s.used[c.Topic] = true
		}
	}
	s.queue.push(announced{r.Epoch, nil, r.Topics, make([]*topic, len(r.Topics)), entries, len(r.Entries) - len(entries), offset, size})
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
	if r.mark().before(s.start) {
		return nil // from before the beginning
	}
	if err := s.checkArrival(p, &r); err != nil {
		s.fail(err)
		return err
	}
	tombstone := r.value == nil
	p.last, p.lastKey, p.tombstone = r.mark(), r.key, tombstone
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
	at := r.mark()
	switch {
	case r.value == nil && p.last.seq == 0 && (!s.resumed.before(at) || p.cut):
		return nil // its delete was delivered before the place saved, or removed
	case r.value == nil:
		if p.tombstone || at != p.last || !bytes.Equal(r.key, p.lastKey) {
			return p.violation(ErrOrder, r.offset, p.last.text("a seq above", at.epoch), seqText("a tombstone without its delete, seq", r.seq))
		}
	case at.before(p.last):
		return p.violation(ErrOrder, r.offset, p.last.text("a seq above", at.epoch), seqText("seq", r.seq))
	case at == p.last:
		return p.violation(ErrRepeat, r.offset, seqText("a seq above", p.last.seq), seqText("seq", r.seq))
	case at.before(s.due()) || !s.resumed.before(at):
		return p.violation(ErrRepeat, r.offset, later(s.due(), mark{s.resumed.epoch, s.resumed.seq + 1}).text("a seq from", at.epoch), seqText("seq", r.seq))
	}
	return nil
}

// due is the least mark that may come now.
func (s *sequencer) due() mark { return mark{s.epoch, s.next} }

// last is the mark of the current entry's last event.
func (s *sequencer) last() mark { return mark{s.epoch, s.current.Last} }

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
		return false, p.violation(ErrRepeat, r.offset, s.due().text("a seq from", r.epoch), seqText("seq", r.seq))
	}
	for {
		if s.current == nil && s.queue.count > 0 && s.queue.head().gap != nil {
			s.turn(item)
			return true, nil
		}
		if s.current == nil && !s.take() {
			if s.queue.count == 0 && s.chainErr != nil {
				return false, s.chainErr
			}
			return false, s.err
		}
		switch {
		case s.left > 0 && !s.open:
			s.open = true
			*item = Item{Kind: Begin, Tx: s.tx, Seq: s.tx.First}
			return true, nil
		case s.left > 0:
			return s.event(item)
		}
		e := s.current
		s.done()
		if e.Ends && s.open {
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
		t := a.known[c.Topic]
		if t == nil {
			t = s.topics[a.topics[c.Topic]]
			a.known[c.Topic] = t
		}
		switch {
		case t != nil:
			s.counted = append(s.counted, t)
		case s.choice.has(a.topics[c.Topic]):
			return false
		}
	}
	for _, c := range e.Counts {
		if t := a.known[c.Topic]; t != nil {
			t.left += c.Events
			s.left += c.Events
		}
	}
	s.epoch = a.epoch
	if e.Starts {
		s.tx = Transaction{Epoch: a.epoch, XID: e.XID, Commit: e.Commit, Time: e.Time(), First: e.First}
	}
	s.current, s.next = e, e.First
	s.dense, s.complete = s.left == e.Last-e.First+1, false
	return true
}

// turn delivers the beginning of an epoch.
func (s *sequencer) turn(item *Item) {
	a := s.queue.head()
	*item = Item{Kind: Epoch, Tx: Transaction{Epoch: a.epoch}, Gap: a.gap}
	s.epoch, s.next, s.position, s.open = a.epoch, 1, cdc.Position{}, false
	s.place = place{epoch: a.epoch, transaction: a.offset + 1}
	s.bytes -= a.size
	s.queue.pop()
}

// done leaves the current entry behind.
func (s *sequencer) done() {
	a, e := s.queue.head(), s.current
	s.current, s.next = nil, e.Last+1
	s.entry++
	transaction, entry := a.offset, a.skipped+s.entry
	if s.entry == len(a.entries) {
		transaction, entry = a.offset+1, 0
		s.entry = 0
		s.bytes -= a.size
		s.queue.pop()
	}
	if e.Ends {
		s.place = place{s.epoch, e.Last, e.Commit, transaction, entry}
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
	case s.due().before(r.mark()) && !s.complete:
		if err := s.check(); err != nil || !s.complete {
			return false, err
		}
		return s.event(item)
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
	s.left--
	s.next = r.seq + 1
	p.queue.pop()
	if p.queue.count > 0 {
		s.heads.sinkFirst()
	} else {
		s.heads.dropFirst()
		p.topic.empty++
	}
	return true, nil
}

// saved returns the place after the last transaction, or after the beginning of an epoch. No transaction may be open.
func (s *sequencer) saved() Saved {
	first := s.start.seq
	if s.place.epoch > s.start.epoch {
		first = 1
	}
	saved := Saved{Epoch: s.place.epoch, Seq: s.place.seq, First: first, Commit: s.place.commit,
		Transaction: s.place.transaction, Entry: s.place.entry, Offsets: map[string]map[int32]int64{}}
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
