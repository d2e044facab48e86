package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/livedb/livedb/cdc"
)

// ReadReplaySlot has the connection stream from a temporary copy of the replay slot from now on, instead of from the stream's own
// slot. The copy goes with the connection, and no acknowledgement of it moves the slot. ErrNoWitness says that there is no replay
// slot, or none that reaches back to the given LSN: Postgres would go on behind it without a word.
func (c *Conn) ReadReplaySlot(ctx context.Context, at cdc.LSN) error {
	replay := ReplaySlot(c.config.Slot)
	c.config.Slot = temporarySlot("recover")
	return c.readCopy(ctx, replay, at)
}

func temporarySlot(what string) string {
	return "livedb_" + what + "_" + strings.ToLower(rand.Text()[:12])
}

// readCopy copies a slot to the temporary one that the connection is configured to read. Whether it reaches back is the copy's to tell:
// the slot may be moved while it is copied.
func (c *Conn) readCopy(ctx context.Context, slot string, at cdc.LSN) error {
	status, err := c.text(ctx, fmt.Sprintf("SELECT coalesce((SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s), 'lost')", literal(slot)))
	if err != nil {
		return fmt.Errorf("look at the slot %s: %w", slot, err)
	}
	if status == "lost" {
		return ErrNoWitness
	}
	if _, err := c.text(ctx, fmt.Sprintf("SELECT pg_copy_logical_replication_slot(%s, %s, true)", literal(slot), literal(c.config.Slot))); err != nil {
		return fmt.Errorf("copy the slot %s to read it again: %w", slot, err)
	}
	confirmed, err := c.text(ctx, fmt.Sprintf("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s", literal(c.config.Slot)))
	if err != nil {
		return fmt.Errorf("look at the copy of the slot %s: %w", slot, err)
	}
	lsn, err := parseLSN(confirmed)
	if err == nil && lsn > at {
		err = ErrNoWitness
	}
	return err
}
