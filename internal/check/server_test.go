package check_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/check"
	"github.com/livedb/livedb/internal/devstack"
)

// A server that is set up for nothing is told all of it at once; the lines are run, it is restarted, and all is well. Then
// it plays Neon: its settings say so.
func TestFindingsOfAServerAreMendedByTheirSQL(t *testing.T) {
	t.Parallel()
	server := devstack.TestPostgres(t, map[string]string{"wal_level": "replica", "max_replication_slots": "2", "max_wal_senders": "1",
		"max_prepared_transactions": "3", "max_slot_wal_keep_size": "-1"})
	r := rigOn(t, server.URL(), "CREATE TABLE a (id int PRIMARY KEY)", "BEGIN", "INSERT INTO a VALUES (1)", "PREPARE TRANSACTION 'it''s two'")
	var found []check.Finding
	for _, c := range []provoked{
		{slug: "wal_level_not_logical"}, {slug: "slots_exhausted"}, {slug: "wal_senders_exhausted"}, {slug: "slot_retention_unbounded"},
		{slug: "prepared_transactions_used", object: "it's two"},
	} {
		found = append(found, r.has(c.slug, c.object))
	}
	if name := refusalOf(capture.Preflight(t.Context(), r.config.Stream)); name != "wal_level_not_logical" {
		t.Errorf("the start refuses with %q", name)
	}
	for _, f := range found {
		r.mend(f)
	}
	r.restart(server, "neon.timeline_id = 'aaaa'", "neon.logical_replication_max_snap_files = 4", "max_wal_senders = 5")
	for _, f := range found {
		r.gone(f.Slug, f.Object)
	}

	playsNeon(t, r)
	losesWAL(t, r)
}

// restart restarts the server with further lines in its configuration, and connects anew.
func (r *rig) restart(server *devstack.Postgres, lines ...string) {
	r.t.Helper()
	err := server.Restart(r.t.Context(), devstack.StopFast, func() error {
		file, err := os.OpenFile(filepath.Join(server.DataDir(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = fmt.Fprintln(file, strings.Join(lines, "\n"))
		return err
	})
	if err == nil {
		r.admin, err = pgx.Connect(r.t.Context(), server.URL())
	}
	if err != nil {
		r.t.Fatal(err)
	}
	conn := r.admin
	r.t.Cleanup(func() { conn.Close(context.Background()) })
}

// playsNeon holds the findings that a setting of Neon's brings: here it is a plain server that is named by its address.
func playsNeon(t *testing.T, r *rig) {
	r.has("neon_keeps_awake", "")
	address := r.has("neon_host_address", "")
	direct := r.config.Stream.Source.URL
	r.config.Stream.Source.URL = strings.Replace(direct, "127.0.0.1", "localhost", 1)
	r.gone(address.Slug, "")
	r.config.Stream.Source.URL = direct

	// The snapshot files are read as the role that checks, which needs a right for it.
	r.exec("CREATE ROLE nobody_special LOGIN REPLICATION")
	r.config.Stream.Source.URL = strings.Replace(direct, "postgres@", "nobody_special@", 1)
	unreadable := r.has("stale", "the snapshot files, after which Neon removes slots")
	r.mend(unreadable)
	r.gone(unreadable.Slug, unreadable.Object)
	r.config.Stream.Source.URL = direct

	// The replay slot grows old while another one is read: each checkpoint writes a position where a snapshot may be saved.
	r.exec("SELECT pg_create_logical_replication_slot('$_replay', 'pgoutput')", "SELECT pg_create_logical_replication_slot('reader', 'pgoutput')", "CREATE PUBLICATION livedb FOR TABLE a")
	for i := range 4 {
		r.exec(fmt.Sprintf("INSERT INTO a VALUES (%d)", 10+i), "CHECKPOINT", fmt.Sprintf("INSERT INTO a VALUES (%d)", 20+i), "CHECKPOINT",
			"SELECT count(*) FROM pg_logical_slot_get_binary_changes('reader', NULL, NULL, 'proto_version', '1', 'publication_names', 'livedb')")
	}
	old := r.has("neon_slot_expiry", "slot $_replay")
	if !strings.Contains(old.Summary, "of 4 snapshot files") {
		t.Errorf("the limit is not the server's: %s", old.Summary)
	}
	r.mend(old)
	r.gone(old.Slug, old.Object)
	r.exec("SELECT pg_drop_replication_slot('reader')")
}

// losesWAL brings a slot near the end of the WAL that is kept for it, and beyond.
func losesWAL(t *testing.T, r *rig) {
	// The rule's SQL is not given on Neon, whose settings are not ours.
	r.exec("ALTER SYSTEM SET max_slot_wal_keep_size = '96MB'", "SELECT pg_reload_conf()", "SELECT pg_create_logical_replication_slot('$', 'pgoutput')")
	f := r.fill("safe_wal_low", 8)
	if f.SQL != "" {
		t.Errorf("on Neon nobody may run %s", f.SQL)
	}
	r.exec("ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'", "SELECT pg_reload_conf()")
	lost := r.fill("slot_wal_lost", 12)
	if lost.Severity != check.Critical {
		t.Errorf("%+v", lost)
	}
	server, err := postgres.Preflight(t.Context(), r.config.Stream.Source)
	if err != nil {
		t.Fatal(err)
	}
	if name := refusalOf(server.Slot.CheckWAL()); name != lost.Slug { // as the start does that has read the checkpoint
		t.Errorf("the start refuses with %q", name)
	}
	r.exec("SELECT pg_drop_replication_slot('$')")
	r.gone(lost.Slug, lost.Object)
}

// fill writes segments of WAL until the check finds this.
func (r *rig) fill(slug string, most int) check.Finding {
	r.t.Helper()
	for range most {
		r.exec("SELECT pg_logical_emit_message(false, 'test', 'x')", "SELECT pg_switch_wal()", "CHECKPOINT")
		if f := find(r.run(), slug, "slot "+r.name); f != nil {
			told(r.t, *f)
			return *f
		}
	}
	r.t.Fatalf("no %s after %d segments", slug, most)
	return check.Finding{}
}

// On a plain server the limit can be raised.
func TestALowLimitIsRaisedByItsSQL(t *testing.T) {
	t.Parallel()
	server := devstack.TestPostgres(t, map[string]string{"max_slot_wal_keep_size": "96MB"})
	r := rigOn(t, server.URL(), "SELECT pg_create_logical_replication_slot('$', 'pgoutput')")
	f := r.fill("safe_wal_low", 8)
	r.mend(f)
	r.gone(f.Slug, f.Object)

	signal := filepath.Join(server.DataDir(), "standby.signal") // it has nobody to follow, and waits for ever
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.restart(server)
	replica := r.has("source_is_replica", "")
	if name := refusalOf(capture.Preflight(t.Context(), r.config.Stream)); name != replica.Slug {
		t.Errorf("the start refuses with %q", name)
	}
	r.exec("SELECT pg_promote()")
	r.gone(replica.Slug, replica.Object)
}

// What keeps us from the source is named, with the corrected host where a pooler is asked.
func TestFindingsBeforeAnythingIsRead(t *testing.T) {
	t.Parallel()
	quota := refuses(t, "53000", "Your account or project has exceeded the compute time quota. Upgrade your plan to increase limits.")
	busy := refuses(t, "53300", "number of requested standby connections exceeds max_wal_senders (currently 1)")
	for _, c := range []struct{ slug, url, says string }{
		{"pooled_endpoint", "postgres://u:hidden@ep-a-pooler.eu.neon.tech/db", "ep-a.eu.neon.tech"},
		{"source_tls_required", "postgres://u:hidden@ep-a.eu.neon.tech/db?sslmode=disable", "sslmode=disable"},
		{"source_malformed", "postgres://u:hidden@host:port/db", "postgres://user:password@host:5432/database"},
		{"source_unreachable", "postgres://u:hidden@" + closed(t) + "/db?sslmode=disable", "--source"},
		{"source_quota_exceeded", "postgres://u:hidden@" + quota + "/db?sslmode=disable", "limits"},
		{"wal_senders_exhausted", "postgres://u:hidden@" + busy + "/db?sslmode=disable", "max_wal_senders"},
	} {
		report := check.Run(t.Context(), check.Config{Stream: capture.Config{Prefix: "p", Partitions: 1, Source: postgres.Config{URL: c.url, Slot: "s"}}})
		f := find(report, c.slug, "")
		if f == nil {
			t.Errorf("no %s among %q", c.slug, slugs(report))
			continue
		}
		told(t, *f)
		if !strings.Contains(f.Summary+f.Remedy, c.says) || strings.Contains(fmt.Sprint(report), "hidden") {
			t.Errorf("%s says %+v", c.slug, *f)
		}
		if !report.Bad() || report.Stale != report.Checks {
			t.Errorf("%s: %d of %d checks could not be made", c.slug, report.Stale, report.Checks)
		}
	}
}

// closed is an address where nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// refuses is a server that lets nobody in.
func refuses(t *testing.T, code, message string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			backend := pgproto3.NewBackend(conn, conn)
			if _, err := backend.ReceiveStartupMessage(); err == nil {
				backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: code, Message: message})
				backend.Flush() // the client may be gone already
			}
			conn.Close()
		}
	}()
	return l.Addr().String()
}

// A source that does not answer is a finding, in time.
func TestACheckEndsInTime(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // nobody accepts: the kernel does
	began := time.Now()
	report := check.Run(t.Context(), check.Config{Limit: 200 * time.Millisecond, Stream: capture.Config{Prefix: "p", Partitions: 1,
		Source: postgres.Config{URL: "postgres://u@" + l.Addr().String() + "/db?sslmode=disable", Slot: "s"}}})
	if f := find(report, "source_unreachable", ""); f == nil || time.Since(began) > 5*time.Second {
		t.Errorf("after %s: %q", time.Since(began), slugs(report))
	}
}
