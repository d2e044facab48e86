package burst

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/burst/ledger"
)

const enterName = "livedb_enter_ledger"

// settings hold for every session of a writer, whatever the role or the database say. They are set after connecting,
// because Neon's proxy drops parameters of the start. The plans are generic and need no statistics: every statement names
// its rows by key.
var settings = [][2]string{
	{"TimeZone", "UTC"},
	{"DateStyle", "ISO, YMD"},
	{"client_min_messages", "warning"},
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	{"default_transaction_deferrable", "off"},
	{"synchronous_commit", "on"}, // an answered commit must survive a crash, or the ledger would lie
	{"statement_timeout", "0"},
	{"lock_timeout", "10s"},
	{"idle_in_transaction_session_timeout", "60s"}, // of a client that is gone without a word
	{"tcp_keepalives_idle", "10"},
	{"tcp_keepalives_interval", "5"},
	{"tcp_keepalives_count", "3"},
	{"plan_cache_mode", "force_generic_plan"},
	{"enable_seqscan", "off"},
	{"jit", "off"},
}

// connect opens a session, becomes the only one that writes under this writer's id, and settles what became of the last
// commit.
func (w *writer) connect(ctx context.Context) (_ *pgx.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, transactionLimit)
	defer cancel()
	config := w.source.Copy()
	config.RuntimeParams["application_name"] = applicationName
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		// So that a statement that must end ends on the server too.
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: cancelLimit}
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			closeConn(ctx, conn)
		}
	}()

	names, values := []string{"search_path"}, []string{pgx.Identifier{w.cfg.Schema}.Sanitize()}
	for _, s := range settings {
		names, values = append(names, s[0]), append(values, s[1])
	}
	if _, err := conn.Exec(ctx, "SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS s (name, value)", names, values); err != nil {
		return nil, err
	}
	if err := w.takeLock(ctx, conn); err != nil {
		return nil, err
	}
	for _, s := range changes {
		if _, err := conn.Prepare(ctx, s.name, s.sql); err != nil {
			return nil, err
		}
	}
	if _, err := conn.Prepare(ctx, enterName, enterSQL); err != nil {
		return nil, err
	}
	return conn, w.settle(ctx, conn)
}

const (
	applicationName = "livedb/burst"
	cancelLimit     = 500 * time.Millisecond // for a cancelled statement to end by itself
)

// takeLock waits until no earlier session of this writer lives. One whose client is gone may stay for long, so it is
// ended; that is safe, for whatever it did is then done or undone.
func (w *writer) takeLock(ctx context.Context, conn *pgx.Conn) error {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		var mine bool
		if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", w.lock()).Scan(&mine); err != nil || mine {
			return err
		}
		_, err := conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_locks
			WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = $1 AND granted`, w.lock())
		if err != nil {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// settle looks the writer's last number up. Nobody else can change it any more: this session holds the lock.
func (w *writer) settle(ctx context.Context, conn *pgx.Conn) error {
	var n, rows int64
	err := conn.QueryRow(ctx, lastEntrySQL, w.id).Scan(&n, &rows)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	switch {
	case n == w.n && rows == w.rows:
		if w.doubt != nil {
			w.cfg.Log.Info("burst: a commit without an answer did not happen", "writer", w.number, "n", w.doubt.n)
			w.vanished()
		}
		return nil
	case w.doubt != nil && n == w.doubt.n && rows == w.doubt.rowsTotal:
		w.cfg.Log.Info("burst: a commit without an answer happened", "writer", w.number, "n", n)
		w.committed()
		return nil
	default:
		return &cdc.Refusal{Name: "ledger_differs", Unsafe: true,
			Problem: fmt.Sprintf("the ledger of writer %s ends with number %d and %d rows, but %d with %d rows were committed", formatID(w.id), n, rows, w.n, w.rows),
			Remedy:  "the source was restored, lost commits, or its ledger was changed by another hand: begin a new run"}
	}
}

// stock takes ids from the tables' sequences, so that rows made by hand never clash with the writer's.
func (w *writer) stock(ctx context.Context, conn *pgx.Conn) error {
	need := w.planner.ids()
	for _, s := range []struct {
		table ledger.Table
		ids   *[]int64
	}{{ledger.Customers, &w.planner.customerIDs}, {ledger.Orders, &w.planner.orderIDs}} {
		if len(*s.ids) >= need {
			continue
		}
		rows, err := conn.Query(ctx, takeIDsSQL, s.table.String(), max(1000, 2*need))
		if err != nil {
			return err
		}
		taken, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return err
		}
		*s.ids = append(append([]int64{}, *s.ids...), taken...)
	}
	return nil
}

// maxLoad bounds what a writer remembers of tables that somebody else has filled.
const maxLoad = 500_000

// load reads the writer's share of the tables.
func (w *writer) load(ctx context.Context, conn *pgx.Conn) error {
	s := &shop{open: map[int64]int{}}
	share := []any{w.cfg.Connections, w.number, maxLoad}
	rows, err := conn.Query(ctx, loadCustomersSQL, share...)
	if err != nil {
		return err
	}
	var id int64
	if _, err := pgx.ForEachRow(rows, []any{&id}, func() error {
		s.customers.push(id)
		return nil
	}); err != nil {
		return err
	}

	rows, err = conn.Query(ctx, loadOrdersSQL, share...)
	if err != nil {
		return err
	}
	var o order
	var name string
	if _, err := pgx.ForEachRow(rows, []any{&o.id, &o.customer, &name, &o.items}, func() error {
		o.stage = stage(max(0, slices.Index(stageNames[:], name)))
		s.orders.push(o)
		s.open[o.customer]++
		return nil
	}); err != nil {
		return err
	}
	w.planner.shop = s
	return nil
}

// closeConn says goodbye, briefly. The error does not matter: the connection is of no more use.
func closeConn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelLimit)
	defer cancel()
	_ = conn.Close(ctx)
}

// newID is a random UUID, never of the seeded dice: two runs with one seed are two writers.
func newID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

func formatID(id [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
