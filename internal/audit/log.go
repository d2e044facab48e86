package audit

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// cursor yields the committed records of a partition in the order of their offsets, and false at the end of what there is.
type cursor interface {
	Next(ctx context.Context) (kafka.Record, bool, error)
}

// event is a record of an event topic that is not a tombstone.
type event struct {
	from     *partition
	offset   int64
	epoch    uint32
	seq      uint64
	position cdc.Position
	key      []byte // nil: none
	payload  envelope.Event
	wrong    []string // in what it contradicts itself
}

// finding is a finding about the event.
func (e *event) finding(kind Kind, format string, args ...any) Finding {
	return Finding{Kind: kind, Position: e.position, Seq: e.seq, Topic: e.from.topic, Partition: e.from.number, Offset: e.offset,
		Key: string(e.key), Text: fmt.Sprintf(format, args...)}
}

// wrongf adds a contradiction.
func (e *event) wrongf(format string, args ...any) {
	e.wrong = append(e.wrong, fmt.Sprintf(format, args...))
}

// partition reads one partition of events. It holds the event that is next, and nothing else.
type partition struct {
	prefix envelope.Topics
	topic  string
	number int32
	cut    bool // retention removed the log's beginning

	cursor  cursor // nil at the end of what there is
	next    int64  // the offset to go on from
	head    *event // nil at the end
	ahead   *event // the next one is of an epoch that is not judged yet: nothing is read on before it is
	last    uint64 // the seq of the last event read
	deleted *event // the delete whose tombstone must be the next record
	begun   bool   // a record has been read

	upto       *uint64 // what the round ends at
	epoch      *uint32 // the one that is judged
	began      *uint32 // the one that judging began with
	found      *Verdict
	tombstones *uint64 // counts those that stand where they should
}

// advance reads on to the next event.
func (p *partition) advance(ctx context.Context) error {
	if p.head != nil {
		p.last, p.head = max(p.last, p.head.seq), nil
	}
	if p.ahead != nil && p.ahead.epoch <= *p.epoch {
		p.head, p.ahead = p.ahead, nil
	}
	for p.cursor != nil && p.head == nil && p.ahead == nil {
		r, more, err := p.cursor.Next(ctx)
		if err != nil {
			return err
		}
		if !more {
			p.cursor = nil
			return nil
		}
		p.next = r.Offset + 1
		if r.Value == nil {
			p.tombstone(&r)
		} else {
			p.lostTombstone()
			p.take(p.decode(&r))
		}
		p.begun = true
	}
	return nil
}

// take makes an event the head, if it is of the epoch that is judged.
func (p *partition) take(e *event) {
	switch {
	case e.epoch < *p.epoch && *p.epoch == *p.began: // from before the epoch that retention left a beginning of
		return
	case e.epoch < *p.epoch:
		p.found.Find(e.finding(Disordered, "it is of epoch %d, and epoch %d has begun", e.epoch, *p.epoch))
		return
	case e.epoch > *p.epoch:
		p.ahead = e
	default:
		p.head = e
	}
	if e.payload.Op == "d" && e.key != nil {
		p.deleted = e
	}
}

// decode reads an event and notes what it contradicts itself in. An unreadable seq is taken from the payload.
func (p *partition) decode(r *kafka.Record) *event {
	e := &event{from: p, offset: r.Offset, key: r.Key, epoch: 1}
	var err error
	if text := header(r, envelope.HeaderEpoch); text != nil {
		if e.epoch, err = envelope.ParseEpoch(text); err != nil {
			e.wrongf("%v", err)
			e.epoch = *p.epoch
		}
	}
	if e.seq, err = envelope.ParseSeq(header(r, envelope.HeaderSeq)); err != nil {
		e.wrongf("%v", err)
	}
	if e.position, err = cdc.ParsePosition(string(header(r, envelope.HeaderPosition))); err != nil {
		e.wrongf("header %s: %v", envelope.HeaderPosition, err)
	}
	if e.payload, err = envelope.ParseEvent(r.Value); err != nil {
		e.wrongf("its value cannot be read: %v", err)
		return e
	}
	s := &e.payload.Source
	switch {
	case e.seq == 0:
		e.seq = s.Seq
	case s.Seq != e.seq:
		e.wrongf("its payload says seq %d", s.Seq)
		if !p.fits(e.seq) && p.fits(s.Seq) {
			e.seq = s.Seq
		}
	}
	if commit := cdc.CommitLSN(s.Commit); commit != e.position.Commit {
		e.wrongf("its payload says commit_lsn %s", commit)
	}
	if topic := p.topicOf(&e.payload); topic != p.topic {
		e.wrongf("its payload belongs to topic %s", topic)
	}
	return e
}

// fits reports whether a seq may stand here, as far as the partition can tell.
func (p *partition) fits(seq uint64) bool { return p.last < seq && seq <= *p.upto }

// topicOf names the topic that an event belongs to.
func (p *partition) topicOf(e *envelope.Event) string {
	if e.Kind() == cdc.Truncate {
		return p.prefix.Truncate()
	}
	topic, _ := p.prefix.Table(e.Source.Schema, e.Source.Table) // an error comes with no name, which is no topic's
	return topic
}

// tombstone checks a record without value: it repeats the key, seq and position of the delete directly before it.
func (p *partition) tombstone(r *kafka.Record) {
	seq, _ := envelope.ParseSeq(header(r, envelope.HeaderSeq)) // 0 is no delete's
	position, _ := cdc.ParsePosition(string(header(r, envelope.HeaderPosition)))
	d := p.deleted
	p.deleted = nil
	f := Finding{Position: position, Seq: seq, Topic: p.topic, Partition: p.number, Offset: r.Offset, Key: string(r.Key)}
	switch {
	case d == nil && epochOf(r) < *p.epoch && *p.epoch == *p.began: // its delete was passed over
	case d == nil && p.cut && !p.begun: // its delete went with retention
	case d != nil && bytes.Equal(d.key, r.Key) && d.seq == seq && d.position == position:
		*p.tombstones++
	case d != nil && (bytes.Equal(d.key, r.Key) || d.seq == seq):
		f.Kind, f.Text = Altered, fmt.Sprintf("the tombstone of the delete %s, seq %d, of %s carries other values", d.position, d.seq, d.key)
		p.found.Find(f)
	default:
		if d != nil {
			p.deleted = d
			p.lostTombstone()
		}
		f.Kind, f.Text = Disordered, "this tombstone does not stand directly behind its delete"
		p.found.Find(f)
	}
}

// lostTombstone reports a delete whose tombstone did not come.
func (p *partition) lostTombstone() {
	if p.deleted != nil {
		p.found.Find(p.deleted.finding(Missing, "the tombstone of this delete is not directly behind it"))
		p.deleted = nil
	}
}

// epochOf is the epoch that a record says it is of.
func epochOf(r *kafka.Record) uint32 {
	if epoch, err := envelope.ParseEpoch(header(r, envelope.HeaderEpoch)); err == nil {
		return epoch
	}
	return 1
}

func header(r *kafka.Record, name string) []byte {
	for _, h := range r.Headers {
		if string(h.Key) == name {
			return h.Value
		}
	}
	return nil
}

// heads is a heap of the partitions that have an event, by its seq.
type heads []*partition

func (h heads) Len() int           { return len(h) }
func (h heads) Less(i, j int) bool { return h[i].head.seq < h[j].head.seq }
func (h heads) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *heads) Push(x any) { *h = append(*h, x.(*partition)) }

// Pop implements heap.Interface.
func (h *heads) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

var _ cursor = (*kafka.Scan)(nil)

// contradictions writes what is wrong as one sentence.
func contradictions(wrong []string) string { return strings.Join(wrong, "; ") }

// oldest is where a partition that was never read begins.
const oldest = sarama.OffsetOldest
