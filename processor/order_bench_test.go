package processor

import (
	"crypto/rand"
	"testing"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// BenchmarkOrder is the cost of one event in the sequencer: in and out, transactions of 96 events over 8 partitions of
// two topics.
func BenchmarkOrder(b *testing.B) {
	const size, partitions = 96, 8
	s := newSequencer("p", nil, FromBeginning(), nil)
	a, c := s.add("orders", make([]begin, partitions/2)), s.add("items", make([]begin, partitions/2))
	to := append(a.partitions, c.partitions...)
	key, value := []byte(`{"id":1}`), make([]byte, 400)
	record := &envelope.TransactionRecord{Version: 1, Epoch: 1, Topics: []string{"orders", "items"},
		Entries: []envelope.TransactionEntry{{Starts: true, Ends: true, Counts: []envelope.TopicCount{{Topic: 0, Events: size / 2}, {Topic: 1, Events: size / 2}}}}}
	entries := make([]envelope.TransactionEntry, 1)

	b.ReportAllocs()
	seq, popped := uint64(0), 0
	for b.Loop() {
		if popped%size == 0 {
			entry := &record.Entries[0]
			entry.First, entry.Last, entry.Commit = seq+1, seq+size, cdc.CommitLSN(seq+1)
			entries[0] = *entry
			r := *record
			r.Entries = entries
			if _, err := s.announce(&r, int64(seq), 200); err != nil {
				b.Fatal(err)
			}
			for range size {
				seq++
				p := to[(seq*5)%partitions]
				if err := s.push(p, recordOf(seq, entry.Commit, key, value)); err != nil {
					b.Fatal(err)
				}
			}
		}
		var item Item
		for item.Kind != Event {
			if found, err := s.pop(&item); err != nil || !found {
				b.Fatal(found, err)
			}
		}
		popped++
		if popped%size == 0 {
			s.pop(&item) // End
		}
	}
}

func recordOf(seq uint64, commit cdc.CommitLSN, key, value []byte) record {
	return record{epoch: 1, seq: seq, position: cdc.Position{Commit: commit, Index: seq}, offset: int64(seq), key: key, value: value}
}

// BenchmarkReader is the cost of one event from an in-process Kafka through sarama to Next, from the first event on, in
// Kafka transactions of 1,000 rows like the demo's over 4 partitions. Its figures hold the broker and sarama as well.
func BenchmarkReader(b *testing.B) {
	s := newStream(b)
	s.create(4, "public.orders")
	for range 200 {
		var events []written
		for i := range 1000 {
			value := change("c", nil, &order{rand.Text(), "10:00:00.123456", "1234.56"})
			events = append(events, written{topic: "public.orders", partition: int32(i % 4), key: `{"id":1}`, value: string(value)})
		}
		s.write(part{events: events})
	}
	b.ReportAllocs()
	read := 0
	for b.Loop() {
		b.StopTimer()
		r := s.open(FromBeginning())
		for events := 0; events < int(s.seq); {
			item, err := r.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if item.Kind == Event {
				events++
				read++
			}
			if events == 1 {
				b.StartTimer()
			}
		}
		b.StopTimer()
		r.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(read), "ns/event")
}
