package capture

import (
	"context"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/producer"
)

// PeekSaved reads a stream's checkpoint as far as it is committed now, and changes nothing. A stream without a checkpoint
// topic has none.
func PeekSaved(ctx context.Context, client sarama.Client, topics envelope.Topics) (producer.Saved, error) {
	return peek(ctx, client, topics)
}

// PublishedBy is what a publication gives, as a topology notes it.
func PublishedBy(p *postgres.Publication) producer.Published { return published(p) }

// Alike gives the same text for topics that Kafka does not tell apart.
func Alike(topic string) string { return alike(topic) }
