package ui

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// Pauses of reading Kafka.
const (
	topicPoll  = 500 * time.Millisecond // to look again for a topic that does not exist
	firstRetry = 250 * time.Millisecond
	lastRetry  = 5 * time.Second
	steady     = 30 * time.Second // a reading that lasted this long begins anew with the first pause
)

// keepTrying runs one reading of Kafka after another until the context ends. What ended one is told to failed.
func keepTrying(ctx context.Context, read func(context.Context) error, failed func(error)) {
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		began := time.Now()
		err := read(ctx)
		if ctx.Err() != nil {
			return
		}
		failed(err)
		if time.Since(began) > steady {
			pause = firstRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause + rand.N(pause/4)):
		}
	}
}

// awaitTopic waits until the topic exists. Before it waits for the first time it says so.
func awaitTopic(ctx context.Context, client sarama.Client, topic string, waiting func()) error {
	for said := false; ; said = true {
		if err := client.RefreshMetadata(); err != nil {
			return fmt.Errorf("read the topics of kafka: %w", err)
		}
		names, err := client.Topics()
		if err != nil {
			return fmt.Errorf("read the topics of kafka: %w", err)
		}
		if slices.Contains(names, topic) {
			return nil
		}
		if !said && waiting != nil {
			waiting()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(topicPoll):
		}
	}
}

// followTopics reads the compacted topics, status and views, until the context ends. They have a client of their own:
// a broker answers the requests of one connection in turn, and events must not wait for a quiet topic.
func followTopics(ctx context.Context, c Config, m *model) {
	keepTrying(ctx, func(ctx context.Context) error {
		client, err := kafka.Connect(ctx, c.Kafka)
		if err != nil {
			return err
		}
		defer client.Close()
		consumer, err := sarama.NewConsumerFromClient(client)
		if err != nil {
			return fmt.Errorf("read the status topic: %w", err)
		}
		defer consumer.Close()
		return followBoth(ctx, client, consumer, c, m)
	}, func(err error) {
		m.setTopics(linkFailed, err.Error())
		c.Log.Warn("reading status and views failed", "error", err)
	})
}

func followBoth(ctx context.Context, client sarama.Client, consumer sarama.Consumer, c Config, m *model) error {
	topics := envelope.Topics(c.Prefix)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	m.setTopics(linkReading, "")
	ended := make(chan struct{}, 2)
	start := func(f follower) {
		go func() {
			defer func() { ended <- struct{}{} }()
			if err := f.run(ctx, client, consumer); err != nil {
				cancel(err)
			}
		}()
	}
	start(follower{topic: topics.Status(), take: func(record *sarama.ConsumerMessage, _ bool) error {
		return m.reports.take(record.Key, record.Value)
	}})
	m.view.clear()
	start(follower{topic: topics.View("orders"), loaded: m.view.load, take: func(record *sarama.ConsumerMessage, live bool) error {
		return m.result(record.Key, record.Value, live, time.Now())
	}})
	<-ended
	<-ended
	return context.Cause(ctx)
}

// follower reads partition 0 of a compacted topic from its oldest record.
type follower struct {
	topic  string
	take   func(record *sarama.ConsumerMessage, live bool) error
	loaded func() // called once, when the records that existed at the start have been read
}

// quiet is the time without a record after which a topic counts as read to its end: behind the last record there may
// be a transaction's marker, so that offsets alone cannot tell.
const quiet = 500 * time.Millisecond

func (f follower) run(ctx context.Context, client sarama.Client, consumer sarama.Consumer) error {
	if err := awaitTopic(ctx, client, f.topic, nil); err != nil {
		return err
	}
	end, err := client.GetOffset(f.topic, 0, sarama.OffsetNewest)
	if err != nil {
		return fmt.Errorf("read the end of topic %s: %w", f.topic, err)
	}
	partition, err := consumer.ConsumePartition(f.topic, 0, sarama.OffsetOldest)
	if err != nil {
		return fmt.Errorf("read topic %s: %w", f.topic, err)
	}
	defer partition.AsyncClose()

	live := false
	reached := func() {
		if !live && f.loaded != nil {
			f.loaded()
		}
		live = true
	}
	silence := time.NewTimer(quiet)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-silence.C:
			reached()
		case err, open := <-partition.Errors():
			if !open {
				return fmt.Errorf("read topic %s: the consumer stopped", f.topic)
			}
			return fmt.Errorf("read topic %s: %w", f.topic, err)
		case record, open := <-partition.Messages():
			if !open {
				return fmt.Errorf("read topic %s: the consumer stopped", f.topic)
			}
			if record.Offset >= end-1 {
				reached()
			}
			if err := f.take(record, live && record.Offset >= end); err != nil {
				return fmt.Errorf("topic %s, offset %d: %w", f.topic, record.Offset, err)
			}
		}
	}
}
