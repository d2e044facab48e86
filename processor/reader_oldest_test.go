package processor

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// removeOf removes the records of a partition before an offset; -1 means all.
func (s *stream) removeOf(topic string, partition int32, upTo int64) {
	s.t.Helper()
	if err := s.cluster.DeleteRecords(topic, partition, upTo); err != nil {
		s.t.Fatal(err)
	}
}

func TestOldestBeginsAtTheOldestWholeTransaction(t *testing.T) {
	t.Parallel()
	// Transaction 1 has seq 1 and 2, transaction 2 seq 3 and 4, and so on, one event in each partition: seq 1, 3, 5, 7 in
	// partition 0 and 2, 4, 6, 8 in partition 1. Each Kafka transaction takes two offsets, one of them for its marker.
	for _, test := range []struct {
		name   string
		remove func(*stream)
		tables []string
		begin  string
	}{
		{"nothing was removed", func(s *stream) {}, nil, "begin 1"},
		{"the order begins later", func(s *stream) { s.removeOf("p.transaction", 0, 3) }, nil, "begin 3"},
		{"a partition begins with a transaction", func(s *stream) { s.removeOf("p.public.orders", 0, 2) }, nil, "begin 2"},
		{"a partition begins inside a transaction", func(s *stream) { s.removeOf("p.public.orders", 1, 2) }, nil, "begin 3"},
		{"the latest beginning counts", func(s *stream) {
			s.removeOf("p.transaction", 0, 2)
			s.removeOf("p.public.orders", 0, 6)
			s.removeOf("p.public.orders", 1, 4)
		}, nil, "begin 4"},
		{"a partition lost all", func(s *stream) { s.removeOf("p.public.orders", 1, -1) }, nil, "begin 5"},
		{"a topic that is not read lost all", func(s *stream) { s.removeOf("p.public.orders", 1, -1) }, []string{"public.items"}, "begin 5"},
		{"a tombstone without its delete", func(s *stream) { s.removeOf("p.public.items", 0, 1) }, nil, "begin 6"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newStream(t)
			s.create(2, "public.orders", "public.items")
			for range 4 {
				s.write(part{events: []written{{topic: "public.orders"}, {topic: "public.orders", partition: 1}}})
			}
			s.write(part{events: []written{{topic: "public.items", tombstone: true}}})
			test.remove(s)
			r := s.open(Oldest(), some(test.tables...))
			s.write(part{events: []written{{topic: "public.items", partition: 1}}})
			want := s.log[slices.Index(s.log, test.begin):]
			got, err := s.read(r, len(want))
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Fatalf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// Whatever retention removed, what is read from the oldest on is the whole end of the stream.
func TestOldestIsWholeUnderLoad(t *testing.T) {
	t.Parallel()
	s, rng := newStream(t), newRand(t)
	s.create(3, "public.orders", "public.items")
	s.mix(rng, 60, 3, "public.orders", "public.items")
	for range 5 {
		for _, topic := range []string{"p.public.orders", "p.public.items", "p.transaction"} {
			for p := range int32(3) {
				if topic == "p.transaction" && p > 0 || rng.IntN(3) == 0 {
					continue
				}
				oldest, newest := s.bounds(topic, p)
				s.removeOf(topic, p, oldest+rng.Int64N(max(1, (newest-oldest)/3)))
			}
		}
		written := make(chan bool)
		go func() {
			defer close(written)
			s.mix(rng, 20, 3, "public.orders", "public.items")
		}()
		r := s.open(Oldest())
		<-written
		last := s.log[len(s.log)-1]
		var got []string
		for len(got) == 0 || got[len(got)-1] != last {
			more, err := s.read(r, 1)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, more...)
		}
		if !strings.HasPrefix(got[0], "begin") || !slices.Equal(got, s.log[len(s.log)-len(got):]) {
			t.Fatalf("%q is not the end of %q", got, s.log)
		}
		r.Close()
	}
}

func (s *stream) bounds(topic string, partition int32) (oldest, newest int64) {
	s.t.Helper()
	oldest, err := s.client.GetOffset(topic, partition, -2)
	if err == nil {
		newest, err = s.client.GetOffset(topic, partition, -1)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return oldest, newest
}
