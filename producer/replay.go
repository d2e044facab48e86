package producer

import (
	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/metrics"
)

// What a replay needs beside what a stream does: the same records, in other topics or none, with a mark.

// Elsewhere has the events that belong to no table go to the topics of another prefix than the stream's. Resolve says so of
// the others. To be called before the first event.
func (a *Assembler) Elsewhere(topics envelope.Topics) {
	a.truncates = route{target: a.target(topics.Truncate(), 1)}
}

// Mark adds a header to every record of events, behind their own. To be called before Write.
func (w *Writer) Mark(name string, value []byte) {
	w.mark = &sarama.RecordHeader{Key: []byte(name), Value: value}
}

// Seq returns the seq of the last event assembled, and Index its index in its transaction, events counted that an earlier
// session delivered. They belong to the stream's goroutine.
func (w *Writer) Seq() uint64 { return w.assembler.done.Seq }

// Index: see Seq.
func (w *Writer) Index() uint64 { return w.assembler.index }

// NewSinkWriter returns a Writer whose batches go to a function instead of Kafka; it is called by one goroutine, in order,
// and the batch is good until it returns.
func NewSinkWriter(a *Assembler, write func(*Batch) error, limits Limits, m *metrics.CDC, progress *Progress) *Writer {
	w := NewWriter(a, nil, "", Topology{}, limits, m, progress)
	w.write = write
	return w
}

// Record is a record of a batch, as it would stand on Kafka; a tombstone's Value is nil.
type Record struct {
	Topic         string
	Partition     int32
	Key, Value    []byte
	Seq, Position []byte // as text
	OtherKey      []byte // of a key change: the new row's on its delete, the old one's on its insert
	OtherIsNew    bool
	Op            cdc.Op
}

// Each calls a function for every record, in the order of their seqs.
func (b *Batch) Each(do func(*Record) error) error {
	var out Record
	for i := range b.records {
		r := &b.records[i]
		p := &b.places[r.place]
		out = Record{Topic: p.topic, Partition: p.partition, Key: b.bytes(r.key), Value: b.bytes(r.value), Seq: b.bytes(r.seq), Position: b.bytes(r.position),
			OtherKey: b.bytes(r.other), OtherIsNew: r.otherIsNew, Op: r.op}
		if err := do(&out); err != nil {
			return err
		}
	}
	return nil
}
