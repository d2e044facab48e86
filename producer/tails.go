package producer

import (
	"context"

	"github.com/IBM/sarama"
	"golang.org/x/sync/errgroup"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// tailsAtOnce bounds the partitions that are looked at side by side.
const tailsAtOnce = 16

// tail is the last event of a partition, as far as it is committed.
type tail struct {
	topic     string
	partition int32
	epoch     uint32
	seq       uint64
	found     bool // false: the log holds no event
	cut       bool // retention has removed some, perhaps all
}

// CheckTails holds the end of every partition of events against the checkpoint: no event may stand behind it, and what its
// own Kafka transaction wrote must be there. It means something only behind a barrier.
func (s *Saved) CheckTails(ctx context.Context, client sarama.Client, topics envelope.Topics) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(tailsAtOnce)
	look := func(topic string, partition int32) {
		group.Go(func() error {
			t, err := readTail(ctx, client, topic, partition)
			if err != nil {
				return err
			}
			return s.Position.checkTail(t)
		})
	}
	for topic, place := range s.Topology.Topics {
		for p := range place.Partitions {
			look(topic, p)
		}
	}
	look(topics.Truncate(), 0)
	group.Go(func() error { return s.Position.checkOrder(ctx, client, topics.Transaction()) })
	return group.Wait()
}

// checkOrder holds the end of the order against the checkpoint: both were written by the same Kafka transactions.
func (c *Checkpoint) checkOrder(ctx context.Context, client sarama.Client, topic string) error {
	scan, err := kafka.OpenScan(client, topic, 0, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	r, found, err := kafka.Tail(ctx, client, topic, 0)
	if err != nil {
		return err
	}
	if !found {
		return c.checkLast(topic, 0, scan.Start() > 0)
	}
	order, err := envelope.ParseTransaction(r.Value)
	if err != nil {
		return unsafe("foreign_record", "the last record of topic %s tells no order (%v): something else than LiveDB writes there", topic, err)
	}
	if n := len(order.Entries); n > 0 && order.Epoch == c.Epoch {
		return c.checkLast(topic, order.Entries[n-1].Last, false)
	}
	return nil
}

// checkLast is the rule for the order, which ends at a seq; 0 if it is empty, which retention may have done. Pure.
func (c *Checkpoint) checkLast(topic string, last uint64, cut bool) error {
	switch {
	case last > c.Seq:
		return unsafe("events_beyond_checkpoint", "the topic %s ends at seq %d and the checkpoint at %d", topic, last, c.Seq)
	case last < c.Seq && !cut:
		return unsafe("events_missing", "the topic %s ends at seq %d and the checkpoint at %d", topic, last, c.Seq)
	}
	return nil
}

func readTail(ctx context.Context, client sarama.Client, topic string, partition int32) (tail, error) {
	t := tail{topic: topic, partition: partition}
	scan, err := kafka.OpenScan(client, topic, partition, sarama.OffsetOldest)
	if err != nil {
		return t, err
	}
	t.cut = scan.Start() > 0
	r, found, err := kafka.Tail(ctx, client, topic, partition)
	if err != nil || !found {
		return t, err
	}
	t.epoch = 1
	for _, h := range r.Headers {
		switch string(h.Key) {
		case envelope.HeaderSeq:
			t.found = true
			t.seq, err = envelope.ParseSeq(h.Value)
		case envelope.HeaderEpoch:
			t.epoch, err = envelope.ParseEpoch(h.Value)
		}
		if err != nil {
			return t, err
		}
	}
	if t.found {
		return t, nil
	}
	return t, unsafe("foreign_record", "the last record of partition %d of topic %s has no header %s: something else than LiveDB writes there", partition, topic, envelope.HeaderSeq)
}

// checkTail is the rule for one partition.
func (c *Checkpoint) checkTail(t tail) error {
	touched, has := c.Touched[t.topic][t.partition]
	switch {
	case t.found && t.epoch > c.Epoch:
		return unsafe("events_beyond_checkpoint", "partition %d of topic %s ends in epoch %d and the checkpoint is of epoch %d", t.partition, t.topic, t.epoch, c.Epoch)
	case t.found && t.epoch < c.Epoch && has:
		return unsafe("events_missing", "partition %d of topic %s ends in epoch %d and the checkpoint says that it ends at seq %d of epoch %d", t.partition, t.topic, t.epoch, touched, c.Epoch)
	case t.found && t.epoch < c.Epoch:
		return nil
	case t.found && t.seq > c.Seq:
		return unsafe("events_beyond_checkpoint", "partition %d of topic %s ends at seq %d and the checkpoint at %d", t.partition, t.topic, t.seq, c.Seq)
	case !has || !t.found && t.cut:
		return nil
	case !t.found:
		return unsafe("events_missing", "partition %d of topic %s is empty and the checkpoint says that it ends at seq %d", t.partition, t.topic, touched)
	case t.seq != touched:
		return unsafe("events_missing", "partition %d of topic %s ends at seq %d and the checkpoint says %d", t.partition, t.topic, t.seq, touched)
	}
	return nil
}
