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

// PeekSaved reads the checkpoint as far as it is committed now, and changes nothing: another leader may be writing it.
func PeekSaved(ctx context.Context, client sarama.Client, topics envelope.Topics) (Saved, error) {
	latest, err := kafka.Latest(ctx, client, topics.Checkpoint(), keyPosition, keyTopology)
	if err != nil {
		return Saved{}, err
	}
	return parseSaved(topics, latest)
}

// ReadSaved reads the checkpoint behind a barrier, through a producer that has just fenced all older ones: what it returns
// is the truth.
func ReadSaved(ctx context.Context, client sarama.Client, p *kafka.Producer, topics envelope.Topics) (Saved, error) {
	latest, err := kafka.LatestBehindBarrier(ctx, client, p, topics.Checkpoint(), keyPosition, keyTopology)
	if err != nil {
		return Saved{}, err
	}
	return parseSaved(topics, latest)
}

func parseSaved(topics envelope.Topics, latest map[string]kafka.Record) (Saved, error) {
	saved := Saved{Topology: Topology{Version: 1, Topics: map[string]Place{}}}
	if r, found := latest[keyPosition]; found {
		saved.Position = &Checkpoint{}
		if err := json.Unmarshal(r.Value, saved.Position); err != nil {
			return Saved{}, unsafe("checkpoint_unreadable", "the checkpoint in topic %s cannot be read (%v)", topics.Checkpoint(), err)
		}
	}
	if r, found := latest[keyTopology]; found {
		if err := json.Unmarshal(r.Value, &saved.Topology); err != nil || saved.Topology.Version != 1 {
			return Saved{}, unsafe("checkpoint_unreadable", "the topology in topic %s cannot be read (version %d, %v)", topics.Checkpoint(), saved.Topology.Version, err)
		}
		if saved.Topology.Mapping != Mapping {
			return Saved{}, unsafe("mapping_changed", "the stream's events are written as %q and this LiveDB writes %q", saved.Topology.Mapping, Mapping)
		}
	} else if c := saved.Position; c != nil && (c.Seq > 0 || c.Commit > 0) {
		// A leader goes on writing its position to a topic that was made anew under it, and the topology only when it changes.
		return Saved{}, unsafe("topic_recreated", "the topic %s has a checkpoint at seq %d and no topology: it was deleted and made anew, or lost records", topics.Checkpoint(), c.Seq)
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
