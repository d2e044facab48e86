package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/cdc"
)

// ReplayKeeper makes the replay slot, moves it and drops it. It has a connection of its own, since moving decodes all WAL on
// the way. One goroutine uses it.
type ReplayKeeper struct {
	conn   *pgx.Conn
	config Config
	slot   string
}

// OpenReplayKeeper connects.
func OpenReplayKeeper(ctx context.Context, c Config) (*ReplayKeeper, error) {
	conn, err := Connect(ctx, c)
	if err != nil {
		return nil, err
	}
	// To move a slot is one transaction, which may take long. The setting is new in 17.
	if _, err := conn.Exec(ctx, `SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'`); err != nil {
		conn.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("allow the slot %s long moves: %w", ReplaySlot(c.Slot), err)
	}
	return &ReplayKeeper{conn: conn, config: c, slot: c.Slot}, nil
}

// Close disconnects.
func (k *ReplayKeeper) Close(ctx context.Context) { k.conn.Close(ctx) }

// Create makes the replay slot as a copy of the live one, which it follows from there; one that has lost its WAL is
// dropped first.
func (k *ReplayKeeper) Create(ctx context.Context) error {
	replay := ReplaySlot(k.slot)
	if _, err := k.conn.Exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND wal_status = 'lost' AND NOT active`, replay); err != nil {
		return fmt.Errorf("drop the slot %s, which has lost its WAL: %w", replay, err)
	}
	if _, err := k.conn.Exec(ctx, `SELECT pg_copy_logical_replication_slot($1::name, $2::name)`, k.slot, replay); err != nil {
		return fmt.Errorf("make the slot %s: %w", replay, err)
	}
	return nil
}

// Drop drops the replay slot. One that somebody reads just now is left, for the next try.
func (k *ReplayKeeper) Drop(ctx context.Context) error {
	replay := ReplaySlot(k.slot)
	_, err := k.conn.Exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active`, replay)
	if err = unlessInUse(err); err != nil {
		return fmt.Errorf("drop the slot %s: %w", replay, err)
	}
	return nil
}

// Advance moves the replay slot, never beyond what the stream has delivered: the commit at the given LSN is still decoded
// from it. It takes as long as reading the WAL on the way. A slot that somebody reads just now is left where it is.
//
// Postgres sets confirmed_flush_lsn to the LSN itself, but restart_lsn, which is what holds WAL back, only to the last
// record of running transactions that it passed: there is one every 15 seconds, and one at each checkpoint.
func (k *ReplayKeeper) Advance(ctx context.Context, to cdc.LSN) error {
	_, err := k.conn.Exec(ctx, `SELECT pg_replication_slot_advance($1::name, $2::text::pg_lsn)`, ReplaySlot(k.slot), to.String())
	if err = unlessInUse(err); err != nil {
		return fmt.Errorf("move the slot %s to %s: %w", ReplaySlot(k.slot), to, err)
	}
	return nil
}

// unlessInUse hides that somebody has the slot just now (object_in_use).
func unlessInUse(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "55006" {
		return nil
	}
	return err
}
