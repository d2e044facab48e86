package kafka

import (
	"math"
	"time"

	"github.com/IBM/sarama"
)

// Queue is a partition's share of the open transaction.
type Queue struct {
	partition
	producer *Producer
	round    uint64 // of the producer, when it was last used

	records  []*sarama.Record
	sent     int   // records that the broker has
	sequence int32 // of the first one that it has not
}

// Limits of a batch of records, before compression. Its size is also what a reader must fetch and hold at least.
const (
	batchBytes     = 1 << 20 // exceeded by at most one record
	recordOverhead = 32      // lengths, offset and time
)

// Add adds a record to the open transaction. Key and value are nil where there is none, and are not copied: they must stay
// as they are until Commit.
func (q *Queue) Add(key, value []byte, headers ...sarama.RecordHeader) {
	r := q.producer.memory.record(headers)
	r.Key, r.Value = key, value
	q.records = append(q.records, r)
}

// begin empties the queue for a new transaction. What a busy moment needed is not kept for ever: there may be many queues.
func (q *Queue) begin(round uint64) {
	q.round, q.sent = round, 0
	if cap(q.records) > slabBlock {
		q.records = nil
	}
	q.records = q.records[:0]
}

// batch is what one request holds of a partition.
type batch struct {
	*Queue
	count   int
	records sarama.RecordBatch // with its bytes, once encoded: a second try sends the same
}

// next fills b with what comes next, if anything does.
func (q *Queue) next(b *batch, codec sarama.CompressionCodec, level int) bool {
	count, size := 0, 0
	for _, r := range q.records[q.sent:] {
		size += sizeOf(r)
		if count > 0 && size > batchBytes {
			break
		}
		r.OffsetDelta = int64(count)
		count++
	}
	if count == 0 {
		return false
	}
	now := time.Now()
	records := q.records[q.sent : q.sent+count]
	*b = batch{Queue: q, count: count, records: sarama.RecordBatch{
		PartitionLeaderEpoch: -1, Version: 2, Codec: codec, CompressionLevel: level, IsTransactional: true,
		LastOffsetDelta: int32(count - 1), FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: q.producer.producerID, ProducerEpoch: q.producer.epoch, FirstSequence: q.sequence, Records: records}}
	return true
}

// sizeOf is about what a record takes in a batch.
func sizeOf(r *sarama.Record) int {
	size := recordOverhead + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value)
	}
	return size
}

// acknowledged leaves a batch behind. Sequences wrap as Kafka's do (DefaultRecordBatch.incrementSequence).
func (b *batch) acknowledged() {
	b.sent += b.count
	b.sequence = int32((int64(b.sequence) + int64(b.count)) & math.MaxInt32)
}

// memory lends records and headers that stay where they are until it is reset.
type memory struct {
	records  slab[sarama.Record]
	headers  slab[sarama.RecordHeader]
	pointers slab[*sarama.RecordHeader]
}

// record returns a record with the headers.
func (m *memory) record(headers []sarama.RecordHeader) *sarama.Record {
	r := &m.records.take(1)[0]
	*r = sarama.Record{}
	if len(headers) > 0 {
		r.Headers = m.pointers.take(len(headers))
		kept := m.headers.take(len(headers))
		for i := range headers {
			kept[i] = headers[i]
			r.Headers[i] = &kept[i]
		}
	}
	return r
}

func (m *memory) reset() {
	m.records.reset()
	m.headers.reset()
	m.pointers.reset()
}

// slab lends pieces of blocks that never move.
type slab[T any] struct {
	blocks [][]T
	block  int // the one in use
	used   int // of it
}

const slabBlock = 1024

// take returns n values, at most slabBlock of them, as they were left.
func (s *slab[T]) take(n int) []T {
	if len(s.blocks) > 0 && s.used+n > slabBlock {
		s.block, s.used = s.block+1, 0
	}
	if s.block == len(s.blocks) {
		s.blocks = append(s.blocks, make([]T, slabBlock))
	}
	taken := s.blocks[s.block][s.used : s.used+n : s.used+n]
	s.used += n
	return taken
}

func (s *slab[T]) reset() { s.block, s.used = 0, 0 }
