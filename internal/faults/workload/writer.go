package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// writer is one line of plans and the connections to write them on.
type writer struct {
	*Workload
	planner *planner

	home   *pgx.Conn // nil: to be opened when it is needed; so the others
	second *pgx.Conn
	noise  *pgx.Conn
}

const (
	firstPause = 20 * time.Millisecond
	maxPause   = time.Second
)

// run writes plan after plan until ctx ends. A plan that fails is not written again: the next one comes. With its end the
// open transaction ends too, in whatever way.
func (w *writer) run(ctx context.Context, p *pacer) error {
	defer w.close(ctx)
	pause := firstPause
	for p.wait(ctx) == nil {
		switch lost, err := w.write(ctx, w.planner.next()); {
		case err != nil:
			return err
		case lost:
			select {
			case <-time.After(1 + time.Duration(rand.Int64N(int64(pause)))): // jitter: not all at once
			case <-ctx.Done():
			}
			pause = min(2*pause, maxPause)
		default:
			pause = firstPause
		}
	}
	return nil
}

// first writes the fixed case, again and again until its commit is answered.
func (w *writer) first(ctx context.Context) error {
	defer w.close(ctx)
	before := w.Stats().ByKind[Fixed]
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, maxPause) {
		if _, err := w.write(ctx, w.planner.fixed()); err != nil {
			return err
		}
		if w.Stats().ByKind[Fixed] > before {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return nil
}

func (w *writer) close(ctx context.Context) {
	for _, conn := range []**pgx.Conn{&w.home, &w.second, &w.noise} {
		if *conn != nil {
			closeConn(ctx, *conn)
			*conn = nil
		}
	}
}

// write writes a plan and counts what came of it. It returns whether a connection was lost, and an error that is final.
func (w *writer) write(ctx context.Context, t *plan) (lost bool, err error) {
	limited, cancel := context.WithTimeout(ctx, transactionLimit)
	defer cancel()
	err = w.attempt(limited, t)
	if err == nil || ctx.Err() != nil {
		return false, nil
	}
	refused, ok := errors.AsType[*pgconn.PgError](err)
	code := "connection"
	if ok {
		code = refused.Code
	}
	w.counters.add(func(s *Stats) { s.Errors[code]++ })
	if ok && isFinal(refused) {
		return false, fmt.Errorf("the workload's transaction %s with seed %d: %w", t.kind, w.cfg.Seed, err)
	}

	for _, conn := range []**pgx.Conn{&w.home, &w.second, &w.noise} {
		if *conn == nil {
			continue
		}
		if !(*conn).IsClosed() {
			_, err := (*conn).Exec(limited, "ROLLBACK")
			if err == nil {
				continue
			}
		}
		closeConn(ctx, *conn)
		*conn, lost = nil, true
	}
	if lost = lost || w.home == nil; lost {
		w.counters.add(func(s *Stats) { s.Reconnects++ })
	}
	return lost, nil
}

// attempt writes a plan once.
func (w *writer) attempt(ctx context.Context, t *plan) error {
	conn, err := w.session(ctx, t)
	if err != nil {
		return err
	}
	if t.end == resolveByCommit || t.end == resolveByRollback {
		return w.resolve(ctx, conn, t)
	}

	rows, err := w.statements(ctx, conn, t.begin, t.steps)
	if err != nil {
		return err
	}
	if t.second != nil {
		more, err := w.statements(ctx, w.second, t.begin, t.second)
		if err != nil {
			return err
		}
		rows += more
	}
	switch {
	case t.begin == "":
		w.counters.add(func(s *Stats) { s.ByKind[t.kind]++ })
		return nil
	case t.end == rollback:
		return w.finish(ctx, conn, t, "ROLLBACK", func(s *Stats) { s.Rollbacks++ })
	case t.end == prepare:
		return w.finish(ctx, conn, t, "PREPARE TRANSACTION "+quote(w.prefix()+t.gid), func(*Stats) {})
	}
	err = w.finish(ctx, conn, t, "COMMIT", func(s *Stats) {
		s.Transactions++
		s.Rows += rows
		if t.kind == Fixed {
			s.FixedRows += rows
		}
	})
	if err != nil || t.second == nil {
		return err
	}
	_, err = w.second.Exec(ctx, "COMMIT")
	w.counters.ended(err, func(s *Stats) { s.Transactions++ })
	return err
}

// session gives the connection that a plan begins on, and opens what it needs.
func (w *writer) session(ctx context.Context, t *plan) (*pgx.Conn, error) {
	open := func(conn **pgx.Conn, database string) (err error) {
		if *conn == nil {
			*conn, err = w.connect(ctx, database)
		}
		return err
	}
	if t.away {
		err := open(&w.noise, w.Workload.noise)
		return w.noise, err
	}
	if t.second != nil {
		if err := open(&w.second, w.source.Database); err != nil {
			return nil, err
		}
	}
	err := open(&w.home, w.source.Database)
	return w.home, err
}

// statements writes them one by one, so that other writers come between, and counts the rows that they changed.
func (w *writer) statements(ctx context.Context, conn *pgx.Conn, begin string, steps []step) (rows int64, err error) {
	if begin != "" {
		if _, err := conn.Exec(ctx, begin); err != nil {
			return 0, err
		}
	}
	for _, s := range steps {
		var tag pgconn.CommandTag
		var err error
		if s.copied != "" {
			tag, err = conn.PgConn().CopyFrom(ctx, strings.NewReader(s.copied), s.sql)
		} else {
			tag, err = conn.Exec(ctx, s.sql)
		}
		if err != nil {
			return 0, err
		}
		if !s.dropped && (s.copied != "" || tag.Insert() || tag.Update() || tag.Delete()) {
			rows += tag.RowsAffected()
		}
	}
	return rows, nil
}

// finish ends a transaction block and counts it.
func (w *writer) finish(ctx context.Context, conn *pgx.Conn, t *plan, word string, count func(*Stats)) error {
	_, err := conn.Exec(ctx, word)
	w.counters.ended(err, func(s *Stats) {
		s.ByKind[t.kind]++
		count(s)
	})
	return err
}

// resolve ends a prepared transaction of anybody's, the oldest. There may be none, or another writer is faster.
func (w *writer) resolve(ctx context.Context, conn *pgx.Conn, t *plan) error {
	gids, err := w.pending(ctx, conn)
	if err != nil || len(gids) == 0 {
		return err
	}
	_, err = conn.Exec(ctx, resolveSQL(gids[0], t.end == resolveByCommit))
	if err == nil {
		w.counters.resolved(t.end == resolveByCommit)
	}
	return err
}
