package processor

import (
	"strconv"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// burstRig is the part of a Reader between sarama and Next: one topic of some partitions, without a Kafka.
type burstRig struct {
	t      testing.TB
	reader *Reader
	seq    uint64
	value  []byte
	bursts [][]*sarama.ConsumerMessage // by partition
}

func newBurstRig(t testing.TB, partitions, valueBytes int) *burstRig {
	g := &burstRig{t: t, value: make([]byte, valueBytes), bursts: make([][]*sarama.ConsumerMessage, partitions),
		reader: &Reader{config: ReaderConfig{QueueBytes: defaultQueueBytes, StallTimeout: time.Minute}, transactions: &source{},
			order: newSequencer("p", nil, FromBeginning(), nil)}}
	for range g.reader.order.add("p.orders", make([]begin, partitions)).partitions {
		g.reader.sources = append(g.reader.sources, &source{})
	}
	return g
}

// prepare makes the messages and the record of some transactions of one Kafka transaction, each of some events.
func (g *burstRig) prepare(transactions, events int) *envelope.TransactionRecord {
	for i := range g.bursts {
		g.bursts[i] = nil
	}
	r := &envelope.TransactionRecord{Version: 1, Epoch: 1, Topics: []string{"p.orders"}}
	for range transactions {
		commit := cdc.CommitLSN(100 * (g.seq + 1))
		r.Entries = append(r.Entries, envelope.TransactionEntry{Commit: commit, First: g.seq + 1, Last: g.seq + uint64(events), Starts: true, Ends: true,
			Counts: []envelope.TopicCount{{Topic: 0, Events: uint64(events)}}})
		for i := range events {
			g.seq++
			p := int(g.seq) % len(g.bursts)
			position := cdc.Position{Commit: commit, Index: uint64(i + 1)}.String()
			g.bursts[p] = append(g.bursts[p], &sarama.ConsumerMessage{Topic: "p.orders", Partition: int32(p), Offset: int64(g.seq), Key: []byte(`{"id":1}`), Value: g.value,
				Headers: []*sarama.RecordHeader{{Key: []byte(envelope.HeaderSeq), Value: strconv.AppendUint(nil, g.seq, 10)}, {Key: []byte(envelope.HeaderPosition), Value: []byte(position)}}})
		}
	}
	return r
}

// pass puts the messages in and takes the items out.
func (g *burstRig) pass(r *envelope.TransactionRecord, items int) {
	if _, err := g.reader.order.announce(r, int64(g.seq), 100); err != nil {
		g.t.Fatal(err)
	}
	for i, burst := range g.bursts {
		if _, err := g.reader.push(g.reader.sources[i], g.reader.order.partitions[i], burst); err != nil {
			g.t.Fatal(err)
		}
	}
	for range items {
		item, err := g.reader.Next(g.t.Context())
		if err != nil || item.Kind == 0 {
			g.t.Fatal(item, err)
		}
	}
}

// Behind sarama an event costs no allocation but the blocks that hold its bytes; a Kafka transaction costs one.
func TestReaderAllocatesBlocksOnly(t *testing.T) {
	const transactions, events, partitions = 50, 4, 4
	for _, valueBytes := range []int{0, 700} {
		g := newBurstRig(t, partitions, valueBytes)
		const rounds = 40
		var records []*envelope.TransactionRecord
		var bursts [][][]*sarama.ConsumerMessage
		for range rounds {
			records = append(records, g.prepare(transactions, events))
			bursts = append(bursts, append([][]*sarama.ConsumerMessage(nil), g.bursts...))
		}
		round := 0
		pass := func() {
			copy(g.bursts, bursts[round])
			g.pass(records[round], transactions*(events+2))
			round++
		}
		for range rounds / 2 {
			pass()
		}
		blocks := transactions*events*(valueBytes+8)/(arenaBlock-valueBytes-8) + partitions
		if n := testing.AllocsPerRun(rounds/2-1, pass); n > float64(blocks+1) {
			t.Errorf("%d events of %d bytes: %v allocations, want at most %d blocks and 1", transactions*events, valueBytes, n, blocks)
		}
	}
}

// BenchmarkBurst is the cost of one event from sarama's messages to Next, in transactions of one event and of 100.
func BenchmarkBurst(b *testing.B) {
	for _, events := range []int{1, 100} {
		b.Run(strconv.Itoa(events)+" a transaction", func(b *testing.B) {
			const round = 1000
			g := newBurstRig(b, 4, 700)
			b.ReportAllocs()
			passed := 0
			for b.Loop() {
				b.StopTimer()
				r := g.prepare(round/events, events)
				b.StartTimer()
				g.pass(r, round/events*(events+2))
				passed += round
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(passed), "ns/event")
		})
	}
}
