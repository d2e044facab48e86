package producer

import (
	"context"
	"fmt"

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
	open      bool // a transaction that is open hides what is committed behind its first record
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
	group.Go(func() error { return s.Position.orderEnds(ctx, client, topics.Transaction()) })
	return group.Wait()
}

// orderEnds holds the end of the order against the checkpoint: both were written by the same Kafka transactions.
func (c *Checkpoint) orderEnds(ctx context.Context, client sarama.Client, topic string) error {
	t, r, err := lookAtTail(ctx, client, topic, 0)
	if err != nil {
		return err
	}
	if !t.found {
		return c.checkOrder(t)
	}
	order, err := envelope.ParseTransaction(r.Value)
	if err != nil {
		return unsafe("foreign_record", "the last record of topic %s tells no order (%v): something else than LiveDB writes there", topic, err)
	}
	t.epoch = order.Epoch
	if n := len(order.Entries); n > 0 { // none where the epoch begins
		t.seq = order.Entries[n-1].Last
	}
	return c.checkOrder(t)
}

// checkOrder is the rule for the order.
func (c *Checkpoint) checkOrder(t tail) error {
	switch {
	case t.found && t.epoch > c.Epoch:
		return unsafe("events_beyond_checkpoint", "the topic %s ends in epoch %d and the checkpoint is of epoch %d", t.topic, t.epoch, c.Epoch)
	case t.found && t.epoch == c.Epoch && t.seq > c.Seq:
		return unsafe("events_beyond_checkpoint", "the topic %s ends at seq %d and the checkpoint at %d", t.topic, t.seq, c.Seq)
	case t.found && t.epoch == c.Epoch && t.seq == c.Seq, !t.found && (t.cut || c.Seq == 0):
		return nil
	case t.open:
		return t.hidden()
	case !t.found:
		return unsafe("events_missing", "the topic %s is empty and the checkpoint is at seq %d", t.topic, c.Seq)
	}
	return unsafe("events_missing", "the topic %s ends at seq %d of epoch %d and the checkpoint at %d of epoch %d", t.topic, t.seq, t.epoch, c.Seq, c.Epoch)
}

// hidden says that nobody can tell yet: what seems to be missing may come to sight when somebody else's transaction ends. That is no
// refusal, so the start is tried again.
func (t tail) hidden() error {
	return fmt.Errorf("the end of partition %d of topic %s is hidden behind another producer's open transaction, which readers wait for too; livedb check names it", t.partition, t.topic)
}

// lookAtTail finds the last committed record of a partition.
func lookAtTail(ctx context.Context, client sarama.Client, topic string, partition int32) (t tail, r kafka.Record, err error) {
	t = tail{topic: topic, partition: partition}
	scan, err := kafka.OpenScan(client, topic, partition, sarama.OffsetOldest)
	if err != nil {
		return t, r, err
	}
	t.cut, t.open = scan.Start() > 0, scan.HighWater() > scan.End()
	r, t.found, err = kafka.Tail(ctx, client, topic, partition)
	return t, r, err
}

func readTail(ctx context.Context, client sarama.Client, topic string, partition int32) (tail, error) {
	t, r, err := lookAtTail(ctx, client, topic, partition)
	if err != nil || !t.found {
		return t, err
	}
	t.epoch, t.found = 1, false
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
	case t.found && t.epoch == c.Epoch && t.seq > c.Seq:
		return unsafe("events_beyond_checkpoint", "partition %d of topic %s ends at seq %d and the checkpoint at %d", t.partition, t.topic, t.seq, c.Seq)
	case !has || !t.found && t.cut || t.found && t.epoch == c.Epoch && t.seq == touched:
		return nil
	case t.open:
		return t.hidden()
	case !t.found:
		return unsafe("events_missing", "partition %d of topic %s is empty and the checkpoint says that it ends at seq %d", t.partition, t.topic, touched)
	case t.epoch < c.Epoch:
		return unsafe("events_missing", "partition %d of topic %s ends in epoch %d and the checkpoint says that it ends at seq %d of epoch %d", t.partition, t.topic, t.epoch, touched, c.Epoch)
	}
	return unsafe("events_missing", "partition %d of topic %s ends at seq %d and the checkpoint says %d", t.partition, t.topic, t.seq, touched)
}
