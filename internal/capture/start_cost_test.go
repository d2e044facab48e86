package capture_test

import (
	"os"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/devstack"
)

// What a replay window costs at a start: the last commit is looked for from the window's beginning. It prints the figures of
// docs/slots.md; running transactions are logged every 32 MB, as they are every 15 seconds at 2 MB/s.
func TestLongWhatTheWindowCostsAtAStart(t *testing.T) {
	sizes := []int64{8}
	switch {
	case os.Getenv("LIVEDB_TEST_DISK") == "full":
		sizes = []int64{64, 512}
	case os.Getenv("LIVEDB_REQUIRE_LONG") == "":
		t.Skip("takes some seconds or, with LIVEDB_TEST_DISK=full, a minute: set LIVEDB_REQUIRE_LONG=1")
	}
	const step = 32 << 20
	p := devstack.TestPostgres(t, map[string]string{"max_slot_wal_keep_size": "-1", "checkpoint_timeout": "5min", "max_wal_size": "4GB"})
	b := benchOn(t, p.URL(), "cost")
	b.exec("CREATE TABLE a (id serial PRIMARY KEY, v text)", "CREATE TABLE noise (id serial PRIMARY KEY, v text)", "CREATE PUBLICATION livedb FOR TABLE a")
	lsn := func(expression string) (n int64) {
		t.Helper()
		if err := b.conn.QueryRow(t.Context(), "SELECT ("+expression+" - '0/0')::bigint").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, kind := range []struct{ name, write string }{
		{"small transactions", `DO $$ BEGIN FOR i IN 1..2000 LOOP
			INSERT INTO noise (v) VALUES (repeat(md5(i::text), 5)); INSERT INTO a (v) VALUES ('x'); COMMIT; END LOOP; END $$`},
		{"large transactions", "INSERT INTO noise (v) SELECT repeat(md5(i::text), 5) FROM generate_series(1, 20000) i"},
	} {
		for _, size := range sizes {
			b.exec("SELECT pg_create_logical_replication_slot('cost_replay', 'pgoutput')")
			first := lsn("pg_current_wal_lsn()")
			for logged := first; lsn("pg_current_wal_insert_lsn()")-first < size<<20; {
				if b.exec(kind.write); lsn("pg_current_wal_insert_lsn()")-logged > step {
					logged += step
					b.exec("CHECKPOINT")
				}
			}
			last := lsn("pg_current_wal_lsn()")
			b.exec("INSERT INTO a (v) VALUES ('last')")
			began := time.Now()
			seen, err := postgres.Witness(t.Context(), b.config.Source, cdc.CommitLSN(last))
			if took := time.Since(began); err != nil || int64(seen.Commit) < last {
				t.Errorf("after %s it saw %s: %v", cdc.LSN(last), seen.Commit, err)
			} else {
				t.Logf("| %s | %d MB | %.1f s |", kind.name, size, took.Seconds())
			}
			b.exec("SELECT pg_drop_replication_slot('cost_replay')")
		}
	}
}
