package faults

import (
	"context"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/internal/kafka"
)

// tailPause is how long the tail of a topic waits before it looks again.
const tailPause = 100 * time.Millisecond

// follow hands on each committed record of a topic's partition 0, from the first one, until ctx ends. A topic that is not
// there and brokers that do not answer are waited for.
func follow(ctx context.Context, client sarama.Client, topic string, take func(kafka.Record)) {
	from := sarama.OffsetOldest
	for ctx.Err() == nil {
		if scan, err := kafka.OpenScan(client, topic, 0, from); err == nil {
			from = drain(ctx, scan, from, take)
		} else {
			client.RefreshMetadata() // a topic that did not exist; an error would come again
		}
		select {
		case <-ctx.Done():
		case <-time.After(tailPause):
		}
	}
}

// drain reads a scan to its end and returns where to read next.
func drain(ctx context.Context, scan *kafka.Scan, from int64, take func(kafka.Record)) int64 {
	for {
		r, more, err := scan.Next(ctx)
		switch {
		case err != nil:
			return from
		case !more:
			return scan.End()
		}
		take(r)
		from = r.Offset + 1
	}
}
