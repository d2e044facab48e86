package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/cdc"
)

// ReplaySlot is the name of the slot that lags behind the stream's own on purpose.
func ReplaySlot(slot string) string { return slot + "_replay" }

// witnessLimit bounds the decoding between the replay slot and the commit that is looked for.
const witnessLimit = 2 * time.Minute

// ErrNoWitness says that there is no replay slot that reaches back far enough, so nobody can tell.
var ErrNoWitness = errors.New("no replay slot reaches back to the last commit")

// Witness decodes once more the first published transaction that committed at or after an LSN, from a temporary copy of
// the replay slot, and returns it without its end; its Commit is 0 if there is none. A source that was restored from an
// older copy and written to again shows another transaction there than the stream delivered. Nothing is acknowledged, and
// the replay slot stays where it is.
func Witness(ctx context.Context, c Config, at cdc.CommitLSN) (cdc.Transaction, error) {
	ctx, cancel := context.WithTimeout(ctx, witnessLimit)
	defer cancel()
	replay := ReplaySlot(c.Slot)
	c.Slot = temporarySlot("witness")
	conn, err := Dial(ctx, c)
	if err != nil {
		return cdc.Transaction{}, err
	}
	defer conn.Close() // which drops the copy
	if err := conn.readCopy(ctx, replay, cdc.LSN(at)); err != nil {
		return cdc.Transaction{}, err
	}
	// To move a slot only reads the WAL, where to stream from it decodes every transaction. The first move sets where the slot
	// begins, the second where its WAL does: to just before that.
	for range 2 {
		if _, err := conn.text(ctx, fmt.Sprintf("SELECT end_lsn FROM pg_replication_slot_advance(%s, %s)", literal(c.Slot), literal(at.String()))); err != nil {
			return cdc.Transaction{}, fmt.Errorf("move a copy of the slot %s to the last commit: %w", replay, err)
		}
	}
	stream, err := conn.Start(ctx, cdc.EndLSN(at), StreamOptions{})
	if err != nil {
		return cdc.Transaction{}, err
	}
	w := &witness{at: at}
	if err := stream.Run(ctx, w); !errors.Is(err, errSeen) {
		if err == nil {
			err = ctx.Err()
		}
		return cdc.Transaction{}, fmt.Errorf("look at the commit at %s again: %w", at, err)
	}
	return w.tx, nil
}

// errSeen ends the stream of a witness.
var errSeen = errors.New("the witness has seen what it looks for")

// witness is the handler that looks at the first transaction alone.
type witness struct {
	at cdc.CommitLSN
	tx cdc.Transaction
}

func (w *witness) Begin(tx cdc.Transaction) error {
	w.tx = tx
	return errSeen
}

// Quiet has the server say how far it has decoded without a transaction. One whose commit record begins at that very
// position may still come.
func (w *witness) Quiet(lsn cdc.LSN, _ bool) error {
	if lsn > cdc.LSN(w.at) {
		return errSeen
	}
	return nil
}

func (w *witness) Change(*cdc.Change) error             { return errSeen }
func (w *witness) Truncate(cdc.LSN, []*cdc.Table) error { return errSeen }
func (w *witness) Commit(cdc.Transaction) error         { return errSeen }
func (w *witness) Tick(time.Time) error                 { return nil }
func (w *witness) Alarm() time.Time                     { return time.Now().Add(time.Second) }
func (w *witness) Full() <-chan struct{}                { return nil }
func (w *witness) Durable() cdc.LSN                     { return cdc.LSN(w.at) }

// EndStaleReader ends a walsender that still serves the slot for a LiveDB that lost the lead, and reports its process id,
// 0 if there is none. Only the leader may call it: who holds the lead is the one LiveDB that may read the slot. A reader
// that is not LiveDB is left alone.
func EndStaleReader(ctx context.Context, c Config) (pid int, err error) {
	conn, err := Connect(ctx, c)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// What ends a session must not stand in WHERE: there the planner calls it for sessions that the other conditions leave out.
	err = conn.QueryRow(ctx, `
		SELECT coalesce((SELECT CASE WHEN pg_terminate_backend(a.pid) THEN a.pid END FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid
			WHERE s.slot_name = $1 AND a.application_name = $2), 0)`, c.Slot, "livedb/"+c.Slot).Scan(&pid)
	if e, refused := errorAs[*pgconn.PgError](err); refused {
		return 0, fmt.Errorf("end the stale reader of slot %s: %w", c.Slot, e)
	}
	return pid, err
}
