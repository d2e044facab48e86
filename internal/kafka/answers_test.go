package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
)

// scripted is a Kafka of the test's own, whose answers it can choose.
func scripted(t *testing.T, c kafka.Config) (*devstack.Kafka, sarama.Client, kafka.Config) {
	t.Helper()
	k, err := devstack.StartKafka(devstack.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	c.Brokers = k.Brokers()
	client, err := kafka.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return k, client, c
}

// What a broker answers for good ends the producer, whichever request it is to: Begin refuses from then on, nothing of the
// transaction is committed, and a new producer of the id goes on. Only after EndTxn is the outcome in doubt.
func TestAFinalAnswerEndsTheProducer(t *testing.T) {
	t.Parallel()
	k, client, c := scripted(t, kafka.Config{})
	for key, codes := range map[kmsg.Key][]*kerr.Error{
		kmsg.AddPartitionsToTxn: {kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidTxnState, kerr.InvalidProducerIDMapping},
		kmsg.Produce:            {kerr.InvalidProducerEpoch, kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.InvalidTxnState, kerr.InvalidRecord},
		kmsg.EndTxn:             {kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidTxnState, kerr.InvalidProducerIDMapping},
	} {
		for _, code := range codes {
			name := key.Name() + code.Message
			topic := fmt.Sprintf("t-%d-%d", key, code.Code)
			if err := kafka.EnsureTopics(t.Context(), client, kafka.Topic{Name: topic, Partitions: 1}); err != nil {
				t.Fatal(err)
			}
			first := open(t, c, topic)
			if err := send(t, first, topic, "a", "1"); err != nil {
				t.Fatal(name, err)
			}
			k.Cluster().ControlKey(key.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) { return devstack.Failing(r, code.Code), nil, true })
			err := send(t, first, topic, "b", "2")
			if !errors.Is(err, sarama.KError(code.Code)) {
				t.Fatalf("%s: it ended with %v", name, err)
			}
			if strings.Contains(err.Error(), "Unknown error") {
				t.Errorf("%s: it says %v", name, err)
			}
			if errors.Is(err, kafka.ErrOutcomeUnknown) != (key == kmsg.EndTxn) {
				t.Errorf("%s: the outcome is unknown, or not: %v", name, err)
			}
			if kafka.Fenced(err) != (code == kerr.ProducerFenced || code == kerr.InvalidProducerEpoch) {
				t.Errorf("%s: it is fenced, or not: %v", name, err)
			}
			if again := first.Begin(); again == nil || again.Error() != err.Error() {
				t.Errorf("%s: and then begins with %v", name, again)
			}
			if err := send(t, open(t, c, topic), topic, "c", "3"); err != nil {
				t.Fatal(name, err)
			}
			if diff := cmp.Diff([]string{"a=1", "c=3"}, scan(t, client, topic, sarama.OffsetOldest)); diff != "" {
				t.Errorf("%s:\n%s", name, diff)
			}
		}
	}
}

// A coordinator that still ends the older transaction of the id, loads, or has moved, is asked again until it is ready.
func TestOpeningAProducerOutlivesWhatPasses(t *testing.T) {
	t.Parallel()
	k, client, c := scripted(t, kafka.Config{})
	topic := topicOf(t, client)
	for _, code := range []*kerr.Error{kerr.ConcurrentTransactions, kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator} {
		k.Cluster().ControlKey(int16(kmsg.InitProducerID), func(r kmsg.Request) (kmsg.Response, error, bool) { return devstack.Failing(r, code.Code), nil, true })
	}
	if err := send(t, open(t, c, topic), topic, "a", "1"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a=1"}, scan(t, client, topic, sarama.OffsetOldest)); diff != "" {
		t.Error(diff)
	}

	k.Cluster().ControlKey(int16(kmsg.InitProducerID), func(r kmsg.Request) (kmsg.Response, error, bool) {
		return devstack.Failing(r, kerr.InvalidProducerEpoch.Code), nil, true
	})
	if _, err := kafka.OpenProducer(t.Context(), c, topic); !kafka.Fenced(err) {
		t.Errorf("fenced while it opens, it says %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := 0
	k.Cluster().ControlKey(int16(kmsg.InitProducerID), func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.Cluster().KeepControl()
		if asked++; asked == 3 {
			cancel()
		}
		return devstack.Failing(r, kerr.ConcurrentTransactions.Code), nil, true
	})
	began := time.Now()
	if _, err := kafka.OpenProducer(ctx, c, topic); err == nil {
		t.Error("it is open")
	}
	if took := time.Since(began); took > 30*time.Second { // its own limit is 60 s
		t.Errorf("it ended %s after it was asked to", took)
	}
}

// The requests are those that kafka's first transaction protocol has, of a producer that wants all replicas to have a
// record, and that never goes on in an epoch of before.
func TestTheRequestsOfATransaction(t *testing.T) {
	t.Parallel()
	k, client, c := scripted(t, kafka.Config{TransactionTimeout: 7 * time.Second})
	topic := topicOf(t, client)
	var mu sync.Mutex
	met := map[string]int{}
	for _, key := range []kmsg.Key{kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.Produce, kmsg.EndTxn} {
		k.Cluster().ControlKey(key.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
			k.Cluster().KeepControl()
			mu.Lock()
			defer mu.Unlock()
			met[requested(r)]++
			return nil, nil, false
		})
	}
	for range 2 {
		p := open(t, c, topic)
		for range 2 {
			if err := send(t, p, topic, "a", "1"); err != nil {
				t.Fatal(err)
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff(map[string]int{
		"InitProducerID v4 of " + topic + ": producer -1 in epoch -1, 7000 ms":          2,
		"AddPartitionsToTxn v3 of " + topic:                                             4,
		"Produce v10 of " + topic + ": acks -1, transactional true, of a producer true": 4,
		"EndTxn v3 of " + topic + ": commit true":                                       4,
	}, met); diff != "" {
		t.Error(diff)
	}
}

// requested tells a request of a transaction.
func requested(r kmsg.Request) string {
	words := fmt.Sprintf("%s v%d of ", kmsg.NameForKey(r.Key()), r.GetVersion())
	switch r := r.(type) {
	case *kmsg.InitProducerIDRequest:
		return words + fmt.Sprintf("%s: producer %d in epoch %d, %d ms", *r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.TransactionTimeoutMillis)
	case *kmsg.AddPartitionsToTxnRequest:
		return words + r.TransactionalID
	case *kmsg.ProduceRequest:
		var b kmsg.RecordBatch
		if err := b.ReadFrom(r.Topics[0].Partitions[0].Records); err != nil {
			return err.Error()
		}
		return words + fmt.Sprintf("%s: acks %d, transactional %t, of a producer %t", *r.TransactionID, r.Acks, b.Attributes&0x10 != 0, b.ProducerID >= 0 && b.ProducerEpoch >= 0 && b.FirstSequence >= 0)
	case *kmsg.EndTxnRequest:
		return words + fmt.Sprintf("%s: commit %t", r.TransactionalID, r.Commit)
	}
	return words
}
