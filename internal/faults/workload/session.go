package workload

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

const (
	applicationName  = "livedb/workload"
	connectLimit     = 10 * time.Second
	transactionLimit = 2 * time.Minute // then the connection is given up
	cancelLimit      = 500 * time.Millisecond
)

// connect opens a session in a database of the source's server. Its settings are set after connecting, because Neon's
// proxy drops parameters of the start.
func (w *Workload) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	config := w.source.Copy()
	config.Database = database
	config.RuntimeParams["application_name"] = applicationName
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // no plans that DDL would outdate
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		// So that a statement that must end ends on the server too.
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: cancelLimit}
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, fmt.Sprintf(`SET search_path = %s, public; SET TimeZone = UTC; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = postgres;
		SET client_min_messages = error; SET standard_conforming_strings = on; SET lock_timeout = '3s'; SET statement_timeout = '2min';
		SET idle_in_transaction_session_timeout = '1min'`, quoteName(w.cfg.Schema))); err != nil {
		closeConn(ctx, conn)
		return nil, err
	}
	return conn, nil
}

// closeConn says goodbye, briefly. The error does not matter: the connection is of no more use.
func closeConn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelLimit)
	defer cancel()
	_ = conn.Close(ctx)
}

// prefix begins the names of all prepared transactions of a workload in this schema, so that Open and Quiesce find them.
func (w *Workload) prefix() string { return "livedb-workload-" + w.cfg.Schema + "-" }

// pending are the prepared transactions that nobody has resolved, the oldest first.
func (w *Workload) pending(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, `SELECT gid FROM pg_prepared_xacts
		WHERE database = current_database() AND starts_with(gid, $1) ORDER BY prepared, gid`, w.prefix())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// rollbackLeft takes back what an earlier workload left prepared.
func (w *Workload) rollbackLeft(ctx context.Context, conn *pgx.Conn) error {
	gids, err := w.pending(ctx, conn)
	if err != nil {
		return err
	}
	for _, gid := range gids {
		if _, err := conn.Exec(ctx, resolveSQL(gid, false)); err != nil {
			return err
		}
	}
	return nil
}

func resolveSQL(gid string, byCommit bool) string {
	if byCommit {
		return "COMMIT PREPARED " + quote(gid)
	}
	return "ROLLBACK PREPARED " + quote(gid)
}

// Quiesce resolves what Run left prepared, half of it by commit, and waits until no backend of the workload is at work: a
// client that lost its connection may have left one. It is to be called after Run, with the server up; then the tables
// stand still.
func (w *Workload) Quiesce(ctx context.Context) error {
	conn, err := w.connect(ctx, w.source.Database)
	if err != nil {
		return fmt.Errorf("quiesce the workload: %w", err)
	}
	defer closeConn(ctx, conn)
	for {
		// Backends first: one of them may be about to prepare.
		if err := w.waitForBackends(ctx, conn); err != nil {
			return fmt.Errorf("quiesce the workload: %w", err)
		}
		gids, err := w.pending(ctx, conn)
		if err != nil {
			return fmt.Errorf("quiesce the workload: %w", err)
		}
		if len(gids) == 0 {
			return nil
		}
		for i, gid := range gids {
			if _, err := conn.Exec(ctx, resolveSQL(gid, i%2 == 0)); err != nil {
				return fmt.Errorf("quiesce the workload: resolve the prepared transaction %s: %w", gid, err)
			}
			w.counters.resolved(i%2 == 0)
		}
	}
}

// waitForBackends waits until every other backend of the workload in this database has ended. Those that a lost client
// left notice it when they next answer, or by their time limits. pg_sleep paces the look.
func (w *Workload) waitForBackends(ctx context.Context, conn *pgx.Conn) error {
	for {
		var left int
		err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()
			AND pid <> pg_backend_pid() AND (state <> 'idle' OR state IS NULL)`, applicationName).Scan(&left)
		if err != nil || left == 0 {
			return err
		}
		if _, err := conn.Exec(ctx, "SELECT pg_sleep(0.02)"); err != nil {
			return err
		}
	}
}

// isFinal tells that no second try would mend an error: a statement that Postgres does not take, or a table that is gone.
// All else may pass: a restart, a deadlock, a lock that was not had, a full table of prepared transactions.
func isFinal(e *pgconn.PgError) bool {
	switch e.Code {
	case "42704": // a prepared transaction that somebody else resolved
		return false
	case "0A000":
		return true
	}
	return strings.HasPrefix(e.Code, "42") || strings.HasPrefix(e.Code, "22") || strings.HasPrefix(e.Code, "28")
}
