package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/cdc"
)

// Room is what a source has left for one more walsender with a temporary slot.
type Room struct{ Slots, Senders int }

// ReadRoom counts what is free.
func ReadRoom(ctx context.Context, c Config) (Room, error) {
	conn, err := Connect(ctx, c)
	if err != nil {
		return Room{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var r Room
	err = conn.QueryRow(ctx, `
		SELECT current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots),
		       current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication)`).Scan(&r.Slots, &r.Senders)
	if err != nil {
		return Room{}, fmt.Errorf("count the source's free replication slots: %w", err)
	}
	return r, nil
}

// Check refuses a source without room for one more.
func (r Room) Check() error {
	if r.Slots < 1 {
		return noSlot(nil)
	}
	if r.Senders < 1 {
		return noSender(nil)
	}
	return nil
}

func noSlot(err error) *cdc.Refusal {
	return &cdc.Refusal{Name: "slots_exhausted", Problem: "all replication slots of the source are taken and one more is needed for a moment",
		Remedy: "drop a slot that nobody reads, wait for another replay to end, or raise max_replication_slots", Err: err}
}

func noSender(err error) *cdc.Refusal {
	return &cdc.Refusal{Name: "wal_senders_exhausted", Problem: "all walsenders of the source are taken and one more is needed for a moment",
		Remedy: "end a replication connection that nobody needs, wait for another replay to end, or raise max_wal_senders", Err: err}
}

// Copy is a replication connection for a temporary copy of the replay slot. The copy goes with the connection, and after
// any SQL error on it. Neither the replay slot nor the stream's own is touched.
type Copy struct {
	*Conn
	replay    string
	Confirmed cdc.LSN // once it was made: transactions that commit from here on can be decoded, however the replay slot moves
}

// copyTries bounds how often a copy is tried that met the replay slot while it moved.
const copyTries = 5

// DialCopy connects.
func DialCopy(ctx context.Context, c Config) (*Copy, error) {
	replay := ReplaySlot(c.Slot)
	c.Slot = "livedb_replay_" + strings.ToLower(rand.Text()[:12])
	conn, err := Dial(ctx, c)
	if err != nil {
		if e, ok := errorAs[*pgconn.PgError](err); ok && e.Code == "53300" { // too_many_connections, of which walsenders are a kind
			return nil, noSender(err)
		}
		return nil, err
	}
	return &Copy{Conn: conn, replay: replay}, nil
}

// Make makes the copy.
func (c *Copy) Make(ctx context.Context) error {
	from := c.replay
	sql := fmt.Sprintf("SELECT pg_copy_logical_replication_slot(%s, %s, true)", literal(from), literal(c.config.Slot))
	for try := 1; ; try++ {
		_, err := c.text(ctx, sql)
		if err == nil {
			break
		}
		e, ok := errorAs[*pgconn.PgError](err)
		switch {
		case ok && e.Code == "42704": // undefined_object
			return NoReplaySlot(from, "there is no slot "+from)
		case ok && e.Code == "53400" || ok && strings.Contains(e.Message, "all replication slots are in use"): // configuration_limit_exceeded
			return noSlot(err)
		case ok && e.Code == "55000" && !strings.Contains(e.Message, "modified incompatibly"):
			return NoReplaySlot(from, fmt.Sprintf("the slot %s cannot be read any more (%s)", from, e.Message))
		case !ok || e.Code != "55000" || try == copyTries:
			return fmt.Errorf("copy the slot %s: %w", from, err)
		}
	}
	confirmed, err := c.text(ctx, fmt.Sprintf("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = %s", literal(c.config.Slot)))
	if err != nil {
		return fmt.Errorf("look at the copy of the slot %s: %w", from, err)
	}
	c.Confirmed, err = parseLSN(confirmed)
	return err
}

// NoReplaySlot refuses a replay where there is no slot to replay from.
func NoReplaySlot(slot, problem string) *cdc.Refusal {
	return &cdc.Refusal{Name: "replay_slot_missing", Problem: problem + ", so nothing can be replayed",
		Remedy: "livedb cdc makes the slot " + slot + " while it runs, if a slot is free; what commits from then on can be replayed"}
}

// watchEvery is how often AwaitEnd asks the source whether it is still there.
const watchEvery = 500 * time.Millisecond

// ErrSourceEnds says that the source is shutting down, or ended our sessions.
var ErrSourceEnds = errors.New("the source ends its sessions")

// AwaitEnd asks the source for a sign of life, on a connection of its own, until the context ends or there is none. A source
// that shuts down ends plain sessions first, and then waits until each walsender has sent all WAL there is: who reads from
// far behind must go by itself.
func AwaitEnd(ctx context.Context, c Config) error {
	conn, err := Connect(ctx, c)
	if ctx.Err() != nil {
		err = nil
	}
	if err != nil || conn == nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := ping(ctx, conn); err != nil && ctx.Err() == nil {
			return fmt.Errorf("%w: %w", ErrSourceEnds, err)
		}
	}
}

func ping(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return conn.Ping(ctx)
}
