package processor

import (
	"context"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// oldestWhole returns the least seq from which on Kafka keeps every event of the topics chosen.
//
// The order is read first and the event partitions after it. Of a partition whose log no longer begins at offset 0,
// everything before its first record may be gone. One that is empty may have lost whatever the order counts in its topic.
func oldestWhole(ctx context.Context, client sarama.Client, topics envelope.Topics, chosen choice) (floor uint64, err error) {
	last, err := lastSeqs(ctx, client, topics, chosen)
	if err != nil {
		return 0, err
	}
	for topic, seq := range last {
		if err := client.RefreshMetadata(topic); err != nil {
			return 0, fmt.Errorf("look for topic %s: %w", topic, err)
		}
		partitions, err := client.Partitions(topic)
		if err != nil {
			return 0, fmt.Errorf("read the partitions of topic %s: %w", topic, err)
		}
		for _, p := range partitions {
			from, err := keptFrom(ctx, client, topic, p, seq)
			if err != nil {
				return 0, err
			}
			floor = max(floor, from)
		}
	}
	return floor, nil
}

// lastSeqs reads the order, as far as it goes now, and returns a bound of the last seq in each topic it names.
func lastSeqs(ctx context.Context, client sarama.Client, topics envelope.Topics, chosen choice) (map[string]uint64, error) {
	scan, err := kafka.OpenScan(client, topics.Transaction(), 0, sarama.OffsetOldest)
	if err != nil {
		return nil, err
	}
	last := map[string]uint64{}
	for {
		r, more, err := scan.Next(ctx)
		if err != nil || !more {
			return last, err
		}
		parsed, err := envelope.ParseTransaction(r.Value)
		if err != nil {
			return nil, foreignTransaction(topics.Transaction(), r.Offset, err)
		}
		for i := range parsed.Entries {
			for _, c := range parsed.Entries[i].Counts {
				if name := parsed.Topics[c.Topic]; chosen.has(name) {
					last[name] = parsed.Entries[i].Last
				}
			}
		}
	}
}

// keptFrom returns the least seq from which on a partition keeps all its events, those of its topic up to last being known.
func keptFrom(ctx context.Context, client sarama.Client, topic string, partition int32, last uint64) (uint64, error) {
	scan, err := kafka.OpenScan(client, topic, partition, sarama.OffsetOldest)
	if err != nil {
		return 0, err
	}
	if scan.Start() == 0 {
		return 0, nil // nothing was removed
	}
	r, found, err := scan.Next(ctx)
	switch {
	case err != nil:
		return 0, err
	case !found:
		return last + 1, nil
	}
	seq, _, err := readHeaders(r.Headers)
	switch {
	case err != nil:
		return 0, &Violation{Err: ErrRecord, Topic: topic, Partition: partition, Offset: r.Offset,
			Want: "an event of LiveDB", Got: "another record: " + err.Error()}
	case r.Value == nil:
		return seq + 1, nil // its delete is gone
	}
	return seq, nil
}
