package ui_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	"encoding/json"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/status"
)

// change is one row's move, as the simulated stream writes it. Rows are JSON objects, "" for null.
type change struct {
	table         string // schema.table
	op            string
	key           string
	before, after string
}

// stream writes what cdc, the processor and the other roles would write, byte for byte in the wire's contract, through
// the producer that they use.
type stream struct {
	t        testing.TB
	brokers  []string
	topics   envelope.Topics
	producer *kafka.Producer // events
	plain    sarama.SyncProducer
	known    map[string]bool
	client   sarama.Client

	epoch uint32
	seq   uint64
	lsn   uint64
	xid   uint32
}

const simPartitions = 4

func newKafka(t testing.TB) (*kfake.Cluster, []string) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster, cluster.ListenAddrs()
}

// newStream connects; create makes the topics.
func newStream(t testing.TB, brokers []string, prefix string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c := kafka.Config{Brokers: brokers, ClientID: "livedb/test"}
	client, err := kafka.Connect(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := sarama.NewSyncProducerFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	producer, err := kafka.OpenProducer(ctx, c, prefix+".cdc")
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{t: t, brokers: brokers, topics: envelope.Topics(prefix), producer: producer, plain: plain, client: client,
		known: map[string]bool{}, epoch: 1, lsn: 0x16_B374_D848, xid: 4711}
	t.Cleanup(func() {
		producer.Close()
		plain.Close()
		client.Close()
	})
	return s
}

// create makes the stream's own topics, and those of tables.
func (s *stream) create(tables ...string) {
	s.t.Helper()
	topics := []kafka.Topic{{Name: s.topics.Transaction(), Partitions: 1}, {Name: s.topics.Status(), Partitions: 1, Compacted: true},
		{Name: s.topics.View("orders"), Partitions: 1, Compacted: true}}
	for _, table := range tables {
		topics = append(topics, kafka.Topic{Name: string(s.topics) + "." + table, Partitions: simPartitions})
		s.known[table] = true
	}
	if err := kafka.EnsureTopics(context.Background(), s.client, topics...); err != nil {
		s.t.Fatal(err)
	}
}

// commit writes each argument as one Postgres transaction, all in one Kafka transaction. It returns their commit LSNs.
func (s *stream) commit(transactions ...[]change) []cdc.CommitLSN {
	s.t.Helper()
	if err := s.producer.Begin(); err != nil {
		s.t.Fatal(err)
	}
	record := envelope.TransactionRecord{Version: 1, Epoch: s.epoch}
	index := map[string]int{}
	commits := make([]cdc.CommitLSN, 0, len(transactions))
	for _, changes := range transactions {
		s.xid++
		s.lsn += uint64(300 * len(changes))
		tx := envelope.TransactionEntry{XID: s.xid, Commit: cdc.CommitLSN(s.lsn), End: cdc.EndLSN(s.lsn + 48),
			TimeUS: time.Now().UnixMicro(), First: s.seq + 1, Starts: true, Ends: true}
		counts := map[int]uint64{}
		for i, c := range changes {
			s.seq++
			topic := s.send(c, &tx, uint64(i+1))
			if _, known := index[topic]; !known {
				index[topic] = len(record.Topics)
				record.Topics = append(record.Topics, topic)
			}
			counts[index[topic]]++
		}
		for t := range record.Topics {
			if counts[t] > 0 {
				tx.Counts = append(tx.Counts, envelope.TopicCount{Topic: t, Events: counts[t]})
			}
		}
		tx.Last = s.seq
		s.lsn += 48
		record.Entries = append(record.Entries, tx)
		commits = append(commits, tx.Commit)
	}
	value, err := json.Marshal(record)
	if err != nil {
		s.t.Fatal(err)
	}
	s.producer.Send(&sarama.ProducerMessage{Topic: s.topics.Transaction(), Value: sarama.ByteEncoder(value)})
	if err := s.producer.Commit(); err != nil {
		s.t.Fatal(err)
	}
	return commits
}

// send writes one event, and the tombstone after a delete.
func (s *stream) send(c change, tx *envelope.TransactionEntry, index uint64) string {
	if !s.known[c.table] {
		s.create(c.table)
	}
	topic := string(s.topics) + "." + c.table
	position := cdc.Position{Commit: tx.Commit, Index: index}
	headers := []sarama.RecordHeader{
		{Key: []byte(envelope.HeaderSeq), Value: strconv.AppendUint(nil, s.seq, 10)},
		{Key: []byte(envelope.HeaderPosition), Value: []byte(position.String())},
	}
	if s.epoch > 1 {
		headers = append(headers, sarama.RecordHeader{Key: []byte(envelope.HeaderEpoch), Value: strconv.AppendUint(nil, uint64(s.epoch), 10)})
	}
	hash := fnv.New32a()
	hash.Write([]byte(c.key))
	partition := int32(hash.Sum32() % simPartitions)
	m := &sarama.ProducerMessage{Topic: topic, Partition: partition, Headers: headers, Value: sarama.ByteEncoder(s.value(c, tx))}
	if c.key != "" {
		m.Key = sarama.StringEncoder(c.key)
	}
	s.producer.Send(m)
	if c.op == "d" {
		s.producer.Send(&sarama.ProducerMessage{Topic: topic, Partition: partition, Headers: headers, Key: sarama.StringEncoder(c.key)})
	}
	return topic
}

func (s *stream) value(c change, tx *envelope.TransactionEntry) []byte {
	schema, table := c.table, ""
	for i := range c.table {
		if c.table[i] == '.' {
			schema, table = c.table[:i], c.table[i+1:]
		}
	}
	now := time.Now().UnixMicro()
	return fmt.Appendf(nil, `{"before":%s,"after":%s,"source":{"version":"0.0.0","connector":"postgresql","name":%q,"ts_ms":%d,`+
		`"snapshot":"false","db":"shop","sequence":"[null,\"%d\"]","ts_us":%d,"ts_ns":%d000,"schema":%q,"table":%q,"txId":%d,"lsn":%d,`+
		`"xmin":null,"origin":null,"origin_lsn":null,"commit_lsn":%d,"seq":%d,"epoch":%d},"transaction":null,"op":%q,"ts_ms":%d,"ts_us":%d,"ts_ns":%d000}`,
		orNull(c.before), orNull(c.after), string(s.topics), tx.TimeUS/1000, tx.Commit, tx.TimeUS, tx.TimeUS, schema, table, tx.XID,
		uint64(tx.Commit)-100, uint64(tx.Commit), s.seq, s.epoch, c.op, now/1000, now, now)
}

func orNull(object string) string {
	if object == "" {
		return "null"
	}
	return object
}

// report writes a role's status.
func (s *stream) report(r status.Status) {
	s.t.Helper()
	r.Time = time.Now()
	value, err := json.Marshal(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.put(s.topics.Status(), r.Key(), value)
}

// group writes a group of the view orders; orders < 0 removes it.
func (s *stream) group(of string, second time.Time, orders int, revenue string, at cdc.CommitLSN) {
	s.t.Helper()
	key := fmt.Sprintf(`{"status":%q,"second":%q}`, of, second.UTC().Format(time.RFC3339))
	if orders < 0 {
		s.put(s.topics.View("orders"), key, nil)
		return
	}
	s.put(s.topics.View("orders"), key, fmt.Appendf(nil, `{"orders":%d,"revenue":%q,"position":"%s","seq":%d,"epoch":%d}`,
		orders, revenue, cdc.Position{Commit: at, Index: 1}, s.seq, s.epoch))
}

func (s *stream) put(topic, key string, value []byte) {
	s.t.Helper()
	m := &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(key)}
	if value != nil {
		m.Value = sarama.ByteEncoder(value)
	}
	if _, _, err := s.plain.SendMessage(m); err != nil {
		s.t.Fatal(err)
	}
}
