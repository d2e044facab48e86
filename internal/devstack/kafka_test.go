package devstack

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
)

func startKafka(t *testing.T, cfg KafkaConfig) *Kafka {
	t.Helper()
	k, err := StartKafka(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func saramaConfig() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V3_6_0_0
	config.Metadata.AllowAutoTopicCreation = false
	return config
}

// transactional gives a producer with its successes and errors drained: an error fails the test.
func transactional(t *testing.T, k *Kafka, id string) sarama.AsyncProducer {
	t.Helper()
	config := saramaConfig()
	config.Net.MaxOpenRequests = 1
	config.Producer.Idempotent = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Transaction.ID = id
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Return.Errors = true
	producer, err := sarama.NewAsyncProducer(k.Brokers(), config)
	if err != nil {
		t.Fatal(err)
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for err := range producer.Errors() {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		producer.AsyncClose()
		<-drained
	})
	return producer
}

func createTopic(t *testing.T, k *Kafka, topic string, partitions int32, configs map[string]string) {
	t.Helper()
	admin, err := sarama.NewClusterAdmin(k.Brokers(), saramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	entries := map[string]*string{}
	for name, value := range configs {
		entries[name] = &value
	}
	detail := &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: entries}
	if err := admin.CreateTopic(topic, detail, false); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what no signal tells.
func eventually(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what the first one found dead in pools
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// The demo is left alone for hours: what a partition holds beyond its retention must really be given back.
func TestKafkaMemoryStaysBounded(t *testing.T) {
	const (
		partitions = 4
		retention  = 2 << 20
		records    = 200_000
		valueBytes = 1000 // 200 MB in all
		perTx      = 5_000
	)
	k := startKafka(t, KafkaConfig{RetentionBytes: retention})
	createTopic(t, k, "events", partitions, nil)
	before := liveHeap()

	producer := transactional(t, k, "bounded")
	for i := range records {
		if i%perTx == 0 {
			must(t, producer.BeginTxn())
		}
		producer.Input() <- &sarama.ProducerMessage{
			Topic:     "events",
			Partition: int32(i % partitions),
			Key:       sarama.StringEncoder(strconv.Itoa(i)),
			Value:     sarama.ByteEncoder(make([]byte, valueBytes)),
		}
		if i%perTx == perTx-1 {
			must(t, producer.CommitTxn())
		}
	}

	eventually(t, time.Minute, "every partition is cut to its retention", func() bool {
		for _, partition := range k.Cluster().PartitionInfos("events") {
			if partition.NumBytes > retention || partition.LogStartOffset == 0 {
				return false
			}
		}
		return true
	})
	// Twice the retention and a segment, and something for the client's own buffers.
	limit := int64(partitions*2*(retention+retention/8) + 8<<20)
	if grown := liveHeap() - before; grown > limit {
		t.Errorf("200 MB went through and %d bytes of heap stayed, want at most %d", grown, limit)
	} else {
		t.Logf("200 MB went through and %.1f MB of heap stayed (limit %.1f)", float64(grown)/1e6, float64(limit)/1e6)
	}
}

// kfake's own compaction lets what an open transaction wrote supersede what is committed: after an abort both were gone.
func TestKafkaCompactionSparesWhatAnOpenTransactionSupersedes(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(brokerConfigs(KafkaConfig{})))
	must(t, err)
	t.Cleanup(cluster.Close)
	k := &Kafka{cluster: cluster, brokers: cluster.ListenAddrs()}
	tidy := newJanitor(cluster, k.brokers[0], orDiscard(nil)) // works when told only

	createTopic(t, k, "state", 1, map[string]string{"cleanup.policy": "compact", "retention.bytes": "-1"})
	producer := transactional(t, k, "state")
	send := func(value string) {
		producer.Input() <- &sarama.ProducerMessage{
			Topic: "state", Key: sarama.StringEncoder("key"), Value: sarama.StringEncoder(value),
		}
	}
	// Enough that compaction is worth its while.
	for _, value := range []string{strings.Repeat("x", minDirtyBytes/2), strings.Repeat("y", minDirtyBytes/2), "committed"} {
		must(t, producer.BeginTxn())
		send(value)
		must(t, producer.CommitTxn())
	}
	// Two batches, for the last one of all is never compacted.
	must(t, producer.BeginTxn())
	for _, value := range []string{"one", "two"} {
		end := func() int64 { return cluster.PartitionInfo("state", 0).HighWatermark }
		before := end()
		send(value)
		eventually(t, time.Minute, "the batch arrived", func() bool { return end() == before+1 })
	}

	if done, err := tidy.compact(); done || err != nil {
		t.Errorf("got %v, %v with a transaction open, want no compaction", done, err)
	}
	must(t, producer.AbortTxn())
	if done, err := tidy.compact(); !done || err != nil {
		t.Errorf("got %v, %v after its end, want a compaction", done, err)
	}
	if got, want := committedValues(t, k, "state"), "[committed]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if done, err := tidy.compact(); done || err != nil {
		t.Errorf("got %v, %v with nothing new, want no compaction", done, err)
	}
}

// committedValues reads partition 0 as a read_committed consumer does.
func committedValues(t *testing.T, k *Kafka, topic string) []string {
	t.Helper()
	marked := transactional(t, k, "end")
	must(t, marked.BeginTxn())
	marked.Input() <- &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("end")}
	must(t, marked.CommitTxn())

	config := saramaConfig()
	config.Consumer.IsolationLevel = sarama.ReadCommitted
	consumer, err := sarama.NewConsumer(k.Brokers(), config)
	must(t, err)
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	must(t, err)
	defer partition.Close()
	var values []string
	for {
		select {
		case message := <-partition.Messages():
			if string(message.Value) == "end" {
				return values
			}
			values = append(values, string(message.Value))
		case <-time.After(time.Minute):
			t.Fatalf("no end, only %d values", len(values))
		}
	}
}

// A limit of kfake that the documentation of Kafka (the type) tells of. When this fails, kfake was mended: tell that.
func TestKafkaCompactionKeepsEveryMarker(t *testing.T) {
	k := startKafka(t, KafkaConfig{})
	createTopic(t, k, "checkpoint", 1, map[string]string{"cleanup.policy": "compact", "retention.bytes": "-1"})
	producer := transactional(t, k, "checkpoint")
	const transactions = 500
	for range transactions {
		must(t, producer.BeginTxn())
		producer.Input() <- &sarama.ProducerMessage{
			Topic: "checkpoint", Key: sarama.StringEncoder("position"), Value: sarama.ByteEncoder(make([]byte, 400)),
		}
		must(t, producer.CommitTxn())
	}
	before := k.Cluster().PartitionInfo("checkpoint", 0).NumBytes
	k.Cluster().Compact()
	after := k.Cluster().PartitionInfo("checkpoint", 0).NumBytes
	const marker = 78
	if after < transactions*marker || after > before/2 {
		t.Errorf("got %d of %d bytes after compaction, want little more than %d markers", after, before, transactions)
	}
}

func TestKafkaDoesNotCreateTopics(t *testing.T) {
	k := startKafka(t, KafkaConfig{})
	config := saramaConfig()
	config.Metadata.AllowAutoTopicCreation = true
	config.Metadata.Retry.Max = 0
	client, err := sarama.NewClient(k.Brokers(), config)
	must(t, err)
	defer client.Close()
	if _, err := client.Partitions("nosuch"); err == nil {
		t.Error("a topic came into being by being asked for")
	}
	if info := k.Cluster().TopicInfo("nosuch"); info != nil {
		t.Errorf("topic exists: %+v", info)
	}
}

func TestKafkaPortInUse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	k, err := StartKafka(KafkaConfig{Port: port})
	if err == nil {
		k.Close()
		t.Fatal("started on a port in use")
	}
	if want := fmt.Sprintf("port %d", port); !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %q, want it to say that %s is in use", err, want)
	}
}

func TestKafkaCloseEndsConnections(t *testing.T) {
	k := startKafka(t, KafkaConfig{})
	var dialer net.Dialer
	conn, err := dialer.DialContext(context.Background(), "tcp", k.Brokers()[0])
	must(t, err)
	defer conn.Close()
	k.Close()
	k.Close()
	must(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	if _, err := conn.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("got %v, want a closed connection", err)
	}
	if len(k.Brokers()) != 1 {
		t.Errorf("got brokers %v after Close", k.Brokers())
	}
}

func TestTestKafka(t *testing.T) {
	t.Setenv("LIVEDB_TEST_KAFKA", "one:9092, two:9092")
	if got, want := fmt.Sprint(TestKafka(t)), "[one:9092 two:9092]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	t.Setenv("LIVEDB_TEST_KAFKA", "")
	if got := TestKafka(t); len(got) != 1 || !strings.HasPrefix(got[0], "127.0.0.1:") {
		t.Errorf("got %v, want an embedded broker", got)
	}
}
