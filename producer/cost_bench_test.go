package producer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
)

// What exactly once costs: the same records through a plain idempotent producer, which waits for their acknowledgement, and
// in a Kafka transaction with its order and its checkpoint. Set LIVEDB_TEST_KAFKA to measure it with a real Kafka.
//
//	go test -run '^$' -bench ExactlyOnce ./producer
func BenchmarkExactlyOnce(b *testing.B) {
	config := kafka.Config{Brokers: devstack.TestKafka(b), ClientID: "livedb/bench"}
	client, err := kafka.Connect(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	topics := envelope.Topics(fmt.Sprintf("bench-%d", time.Now().UnixNano()))
	all := append(OwnTopics(topics, 0), kafka.Topic{Name: string(topics) + ".public.logs", Partitions: 4})
	if err := kafka.EnsureTopics(b.Context(), client, all...); err != nil {
		b.Fatal(err)
	}
	for _, events := range []int{1, 100, 1000, 10_000} {
		batch := batchOf(b, topics, events)
		b.Run(fmt.Sprintf("idempotent/events=%d", events), func(b *testing.B) { idempotent(b, config, batch) })
		b.Run(fmt.Sprintf("transactional/events=%d", events), func(b *testing.B) { transactional(b, config, topics, batch) })
	}
}

// batchOf is a sealed batch of so many inserts of about 100 bytes, ten to a transaction.
func batchOf(b *testing.B, topics envelope.Topics, events int) *Batch {
	stream := envelope.Stream{Name: string(topics), Database: "db", Version: "bench", Epoch: 1}
	a := NewAssembler(stream, start(), time.Now, func(t *cdc.Table) (Place, string, *envelope.Plan, *Topology, error) {
		plan, err := envelope.NewPlan(stream, t, nil, nil)
		return Place{Schema: t.Schema, Table: t.Name, Partitions: 4}, string(topics) + ".public.logs", plan, nil, err
	})
	a.Use(&Batch{})
	value := strings.Repeat("x", 100)
	for done := 0; done < events; done += 10 {
		var changes []*cdc.Change
		for range min(10, events-done) {
			changes = append(changes, insert(logs, value))
		}
		tx(uint32(done+1), cdc.CommitLSN(0x200+0x10*done), changes...).feed(b, a)
	}
	return a.Seal(time.Now())
}

func transactional(b *testing.B, config kafka.Config, topics envelope.Topics, batch *Batch) {
	p, err := kafka.OpenProducer(b.Context(), config, string(topics))
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	w := NewWriter(assemble(start()), p, topics, Topology{}, Limits{}, metrics.NewCDC(prometheus.NewRegistry()), &Progress{})
	for b.Loop() {
		w.inFlight.Store(1)
		if err := w.commit(batch); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b, batch)
}

func idempotent(b *testing.B, config kafka.Config, batch *Batch) {
	s := config.Sarama()
	s.Producer.Idempotent = true
	s.Net.MaxOpenRequests = 1
	p, err := sarama.NewAsyncProducer(config.Brokers, s)
	if err != nil {
		b.Fatal(err)
	}
	defer p.AsyncClose()
	for b.Loop() {
		go func() {
			for i := range batch.records {
				r := &batch.records[i]
				place := batch.places[r.place]
				p.Input() <- &sarama.ProducerMessage{Topic: place.topic, Partition: place.partition, Value: sarama.ByteEncoder(batch.bytes(r.value)),
					Headers: batch.headers(r, nil, nil)}
			}
		}()
		for range batch.records {
			select {
			case <-p.Successes():
			case err := <-p.Errors():
				b.Fatal(err)
			}
		}
	}
	perSecond(b, batch)
}

func perSecond(b *testing.B, batch *Batch) {
	b.ReportMetric(float64(len(batch.records)*b.N)/b.Elapsed().Seconds(), "events/s")
}
