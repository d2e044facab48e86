package processor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"strconv"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// exampleShop runs a Kafka with three transactions of a shop: two orders, a note alone, and a note with an order.
func exampleShop() (brokers []string, stop func()) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		log.Fatal(err)
	}
	ctx, c := context.Background(), kafka.Config{Brokers: cluster.ListenAddrs(), ClientID: "shop"}
	client, err := kafka.Connect(ctx, c)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	const orders, notes = "shop.public.orders", "shop.public.notes"
	err = kafka.EnsureTopics(ctx, client, kafka.Topic{Name: "shop.transaction", Partitions: 1},
		kafka.Topic{Name: orders, Partitions: 2}, kafka.Topic{Name: notes, Partitions: 2})
	if err != nil {
		log.Fatal(err)
	}
	producer, err := kafka.OpenProducer(ctx, c, "shop.cdc")
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close()

	seq := uint64(0)
	transaction := func(xid uint32, commit cdc.CommitLSN, rows ...[2]string) {
		e := envelope.TransactionEntry{XID: xid, Commit: commit, First: seq + 1, Starts: true, Ends: true}
		if err := producer.Begin(); err != nil {
			log.Fatal(err)
		}
		counts := map[string]uint64{}
		for i, row := range rows {
			seq++
			counts[row[0]]++
			producer.Send(&sarama.ProducerMessage{Topic: row[0], Partition: int32(seq % 2),
				Value: sarama.StringEncoder(fmt.Sprintf(`{"before":null,"after":%s,"source":{"seq":%d},"op":"c"}`, row[1], seq)),
				Headers: []sarama.RecordHeader{
					{Key: []byte(envelope.HeaderSeq), Value: strconv.AppendUint(nil, seq, 10)},
					{Key: []byte(envelope.HeaderPosition), Value: []byte(cdc.Position{Commit: commit, Index: uint64(i + 1)}.String())},
				}})
		}
		record := envelope.TransactionRecord{Version: 1, Epoch: 1}
		for topic, events := range counts {
			e.Counts = append(e.Counts, envelope.TopicCount{Topic: len(record.Topics), Events: events})
			record.Topics = append(record.Topics, topic)
		}
		e.Last = seq
		record.Entries = append(record.Entries, e)
		value, err := json.Marshal(record)
		if err != nil {
			log.Fatal(err)
		}
		producer.Send(&sarama.ProducerMessage{Topic: "shop.transaction", Value: sarama.ByteEncoder(value)})
		if err := producer.Commit(); err != nil {
			log.Fatal(err)
		}
	}
	transaction(501, 0x16B3748, [2]string{orders, `{"id":1,"total":"199.90"}`}, [2]string{orders, `{"id":2,"total":"12.00"}`})
	transaction(502, 0x16B38C0, [2]string{notes, `{"id":1}`})
	transaction(503, 0x16B3A10, [2]string{notes, `{"id":2}`}, [2]string{orders, `{"id":3,"total":"5.50"}`})
	return cluster.ListenAddrs(), cluster.Close
}
