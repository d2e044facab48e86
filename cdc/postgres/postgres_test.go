package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/devstack"
)

func TestMain(m *testing.M) {
	os.Exit(devstack.RunTests(m))
}

// database makes a database with what the statements make in it.
func database(t testing.TB, statements ...string) (url string, conn *pgx.Conn) {
	t.Helper()
	url = devstack.TestDatabase(t, devstack.SharedPostgres(t))
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return url, conn
}

// config names objects after the test's database, for slots are the whole server's.
func config(url string, tables ...string) postgres.Config {
	name := url[strings.LastIndex(url, "/")+1:]
	name, _, _ = strings.Cut(name, "?")
	return postgres.Config{URL: url, Slot: name, Publication: "livedb", Tables: tables}
}

func wantRefusal(t *testing.T, err error, name, says string) {
	t.Helper()
	var refusal *cdc.Refusal
	if !errors.As(err, &refusal) || refusal.Name != name || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want %s with %q", err, name, says)
	}
}

func TestPreflightRefuses(t *testing.T) {
	t.Run("a table without replica identity", func(t *testing.T) {
		url, _ := database(t, "CREATE TABLE bare (a int)", "CREATE TABLE keyed (id int PRIMARY KEY)")
		_, err := postgres.Preflight(t.Context(), config(url))
		wantRefusal(t, err, "no_replica_identity", `ALTER TABLE "public"."bare" REPLICA IDENTITY FULL`)
		if _, err := postgres.Preflight(t.Context(), config(url, "public.keyed")); err != nil {
			t.Errorf("with the keyed table alone: %v", err)
		}
	})
	t.Run("a published table without replica identity", func(t *testing.T) {
		url, _ := database(t, "CREATE TABLE bare (a int)", "CREATE PUBLICATION livedb FOR TABLE bare")
		server, err := postgres.Preflight(t.Context(), config(url))
		if err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, server.Harm, "no_replica_identity", "bare")
	})
	t.Run("a table that is not there, or not published", func(t *testing.T) {
		url, conn := database(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)")
		_, err := postgres.Preflight(t.Context(), config(url, "public.gone"))
		wantRefusal(t, err, "table_missing", "public.gone")
		if _, err := conn.Exec(t.Context(), "CREATE PUBLICATION livedb FOR TABLE a"); err != nil {
			t.Fatal(err)
		}
		_, err = postgres.Preflight(t.Context(), config(url, "public.b"))
		wantRefusal(t, err, "table_not_published", `ALTER PUBLICATION "livedb" ADD TABLE "public"."b"`)
	})
	t.Run("a role without replication", func(t *testing.T) {
		url, conn := database(t)
		role := config(url).Slot + "_role"
		if _, err := conn.Exec(t.Context(), "CREATE ROLE "+role+" LOGIN"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Exec(context.Background(), "DROP ROLE "+role) })
		c := config(strings.Replace(url, "postgres@", role+"@", 1))
		_, err := postgres.Preflight(t.Context(), c)
		wantRefusal(t, err, "role_lacks_replication", fmt.Sprintf(`ALTER ROLE "%s" WITH REPLICATION`, role))
	})
	t.Run("a slot of another kind", func(t *testing.T) {
		url, conn := database(t)
		c := config(url)
		if _, err := conn.Exec(t.Context(), "SELECT pg_create_logical_replication_slot($1, 'test_decoding')", c.Slot); err != nil {
			t.Fatal(err)
		}
		_, err := postgres.Preflight(t.Context(), c)
		wantRefusal(t, err, "slot_wrong_plugin", "test_decoding")
	})
	t.Run("a slot of another database", func(t *testing.T) {
		other, conn := database(t)
		c := config(other)
		if _, err := conn.Exec(t.Context(), "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", c.Slot); err != nil {
			t.Fatal(err)
		}
		c.URL, _ = database(t)
		_, err := postgres.Preflight(t.Context(), c)
		wantRefusal(t, err, "slot_other_database", c.Slot)
	})
	t.Run("a two-phase slot", func(t *testing.T) {
		url, conn := database(t)
		c := config(url)
		if _, err := conn.Exec(t.Context(), "SELECT pg_create_logical_replication_slot($1, 'pgoutput', false, true)", c.Slot); err != nil {
			t.Fatal(err)
		}
		_, err := postgres.Preflight(t.Context(), c)
		wantRefusal(t, err, "slot_two_phase", c.Slot)
	})
	t.Run("a database that is not there", func(t *testing.T) {
		url, _ := database(t)
		_, err := postgres.Preflight(t.Context(), config(strings.Replace(url, "test_", "gone_", 1)))
		wantRefusal(t, err, "source_database_missing", "gone_")
	})
	t.Run("wal_level replica", func(t *testing.T) {
		p := devstack.TestPostgres(t, map[string]string{"wal_level": "replica"})
		_, err := postgres.Preflight(t.Context(), config(p.URL()))
		wantRefusal(t, err, "wal_level_not_logical", "ALTER SYSTEM SET wal_level = 'logical'")
	})
}

// A role's settings must not change what the decoder reads.
func TestFixedSettingsOverruleTheRoles(t *testing.T) {
	url, conn := database(t, "CREATE TABLE t (id int PRIMARY KEY, f float8, at timestamptz, b bytea, i interval, m money)")
	role := config(url).Slot + "_role"
	for _, s := range []string{
		"CREATE ROLE " + role + " SUPERUSER LOGIN",
		"ALTER ROLE " + role + " SET datestyle = 'German'", "ALTER ROLE " + role + " SET timezone = 'Asia/Tokyo'",
		"ALTER ROLE " + role + " SET extra_float_digits = 0", "ALTER ROLE " + role + " SET bytea_output = 'escape'",
		"ALTER ROLE " + role + " SET intervalstyle = 'iso_8601'", "ALTER ROLE " + role + " SET client_min_messages = 'error'",
	} {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	t.Cleanup(func() { conn.Exec(context.Background(), "DROP ROLE "+role) })
	c := config(strings.Replace(url, "postgres@", role+"@", 1), "public.t")

	got := record(t, c, func() {
		if _, err := conn.Exec(t.Context(), `INSERT INTO t VALUES (1, 0.1::float8 + 0.2::float8, '2026-11-22 10:00:00.5+02', '\x00ff', '1 day 02:00', '-1234.5')`); err != nil {
			t.Fatal(err)
		}
	})
	want := []string{"begin", `c public.t 1 0.30000000000000004 2026-11-22 08:00:00.5+00 \x00ff 1 day 02:00:00 -$1,234.50`, "commit"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stream (-want +got):\n%s", diff)
	}
}

func TestLeadIsHeldByOneConnectionAtATime(t *testing.T) {
	url, _ := database(t)
	c := config(url)
	first, err := postgres.Dial(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Lead(t.Context(), func() { t.Error("the first waits") }); err != nil {
		t.Fatal(err)
	}
	second, err := postgres.Dial(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	waiting, led := make(chan struct{}), make(chan error, 1)
	go func() { led <- second.Lead(t.Context(), func() { close(waiting) }) }()
	<-waiting
	first.Close()
	if err := <-led; err != nil {
		t.Fatal(err)
	}
}

func TestKeyIsThePrimaryKeyUnderFullIdentity(t *testing.T) {
	url, _ := database(t, "CREATE TABLE t (a int, b int, c text, PRIMARY KEY (c, a))", "ALTER TABLE t REPLICA IDENTITY FULL")
	s, err := postgres.Preflight(t.Context(), config(url))
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := postgres.OpenCatalog(t.Context(), config(url))
	if err != nil {
		t.Fatal(err)
	}
	defer catalog.Close(context.Background())
	key, err := catalog.Key(t.Context(), &cdc.Table{OID: s.Wanted[0].OID, Identity: cdc.IdentityFull})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"c", "a"}, key); diff != "" {
		t.Errorf("key (-want +got):\n%s", diff)
	}
}

// A fast shutdown waits until the client has acknowledged everything sent.
func TestFastShutdownEndsWhileTheStreamIsOpen(t *testing.T) {
	p := devstack.TestPostgres(t)
	c := config(p.URL())
	c.Slot = "shutdown"
	conn, h := open(t, c)
	defer conn.Close()
	ran := make(chan error, 1)
	go func() { ran <- h.stream.Run(t.Context(), h) }()

	plain, err := pgx.Connect(t.Context(), p.URL())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 1000)"} {
		if _, err := plain.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	plain.Close(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := p.Restart(ctx, devstack.StopFast); err != nil {
		t.Fatal(err)
	}
	if err := <-ran; err == nil {
		t.Error("the stream went on over a restart of the server")
	}
}

// A stream that waited does not take the time at which it began to for that of what comes.
func TestTheClockOfWhatEndsAWait(t *testing.T) {
	url, admin := database(t, "CREATE TABLE clocked (id int PRIMARY KEY)")
	conn, h := open(t, config(url))
	defer conn.Close()
	h.ticked = make(chan struct{}, 1)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- h.stream.Run(ctx, h) }()
	select {
	case <-h.ticked:
	case err := <-ran:
		t.Fatalf("the stream ended: %v", err)
	}
	if _, err := admin.Exec(t.Context(), "INSERT INTO clocked VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-h.committed:
		stop()
	case <-ctx.Done():
		t.Error("the transaction never came")
	}
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	if h.early > 0 {
		t.Errorf("the stream's clock had a transaction read %v before its commit", h.early)
	}
}

// open begins a stream at a new slot.
func open(t *testing.T, c postgres.Config) (*postgres.Conn, *recorder) {
	t.Helper()
	s, err := postgres.Preflight(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if s.Publication == nil {
		if err := postgres.CreatePublication(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := postgres.Dial(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	from, err := conn.CreateSlot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := conn.Start(t.Context(), from, postgres.StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return conn, &recorder{stream: stream, durable: cdc.LSN(from), committed: make(chan struct{}, 100)}
}

// record returns what the stream tells of a deed that commits once.
func record(t *testing.T, c postgres.Config, deed func()) []string {
	t.Helper()
	conn, h := open(t, c)
	defer conn.Close()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- h.stream.Run(ctx, h) }()
	deed()
	select {
	case <-h.committed:
		stop()
	case <-ctx.Done():
	}
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	return h.told
}

// recorder is a handler that writes down what it is told and calls it durable at once.
type recorder struct {
	stream    *postgres.Stream
	told      []string
	durable   cdc.LSN
	open      bool
	committed chan struct{}
	ticked    chan struct{} // if not nil, has a token once the clock has been asked in vain
	early     time.Duration // how long before its commit the last transaction was read, if it was
}

func (r *recorder) Begin(tx cdc.Transaction) error {
	r.told, r.open = append(r.told, "begin"), true
	r.early = max(0, tx.Time.Sub(r.stream.Now()))
	return nil
}

func (r *recorder) Change(c *cdc.Change) error {
	line := c.Op.String() + " " + c.Table.String()
	for _, v := range c.New {
		line += " " + string(v.Text)
	}
	r.told = append(r.told, line)
	return nil
}

func (r *recorder) Truncate(cdc.LSN, []*cdc.Table) error { return nil }

func (r *recorder) Commit(tx cdc.Transaction) error {
	r.told, r.open, r.durable = append(r.told, "commit"), false, cdc.LSN(tx.End)
	r.committed <- struct{}{}
	return nil
}

func (r *recorder) Quiet(lsn cdc.LSN, wanted bool) error {
	if !r.open {
		r.durable = max(r.durable, lsn)
	}
	return nil
}

func (r *recorder) Tick(time.Time) error {
	select {
	case r.ticked <- struct{}{}:
	default:
	}
	return nil
}

func (r *recorder) Alarm() time.Time      { return time.Now().Add(time.Second) }
func (r *recorder) Full() <-chan struct{} { return nil }
func (r *recorder) Durable() cdc.LSN      { return r.durable }
