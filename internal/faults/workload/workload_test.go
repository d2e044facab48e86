package workload

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/internal/devstack"
)

var settings = map[string]string{"max_prepared_transactions": "20", "logical_decoding_work_mem": "64kB", "deadlock_timeout": "100ms"}

// open makes a workload, with a publication of its tables and a slot.
func open(t *testing.T, p *devstack.Postgres, cfg Config) (*Workload, *pgx.Conn) {
	t.Helper()
	w, err := Open(t.Context(), p.URL(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d", w.Seed())
	conn := connect(t, p)
	exec(t, conn, "CREATE PUBLICATION live FOR TABLE "+strings.Join(w.Tables(), ", ")+" WITH (publish_via_partition_root = true)")
	exec(t, conn, "SELECT pg_create_logical_replication_slot('live', 'pgoutput')")
	return w, conn
}

func connect(t *testing.T, p *devstack.Postgres) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // nothing is lost with it
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func text(t *testing.T, conn *pgx.Conn, sql string) (s string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql).Scan(&s); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return s
}

func number(t *testing.T, conn *pgx.Conn, sql string, args ...any) (n int64) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// start runs the workload until the returned function is called.
func start(t *testing.T, w *Workload) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(cancel)
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// await polls until a condition holds of the statistics.
func await(t *testing.T, w *Workload, what string, holds func(Stats) bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(time.Minute); !holds(w.Stats()); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain until %s:\n%s", what, w.Stats())
		}
	}
}

func hasEveryKind(s Stats) bool {
	for _, k := range Kinds() {
		if s.ByKind[k] == 0 {
			return false
		}
	}
	return true
}

// The whole mix runs on a real server, over a kill -9 in its middle. Afterwards nothing is in flight, and the server's own
// decoder can read all of it.
func TestEveryKindOverACrash(t *testing.T) {
	t.Parallel()
	p := devstack.TestPostgres(t, settings)
	w, _ := open(t, p, Config{Big: 3000})
	began := time.Now()
	stop := start(t, w)
	await(t, w, "every kind is written", hasEveryKind)
	took := time.Since(began)

	if err := p.Restart(t.Context(), devstack.StopKill); err != nil {
		t.Fatal(err)
	}
	before := w.Stats()
	await(t, w, "it goes on after the crash", func(s Stats) bool {
		return s.Transactions > before.Transactions+500 && s.ByKind[Prepare] > before.ByKind[Prepare] && s.ByKind[AddColumn] > before.ByKind[AddColumn]
	})
	stop()
	if err := w.Quiesce(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("every kind within %s\n%s", took.Round(time.Millisecond), w.Stats())
	if s := w.Stats(); s.Reconnects == 0 || s.FixedRows != 505 {
		t.Errorf("%d reconnects, want some; the fixed case has %d rows, want 505", s.Reconnects, s.FixedRows)
	}

	conn := connect(t, p)
	if n := number(t, conn, "SELECT count(*) FROM pg_prepared_xacts"); n != 0 {
		t.Errorf("%d prepared transactions are left", n)
	}
	if n := number(t, conn, "SELECT count(*) FROM pg_locks WHERE relation = 'workload.general'::regclass"); n != 0 {
		t.Errorf("%d locks are left", n)
	}
	if n := number(t, conn, "SELECT count(*) FROM workload.fixed"); n != 505 {
		t.Errorf("the fixed case left %d rows, want 505", n)
	}
	// Beside these, Postgres 18 sends a stray STREAM ABORT for some subtransactions that were rolled back.
	if messages := text(t, conn, `SELECT string_agg(DISTINCT chr(get_byte(data, 0)), '')
		FROM pg_logical_slot_peek_binary_changes('live', NULL, NULL, 'proto_version', '1', 'publication_names', 'live')
		WHERE get_byte(data, 0) <> ascii('A')`); messages != "BCDIRTUY" {
		t.Errorf("the stream has the messages %s, want BCDIRTUY", messages)
	}
	if shared := number(t, conn, `SELECT count(*) FROM (SELECT lsn FROM pg_logical_slot_peek_binary_changes('live', NULL, NULL, 'proto_version', '1', 'publication_names', 'live')
		WHERE get_byte(data, 0) = ascii('I') GROUP BY lsn HAVING count(*) > 1) AS records`); shared == 0 {
		t.Error("no rows share one WAL record")
	}
	s, err := fold(t, w)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the mix brought %d adjacent pairs and %d stray stream aborts about", s.adjacent, s.aborts)
	if s.fixed != 505 || s.adjacent == 0 {
		t.Errorf("the stream has %d rows of the fixed case, want 505, and %d adjacent pairs, want some", s.fixed, s.adjacent)
	}

	if err := w.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := number(t, conn, "SELECT count(*) FROM pg_database WHERE datname LIKE '%noise%'"); n != 0 {
		t.Error("the noise database is left")
	}
}

// Two commits with nothing between them are the trap of every comparison of LSNs. They come about on a quiet server and
// beside the mix.
func TestForceAdjacent(t *testing.T) {
	t.Parallel()
	p := devstack.TestPostgres(t, settings)
	w, conn := open(t, p, Config{Rate: 300, Big: 1000})
	before := number(t, conn, "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = 'live'")
	for _, slot := range []string{"", "live"} {
		check(t, w, slot)
	}
	stop := start(t, w)
	defer stop()
	await(t, w, "the mix runs", func(s Stats) bool { return s.ByKind[Insert] > 10 })
	check(t, w, "live")
	if after := number(t, conn, "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = 'live'"); after != before {
		t.Error("the slot moved, though only a copy should be read")
	}
}

func check(t *testing.T, w *Workload, slot string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	began := time.Now()
	pairs, err := w.ForceAdjacent(ctx, slot, "live")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("slot %q: %d pairs in %s, such as %+v", slot, len(pairs), time.Since(began).Round(time.Millisecond), pairs[0])
	if pairs[0].At == 0 || pairs[0].First == pairs[0].Second || w.Stats().Adjacent == 0 {
		t.Errorf("a pair %+v, and %d counted", pairs[0], w.Stats().Adjacent)
	}
}

// A server without prepared transactions and a role without CREATEDB lack three kinds, by name, and have all others.
func TestUnavailableKinds(t *testing.T) {
	t.Parallel()
	p := devstack.TestPostgres(t)
	conn := connect(t, p)
	exec(t, conn, "CREATE ROLE small LOGIN")
	exec(t, conn, "CREATE DATABASE mine OWNER small")
	url := strings.Replace(p.URL(), "postgres@", "small@", 1)
	url = strings.Replace(url, "/postgres?", "/mine?", 1)
	w, err := Open(t.Context(), url, Config{Big: 1000, Writers: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d", w.Seed())
	stop := start(t, w)
	await(t, w, "every other kind is written", func(s Stats) bool {
		for _, k := range []Kind{Prepare, Resolve, NoiseDatabase} {
			s.ByKind[k]++
		}
		return hasEveryKind(s)
	})
	stop()
	s := w.Stats()
	if len(s.Unavailable) != 3 || s.Unavailable[Prepare] == "" || s.Unavailable[Resolve] == "" || s.Unavailable[NoiseDatabase] == "" {
		t.Errorf("unavailable are %v", s.Unavailable)
	}
	if err := w.Quiesce(t.Context()); err != nil {
		t.Error(err)
	}
}
