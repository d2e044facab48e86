package bench

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
)

// parked is the slot that stands before the load. Nobody reads it.
const parked = "livedb_bench_parked"

// park makes the parked slot.
func park(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, `SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, parked); err != nil {
		return fmt.Errorf("make the slot %s: %w", parked, err)
	}
	return nil
}

// copySlot makes a copy of the parked slot and returns its confirmed position.
func copySlot(ctx context.Context, conn *pgx.Conn, name string) (cdc.LSN, error) {
	if _, err := conn.Exec(ctx, `SELECT pg_copy_logical_replication_slot($1::name, $2::name)`, parked, name); err != nil {
		return 0, fmt.Errorf("copy the slot %s: %w", parked, err)
	}
	var confirmed string
	if err := conn.QueryRow(ctx, `SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1`, name).Scan(&confirmed); err != nil {
		return 0, fmt.Errorf("read the slot %s: %w", name, err)
	}
	return cdc.ParseLSN(confirmed)
}

// dropSlots drops a slot and the replay slot that LiveDB keeps beside it, as far as there are any.
func dropSlots(ctx context.Context, source, name string) error {
	return postgres.DropSlots(ctx, postgres.Config{URL: source, Slot: name})
}
