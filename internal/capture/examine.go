package capture

import (
	"context"
	"fmt"

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
		return examineNew(ctx, c, client, e.server)
	}
	if at.State == producer.Creating {
		if err := examineCreating(&c, e); err != nil || at.Gap == nil {
			return err
		}
		return examineTopics(ctx, client, e)
	}
	if e.lost != nil && !c.ordered(at.Epoch) {
		return e.lost
	}
	if err := e.lift(&c, examineSource(&c, e)); err != nil {
		return err
	}
	if err := examineTopics(ctx, client, e); err != nil {
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
func examineTopics(ctx context.Context, client sarama.Client, e *evidence) error {
	found, err := kafka.LookAgain(ctx, client, e.saved.Topology.Names()...)
	if err != nil {
		return err
	}
	return e.saved.Topology.CheckTopics(found)
}

// examineNew refuses to begin a stream where there seems to be one.
func examineNew(ctx context.Context, c Config, client sarama.Client, server *postgres.Server) error {
	topics := envelope.Topics(c.Prefix)
	found, err := kafka.Look(ctx, client, topics.Transaction())
	if err != nil {
		return err
	}
	if _, exists := found[topics.Transaction()]; exists {
		written, err := client.GetOffset(topics.Transaction(), 0, sarama.OffsetNewest)
		if err != nil {
			return fmt.Errorf("read topic %s: %w", topics.Transaction(), err)
		}
		if written > 0 {
			return &cdc.Refusal{Name: "checkpoint_missing", Unsafe: true,
				Problem: fmt.Sprintf("the stream %s has events but its checkpoint in topic %s is gone", c.Prefix, topics.Checkpoint()),
				Remedy:  "start a new stream under another --prefix"}
		}
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

// published is what a publication gives, as the topology notes it.
func published(p *postgres.Publication) producer.Published {
	now := producer.Published{Options: p.Options, Tables: map[string]string{}}
	for _, t := range p.Tables {
		now.Tables[t.Schema+"."+t.Name] = t.Options
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
