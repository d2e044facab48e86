package processor

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// wide writes one Postgres transaction, as cdc splits it: in Kafka transactions of 10,000 events, each event in the
// partition that at names. It returns the number of events.
func (s *stream) wide(events int, value func(i int) string, at func(i int) (topic string, partition int32)) {
	const size = 10_000
	for from := 0; from < events; from += size {
		p := part{rest: from > 0, split: from+size < events}
		for i := from; i < min(from+size, events); i++ {
			topic, partition := at(i)
			p.events = append(p.events, written{topic: topic, partition: partition, key: fmt.Sprint(i), value: value(i)})
		}
		s.write(p)
	}
}

// held is what the reader's queues hold, in bytes of its own accounting.
func (r *Reader) held() (bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.order.partitions {
		bytes += p.bytes
	}
	return bytes
}

// heap is what is reachable. It contains what the embedded Kafka keeps.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// A transaction of 200,000 events goes through queues of 1 MiB, though its partitions come one after the other: while the
// first is due, the others could run ahead by all they hold. A reader of one table out of two holds one Kafka transaction
// more. Beside the queues there is what sarama holds.
func TestReaderIsBoundedUnderSkew(t *testing.T) {
	const events, partitions, queue = 200_000, 8, 1 << 20
	value := strings.Repeat("x", 200)
	for _, test := range []struct {
		name   string
		tables []string
		heap   int // above what Kafka keeps
	}{
		{"all tables", nil, 48 << 20},
		{"one table", []string{"public.orders"}, 48 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStream(t)
			s.create(partitions, "public.orders", "public.notes")
			s.wide(events, func(int) string { return value }, func(i int) (string, int32) {
				if i%10 == 0 {
					return "public.notes", int32(i % partitions)
				}
				return "public.orders", int32(i * partitions / events)
			})
			want := s.logged()
			if test.tables != nil {
				want = s.loggedOf("public.orders")
			}
			before := heap()
			r := s.open(FromBeginning(), some(test.tables...), func(c *ReaderConfig) { c.QueueBytes = queue })
			most, top := 0, 0
			for i := range want {
				item, err := r.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if got := itemText(item); got != want[i] {
					t.Fatalf("%q comes, and %q was written", got, want[i])
				}
				most = max(most, r.held())
				if i%40_000 == 1000 {
					top = max(top, heap()-before)
				}
			}
			size := len(value) + 6 + recordOverhead
			bound := queue + 2*partitions*size // each partition may hold one record
			if test.tables != nil {
				bound += 10_000 * size // a Kafka transaction
			}
			t.Logf("at most %d KiB waited, and %d KiB of heap were taken", most>>10, top>>10)
			if most > bound || top > test.heap {
				t.Errorf("%d bytes waited, with a bound of %d, and %d bytes of heap were taken, with a bound of %d", most, bound, top, test.heap)
			}
		})
	}
}

// Many partitions that all run ahead: beside the queues there is no more than what a fetch brings of each, here a batch of
// 1,000 events.
func TestReaderIsBoundedWithManyPartitions(t *testing.T) {
	const partitions, batch, queue, size = 64, 1000, 16 << 20, 1100
	s := newStream(t)
	s.create(partitions, "public.orders")
	rng := newRand(t)
	s.wide(partitions*batch, func(int) string {
		var text strings.Builder
		for text.Len() < size-100 {
			fmt.Fprintf(&text, `"column_%d":"%d",`, rng.IntN(20), rng.IntN(1000))
		}
		return text.String()
	}, func(i int) (string, int32) { return "public.orders", int32(i / batch) })
	before := heap()
	r := s.open(FromBeginning(), func(c *ReaderConfig) { c.QueueBytes = queue })
	most, top := 0, 0
	for i := range s.log {
		if _, err := r.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		most = max(most, r.held())
		if i%8000 == 500 {
			top = max(top, heap()-before)
		}
	}
	t.Logf("at most %d KiB waited, and %d KiB of heap were taken", most>>10, top>>10)
	// A batch of each partition, twice for those of the fetch that is on its way.
	if bound := queue + partitions*batch*size + partitions*batch*size/4; most > queue || top > bound {
		t.Errorf("%d bytes waited, with a bound of %d, and %d bytes of heap were taken, with a bound of %d", most, queue, top, bound)
	}
}
