package processor

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

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
