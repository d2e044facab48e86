package processor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/livedb/livedb/internal/kafka"
)

// shop is a table of orders whose history is written to a stream.
type shop struct {
	*stream
	rng    *rand.Rand
	orders map[int]order
	next   int
	second int
}

func newShop(t *testing.T, options ...kfake.Opt) *shop {
	s := newStream(t, options...)
	s.create(4, "public.orders", "public.items")
	s.create(1, "truncate")
	return &shop{stream: s, rng: newRand(t), orders: map[int]order{}}
}

// trade writes n Kafka transactions of one to four Postgres transactions each.
func (s *shop) trade(n int) {
	for range n {
		var parts []part
		for range 1 + s.rng.IntN(4) {
			var events []written
			for range 1 + s.rng.IntN(6) {
				events = append(events, s.event())
			}
			parts = append(parts, part{events: events, time: time.Now()})
		}
		s.write(parts...)
	}
}

// lose has the stream lose changes: all that the table held is not known any more.
func (s *shop) lose() {
	clear(s.orders)
	s.stream.lose(false)
}

// event changes a random order. The event time goes on slowly, so that retention drops groups.
func (s *shop) event() written {
	if s.rng.IntN(8) == 0 {
		s.second++
	}
	next := order{[]string{"open", "paid", "sent"}[s.rng.IntN(3)],
		fmt.Sprintf("%02d:%02d:%02d.%d", 10+s.second/3600, s.second/60%60, s.second%60, s.rng.IntN(10)), fmt.Sprintf("%d.%02d", s.rng.IntN(100), s.rng.IntN(100))}
	ids := slices.Sorted(maps.Keys(s.orders))
	kind := s.rng.IntN(100)
	switch {
	case kind == 99 && s.rng.IntN(4) == 0:
		clear(s.orders)
		return written{topic: "truncate", value: string(change("t", nil, nil))}
	case kind > 90:
		return written{topic: "public.items", partition: s.rng.Int32N(4)}
	case len(ids) < 5 || kind < 50:
		s.next++
		s.orders[s.next] = next
		return orderEvent(s.next, "c", nil, &next)
	}
	id := ids[len(ids)-1-s.rng.IntN(min(20, len(ids)))]
	old := s.orders[id]
	if kind < 65 {
		delete(s.orders, id)
		return orderEvent(id, "d", &old, nil)
	}
	s.orders[id] = next
	return orderEvent(id, "u", &old, &next)
}

func orderEvent(id int, op string, before, after *order) written {
	return written{topic: "public.orders", partition: int32(id % 4), key: fmt.Sprintf(`{"id":%d}`, id), value: string(change(op, before, after)), tombstone: op == "d"}
}

func (s *shop) processor() Config {
	view := Orders("public")
	view.Retention = 20 * time.Second
	return Config{Kafka: s.config, Prefix: "p", View: view, Interval: time.Millisecond}
}

// want is what the view must be in the end, by one fold in one go.
func (s *shop) want() (results map[string]string, f *fold) {
	s.t.Helper()
	f, results = newFold(s.processor().View), map[string]string{}
	r := s.open(FromBeginning())
	for item := (Item{}); item.Tx.Epoch < s.epoch || item.Seq < s.seq || item.Kind != End && (item.Kind != Epoch || s.seq > 0); {
		var err error
		item, err = r.Next(s.t.Context())
		switch {
		case err != nil:
		case item.Kind == Epoch:
			f.forget(item.Tx.Epoch)
		case item.Topic == "p.public.orders":
			err = f.apply(&item)
		case item.Topic == "p.truncate":
			err = f.truncate(&item)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	store(f, results)
	return results, f
}

// await waits until the state topic holds a seq.
func (s *shop) await(seq uint64) (st state) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	client := s.connect()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := awaitTopic(ctx, client, "p.state-orders"); err != nil {
		s.t.Fatal(err)
	}
	for {
		partition, err := consumer.ConsumePartition("p.state-orders", 0, sarama.OffsetOldest)
		if err != nil {
			s.t.Fatal(err)
		}
		go func() {
			for range partition.Errors() { // a cut connection: sarama goes on; or trimmed while it was read
			}
		}()
		stop := context.AfterFunc(ctx, partition.AsyncClose)
		for m := range partition.Messages() {
			if string(m.Key) != stateKey {
				continue
			}
			if err := json.Unmarshal(m.Value, &st); err != nil {
				s.t.Fatal(err)
			}
			if st.Seq == seq && (st.Epoch == s.epoch || s.epoch == 1) {
				partition.AsyncClose()
				return st
			}
		}
		stop()
		if ctx.Err() != nil {
			s.t.Fatalf("the state stays at seq %d, before %d", st.Seq, seq)
		}
	}
}

// verify compares the view's topic with the truth.
func (s *shop) verify() {
	s.t.Helper()
	st := s.await(s.seq)
	p, err := kafka.OpenProducer(s.t.Context(), s.config, "verify")
	if err != nil {
		s.t.Fatal(err)
	}
	defer p.Close()
	read, err := kafka.ReadCompacted(s.t.Context(), s.client, p, "p.view-orders")
	for errors.Is(err, sarama.ErrOffsetOutOfRange) { // trimmed while it was read
		read, err = kafka.ReadCompacted(s.t.Context(), s.client, p, "p.view-orders")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	got := map[string]string{}
	for key, value := range read {
		got[key] = string(value)
	}
	want, f := s.want()
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Fatalf("results (-want +got):\n%s", diff)
	}
	if st.Groups != f.live || st.Late != f.late || st.Dropped != f.dropped || st.EventTime != nil && *st.EventTime != f.newest {
		s.t.Fatalf("state %+v; want %d groups, %d late, %d dropped", st, f.live, f.late, f.dropped)
	}
	if diff := cmp.Diff(selectOrders(s.orders, f), tellAll(s.t, want)); diff != "" {
		s.t.Fatalf("(-select +view):\n%s", diff)
	}
}

// process starts the role.
func (s *shop) process(c Config) (stop func() error, ended <-chan error) {
	ctx, cancel := context.WithCancel(s.t.Context())
	end := make(chan error, 1)
	go func() { end <- Run(ctx, c) }()
	return func() error {
		cancel()
		return <-end
	}, end
}

func (s *shop) insert(status string) written {
	s.next++
	s.orders[s.next] = order{status, "10:00:00", "1"}
	o := s.orders[s.next]
	return orderEvent(s.next, "c", nil, &o)
}

func (s *shop) drop(topic string) {
	if err := s.cluster.DeleteTopic(topic); err != nil {
		s.t.Fatal(err)
	}
}
