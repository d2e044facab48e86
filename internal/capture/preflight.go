package capture

import (
	"context"
	"fmt"
	"strings"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// Preflight looks at both sides, the checkpoint included, and changes nothing: no object is created, no producer fenced,
// no lock taken. So whoever is wrong here, about the source or the prefix, does not disturb a healthy leader.
func Preflight(ctx context.Context, c Config) error {
	return certified(ctx, c, preflight(ctx, c, &evidence{}))
}

func preflight(ctx context.Context, c Config, e *evidence) error {
	if c.Partitions < 1 {
		return &cdc.Refusal{Name: "partitions_malformed", Problem: fmt.Sprintf("a topic cannot have %d partitions", c.Partitions), Remedy: "give --partitions 1 or more"}
	}
	if err := envelope.CheckPrefix(c.Prefix); err != nil {
		return &cdc.Refusal{Name: "prefix_malformed", Problem: err.Error(), Remedy: "correct --prefix", Err: err}
	}
	if err := c.Limits.Check(); err != nil {
		return err
	}
	if err := c.Window.Check(); err != nil {
		return err
	}
	var err error
	if e.server, err = postgres.Preflight(ctx, c.Source); err != nil {
		return err
	}
	client, err := kafka.Connect(ctx, c.Kafka)
	if err != nil {
		return err
	}
	defer client.Close()
	if e.saved, err = peek(ctx, client, envelope.Topics(c.Prefix)); err != nil {
		return err
	}
	if e.saved.Position != nil {
		conn, err := postgres.Dial(ctx, c.Source)
		if err != nil {
			return err
		}
		err = e.identify(ctx, c, conn, client)
		conn.Close()
		if err := e.lift(&c, err); err != nil {
			return err
		}
	}
	if err := examine(ctx, c, client, e); err != nil {
		return err
	}
	topics, err := tableTopics(c, e.server, e.saved.Topology)
	if err != nil {
		return err
	}
	_, err = kafka.CheckTopics(ctx, client, append(topics, producer.OwnTopics(envelope.Topics(c.Prefix), c.RetentionBytes)...)...)
	return kafka.Named(err)
}

// tableTopics lists the topics of the tables that are, or will be, published.
func tableTopics(c Config, server *postgres.Server, topology producer.Topology) ([]kafka.Topic, error) {
	tables := server.Wanted
	if server.Publication != nil {
		tables = server.Publication.Tables
	}
	owner := map[string]postgres.PublishedTable{}
	var topics []kafka.Topic
	for _, t := range tables {
		topic, err := envelope.Topics(c.Prefix).Table(t.Schema, t.Name)
		if err != nil {
			return nil, &cdc.Refusal{Name: "topic_name_too_long", Problem: err.Error(), Remedy: "leave the table out of the publication", Err: err}
		}
		if other, taken := owner[alike(topic)]; taken {
			return nil, shared(topic, other.Schema+"."+other.Name, t.Schema+"."+t.Name)
		}
		owner[alike(topic)] = t
		partitions := c.Partitions
		if place, known := topology.Topics[topic]; known {
			partitions = place.Partitions
		}
		topics = append(topics, kafka.Topic{Name: topic, Partitions: partitions, RetentionBytes: c.RetentionBytes})
	}
	return topics, nil
}

// alike gives the same text for topics that Kafka does not tell apart: it refuses names that differ in dots and
// underscores alone.
func alike(topic string) string { return strings.ReplaceAll(topic, ".", "_") }

func shared(topic, one, other string) *cdc.Refusal {
	return &cdc.Refusal{Name: "topic_shared", Unsafe: true, Problem: fmt.Sprintf("the tables %s and %s would share the topic %s", one, other, topic),
		Remedy: "rename one of them, or leave it out of the publication"}
}
