package status

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/internal/kafka"
)

// Times of publishing. A report that Kafka does not take in time is dropped: the next one is newer.
const (
	publishInterval = time.Second
	retryInterval   = 5 * time.Second
	sendTimeout     = 2 * time.Second
)

// Publish writes the board's reports to a topic every second, until the context ends. While Kafka is away it tries
// again: nobody waits for a report.
func Publish(ctx context.Context, c kafka.Config, topic string, board *Board, log *slog.Logger) {
	for {
		err := publish(ctx, c, topic, board)
		if ctx.Err() != nil {
			return
		}
		log.Debug("status is not published", "topic", topic, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryInterval):
		}
	}
}

func publish(ctx context.Context, c kafka.Config, topic string, board *Board) error {
	// A Kafka that hangs must not hold up the end of the process: what sarama still does then is left behind, and ends with
	// its own time limits.
	client, err := kafka.Connect(ctx, c, func(s *sarama.Config) {
		s.Producer.Timeout = sendTimeout
		s.Producer.Retry.Max = 1
		s.Net.ReadTimeout, s.Net.WriteTimeout = sendTimeout, sendTimeout
	})
	if err != nil {
		return err
	}
	closed := []func() error{client.Close}
	defer func() {
		go func() {
			for _, f := range slices.Backward(closed) {
				f() // nobody waits for a report, nor for its failure
			}
		}()
	}()
	if err := kafka.EnsureTopics(ctx, client, kafka.Topic{Name: topic, Partitions: 1, Compacted: true}); err != nil {
		return err
	}
	p, err := sarama.NewSyncProducerFromClient(client)
	if err != nil {
		return fmt.Errorf("open the status producer: %w", err)
	}
	// A send that is under way ends first: sarama closes what it still writes to.
	var sending sync.WaitGroup
	closed = append(closed, func() error {
		sending.Wait()
		return p.Close()
	})

	tick := time.NewTicker(publishInterval)
	defer tick.Stop()
	for {
		var messages []*sarama.ProducerMessage
		for _, report := range board.Reports() {
			value, err := json.Marshal(report)
			if err != nil {
				return fmt.Errorf("write the status of %s: %w", report.Role, err)
			}
			messages = append(messages, &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(report.Key()), Value: sarama.ByteEncoder(value)})
		}
		sent := make(chan error, 1)
		sending.Go(func() { sent <- p.SendMessages(messages) })
		select {
		case err := <-sent:
			if err != nil {
				return fmt.Errorf("send the status: %w", err)
			}
		case <-ctx.Done():
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
