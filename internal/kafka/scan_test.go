package kafka_test

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"

	"github.com/livedb/livedb/internal/kafka"
)

// scan reads all that is committed, as key=value.
func scan(t *testing.T, client sarama.Client, topic string, from int64) []string {
	t.Helper()
	s, err := kafka.OpenScan(client, topic, 0, from)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for {
		r, more, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return all
		}
		all = append(all, fmt.Sprintf("%s=%s", r.Key, r.Value))
	}
}

// leaveOpen begins a transaction and never ends it: its records are in the log, and nobody may see them.
func leaveOpen(t *testing.T, c kafka.Config, id, topic string, pairs ...string) {
	t.Helper()
	s := c.Sarama()
	s.Producer.Idempotent = true
	s.Net.MaxOpenRequests = 1
	s.Producer.Transaction.ID = id
	p, err := sarama.NewAsyncProducer(c.Brokers, s)
	if err != nil {
		t.Fatal(err)
	}
	defer p.AsyncClose()
	if err := p.BeginTxn(); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		p.Input() <- &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(pairs[i]), Value: sarama.StringEncoder(pairs[i+1])}
		select {
		case <-p.Successes():
		case err := <-p.Errors():
			t.Fatal(err)
		}
	}
}

// A scan sees what is committed and ends there: not at an open transaction, whose records nobody may see yet, and without
// waiting for the control records behind the last one.
func TestScanEndsWhereTheCommittedRecordsEnd(t *testing.T) {
	client, c := connect(t)
	topic := topicOf(t, client)
	if got := scan(t, client, topic, sarama.OffsetOldest); got != nil {
		t.Errorf("an empty topic holds %q", got)
	}
	if _, found, err := kafka.Tail(t.Context(), client, topic, 0); err != nil || found {
		t.Errorf("the tail of an empty topic: %v, %v", found, err)
	}

	id := topic + ".writer"
	if err := send(t, open(t, c, id), topic, "a", "1", "b", "2"); err != nil {
		t.Fatal(err)
	}
	leaveOpen(t, c, id, topic, "c", "never", "d", "never")
	want := []string{"a=1", "b=2"}
	if got := scan(t, client, topic, sarama.OffsetOldest); !cmp.Equal(got, want) {
		t.Errorf("before the open transaction: %q", got)
	}
	if r, found, err := kafka.Tail(t.Context(), client, topic, 0); err != nil || !found || string(r.Value) != "2" {
		t.Errorf("the tail is %q, %v, %v", r.Value, found, err)
	}

	// The next producer of the id ends it, aborted; the tail lies before the aborted records and two markers.
	p := open(t, c, id)
	if r, found, err := kafka.Tail(t.Context(), client, topic, 0); err != nil || !found || string(r.Value) != "2" {
		t.Errorf("the tail behind an aborted transaction is %q, %v, %v", r.Value, found, err)
	}
	if err := send(t, p, topic, "e", "3"); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, client, topic)
	want = append(want, "e=3")
	if got := scan(t, client, topic, sarama.OffsetOldest); !cmp.Equal(got, want) {
		t.Errorf("after it: %q", got)
	}
	if got := scan(t, client, topic, 1); !cmp.Equal(got, want[1:]) {
		t.Errorf("from the second record on: %q", got)
	}
}

// An aborted transaction larger than one fetch stays hidden, wherever a fetch begins or ends inside it.
func TestScanHidesAnAbortedTransactionOfManyFetches(t *testing.T) {
	client, c := connect(t)
	topic := topicOf(t, client)
	id := topic + ".writer"
	if err := send(t, open(t, c, id), topic, "a", "1"); err != nil {
		t.Fatal(err)
	}
	var aborted []string
	for range 40 {
		value := make([]byte, 50<<10)
		rand.Read(value) // so that compression leaves its size
		aborted = append(aborted, "b", string(value))
	}
	leaveOpen(t, c, id, topic, aborted...)
	if err := send(t, open(t, c, id), topic, "c", "2"); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, client, topic)
	want := []string{"a=1", "c=2"}
	for from := range int64(len(aborted) / 2) {
		if got := scan(t, client, topic, from); !cmp.Equal(got, want[min(from, 1):]) {
			t.Fatalf("from offset %d: %d records, the last one %.20q", from, len(got), got[len(got)-1])
		}
	}
}

// awaitEnd waits until no transaction holds the topic up: Kafka writes the markers after it has answered.
func awaitEnd(t *testing.T, client sarama.Client, topic string) {
	t.Helper()
	for {
		s, err := kafka.OpenScan(client, topic, 0, sarama.OffsetOldest)
		if err != nil {
			t.Fatal(err)
		}
		if s.End() == s.HighWater() {
			return
		}
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
}
