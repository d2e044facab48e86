package capture

import (
	"context"
	"fmt"
	"strings"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// evidence is what both sides say of a stream. The slot is looked at before the checkpoint, and the end of the WAL after
// it: so a leader that goes on meanwhile, as it may during a preflight, never looks like a source that went back.
type evidence struct {
	server   *postgres.Server // with the slot
	saved    producer.Saved
	identity postgres.Identity
	recovers bool         // the slot may be ahead of the checkpoint
	left     int32        // the timeline of the checkpoint, if the source was promoted since; else 0
	lost     *cdc.Refusal // why a new epoch begins here; nil: none does
}

// source is what a checkpoint written now would say of the source.
func (e *evidence) source(c postgres.Config) producer.Source {
	return producer.Source{SystemID: e.identity.SystemID, Timeline: e.identity.Timeline, NeonTimeline: e.server.NeonTimeline,
		Database: e.identity.Database, Slot: c.Slot, Publication: c.Publication}
}

// examine refuses to start where a promise would break. It changes nothing.
func examine(ctx context.Context, c Config, client sarama.Client, e *evidence) error {
	at := e.saved.Position
	if at == nil {
		if e.server.Harm != nil {
			return e.server.Harm
		}
		return examineNew(ctx, c, client, e.server)
	}
	if at.State == producer.Creating {
		if err := examineCreating(&c, e); err != nil {
			return err
		}
		if at.Gap == nil {
			return examineEmpty(ctx, c, client) // the slot may be dropped and made anew as long as nothing was delivered
		}
		return examineTopics(ctx, c.Prefix, client, e)
	}
	if e.lost != nil && !c.ordered(at.Epoch) {
		return e.lost
	}
	if err := e.lift(&c, examineSource(&c, e)); err != nil {
		return err
	}
	if err := examineTopics(ctx, c.Prefix, client, e); err != nil {
		return err
	}
	if e.lost == nil {
		err := e.saved.Topology.Published.CheckPublished(published(e.server.Publication), hasTable(ctx, c.Source))
		if err := e.lift(&c, err); err != nil {
			return err
		}
	}
	if e.lost != nil {
		return e.examineLost(&c)
	}
	return nil
}

// examineCreating refuses to go on with a creation that was begun for another source. One that begins a new epoch may be
// ordered to.
func examineCreating(c *Config, e *evidence) error {
	at := e.saved.Position
	if at.Source == e.source(c.Source) {
		return nil
	}
	if at.Gap != nil && c.ordered(at.Epoch-1) {
		return e.examineLost(c)
	}
	return &cdc.Refusal{Name: "stream_elsewhere", Unsafe: true,
		Problem: fmt.Sprintf("the stream %s was being created for the slot %s of the Postgres system %s and the source is another", c.Prefix, at.Slot, at.SystemID), Remedy: "use another --prefix"}
}

// examineSource refuses a source that cannot give the stream what comes next.
func examineSource(c *Config, e *evidence) error {
	at := e.saved.Position
	confirmed := at.AckedUpto
	if e.server.Slot != nil && !e.recovers {
		confirmed = e.server.Slot.Confirmed
	}
	if err := at.Check(e.source(c.Source), confirmed, e.identity.Current); err != nil { // first of all, whether this is the source
		return err
	}
	if e.server.Slot == nil {
		return &cdc.Refusal{Name: "slot_missing", Unsafe: true, Problem: fmt.Sprintf("the slot %s is gone, and the checkpoint is at %s", c.Source.Slot, at.End),
			Remedy: "changes since then are lost to this stream: start a new one under another --prefix"}
	}
	if err := e.server.Slot.CheckWAL(); err != nil {
		return err
	}
	if e.server.Publication == nil {
		return &cdc.Refusal{Name: "publication_missing", Unsafe: true, Problem: fmt.Sprintf("the publication %s is gone", c.Source.Publication),
			Remedy: "the slot cannot be decoded without it: drop the slot and start a new stream under another --prefix"}
	}
	return nil
}

// examineTopics refuses a Kafka that does not have the stream's topics as they were.
func examineTopics(ctx context.Context, prefix string, client sarama.Client, e *evidence) error {
	topology := &e.saved.Topology
	found, err := kafka.LookAgain(ctx, client, topology.Names()...)
	if err != nil {
		return err
	}
	if err := topology.CheckTopics(found); err != nil {
		return err
	}
	return examineCompaction(ctx, prefix, client, topology)
}

// examineCompaction refuses topics of events or of their order that are compacted: what is removed of them cannot be delivered again. A
// Kafka that does not tell is believed: livedb check says what it could not see.
func examineCompaction(ctx context.Context, prefix string, client sarama.Client, topology *producer.Topology) error {
	inspector, err := kafka.NewInspector(ctx, client)
	if err != nil {
		return err
	}
	settings, err := inspector.TopicSettings(ctx, topology.Names()...)
	if err != nil {
		return ctx.Err()
	}
	for _, topic := range topology.Names() {
		if strings.Contains(settings[topic]["cleanup.policy"], "compact") && topic != envelope.Topics(prefix).Checkpoint() {
			return &cdc.Refusal{Name: "topic_compacted", Unsafe: true, Problem: fmt.Sprintf("the topic %s is compacted, which removes events, and every reader stops at the gap", topic),
				Remedy: "set its cleanup.policy to delete, and run livedb audit: if that finds a gap, start a new stream under another --prefix"}
		}
	}
	return nil
}

// examineNew refuses to begin a stream where there seems to be one.
func examineNew(ctx context.Context, c Config, client sarama.Client, server *postgres.Server) error {
	if err := examineEmpty(ctx, c, client); err != nil {
		return err
	}
	for _, slot := range []*postgres.Slot{server.Slot, server.Replay} {
		if slot != nil {
			return &cdc.Refusal{Name: "checkpoint_missing", Unsafe: true,
				Problem: fmt.Sprintf("the slot %s exists but the stream %s has no checkpoint", slot.Name, c.Prefix),
				Remedy:  fmt.Sprintf("correct --slot, --prefix or --kafka if they are wrong; if the slot is a leftover, run SELECT pg_drop_replication_slot('%s')", slot.Name)}
		}
	}
	return nil
}

// examineEmpty refuses topics that hold what a stream delivered, for one that has delivered nothing yet.
func examineEmpty(ctx context.Context, c Config, client sarama.Client) error {
	topics := envelope.Topics(c.Prefix)
	own := []string{topics.Transaction(), topics.Truncate()}
	found, err := kafka.Look(ctx, client, own...)
	if err != nil {
		return err
	}
	for _, topic := range own {
		if _, exists := found[topic]; !exists {
			continue
		}
		written, err := client.GetOffset(topic, 0, sarama.OffsetNewest)
		if err != nil {
			return fmt.Errorf("read topic %s: %w", topic, err)
		}
		if written > 0 {
			return &cdc.Refusal{Name: "checkpoint_missing", Unsafe: true,
				Problem: fmt.Sprintf("the topic %s holds what a stream delivered whose checkpoint in topic %s is gone", topic, topics.Checkpoint()),
				Remedy:  "start a new stream under another --prefix"}
		}
	}
	return nil
}

// published is what a publication gives, as the topology notes it.
func published(p *postgres.Publication) producer.Published {
	now := producer.Published{Options: p.Options, Tables: map[string]string{}, Entries: map[string]producer.Entry{}}
	for _, t := range p.Tables {
		now.Tables[t.Schema+"."+t.Name] = t.Options
	}
	for _, e := range p.Entries {
		now.Entries[e.Name] = producer.Entry{Object: e.Object, OID: e.OID, Version: e.Version}
	}
	return now
}

// hasTable looks for a table, published or not.
func hasTable(ctx context.Context, c postgres.Config) func(string) (bool, error) {
	return func(table string) (bool, error) { return postgres.HasTable(ctx, c, table) }
}

// peek reads the checkpoint without a producer. A stream that has no checkpoint topic has no checkpoint.
func peek(ctx context.Context, client sarama.Client, topics envelope.Topics) (producer.Saved, error) {
	found, err := kafka.Look(ctx, client, topics.Checkpoint())
	if err != nil {
		return producer.Saved{}, err
	}
	if _, exists := found[topics.Checkpoint()]; !exists {
		return producer.Saved{}, nil
	}
	return producer.PeekSaved(ctx, client, topics)
}
