package kafka_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
)

// A transaction larger than a batch arrives whole and in order, whatever it is: several batches of a partition, records
// without key or value, one record of several batches' size.
func TestALargeTransactionArrivesInOrder(t *testing.T) {
	client, c := connect(t)
	topic := topicOf(t, client) + "-whole" // not compacted while it is read: its keys come twice
	if err := kafka.EnsureTopics(t.Context(), client, kafka.Topic{Name: topic, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	p := open(t, c, topic)
	large := make([]byte, 50<<10)
	rand.Read(large) // so that compression leaves its size
	var want []string
	for range 2 {
		if err := p.Begin(); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			key, value := fmt.Appendf(nil, "%d", i), large
			switch i {
			case 10:
				value = nil
			case 20:
				value = make([]byte, 3<<20)
			}
			p.To(topic, 0).Add(key, value)
			want = append(want, fmt.Sprintf("%s=%d", key, len(value)))
		}
		if err := p.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	awaitEnd(t, client, topic)
	s, err := kafka.OpenScan(client, topic, 0, sarama.OffsetOldest)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		r, more, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			break
		}
		got = append(got, fmt.Sprintf("%s=%d", r.Key, len(r.Value)))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A partition that has no leader for longer than a transaction may last is the reason that is given, as soon as it lasts no more.
func TestAProducerTriesNoLongerThanItsTransactionLasts(t *testing.T) {
	t.Parallel()
	k, err := devstack.StartKafka(devstack.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	c := kafka.Config{Brokers: k.Brokers(), TransactionTimeout: time.Second}
	client, err := kafka.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	topic := topicOf(t, client)
	k.Cluster().ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.Cluster().KeepControl()
		return notLeader(r), nil, true
	})
	began := time.Now()
	err = send(t, open(t, c, topic), topic, "a", "1")
	if took := time.Since(began); !errors.Is(err, sarama.ErrNotLeaderForPartition) || took < c.TransactionTimeout || took > 30*time.Second {
		t.Errorf("after %s: %v", took, err)
	}
}

// notLeader answers a Produce of one partition.
func notLeader(r kmsg.Request) kmsg.Response {
	request := r.(*kmsg.ProduceRequest)
	response := request.ResponseKind().(*kmsg.ProduceResponse)
	answer := kmsg.NewProduceResponseTopicPartition()
	answer.ErrorCode = kerr.NotLeaderForPartition.Code
	response.Topics = []kmsg.ProduceResponseTopic{{Topic: request.Topics[0].Topic, Partitions: []kmsg.ProduceResponseTopicPartition{answer}}}
	return response
}

// While a partition has no leader its batch is sent again, and while the coordinator is busy with the last transaction's end
// the next one waits; neither ends the producer, and nothing comes twice.
func TestATransactionOutlivesWhatPasses(t *testing.T) {
	k, err := devstack.StartKafka(devstack.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	c := kafka.Config{Brokers: k.Brokers()}
	client, err := kafka.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	topic := topicOf(t, client)
	p := open(t, c, topic)

	moved, busy, unready := 0, 0, 0
	k.Cluster().ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.Cluster().KeepControl()
		if moved++; moved > 2 {
			return nil, nil, false
		}
		return notLeader(r), nil, true
	})
	k.Cluster().ControlKey(int16(kmsg.AddPartitionsToTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.Cluster().KeepControl()
		if busy++; busy > 2 {
			return nil, nil, false
		}
		response := r.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
		response.Topics = []kmsg.AddPartitionsToTxnResponseTopic{{Topic: topic,
			Partitions: []kmsg.AddPartitionsToTxnResponseTopicPartition{{ErrorCode: kerr.ConcurrentTransactions.Code}}}}
		return response, nil, true
	})
	k.Cluster().ControlKey(int16(kmsg.EndTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.Cluster().KeepControl()
		if unready++; unready > 2 {
			return nil, nil, false
		}
		response := r.ResponseKind().(*kmsg.EndTxnResponse)
		response.ErrorCode = kerr.CoordinatorLoadInProgress.Code
		return response, nil, true
	})
	if err := send(t, p, topic, "a", "1", "b", "2"); err != nil {
		t.Fatal(err)
	}
	if err := send(t, p, topic, "c", "3"); err != nil {
		t.Fatal(err)
	}
	if moved < 3 || busy < 3 || unready < 3 {
		t.Errorf("asked %d, %d and %d times", moved, busy, unready)
	}
	if diff := cmp.Diff([]string{"a=1", "b=2", "c=3"}, scan(t, client, topic, sarama.OffsetOldest)); diff != "" {
		t.Error(diff)
	}
}
