package kafka_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

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

// A broker that makes a topic for whoever asks for one makes none for us: a reader with a wrong name, or after a deletion,
// would make an empty one with settings that are not ours.
func TestNothingOfOursMakesATopicByAsking(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	c := kafka.Config{Brokers: cluster.ListenAddrs()}
	client, err := kafka.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for name, ask := range map[string]func(topic string) error{
		"Look": func(topic string) error {
			found, err := kafka.Look(t.Context(), client, topic)
			if len(found) > 0 {
				t.Errorf("it found %v", found)
			}
			if err == nil {
				err = sarama.ErrUnknownTopicOrPartition
			}
			return err
		},
		"CheckTopics": func(topic string) error {
			missing, err := kafka.CheckTopics(t.Context(), client, kafka.Topic{Name: topic, Partitions: 1})
			if err == nil && len(missing) == 1 {
				err = sarama.ErrUnknownTopicOrPartition
			}
			return err
		},
		"OpenScan": func(topic string) error {
			_, err := kafka.OpenScan(client, topic, 0, sarama.OffsetOldest)
			return err
		},
		"Consumer": func(topic string) error {
			consumer, err := sarama.NewConsumerFromClient(client)
			if err != nil {
				return err
			}
			_, err = consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
			return err
		},
	} {
		topic := strings.ReplaceAll(name, " ", "-")
		if err := ask(topic); !errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
			t.Errorf("%s of a topic that is not there: %v", name, err)
		}
		if info := cluster.TopicInfo(topic); info != nil {
			t.Errorf("%s made the topic: %+v", name, info)
		}
	}
}
