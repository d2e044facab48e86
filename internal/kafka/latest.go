package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// firstStretch is how many offsets Latest looks at first.
const firstStretch = 64

// Latest returns the last committed value of each of the keys in a topic's partition 0, walking back from the last stable
// offset until it has met them all: a key that was never written costs the whole log. A key whose last record is a
// tombstone, or that has none, is left out. Only what a producer reads behind a barrier is the truth; without one a
// transaction may be about to commit.
func Latest(ctx context.Context, client sarama.Client, topic string, keys ...string) (map[string]Record, error) {
	top, err := OpenScan(client, topic, 0, sarama.OffsetOldest)
	if err != nil {
		return nil, err
	}
	met := map[string]Record{}
	wanted := map[string]bool{}
	for _, key := range keys {
		wanted[key] = true
	}
	for to, stretch := top.end, int64(firstStretch); to > top.start && len(wanted) > 0; stretch *= 4 {
		s := *top
		s.at, s.end, s.buffered = max(top.start, to-stretch), to, nil
		to = s.at
		here := map[string]Record{}
		for {
			r, more, err := s.Next(ctx)
			if err != nil {
				return nil, err
			}
			if !more {
				break
			}
			if wanted[string(r.Key)] {
				here[string(r.Key)] = r
			}
		}
		for key, r := range here {
			delete(wanted, key)
			if r.Value != nil || len(r.Headers) > 0 {
				met[key] = r
			}
		}
	}
	return met, nil
}

// LatestBehindBarrier is Latest behind a barrier, which the producer writes in a transaction of its own: it returns what
// has been committed for good, and proves that producing works.
func LatestBehindBarrier(ctx context.Context, client sarama.Client, p *Producer, topic string, keys ...string) (map[string]Record, error) {
	nonce, err := writeBarrier(p, topic)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, barrierTimeout)
	defer cancel()
	for { // Kafka answers a commit before it shows it
		latest, err := Latest(ctx, client, topic, append([]string{barrierKey}, keys...)...)
		if err != nil {
			return nil, err
		}
		if isBarrier(latest[barrierKey], nonce) {
			delete(latest, barrierKey)
			return latest, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("read topic %s up to a barrier: %w", topic, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
