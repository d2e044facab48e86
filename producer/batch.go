package producer

import (
	"encoding/json"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/failpoint"
)

// Batch is what one Kafka transaction will hold. It is filled by the Assembler, written by the Writer and used again.
type Batch struct {
	arena   []byte   // keys, values and headers, one after the other
	records []record // in the order of their seqs
	places  []place  // the partitions touched; records name them by index

	entries []envelope.TransactionEntry
	topics  []string // named by index in the entries' counts
	counts  []uint64 // of the open entry, by topic

	checkpoint Checkpoint
	topology   *Topology // to be written, in a Kafka transaction of its own, before this batch
	first      time.Time // when its first event came
	lastCommit time.Time // commit time of its last whole transaction
	whole      uint64    // transactions that end in it

	messages []sarama.ProducerMessage // what records become, kept for the next round
	spans    []span
	round    uint64 // grows with each use, so that what was noted for an earlier one is void
	headers  []sarama.RecordHeader
}

// record is one Kafka record, as places in the arena.
type record struct {
	place      int32
	op         cdc.Op
	key        extent // none: no key
	value      extent // none: a tombstone
	seq        extent // text of the header
	position   extent
	other      extent // the other key of a key change
	otherIsNew bool
	table      *cdc.Table
}

// size is how many bytes of the arena the record takes.
func (r *record) size() int {
	size := 0
	for _, e := range [...]extent{r.key, r.value, r.seq, r.position, r.other} {
		size += e.to - e.from
	}
	return size
}

// extent is a piece of the arena. The zero extent is none.
type extent struct{ from, to int }

func (e extent) none() bool { return e.to == 0 }

// place is a partition of a topic, with the last seq that a batch wrote to it.
type place struct {
	topic     string
	partition int32
	last      uint64
}

// span lends a piece of the arena to sarama without a copy. Its pointer, not its value, goes into the interface: that
// costs no allocation.
type span []byte

// Encode returns the bytes themselves.
func (s *span) Encode() ([]byte, error) { return *s, nil }

// Length returns their number.
func (s *span) Length() int { return len(*s) }

func (b *Batch) reset() {
	b.arena, b.records, b.places = b.arena[:0], b.records[:0], b.places[:0]
	b.entries, b.topics, b.counts = b.entries[:0], b.topics[:0], b.counts[:0]
	b.checkpoint, b.topology, b.first, b.lastCommit, b.whole = Checkpoint{}, nil, time.Time{}, time.Time{}, 0
}

// committed is the point that is passed when the batch has been committed.
func (b *Batch) committed() failpoint.Point {
	switch {
	case b.checkpoint.Partial != nil:
		return failpoint.PartCommitted
	case len(b.records) == 0:
		return failpoint.Heartbeat
	}
	return failpoint.Committed
}

func (b *Batch) empty() bool { return len(b.records) == 0 && b.topology == nil }

// add appends to the arena and returns where.
func (b *Batch) add(from int) extent { return extent{from, len(b.arena)} }

// closeEntry writes the counts of the last entry.
func (b *Batch) closeEntry() {
	e := &b.entries[len(b.entries)-1]
	for topic, n := range b.counts {
		if n > 0 {
			e.Counts = append(e.Counts, envelope.TopicCount{Topic: topic, Events: n})
		}
	}
	b.counts = b.counts[:0]
}

var (
	headerSeq      = []byte(envelope.HeaderSeq)
	headerPosition = []byte(envelope.HeaderPosition)
	headerNewKey   = []byte(envelope.HeaderNewKey)
	headerOldKey   = []byte(envelope.HeaderOldKey)
)

// render makes the records into sarama's messages, in slabs that are used again. The arena no longer moves.
func (b *Batch) render() []sarama.ProducerMessage {
	n := len(b.records)
	b.messages = grow(b.messages, n)
	b.spans = grow(b.spans, 2*n)
	b.headers = grow(b.headers, 3*n)
	for i := range b.records {
		r, p := &b.records[i], &b.places[b.records[i].place]
		headers := append(b.headers[3*i:3*i:3*i+3],
			sarama.RecordHeader{Key: headerSeq, Value: b.arena[r.seq.from:r.seq.to]},
			sarama.RecordHeader{Key: headerPosition, Value: b.arena[r.position.from:r.position.to]})
		if !r.other.none() {
			name := headerOldKey
			if r.otherIsNew {
				name = headerNewKey
			}
			headers = append(headers, sarama.RecordHeader{Key: name, Value: b.arena[r.other.from:r.other.to]})
		}
		m := &b.messages[i]
		*m = sarama.ProducerMessage{Topic: p.topic, Partition: p.partition, Headers: headers}
		if !r.key.none() {
			b.spans[2*i] = b.arena[r.key.from:r.key.to]
			m.Key = &b.spans[2*i]
		}
		if !r.value.none() {
			b.spans[2*i+1] = b.arena[r.value.from:r.value.to]
			m.Value = &b.spans[2*i+1]
		}
	}
	return b.messages
}

// order returns the value of the batch's record in <prefix>.transaction.
func (b *Batch) order() ([]byte, error) {
	return json.Marshal(envelope.TransactionRecord{Version: 1, Epoch: b.checkpoint.Epoch, Topics: b.topics, Entries: b.entries})
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}
