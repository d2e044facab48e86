package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// DropOwnSlots drops a stream's slots, lost or not, as DropSlots does, unless somebody who is not LiveDB reads one: then it
// drops none. The caller leads the stream.
func DropOwnSlots(ctx context.Context, c Config) error {
	conn, err := Connect(ctx, c)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `
		SELECT s.slot_name::text, format('process %s, %s, reads it', a.pid, coalesce(nullif(a.application_name, ''), 'without a name'))
		FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid
		WHERE s.slot_name = ANY ($1) AND a.application_name NOT LIKE 'livedb%'`, []string{c.Slot, ReplaySlot(c.Slot)})
	if err != nil {
		return fmt.Errorf("look who reads the slot %s: %w", c.Slot, err)
	}
	readers, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[SlotBusyError])
	if err != nil {
		return fmt.Errorf("look who reads the slot %s: %w", c.Slot, err)
	}
	if len(readers) > 0 {
		return readers[0]
	}
	return DropSlots(ctx, c)
}
