package kafka_test

import (
	"testing"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"

	"github.com/livedb/livedb/internal/kafka"
)

// A producer abandoned between two records dropped the second and committed the first: a view's results stood there
// without the place they are true for.
func TestAnAbandonedProducerCommitsNoPart(t *testing.T) {
	client, c := connect(t)
	topic := topicOf(t, client)
	first, err := kafka.OpenProducer(t.Context(), c, topic)
	if err != nil {
		t.Fatal(err)
	}
	if err := send(t, first, topic, "a", "1"); err != nil {
		t.Fatal(err)
	}
	if err := first.Begin(); err != nil {
		t.Fatal(err)
	}
	first.Send(&sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder("a"), Value: sarama.StringEncoder("2")})
	if err := first.Flush(); err != nil {
		t.Fatal(err)
	}
	first.Abandon()
	first.Send(&sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder("b"), Value: sarama.StringEncoder("2")})
	if err := first.Commit(); err == nil {
		t.Fatal("it says that it committed")
	}
	first.Close() // waits for whatever it is still doing

	got, err := kafka.ReadCompacted(t.Context(), client, open(t, c, topic), topic)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]byte{"a": []byte("1")}, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}
