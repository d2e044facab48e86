package bench

import (
	"context"
	"fmt"
	"strings"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// readCommitted hands over each record of a topic that a read_committed reader sees.
func readCommitted(ctx context.Context, brokers []string, topic string, take func(r *kafka.Record) error) error {
	client, err := kafka.Connect(ctx, kafka.Config{Brokers: brokers, ClientID: "livedb/bench-count"})
	if err != nil {
		return err
	}
	defer client.Close()
	partitions, err := client.Partitions(topic)
	if err != nil {
		return fmt.Errorf("read the partitions of topic %s: %w", topic, err)
	}
	for _, p := range partitions {
		scan, err := kafka.OpenScan(client, topic, p, sarama.OffsetOldest)
		if err != nil {
			return err
		}
		for {
			record, more, err := scan.Next(ctx)
			if err != nil {
				return err
			}
			if !more {
				break
			}
			if err := take(&record); err != nil {
				return fmt.Errorf("offset %d of partition %d of topic %s: %w", record.Offset, p, topic, err)
			}
		}
	}
	return nil
}

// verify counts what a reader sees of what LiveDB wrote: each seq from 1 to the number of events, once.
func verify(ctx context.Context, t Task) error {
	schema, name, _ := strings.Cut(t.Table, ".")
	topic, err := envelope.Topics(t.Prefix).Table(schema, name)
	if err != nil {
		return err
	}
	seen := newTally(t.Events)
	err = readCommitted(ctx, t.Brokers, topic, func(r *kafka.Record) error {
		if r.Value == nil {
			return nil // a tombstone, which has the seq of its delete
		}
		return seen.add(r.Headers)
	})
	if err != nil {
		return err
	}
	if seen.count != t.Events {
		return fmt.Errorf("a read_committed reader sees %d events where the load has %d", seen.count, t.Events)
	}
	return nil
}

// tally counts seqs, each of which may come once.
type tally struct {
	seen  []bool
	count int
}

func newTally(events int) *tally { return &tally{seen: make([]bool, events+1)} }

func (y *tally) add(headers []*sarama.RecordHeader) error {
	for _, h := range headers {
		if string(h.Key) != envelope.HeaderSeq {
			continue
		}
		seq, err := envelope.ParseSeq(h.Value)
		switch {
		case err != nil:
			return err
		case seq == 0 || seq >= uint64(len(y.seen)):
			return fmt.Errorf("an event has the seq %d and the load ends at %d", seq, len(y.seen)-1)
		case y.seen[seq]:
			return fmt.Errorf("the seq %d comes twice", seq)
		}
		y.seen[seq] = true
		y.count++
		return nil
	}
	return fmt.Errorf("an event has no header %s", envelope.HeaderSeq)
}

// deleteTopics removes what a run left on a Kafka that goes on.
func deleteTopics(ctx context.Context, t Task) error {
	client, err := kafka.Connect(ctx, kafka.Config{Brokers: t.Brokers, ClientID: "livedb/bench"})
	if err != nil {
		return err
	}
	defer client.Close()
	return kafka.DeleteTopics(client, t.Prefix)
}
