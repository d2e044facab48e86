package producer

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// OwnTopics are the topics that a stream has whatever its tables. retention bounds each of their partitions, in bytes;
// 0 leaves it to the broker, and has the checkpoint compacted.
func OwnTopics(topics envelope.Topics, retention int64) []kafka.Topic {
	return []kafka.Topic{
		{Name: topics.Checkpoint(), Partitions: 1, Compacted: true, RetentionBytes: retention},
		{Name: topics.Transaction(), Partitions: 1, RetentionBytes: retention},
		{Name: topics.Truncate(), Partitions: 1, RetentionBytes: retention},
	}
}

// Saved is what <prefix>.checkpoint holds.
type Saved struct {
	Position *Checkpoint // nil: there is none
	Topology Topology
}

// ReadSaved reads the checkpoint up to a barrier, through a producer that has just fenced all older ones: what it returns
// is the truth.
func ReadSaved(ctx context.Context, client sarama.Client, p *kafka.Producer, topics envelope.Topics) (Saved, error) {
	values, err := kafka.ReadCompacted(ctx, client, p, topics.Checkpoint())
	if err != nil {
		return Saved{}, err
	}
	saved := Saved{Topology: Topology{Version: 1, Topics: map[string]Place{}}}
	if value, found := values[keyPosition]; found {
		saved.Position = &Checkpoint{}
		if err := json.Unmarshal(value, saved.Position); err != nil {
			return Saved{}, unsafe("checkpoint_unreadable", "the checkpoint in topic %s cannot be read (%v)", topics.Checkpoint(), err)
		}
	}
	if value, found := values[keyTopology]; found {
		if err := json.Unmarshal(value, &saved.Topology); err != nil || saved.Topology.Version != 1 {
			return Saved{}, unsafe("checkpoint_unreadable", "the topology in topic %s cannot be read (version %d, %v)", topics.Checkpoint(), saved.Topology.Version, err)
		}
	}
	return saved, nil
}

// WriteCheckpoint writes a checkpoint in a Kafka transaction of its own.
func WriteCheckpoint(p *kafka.Producer, topics envelope.Topics, c Checkpoint) error {
	return write(p, topics, keyPosition, c)
}

// WriteTopology writes the topology in a Kafka transaction of its own.
func WriteTopology(p *kafka.Producer, topics envelope.Topics, t Topology) error {
	return write(p, topics, keyTopology, t)
}

func write(p *kafka.Producer, topics envelope.Topics, key string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write the %s to topic %s: %w", key, topics.Checkpoint(), err)
	}
	if err := p.Begin(); err != nil {
		return err
	}
	p.Send(&sarama.ProducerMessage{Topic: topics.Checkpoint(), Key: sarama.StringEncoder(key), Value: sarama.ByteEncoder(text)})
	if err := p.Commit(); err != nil {
		return fmt.Errorf("write the %s to topic %s: %w", key, topics.Checkpoint(), err)
	}
	return nil
}
