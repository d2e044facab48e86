package kafka_test

import (
	"testing"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/internal/kafka"
)

// A topic that was deleted and made anew has the same name and another id.
func TestLookTellsATopicMadeAnew(t *testing.T) {
	client, _ := connect(t)
	topic := topicOf(t, client)
	before, err := kafka.Look(t.Context(), client, topic, topic+"-not")
	if err != nil || len(before) != 1 || before[topic].ID == "" || before[topic].Partitions != 1 {
		t.Fatalf("found %v, %v", before, err)
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
	for after := before; len(after) > 0; { // brokers learn of it one by one
		if after, err = kafka.Look(t.Context(), client, topic); err != nil {
			t.Fatal(err)
		}
	}
	if err := kafka.EnsureTopics(t.Context(), client, kafka.Topic{Name: topic, Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	after, err := kafka.LookAgain(t.Context(), client, topic)
	if err != nil || after[topic].ID == before[topic].ID || after[topic].Partitions != 2 {
		t.Errorf("it was %v and is %v, %v", before[topic], after[topic], err)
	}
}
