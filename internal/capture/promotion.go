package capture

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// identify asks whose history the source shows. Where it was promoted since the checkpoint, and holds all that was delivered,
// the checkpoint in hand is carried over to the new timeline; else what the promotion lost is named. It changes nothing in
// Kafka: another leader may be at it.
func (e *evidence) identify(ctx context.Context, c Config, conn *postgres.Conn, client sarama.Client) error {
	var err error
	if e.identity, err = conn.Identify(ctx); err != nil {
		return err
	}
	at, now := e.saved.Position, e.identity
	if at == nil || at.State == producer.Creating || at.SystemID != now.SystemID || at.Database != now.Database || at.Timeline == now.Timeline {
		return nil
	}
	history, err := conn.History(ctx, now.Timeline)
	if err != nil {
		return err
	}
	fork, descends := postgres.LeftAt(history, at.Timeline)
	if !descends {
		return nil // examine refuses it as another timeline
	}
	promoted, holds := at.Promoted(now.Timeline, fork)
	if !holds {
		return lostCommits(ctx, c, client, at, now.Timeline, fork)
	}
	if slot := e.server.Slot; slot != nil && !slot.Synced {
		return &cdc.Refusal{Name: "slot_not_synced", Unsafe: true,
			Problem: fmt.Sprintf("the source was promoted to timeline %d and its slot %s is none that was kept in step with the one before", now.Timeline, slot.Name),
			Remedy:  "nobody knows whether it holds every change since then: begin a new epoch with livedb cdc --new-epoch, and see docs/failover.md for the next time"}
	}
	e.left, e.saved.Position = at.Timeline, &promoted
	return nil
}

// lostCommits names what was delivered and is not in the source's history any more.
func lostCommits(ctx context.Context, c Config, client sarama.Client, at *producer.Checkpoint, timeline int32, fork cdc.LSN) error {
	phantoms, err := producer.ReadPhantoms(ctx, client, envelope.Topics(c.Prefix), at.Epoch, fork)
	if err != nil {
		return err
	}
	for _, p := range phantoms.First {
		c.Log.Error("a transaction was delivered and the promotion of the source has lost it", "position", p.Position, "xid", p.XID,
			"time", p.Time.Format(time.RFC3339Nano), "first_seq", p.First, "last_seq", p.Last)
	}
	what := fmt.Sprintf("the checkpoint is at %s, beyond it", at.End)
	if phantoms.Count > 0 {
		what = fmt.Sprintf("%d transactions that were delivered are not in it: %s", phantoms.Count, phantoms)
	}
	return &cdc.Refusal{Name: "promotion_lost_commits", Unsafe: true, Err: phantoms,
		Problem: fmt.Sprintf("the source was promoted to timeline %d, which goes on from %s of timeline %d, and %s", timeline, fork, at.Timeline, what),
		Remedy:  "undo them where they were acted on and begin a new epoch with livedb cdc --new-epoch; see docs/failover.md for the next time"}
}

// savePromotion writes the checkpoint that was carried over, before anything relies on it.
func (r *role) savePromotion(p *kafka.Producer, e *evidence) error {
	if e.left == 0 {
		return nil
	}
	at := e.saved.Position
	at.Time = time.Now().UTC()
	r.Log.Info("the source was promoted and holds all that was delivered; the stream goes on", "timeline", at.Timeline, "before", e.left, "end_lsn", at.End, "acked_upto", at.AckedUpto)
	return producer.WriteCheckpoint(p, r.topics, *at)
}
