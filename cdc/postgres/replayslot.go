package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/cdc"
)

// ReplayKeeper makes the replay slot and moves it. It has a connection of its own, since moving decodes all WAL on the
// way. One goroutine uses it.
type ReplayKeeper struct {
	conn *pgx.Conn
	slot string
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
	return &ReplayKeeper{conn: conn, slot: c.Slot}, nil
}

// Close disconnects.
func (k *ReplayKeeper) Close(ctx context.Context) { k.conn.Close(ctx) }

// Slot reads the replay slot, nil if there is none, and the end of the source's WAL.
func (k *ReplayKeeper) Slot(ctx context.Context) (*Slot, cdc.LSN, error) {
	slot, err := readSlot(ctx, k.conn, ReplaySlot(k.slot))
	if err != nil {
		return nil, 0, err
	}
	current, err := currentLSN(ctx, k.conn)
	return slot, current, err
}

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

// Advance moves the replay slot, never beyond what the stream has delivered: the commit at the given LSN is still decoded
// from it. It takes as long as decoding the WAL on the way. A slot that somebody reads just now is left where it is.
func (k *ReplayKeeper) Advance(ctx context.Context, to cdc.CommitLSN) error {
	_, err := k.conn.Exec(ctx, `SELECT pg_replication_slot_advance($1::name, $2::text::pg_lsn)`, ReplaySlot(k.slot), to.String())
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "55006" { // object_in_use
		return nil
	}
	if err != nil {
		return fmt.Errorf("move the slot %s to %s: %w", ReplaySlot(k.slot), to, err)
	}
	return nil
}
