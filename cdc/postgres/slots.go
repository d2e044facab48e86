package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/cdc"
)

// CreateReplaySlot makes the replay slot again as a copy of the stream's own, which must be there, and returns it. The replay
// window begins anew.
func CreateReplaySlot(ctx context.Context, c Config) (*Slot, error) {
	conn, err := Connect(ctx, c)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	live, err := readSlot(ctx, conn, c.Slot)
	if err != nil {
		return nil, err
	}
	if live == nil {
		return nil, &cdc.Refusal{Name: "stream_not_begun", Problem: fmt.Sprintf("there is no slot %s to copy", c.Slot),
			Remedy: "livedb cdc makes it, with its publication and its first checkpoint; correct --slot or --source if it should be there"}
	}
	if err := checkSlot(&Server{Slot: live, Database: conn.Config().Database}, c); err != nil {
		return nil, err
	}
	replay, err := readSlot(ctx, conn, ReplaySlot(c.Slot))
	if err != nil {
		return nil, err
	}
	if replay != nil && replay.WALStatus != "lost" {
		return nil, &cdc.Refusal{Name: "slot_exists", Problem: fmt.Sprintf("the slot %s is there already", replay.Name),
			Remedy: fmt.Sprintf("to begin its window anew, drop it first: livedb slots drop %s", replay.Name)}
	}
	if err := (&ReplayKeeper{conn: conn, slot: c.Slot}).Create(ctx); err != nil {
		return nil, err
	}
	return readSlot(ctx, conn, ReplaySlot(c.Slot))
}

// DropSlot drops a slot that nobody reads.
func DropSlot(ctx context.Context, c Config, s *SlotState) error {
	conn, err := Connect(ctx, c)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, `SELECT pg_drop_replication_slot($1::name)`, s.Name)
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && refused.Code == "55006":
		return SlotInUse(s)
	case errors.As(err, &refused) && refused.Code == "42704":
		return &cdc.Refusal{Name: "slot_unknown", Problem: fmt.Sprintf("there is no slot %s", s.Name), Remedy: "livedb slots list shows those that there are"}
	case err != nil:
		return fmt.Errorf("drop the slot %s: %w", s.Name, err)
	}
	return nil
}

// SlotInUse refuses to drop what somebody reads.
func SlotInUse(s *SlotState) error {
	reader := "somebody"
	if s.ActivePID != 0 {
		reader = fmt.Sprintf("the process %d (%s)", s.ActivePID, s.Application)
	}
	return &cdc.Refusal{Name: "slot_in_use", Problem: fmt.Sprintf("the slot %s is read by %s", s.Name, reader), Remedy: "stop that reader first"}
}

// LookTwice looks at the server's slots twice, a second apart, which tells how fast the WAL grows in bytes per second.
func LookTwice(ctx context.Context, c Config) (look *Look, rate float64, err error) {
	w, err := OpenWatch(ctx, c)
	if err != nil {
		return nil, 0, err
	}
	defer w.Close(context.WithoutCancel(ctx))
	first, err := w.Look(ctx)
	if err != nil {
		return nil, 0, err
	}
	select {
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	case <-time.After(time.Second):
	}
	if look, err = w.Look(ctx); err != nil {
		return nil, 0, err
	}
	if took := look.Time.Sub(first.Time).Seconds(); took > 0 && look.Current >= first.Current {
		rate = float64(look.Current-first.Current) / took
	}
	return look, rate, nil
}

// createSlot is CREATE_REPLICATION_SLOT with FAILOVER from 17 on, which pglogrepl does not know. A standby keeps a copy of such a
// slot if it is set up to; else it changes nothing.
func (c *Conn) createSlot(ctx context.Context) (consistentPoint string, err error) {
	version, err := c.text(ctx, "SELECT current_setting('server_version_num')")
	if err != nil {
		return "", err
	}
	options := "SNAPSHOT 'nothing'"
	if len(version) == 6 && version >= "170000" {
		options += ", FAILOVER true"
	}
	results, err := c.pg.Exec(ctx, fmt.Sprintf("CREATE_REPLICATION_SLOT %s LOGICAL pgoutput (%s)", quote(c.config.Slot), options)).ReadAll()
	if err != nil {
		return "", err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) < 2 {
		return "", errors.New("the source did not tell where the slot begins")
	}
	return string(results[0].Rows[0][1]), nil
}

// IsReplaySlot reports whether a name is that of a replay slot.
func IsReplaySlot(name string) bool { return strings.HasSuffix(name, ReplaySlot("")) }
