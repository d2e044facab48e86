package processor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// mix writes random Kafka transactions over the given topics: several Postgres transactions in one, deletes, splits,
// and aborted ones in between.
func (s *stream) mix(rng *rand.Rand, n int, partitions int32, topics ...string) {
	draw := func() (events []written) {
		for range 1 + rng.IntN(8) {
			events = append(events, written{topic: topics[rng.IntN(len(topics))], partition: rng.Int32N(partitions),
				key: fmt.Sprint(rng.IntN(100)), tombstone: rng.IntN(6) == 0})
		}
		return events
	}
	for range n {
		switch rng.IntN(12) {
		case 0:
			s.abort(part{events: draw()}, part{events: draw()})
		case 1:
			s.write(part{events: draw()}, part{events: draw(), split: true})
			s.abort(part{events: draw(), rest: true})
			s.write(part{events: draw(), rest: true, split: true})
			s.write(part{events: draw(), rest: true}, part{events: draw()})
		default:
			var parts []part
			for range 1 + rng.IntN(4) {
				parts = append(parts, part{events: draw()})
			}
			s.write(parts...)
		}
	}
}

func newRand(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func TestReaderDeliversInCommitOrder(t *testing.T) {
	t.Parallel()
	s, rng := newStream(t), newRand(t)
	s.create(3, "public.orders", "public.items", "truncate")
	s.mix(rng, 60, 3, "public.orders", "public.items")
	r := s.open(FromBeginning())
	written := make(chan bool)
	go func() { // a topic appears while the reader reads
		defer close(written)
		s.mix(rng, 30, 3, "public.orders", "truncate", "public.items")
		s.create(4, "public.late")
		s.mix(rng, 30, 4, "public.late")
		s.mix(rng, 30, 3, "public.orders", "public.late")
	}()
	early, err := s.read(r, 100)
	if err != nil {
		t.Fatal(err)
	}
	<-written
	late, err := s.read(r, len(s.log)-100)
	if diff := cmp.Diff(s.log, slices.Concat(early, late)); diff != "" || err != nil {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestReaderTellsAllOfAnItem(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	s.create(2, "public.orders")
	at := time.Date(2026, 11, 22, 10, 0, 0, 123000, time.UTC)
	s.write(part{events: []written{{topic: "public.orders", partition: 1, key: `{"id":1}`, value: "{}"}}, time: at})
	r := s.open(FromBeginning())
	var got []Item
	for range 3 {
		item, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, item)
	}
	tx := Transaction{Epoch: 1, XID: 1, Commit: 100, Time: at, First: 1}
	ended := tx
	ended.End = 150
	position := parse(t, "0/64:1")
	want := []Item{
		{Kind: Begin, Tx: tx, Seq: 1},
		{Kind: Event, Tx: tx, Seq: 1, Position: position, Topic: "p.public.orders", Partition: 1, Key: []byte(`{"id":1}`), Value: []byte("{}")},
		{Kind: End, Tx: ended, Seq: 1, Position: position},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	saved := Saved{Epoch: 1, Seq: 1, First: 1, Commit: 100, Transaction: 1, Offsets: map[string]map[int32]int64{"p.public.orders": {0: 0, 1: 1}}}
	if diff := cmp.Diff(saved, r.Saved()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReaderGoesOnAtASavedPlace(t *testing.T) {
	t.Parallel()
	s, rng := newStream(t), newRand(t)
	s.create(3, "public.orders", "public.items", "public.rare")
	s.mix(rng, 50, 3, "public.orders", "public.items")
	s.mix(rng, 3, 3, "public.rare")
	s.mix(rng, 50, 3, "public.orders", "public.items")

	var got []string
	start := FromBeginning()
	for len(got) < len(s.log)/2 {
		r := s.open(start)
		var text []byte
		for range 1 + rng.IntN(30) { // transactions
			for ended := false; !ended; {
				item, err := r.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, itemText(item))
				if ended = item.Kind == End; ended {
					text, _ = json.Marshal(r.Saved())
				}
			}
		}
		r.Close()
		var saved Saved
		if err := json.Unmarshal(text, &saved); err != nil {
			t.Fatal(err)
		}
		start = From(saved)
	}
	rest, err := s.read(s.open(start), len(s.log)-len(got))
	if diff := cmp.Diff(s.log, append(got, rest...)); diff != "" || err != nil {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
}

func TestNowBeginsWholeUnderLoad(t *testing.T) {
	t.Parallel()
	s, rng := newStream(t), newRand(t)
	s.create(3, "public.orders", "public.items")
	s.mix(rng, 10, 3, "public.orders")
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan bool)
	go func() {
		defer close(stopped)
		for ctx.Err() == nil {
			s.mix(rng, 1, 3, "public.orders", "public.items")
		}
	}()
	for range 8 {
		r := s.open(Now())
		got, err := s.read(r, 200)
		if err != nil {
			t.Fatal(err)
		}
		log := s.logged()
		from := slices.Index(log, got[0])
		if !strings.HasPrefix(got[0], "begin") {
			t.Fatalf("begins with %q", got[0])
		}
		if diff := cmp.Diff(log[from:from+200], got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		r.Close()
	}
	stop()
	<-stopped
}

func TestNowDeliversTheFirstTransactionOfAQuietStream(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	s.create(2, "public.orders")
	s.write(part{events: []written{{topic: "public.orders"}}})
	r := s.open(Now())
	s.write(part{events: []written{{topic: "public.orders", partition: 1}}})
	want := []string{"begin 2", `2 {"seq":2}`, "end 2"}
	if got, err := s.read(r, 3); err != nil || !slices.Equal(got, want) {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestReaderWaitsForTheStream(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := OpenReader(ctx, ReaderConfig{Client: s.client, Prefix: "p"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	looked := make(chan bool, 1)
	s.cluster.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		for _, topic := range r.(*kmsg.MetadataRequest).Topics {
			if topic.Topic != nil && *topic.Topic == "p.transaction" {
				select {
				case looked <- true:
				default:
				}
			}
		}
		return nil, nil, false
	})
	opened := make(chan *Reader)
	go func() { opened <- s.open(Now()) }()
	<-looked
	s.create(1, "public.orders")
	s.write(part{events: []written{{topic: "public.orders"}}})
	s.write(part{events: []written{{topic: "public.orders"}}})
	r := <-opened
	if _, err := s.read(r, 3); err != nil {
		t.Fatal(err)
	}
}

func TestReaderRefusesUnsafeSettings(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	for name, spoil := range map[string]func(*sarama.Config){
		"ReadCommitted": func(c *sarama.Config) { c.Consumer.IsolationLevel = sarama.ReadUncommitted },
		"Fetch.Max":     func(c *sarama.Config) { c.Consumer.Fetch.Max = 1 << 20 },
		"AutoTopic":     func(c *sarama.Config) { c.Metadata.AllowAutoTopicCreation = true },
		"Retry.Max":     func(c *sarama.Config) { c.Consumer.Retry.Max = 3 },
		"Return.Errors": func(c *sarama.Config) { c.Consumer.Return.Errors = false },
	} {
		c := NewConfig("test")
		spoil(c)
		client, err := sarama.NewClient(s.config.Brokers, c)
		if err != nil {
			t.Fatal(err)
		}
		_, err = OpenReader(t.Context(), ReaderConfig{Client: client, Prefix: "p"})
		if !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		client.Close()
	}
}
