package workload

import (
	"context"
	"fmt"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// Adjacent is a pair of transactions with no WAL between their commit records: the end LSN of the first is the commit LSN
// of the second, though they are two positions. A stream that skips by a wrong comparison loses the second.
type Adjacent struct {
	First, Second uint32        // their xids
	At            pglogrepl.LSN // where the first ends and the second commits
}

// adjacentWriters is how many transactions commit at once in a round. Their rows are written before, so that there is
// nothing but commit records to come between.
const adjacentWriters = 12

// ForceAdjacent writes tiny transactions until at least one pair is adjacent, and returns what the server's decoder tells
// of the pairs. It looks through a temporary copy of the slot, which stays as it is; with slot "" through a new one, whose
// creation waits for all open transactions, prepared ones too. The publication must hold the workload's tables, and be
// older than the slot. It may run beside Run. A lost connection is an error, and so is the end of ctx.
func (w *Workload) ForceAdjacent(ctx context.Context, slot, publication string) ([]Adjacent, error) {
	pairs, err := w.forceAdjacent(ctx, slot, publication)
	if err != nil {
		return nil, fmt.Errorf("force adjacent commits: %w", err)
	}
	w.counters.add(func(s *Stats) { s.Adjacent += int64(len(pairs)) })
	return pairs, nil
}

func (w *Workload) forceAdjacent(ctx context.Context, slot, publication string) ([]Adjacent, error) {
	look, err := w.connect(ctx, w.source.Database)
	if err != nil {
		return nil, err
	}
	defer closeConn(ctx, look)                                        // the temporary slot goes with it
	if _, err := look.Exec(ctx, "SET lock_timeout = 0"); err != nil { // a new slot waits for transactions as for locks
		return nil, err
	}
	scratch := fmt.Sprintf("livedb_adjacent_%d", look.PgConn().PID())
	if slot == "" {
		_, err = look.Exec(ctx, "SELECT pg_create_logical_replication_slot($1, 'pgoutput', true)", scratch)
	} else {
		_, err = look.Exec(ctx, "SELECT pg_copy_logical_replication_slot($1, $2, true)", slot, scratch)
	}
	if err != nil {
		return nil, err
	}
	conns := make([]*pgx.Conn, adjacentWriters)
	for i := range conns {
		if conns[i], err = w.connect(ctx, w.source.Database); err != nil {
			return nil, err
		}
		defer closeConn(ctx, conns[i])
	}

	for round := 0; ; round++ {
		// The look need not begin before this round.
		if _, err := look.Exec(ctx, "SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())", scratch); err != nil {
			return nil, err
		}
		if err := commitAtOnce(ctx, conns, 2*w.cfg.Writers, round); err != nil {
			return nil, err
		}
		pairs, err := findAdjacent(ctx, look, scratch, publication)
		if err != nil || len(pairs) > 0 {
			return pairs, err
		}
	}
}

// commitAtOnce writes a row on each connection, then lets all commit. Their rows begin with the given id.
func commitAtOnce(ctx context.Context, conns []*pgx.Conn, first, round int) error {
	for i, conn := range conns {
		if _, err := conn.Exec(ctx, "BEGIN; "+touchAdjacent(first+i, round)); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, conn := range conns {
		group.Go(func() error {
			_, err := conn.Exec(ctx, "COMMIT")
			return err
		})
	}
	return group.Wait()
}

// findAdjacent reads what the slot holds and compares the LSNs of neighbours. Rows are left on the server.
func findAdjacent(ctx context.Context, conn *pgx.Conn, slot, publication string) ([]Adjacent, error) {
	rows, err := conn.Query(ctx, `SELECT data FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', $2)
		WHERE get_byte(data, 0) IN (ascii('B'), ascii('C'))`, slot, quoteName(publication))
	if err != nil {
		return nil, err
	}
	var pairs []Adjacent
	var end pglogrepl.LSN
	var xid, before uint32
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&data}, func() error {
		message, err := pglogrepl.Parse(data)
		if err != nil {
			return err
		}
		switch m := message.(type) {
		case *pglogrepl.BeginMessage:
			if before, xid = xid, m.Xid; m.FinalLSN == end {
				pairs = append(pairs, Adjacent{First: before, Second: xid, At: end})
			}
		case *pglogrepl.CommitMessage:
			end = m.TransactionEndLSN
		}
		return nil
	})
	return pairs, err
}
