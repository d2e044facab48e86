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
	opened := make(chan *Reader)
	go func() { opened <- s.open(Now()) }()
	time.Sleep(100 * time.Millisecond) // let it look once; either order is right
	s.create(1, "public.orders")
	s.write(part{events: []written{{topic: "public.orders"}}})
	s.write(part{events: []written{{topic: "public.orders"}}})
	r := <-opened
	if _, err := s.read(r, 3); err != nil {
		t.Fatal(err)
	}
}

func TestReaderStopsAtDamage(t *testing.T) {
	t.Parallel()
	orders := func(events ...written) part {
		for i := range events {
			events[i].topic = "public.orders"
		}
		return part{events: events}
	}
	for _, test := range []struct {
		name   string
		damage func(*stream)
		want   error
		text   string
	}{
		{"gap", func(s *stream) { s.write(orders(written{}, written{lose: true}, written{}, written{partition: 1})) },
			ErrGap, "gap in topic p.public.orders, partition 0, offset 5: seq 4 was due and seq 5 is there"},
		{"gap in the transaction records", func(s *stream) { s.seq++; s.write(orders(written{})) },
			ErrGap, "gap in topic p.transaction, partition 0, offset 4: seq 3 was due and seq 4 is there"},
		{"repeat", func(s *stream) { s.write(orders(written{}, written{double: true})) },
			ErrRepeat, "repeat in topic p.public.orders, partition 0, offset 6: a seq above 4 was due and seq 4 is there"},
		{"repeated Kafka transaction", func(s *stream) { s.seq--; s.commit -= 100; s.write(orders(written{})) },
			ErrRepeat, "repeat in topic p.transaction, partition 0, offset 4: seq 3 was due and seq 2 is there"},
		{"foreign record", func(s *stream) {
			s.producer.Begin()
			s.producer.Send(&sarama.ProducerMessage{Topic: "p.public.orders", Value: sarama.StringEncoder("?")})
			s.producer.Commit()
			s.write(orders(written{}))
		}, ErrRecord, "foreign record in topic p.public.orders, partition 0, offset 4: an event of LiveDB was due and another record"},
		{"foreign transaction record", func(s *stream) {
			s.producer.Begin()
			s.producer.Send(&sarama.ProducerMessage{Topic: "p.transaction", Value: sarama.StringEncoder("?")})
			s.producer.Commit()
		}, ErrRecord, "foreign record in topic p.transaction, partition 0, offset 4"},
		{"nothing comes", func(s *stream) { s.write(orders(written{lose: true})) },
			ErrStall, "stall in topic p.public.orders, partition 0, offset 3: seq 3 was due and nothing is there"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newStream(t)
			s.create(2, "public.orders")
			s.write(orders(written{}))
			s.write(orders(written{}))
			r := s.open(FromBeginning(), func(c *ReaderConfig) { c.StallTimeout = 500 * time.Millisecond })
			test.damage(s)
			got, err := s.read(r, 1000)
			if !errors.Is(err, test.want) || !strings.HasPrefix(err.Error(), test.text) || !Broken(err) {
				t.Fatalf("after %q: %v", got, err)
			}
			if len(got) > len(s.log) || !slices.Equal(got, s.log[:len(got)]) {
				t.Fatalf("delivered %q of %q", got, s.log)
			}
			if _, again := r.Next(t.Context()); !errors.Is(again, test.want) {
				t.Fatalf("then %v", again)
			}
		})
	}
}

func TestReaderNamesRetention(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		remove func(*stream, Saved) Start
		want   error
	}{
		{"of the saved place", func(s *stream, saved Saved) Start {
			s.remove("p.transaction", 8)
			s.remove("p.public.orders", 8)
			return From(saved)
		}, ErrRetention},
		{"of events after the saved place", func(s *stream, saved Saved) Start {
			s.remove("p.public.orders", 8)
			return From(saved)
		}, ErrRetention},
		{"of the beginning", func(s *stream, saved Saved) Start {
			s.remove("p.transaction", 8)
			return FromBeginning()
		}, ErrBeginningGone},
		{"of the first events", func(s *stream, saved Saved) Start {
			s.remove("p.public.orders", 8)
			return FromBeginning()
		}, ErrRetention},
		{"of all events", func(s *stream, saved Saved) Start {
			s.remove("p.public.orders", -1)
			return From(saved)
		}, ErrRetention},
		{"and of a topic made anew", func(s *stream, saved Saved) Start {
			saved.Transaction = 1000
			return From(saved)
		}, ErrReset},
		{"and of an event topic made anew", func(s *stream, saved Saved) Start {
			saved.Offsets["p.public.orders"][0] = 1000
			return From(saved)
		}, ErrReset},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newStream(t)
			s.create(1, "public.orders")
			write := func() { s.write(part{events: []written{{topic: "public.orders"}}}) }
			write()
			r := s.open(FromBeginning())
			if _, err := s.read(r, 3); err != nil {
				t.Fatal(err)
			}
			for range 6 {
				write() // two offsets each, with the commit marker
			}
			start := test.remove(s, r.Saved())
			r.Close()
			r, err := OpenReader(t.Context(), ReaderConfig{Client: s.client, Prefix: "p", Start: start, StallTimeout: 500 * time.Millisecond})
			if err == nil {
				defer r.Close()
				_, err = s.read(r, 1000)
			}
			if !errors.Is(err, test.want) || !Broken(err) {
				t.Fatal(err)
			}
			t.Log(err)
		})
	}
}

// Retention that removed nothing but commit markers is no loss, though it moved the log past the place saved.
func TestReaderOutlivesRetentionOfAQuietStream(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	s.create(2, "public.orders")
	s.write(part{events: []written{{topic: "public.orders", tombstone: true}}})
	r := s.open(FromBeginning())
	if _, err := s.read(r, 3); err != nil {
		t.Fatal(err)
	}
	r.Close()
	s.remove("p.transaction", -1)
	s.remove("p.public.orders", -1)
	s.write(part{events: []written{{topic: "public.orders"}, {topic: "public.orders", partition: 1}}})
	got, err := s.read(s.open(From(r.Saved())), 4)
	if err != nil || !slices.Equal(got, s.log[3:]) {
		t.Fatalf("%q, %v", got, err)
	}
}

func (s *stream) remove(topic string, upTo int64) {
	s.t.Helper()
	if err := s.cluster.DeleteRecords(topic, 0, upTo); err != nil {
		s.t.Fatal(err)
	}
}

// A transaction that is larger than the queues, in partitions that run ahead of each other, goes through them.
func TestReaderIsBounded(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	s.create(3, "public.orders", "public.items")
	value := strings.Repeat("x", 2000)
	var events []written
	for i := range 4000 {
		w := written{topic: "public.orders", partition: int32(i / 1000 % 3), value: value}
		if i%10 == 0 {
			w.topic = "public.items"
		}
		events = append(events, w)
	}
	s.write(part{events: events})
	const bound = 64 << 10
	r := s.open(FromBeginning(), func(c *ReaderConfig) { c.QueueBytes = bound })
	var got []string
	for range len(s.log) {
		item, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, itemText(item))
		r.mu.Lock()
		held := 0
		for _, p := range r.order.partitions {
			held += p.bytes
		}
		r.mu.Unlock()
		if held > bound+6*2*burstBytes {
			t.Fatalf("%d bytes are held", held)
		}
	}
	if !slices.Equal(got, s.log) {
		t.Fatal("another order")
	}
}

func TestReaderTellsOfAnOutageAndGoesOn(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	s.create(1, "public.orders")
	s.write(part{events: []written{{topic: "public.orders"}}})
	r := s.open(FromBeginning())
	if _, err := s.read(r, 3); err != nil {
		t.Fatal(err)
	}
	cut := make(chan bool)
	s.cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		close(cut)
		return nil, errors.New("cut"), true
	})
	<-cut
	if _, err := r.Next(t.Context()); !errors.Is(err, ErrUnavailable) || Broken(err) {
		t.Fatal(err)
	}
	s.write(part{events: []written{{topic: "public.orders"}}})
	for got := 0; got < 3; {
		_, err := r.Next(t.Context())
		switch {
		case err == nil:
			got++
		case !errors.Is(err, ErrUnavailable):
			t.Fatal(err)
		}
	}
}

func TestReaderRefusesUnsafeSettings(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	for name, spoil := range map[string]func(*sarama.Config){
		"ReadCommitted": func(c *sarama.Config) { c.Consumer.IsolationLevel = sarama.ReadUncommitted },
		"Fetch.Max":     func(c *sarama.Config) { c.Consumer.Fetch.Max = 1 << 20 },
		"AutoTopic":     func(c *sarama.Config) { c.Metadata.AllowAutoTopicCreation = true },
		"Return.Errors": func(c *sarama.Config) { c.Consumer.Return.Errors = false },
	} {
		c := s.config.Sarama()
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
