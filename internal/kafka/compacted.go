package kafka

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

// A barrier is a tombstone of a key that nobody else uses, so that readers of a topic of results take it for a row that is
// gone, and compaction removes it. What makes it this barrier is its header.
const (
	barrierKey    = `{"livedb":"barrier"}`
	barrierHeader = "livedb.barrier"
)

// barrierTimeout bounds the reading of a compacted topic.
const barrierTimeout = 2 * time.Minute

// ReadCompacted returns the last value per key of a compacted topic's partition 0. It writes a barrier through the
// producer, in a transaction of its own, and reads with read_committed until it meets it: offsets cannot tell where the
// committed records end. It needs memory for one value per key.
func ReadCompacted(ctx context.Context, client sarama.Client, p *Producer, topic string) (map[string][]byte, error) {
	nonce, err := writeBarrier(p, topic)
	if err != nil {
		return nil, err
	}
	return ReadUntil(ctx, client, topic, func(r Record) bool { return isBarrier(r, nonce) })
}

func writeBarrier(p *Producer, topic string) (nonce string, err error) {
	var random [16]byte
	rand.Read(random[:]) // never fails
	nonce = p.instance + hex.EncodeToString(random[:])
	if err := p.Begin(); err != nil {
		return "", err
	}
	p.Send(&sarama.ProducerMessage{Topic: topic, Partition: 0, Key: sarama.StringEncoder(barrierKey),
		Headers: []sarama.RecordHeader{{Key: []byte(barrierHeader), Value: []byte(nonce)}}})
	if err := p.Commit(); err != nil {
		return "", fmt.Errorf("write a barrier to topic %s: %w", topic, err)
	}
	return nonce, nil
}

// ReadUntil returns the last value per key of a compacted topic's partition 0, up to the first committed record that is the
// last one wanted, with that. It waits for it, but for no longer than some minutes: Kafka answers a commit before it shows it.
func ReadUntil(ctx context.Context, client sarama.Client, topic string, last func(Record) bool) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, barrierTimeout)
	defer cancel()
	values := map[string][]byte{}
	for from := sarama.OffsetOldest; ; {
		scan, err := OpenScan(client, topic, 0, from)
		if err != nil {
			return nil, err
		}
		for {
			r, more, err := scan.Next(ctx)
			if err != nil {
				return nil, err
			}
			if !more {
				break
			}
			if values[string(r.Key)] = r.Value; r.Value == nil {
				delete(values, string(r.Key))
			}
			if last(r) {
				return values, nil
			}
		}
		from = scan.End()
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("read topic %s up to a barrier: %w", topic, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func isBarrier(r Record, nonce string) bool {
	return string(r.Key) == barrierKey && len(r.Headers) == 1 && string(r.Headers[0].Value) == nonce
}

// OthersBarrier reports whether another instance than this one wrote the last committed barrier of a topic. An instance whose
// own had stood there has been replaced then. No barrier at all tells of nobody: compaction removes them after a day.
func OthersBarrier(ctx context.Context, client sarama.Client, topic, instance string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, barrierTimeout)
	defer cancel()
	latest, err := Within(ctx, "look for the last barrier", func() (map[string]Record, error) { return Latest(ctx, client, topic, barrierKey) })
	if err != nil {
		return false, err
	}
	b, found := latest[barrierKey]
	return found && !(len(b.Headers) == 1 && strings.HasPrefix(string(b.Headers[0].Value), instance)), nil
}
