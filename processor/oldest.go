package processor

import (
	"context"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// oldestWhole returns the first mark from which on Kafka keeps every event of the topics chosen.
//
// The order is read first and the event partitions after it. Of a partition whose log no longer begins at offset 0,
// everything before its first record may be gone. One that is empty may have lost whatever the order counts in its topic.
func oldestWhole(ctx context.Context, client sarama.Client, topics envelope.Topics, chosen choice) (floor mark, err error) {
	last, err := lastSeqs(ctx, client, topics, chosen)
	if err != nil {
		return floor, err
	}
	for topic, seq := range last {
		if err := client.RefreshMetadata(topic); err != nil {
			return floor, fmt.Errorf("look for topic %s: %w", topic, err)
		}
		partitions, err := client.Partitions(topic)
		if err != nil {
			return floor, fmt.Errorf("read the partitions of topic %s: %w", topic, err)
		}
		for _, p := range partitions {
			from, err := keptFrom(ctx, client, topic, p, seq)
			if err != nil {
				return floor, err
			}
			floor = later(floor, from)
		}
	}
	return floor, nil
}

// lastSeqs reads the order, as far as it goes now, and returns a bound of the last mark in each topic it names.
func lastSeqs(ctx context.Context, client sarama.Client, topics envelope.Topics, chosen choice) (map[string]mark, error) {
	scan, err := kafka.OpenScan(client, topics.Transaction(), 0, sarama.OffsetOldest)
	if err != nil {
		return nil, err
	}
	last := map[string]mark{}
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
					last[name] = mark{parsed.Epoch, parsed.Entries[i].Last}
				}
			}
		}
	}
}

// keptFrom returns the first mark from which on a partition keeps all its events, those of its topic up to last being known.
func keptFrom(ctx context.Context, client sarama.Client, topic string, partition int32, last mark) (from mark, err error) {
	scan, err := kafka.OpenScan(client, topic, partition, sarama.OffsetOldest)
	if err != nil {
		return from, err
	}
	if scan.Start() == 0 {
		return from, nil // nothing was removed
	}
	r, found, err := scan.Next(ctx)
	switch {
	case err != nil:
		return from, err
	case !found:
		return mark{last.epoch, last.seq + 1}, nil
	}
	from, _, err = readHeaders(r.Headers)
	switch {
	case err != nil:
		return from, &Violation{Err: ErrRecord, Topic: topic, Partition: partition, Offset: r.Offset,
			Want: "an event of LiveDB", Got: "another record: " + err.Error()}
	case r.Value == nil:
		from.seq++ // its delete is gone
	}
	return from, nil
}

// beginning returns the offset of the order from which on an epoch is there from its seq 1. If there is none it returns the
// oldest offset.
func beginning(ctx context.Context, client sarama.Client, topic string) (int64, error) {
	scan, err := kafka.OpenScan(client, topic, 0, sarama.OffsetOldest)
	if err != nil || scan.Start() == 0 {
		return sarama.OffsetOldest, err // nothing was removed
	}
	for {
		r, more, err := scan.Next(ctx)
		if err != nil || !more {
			return sarama.OffsetOldest, err
		}
		parsed, err := envelope.ParseTransaction(r.Value)
		switch {
		case err != nil:
			return 0, foreignTransaction(topic, r.Offset, err)
		case parsed.Gap != nil, len(parsed.Entries) > 0 && parsed.Entries[0].First == 1:
			return r.Offset, nil
		}
	}
}
