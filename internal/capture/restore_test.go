package capture_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/internal/devstack"
)

// restart stops the bench's own server, does something to its data folder and starts it again.
func (b *bench) restart(p *devstack.Postgres, mode devstack.StopMode, meanwhile func() error) {
	b.t.Helper()
	b.conn.Close(context.Background())
	if err := p.Restart(b.t.Context(), mode, meanwhile); err != nil {
		b.t.Fatal(err)
	}
	conn, err := pgx.Connect(b.t.Context(), p.URL())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close(context.Background()) })
	b.conn = conn
}

// A source that was restored from an older copy stops the stream: its WAL ends before what was delivered. Written to again
// beyond that point, it looks like the source that the stream knows, with the same identity and a slot that is not ahead;
// only the last delivered transaction, decoded once more, tells that this is another history.
func TestARestoredSourceStopsTheStream(t *testing.T) {
	t.Parallel()
	p := devstack.TestPostgres(t)
	b := benchOn(t, p.URL(), "livedb_restored")
	begun(t, b)
	data, backup := p.DataDir(), t.TempDir()
	b.restart(p, devstack.StopFast, func() error { return exec.Command("cp", "-a", data+"/.", backup).Run() })

	stop := b.start()
	r := b.reader()
	for range 6 {
		b.read(r)
	}
	b.awaitSlot()
	// A segment apart: the older copy writes some WAL of its own when it starts.
	b.exec("SELECT pg_switch_wal()", "INSERT INTO a VALUES (100, 'this history')")
	b.expect(r, `7 c public.a null -> {"id":100,"v":"this history"}`)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	b.awaitNoSlot()

	b.restart(p, devstack.StopImmediate, func() error {
		if err := os.RemoveAll(data); err != nil {
			return err
		}
		return exec.Command("cp", "-a", backup, data).Run()
	})
	b.refused("checkpoint_ahead_of_wal")

	b.exec("INSERT INTO a SELECT i, 'another history' FROM generate_series(200, 2000) i", "SELECT pg_switch_wal()",
		"INSERT INTO a VALUES (2500, 'another history')", "SELECT pg_switch_wal()", "INSERT INTO a VALUES (3000, 'still another')")
	b.refused("source_rewritten")

	// Without the replay slot nobody can tell: the documentation says so.
	b.exec("SELECT pg_drop_replication_slot('livedb_restored_replay')")
	stop = b.start()
	b.awaitSlot()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// The replay slot is made with the stream, keeps the last delivered commit decodable and never holds more than it should;
// without it the stream goes on, and makes it again.
func TestTheReplaySlotFollowsTheStream(t *testing.T) {
	t.Parallel()
	b := begun(t, newBench(t))
	replay := b.config.Source.Slot + "_replay"
	b.await("SELECT EXISTS (SELECT FROM pg_replication_slots l JOIN pg_replication_slots r ON r.slot_name = '" + replay + "' WHERE l.slot_name = '" + b.config.Source.Slot + "' AND r.confirmed_flush_lsn <= l.confirmed_flush_lsn)")
	b.exec("SELECT pg_drop_replication_slot('" + replay + "')")
	stop := b.start()
	b.awaitSlot()
	b.await("SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '" + replay + "')")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// A source that was promoted with the slots of its data folder, as a copy is, and not with slots that were kept in step with a
// primary's, stops the stream: nobody knows whether they hold everything.
func TestAPromotedCopyStopsTheStream(t *testing.T) {
	t.Parallel()
	p := devstack.TestPostgres(t)
	b := benchOn(t, p.URL(), "livedb_promoted")
	begun(t, b)
	b.exec("COPY (SELECT WHERE false) TO '" + filepath.Join(p.DataDir(), "standby.signal") + "'")
	b.restart(p, devstack.StopFast, func() error { return nil })
	b.exec("SELECT pg_promote(true, 60)")
	b.refused("slot_not_synced")
	b.exec("SELECT pg_drop_replication_slot('livedb_promoted')")
	b.refused("slot_missing")
}
