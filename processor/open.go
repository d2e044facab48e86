package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// open finds where reading begins and starts the feeder of <prefix>.transaction; that one starts the others.
func (r *Reader) open(ctx context.Context) error {
	topic := r.topics.Transaction()
	waited, err := awaitTopic(ctx, r.config.Client, topic)
	if err != nil {
		return err
	}
	start := r.config.Start
	first, offsets, floor := begin{offset: sarama.OffsetOldest}, map[string]map[int32]int64{}, mark{}
	switch {
	case start.kind == fromBeginning:
		first.offset, err = beginning(ctx, r.config.Client, topic)
	case start.kind == fromSaved:
		offsets = start.saved.Offsets
		first, err = beginAt(r.config.Client, topic, 0, start.saved.Transaction)
	case start.kind == fromOldest:
		floor, err = oldestWhole(ctx, r.config.Client, r.topics, r.chosen)
	case start.kind == fromNow && !waited: // a topic that has just appeared holds nothing older than now
		first.offset, offsets, err = sample(r.config.Client, r.topics, r.chosen)
	}
	if err != nil {
		return err
	}
	r.order = newSequencer(r.config.Prefix, r.chosen, start, offsets)
	r.order.chain.floor, r.order.chain.cut = floor, first.cut
	if first.cut {
		r.order.chain.skip = 0
	}
	consumer, err := r.consumer.ConsumePartition(topic, 0, first.offset)
	if err != nil {
		return fmt.Errorf("read topic %s: %w", topic, err)
	}
	r.transactions = &source{topic: topic, consumer: consumer, room: make(chan struct{}, 1), most: burstBytes}
	r.feeders.Go(func() { r.feed(r.transactions, r.announce) })
	return nil
}

// openTopic starts the feeders of a topic that a transaction record names. It tries until the Reader is closed, the topic is
// not what it was, or the brokers have not known it for the stall timeout: one that was created a moment ago is not known
// to all of them yet.
func (r *Reader) openTopic(name string) error {
	var missing time.Time // since when
	for {
		err := r.tryTopic(name)
		var violation *Violation
		switch {
		case err == nil || errors.As(err, &violation) || errors.Is(err, sarama.ErrClosedClient):
			return err
		case !errors.Is(err, sarama.ErrUnknownTopicOrPartition):
			missing = time.Time{}
			r.tell(fmt.Errorf("open topic %s: %w", name, err))
		case missing.IsZero():
			missing = time.Now()
		case time.Since(missing) > r.config.StallTimeout:
			return &Violation{Err: ErrMissing, Topic: name, Want: "a topic that the order names", Got: "none", Cause: err}
		}
		select {
		case <-r.ctx.Done():
			return r.ctx.Err()
		case <-time.After(topicPoll):
		}
	}
}

// tryTopic starts the feeders of a topic, or none of them.
func (r *Reader) tryTopic(name string) error {
	if err := r.config.Client.RefreshMetadata(name); err != nil {
		return err
	}
	numbers, err := r.config.Client.Partitions(name)
	if err != nil {
		return fmt.Errorf("read the partitions of topic %s: %w", name, err)
	}
	begins := make([]begin, len(numbers))
	consumers := make([]sarama.PartitionConsumer, 0, len(numbers))
	for i := range numbers {
		if begins[i], err = beginAt(r.config.Client, name, int32(i), r.order.offsets[name][int32(i)]); err != nil {
			break
		}
		consumer, consumeErr := r.consumer.ConsumePartition(name, int32(i), begins[i].offset)
		if err = consumeErr; err != nil {
			break
		}
		consumers = append(consumers, consumer)
	}
	if err != nil {
		for _, c := range consumers {
			c.Close() // waits, for the partition may be opened again; what it has to say does not matter
		}
		return err
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	for i, p := range r.order.add(name, begins).partitions {
		s := &source{topic: name, number: int32(i), consumer: consumers[i], room: make(chan struct{}, 1)}
		r.sources = append(r.sources, s)
		r.feeders.Go(func() {
			r.feed(s, func(m []*sarama.ConsumerMessage) (bool, error) { return r.push(s, p, m) })
		})
	}
	r.wakeNext()
	return nil
}

// asUnavailable names an error that is Kafka's: trying again may help.
func asUnavailable(err error) error {
	var violation *Violation
	if err == nil || errors.As(err, &violation) || errors.Is(err, ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
