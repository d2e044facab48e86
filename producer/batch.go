package producer

import (
	"strconv"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/failpoint"
	"github.com/livedb/livedb/internal/kafka"
)

// Batch is what one Kafka transaction will hold. It is filled by the Assembler, written by the Writer and used again.
type Batch struct {
	arena   []byte   // keys, values and headers, one after the other
	records []record // in the order of their seqs
	places  []place  // the partitions touched; records name them by index

	entries []envelope.TransactionEntry
	topics  []string // named by index in the entries' counts
	counts  []uint64 // of the open entry, by topic
	ordered int      // bytes that the entries, the closed ones' counts and the topics may take as text

	transaction []byte // the entries, as they are written

	checkpoint Checkpoint
	topology   *Topology // to be written, in a Kafka transaction of its own, before this batch
	first      time.Time // when its first event came
	lastCommit time.Time // commit time of its last whole transaction
	whole      uint64    // transactions that end in it

	queues []*kafka.Queue // by place, while it is written
	round  uint64         // grows with each use, so that what was noted for an earlier one is void
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
	records   int // with tombstones
}

func (b *Batch) reset() {
	b.arena, b.records, b.places = b.arena[:0], b.records[:0], b.places[:0]
	b.entries, b.topics, b.counts = b.entries[:0], b.topics[:0], b.counts[:0]
	b.ordered = 0
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

// addEntry opens an entry. It keeps the room that an earlier use of the batch made for its counts.
func (b *Batch) addEntry(e envelope.TransactionEntry) {
	if n := len(b.entries); n < cap(b.entries) {
		e.Counts = b.entries[:n+1][n].Counts[:0]
	}
	b.entries = append(b.entries, e)
	b.ordered += entryText
}

// addTopic names another topic.
func (b *Batch) addTopic(topic string) {
	b.topics = append(b.topics, topic)
	b.ordered += len(topic) + 3
}

// closeEntry writes the counts of the last entry.
func (b *Batch) closeEntry() {
	e := &b.entries[len(b.entries)-1]
	for topic, n := range b.counts {
		if n > 0 {
			e.Counts = append(e.Counts, envelope.TopicCount{Topic: topic, Events: n})
		}
	}
	b.counts = b.counts[:0]
	b.ordered += len(e.Counts) * countText
}

// The most that parts of a batch's order take as text; a test writes the longest.
const (
	recordText = 128
	entryText  = 240
	countText  = 36
)

// orderBytes is at least as many as order returns.
func (b *Batch) orderBytes() int { return recordText + b.ordered + len(b.counts)*countText }

var (
	headerSeq      = []byte(envelope.HeaderSeq)
	headerPosition = []byte(envelope.HeaderPosition)
	headerEpoch    = []byte(envelope.HeaderEpoch)
	headerNewKey   = []byte(envelope.HeaderNewKey)
	headerOldKey   = []byte(envelope.HeaderOldKey)
)

// queue hands the records to the queues of a Kafka transaction, each with the mark, if there is one, as its last header. The
// arena no longer moves.
func (b *Batch) queue(p *kafka.Producer, mark *sarama.RecordHeader) {
	b.queues = b.queues[:0]
	for i := range b.places {
		b.queues = append(b.queues, p.To(b.places[i].topic, b.places[i].partition))
	}
	epoch := b.epoch()
	var headers [5]sarama.RecordHeader
	for i := range b.records {
		r := &b.records[i]
		told := b.headers(r, epoch, headers[:0])
		if mark != nil {
			told = append(told, *mark)
		}
		b.queues[r.place].Add(b.bytes(r.key), b.bytes(r.value), told...)
	}
}

// epoch is the value of the header of that name, nil in the first epoch.
func (b *Batch) epoch() []byte {
	if b.checkpoint.Epoch <= 1 {
		return nil
	}
	return strconv.AppendUint(nil, uint64(b.checkpoint.Epoch), 10)
}

// headers appends a record's headers.
func (b *Batch) headers(r *record, epoch []byte, to []sarama.RecordHeader) []sarama.RecordHeader {
	to = append(to, sarama.RecordHeader{Key: headerSeq, Value: b.bytes(r.seq)}, sarama.RecordHeader{Key: headerPosition, Value: b.bytes(r.position)})
	if epoch != nil {
		to = append(to, sarama.RecordHeader{Key: headerEpoch, Value: epoch})
	}
	switch {
	case r.other.none():
	case r.otherIsNew:
		to = append(to, sarama.RecordHeader{Key: headerNewKey, Value: b.bytes(r.other)})
	default:
		to = append(to, sarama.RecordHeader{Key: headerOldKey, Value: b.bytes(r.other)})
	}
	return to
}

// bytes returns a piece of the arena, nil for none.
func (b *Batch) bytes(e extent) []byte {
	if e.none() {
		return nil
	}
	return b.arena[e.from:e.to]
}

// order returns the value of the batch's record in <prefix>.transaction.
func (b *Batch) order() []byte {
	r := envelope.TransactionRecord{Version: 1, Epoch: b.checkpoint.Epoch, Topics: b.topics, Entries: b.entries}
	b.transaction = r.Append(b.transaction[:0])
	return b.transaction
}
