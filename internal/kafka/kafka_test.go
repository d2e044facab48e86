package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
)

func connect(t *testing.T) (sarama.Client, kafka.Config) {
	t.Helper()
	c := kafka.Config{Brokers: devstack.TestKafka(t), ClientID: "livedb/test"}
	client, err := kafka.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, c
}

func open(t *testing.T, c kafka.Config, id string) *kafka.Producer {
	t.Helper()
	p, err := kafka.OpenProducer(t.Context(), c, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func send(t *testing.T, p *kafka.Producer, topic string, pairs ...string) error {
	t.Helper()
	if err := p.Begin(); err != nil {
		return err
	}
	for i := 0; i < len(pairs); i += 2 {
		p.Send(&sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(pairs[i]), Value: sarama.StringEncoder(pairs[i+1])})
	}
	return p.Commit()
}

// topicOf gives a test a topic of its own: a real Kafka is shared by all tests.
func topicOf(t *testing.T, client sarama.Client) string {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())) + time.Now().Format("-150405.000000")
	if err := kafka.EnsureTopics(t.Context(), client, kafka.Topic{Name: name, Partitions: 1, Compacted: true}); err != nil {
		t.Fatal(err)
	}
	return name
}

// What the next producer of the same id reads is what was committed, and nothing that an older one left open.
func TestReadCompactedIsTheTruthAfterTakingOver(t *testing.T) {
	client, c := connect(t)
	topic := topicOf(t, client)
	first := open(t, c, topic)
	if err := send(t, first, topic, "a", "1", "b", "1"); err != nil {
		t.Fatal(err)
	}
	if err := send(t, first, topic, "a", "2"); err != nil {
		t.Fatal(err)
	}
	if err := first.Begin(); err != nil {
		t.Fatal(err)
	}
	first.Send(&sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder("a"), Value: sarama.StringEncoder("never committed")})
	if err := first.Flush(); err != nil {
		t.Fatal(err)
	}

	second := open(t, c, topic)
	got, err := kafka.ReadCompacted(t.Context(), client, second, topic)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]byte{"a": []byte("2"), "b": []byte("1")}, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if err := first.Commit(); err == nil {
		t.Error("the older producer committed after it was fenced")
	}
}

func TestAFencedProducerSaysSo(t *testing.T) {
	client, c := connect(t)
	topic := topicOf(t, client)
	first := open(t, c, topic)
	if err := send(t, first, topic, "a", "1"); err != nil {
		t.Fatal(err)
	}
	open(t, c, topic)
	if err := send(t, first, topic, "a", "2"); !kafka.Fenced(err) {
		t.Errorf("the fenced producer says %v", err)
	}
}

// abandonLimit is less than sarama waits for an answer, which would end the commit too.
const abandonLimit = 20 * time.Second

func TestAbandonEndsACommitThatKafkaDoesNotAnswer(t *testing.T) {
	t.Parallel()
	k, client, c := scripted(t, kafka.Config{})
	topic := topicOf(t, client)
	p := open(t, c, topic)
	if err := send(t, p, topic, "a", "1"); err != nil {
		t.Fatal(err)
	}
	asked, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	k.Cluster().ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		close(asked)
		k.Cluster().SleepControl(func() { <-release })
		return nil, nil, false
	})
	ended := make(chan error, 1)
	go func() { ended <- send(t, p, topic, "a", "2") }()
	<-asked
	p.Abandon()
	select {
	case err := <-ended:
		if !errors.Is(err, kafka.ErrOutcomeUnknown) {
			t.Errorf("the abandoned commit says %v", err)
		}
	case <-time.After(abandonLimit):
		t.Fatal("the abandoned commit goes on")
	}
}

func TestTopicsAreMadeOnceAndCheckedAfter(t *testing.T) {
	client, _ := connect(t)
	name := "made-" + time.Now().Format("150405.000000")
	want := kafka.Topic{Name: name, Partitions: 3}
	missing, err := kafka.CheckTopics(t.Context(), client, want)
	if err != nil || len(missing) != 1 {
		t.Fatalf("missing %v, %v", missing, err)
	}
	for range 2 {
		if err := kafka.EnsureTopics(t.Context(), client, want); err != nil {
			t.Fatal(err)
		}
	}
	want.Partitions = 4
	var misfit *kafka.PartitionsError
	if err := kafka.EnsureTopics(t.Context(), client, want); !errors.As(err, &misfit) || misfit.Have != 3 {
		t.Errorf("got %v", err)
	}
	if err := kafka.DeleteTopics(client, name[:5]); err != nil {
		t.Fatal(err)
	}
}

// A topic is made with what LiveDB relies on: what must stay is not removed by age or size, and what is compacted is compacted soon.
func TestTopicsAreMadeToKeepWhatTheyMust(t *testing.T) {
	client, _ := connect(t)
	inspector, err := kafka.NewInspector(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	limit := fmt.Sprint(kafka.MaxRecordBytes)
	for name, c := range map[string]struct {
		topic kafka.Topic
		want  map[string]string
	}{
		"events": {kafka.Topic{}, map[string]string{"cleanup.policy": "delete", "max.message.bytes": limit}},
		"compacted": {kafka.Topic{Compacted: true}, map[string]string{"cleanup.policy": "compact", "max.message.bytes": limit, "retention.ms": "-1", "retention.bytes": "-1",
			"segment.ms": "600000", "min.cleanable.dirty.ratio": "0.1"}},
		"trimmed": {kafka.Topic{Compacted: true, RetentionBytes: 16 << 20}, map[string]string{"cleanup.policy": "delete", "max.message.bytes": limit,
			"retention.bytes": "16777216", "segment.bytes": "2097152"}},
	} {
		c.topic.Name, c.topic.Partitions = name+time.Now().Format("-150405.000000"), 1
		if err := kafka.EnsureTopics(t.Context(), client, c.topic); err != nil {
			t.Fatal(err)
		}
		settings, err := inspector.TopicSettings(t.Context(), c.topic.Name)
		if err != nil {
			t.Fatal(err)
		}
		have := settings[c.topic.Name]
		maps.DeleteFunc(have, func(setting, _ string) bool { _, wanted := c.want[setting]; return !wanted })
		if diff := cmp.Diff(c.want, have); diff != "" {
			t.Errorf("%s (-want +have):\n%s", name, diff)
		}
	}
}

func TestConnectSaysWhoDoesNotAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	var unreachable *kafka.UnreachableError
	if _, err := kafka.Connect(t.Context(), kafka.Config{Brokers: []string{address}}); !errors.As(err, &unreachable) || !strings.Contains(err.Error(), address) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := kafka.Connect(ctx, kafka.Config{Brokers: []string{address}}); !errors.Is(err, context.Canceled) && !errors.As(err, &unreachable) {
		t.Errorf("got %v", err)
	}
}
