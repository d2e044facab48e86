package capture_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/neontest"
)

// backWithin is how soon after a source can be reached the stream goes on.
const backWithin = 5 * time.Second

// away takes the rig's source away and brings it back, at another port, and returns how long it took from when it could be
// reached until a walsender streamed. With a service file nothing listens meanwhile, else a proxy without a compute.
func (r *rig) away(mode devstack.StopMode, how time.Duration) time.Duration {
	r.t.Helper()
	if suspended, err := r.neon.Suspend(r.t.Context(), mode, true); err != nil || !suspended {
		r.t.Fatalf("the source was not stopped: %v (%v)", suspended, err)
	}
	r.neon.Leave()
	if r.service == "" {
		r.neon.Arrive()
	}
	select {
	case <-time.After(how):
	case <-r.t.Context().Done():
	}
	r.neon.Wake()
	if r.service != "" {
		r.neon.Arrive()
		r.tell()
	}
	reachable := time.Now()
	r.look()
	r.awaitSlot()
	took := time.Since(reachable)
	r.t.Logf("stopped by %s for %s, it streamed %s after it could be reached", mode, how, took.Round(time.Millisecond))
	return took
}

// tell writes into the service file where the source is now.
func (r *rig) tell() {
	r.t.Helper()
	text := fmt.Sprintf("[livedb]\nhost=localhost\nport=%d\nuser=postgres\npassword=none\nsslmode=require\nsslrootcert=%s\n", r.neon.Port(), r.neon.CA())
	next := r.service + ".next" // a reader finds the one file or the other, and never half of one
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(next, r.service); err != nil {
		r.t.Fatal(err)
	}
}

// look connects the bench anew.
func (r *rig) look() {
	r.t.Helper()
	r.conn.Close(context.Background())
	conn, err := pgx.Connect(r.t.Context(), r.config.Source.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close(context.Background()) })
	r.conn = conn
}

// newNeonRig is a rig whose source is behind an endpoint that answers only while the server runs: nothing but the test wakes it.
func newNeonRig(t *testing.T, service bool) *rig {
	t.Helper()
	server := devstack.TestPostgres(t)
	return newRig(t, server, func(r *rig) {
		r.neon = neontest.Start(t, server)
		r.neon.AsleepRefuses = true
		if service {
			r.service = filepath.Join(t.TempDir(), "pg_service.conf")
			r.tell()
		}
	})
}

// A compute that is stopped, replaced or killed under load comes back elsewhere, and the stream with it: each change is there once.
func TestAComputeComesBackElsewhere(t *testing.T) {
	t.Parallel()
	r := newNeonRig(t, false)
	for _, mode := range []devstack.StopMode{devstack.StopFast, devstack.StopImmediate, devstack.StopKill} {
		r.away(mode, time.Second)
		r.progress()
	}
	r.finish()
}

// A source that is away for long is streamed from within 5 s of being reachable, however long it was away: 5 s here, and what
// LIVEDB_TEST_AWAY says. It is found again by its name, or by a service file, which is read for every connection.
func TestLongASourceThatWasAway(t *testing.T) {
	if os.Getenv("LIVEDB_REQUIRE_LONG") == "" {
		t.Skip("set LIVEDB_REQUIRE_LONG=1 for the long tests")
	}
	how := 5 * time.Second
	if given := os.Getenv("LIVEDB_TEST_AWAY"); given != "" {
		var err error
		if how, err = time.ParseDuration(given); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]devstack.StopMode{"by its name": devstack.StopFast, "by a service file": devstack.StopKill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newNeonRig(t, mode == devstack.StopKill)
			if took := r.away(mode, how); took > backWithin {
				t.Errorf("it streamed %s after it could be reached, want within %s", took, backWithin)
			}
			r.progress()
			r.finish()
		})
	}
}

// As long as we are connected, the compute does not sleep. After we have gone it does, and the next connection wakes it: what
// was written before arrives.
func TestASleepingComputeIsWoken(t *testing.T) {
	t.Parallel()
	server := devstack.TestPostgres(t)
	b := benchOn(t, server.URL(), "livedb_asleep")
	b.exec("CREATE TABLE a (id int PRIMARY KEY)")
	e := neontest.Start(t, server)
	b.config.Source.URL, b.config.Source.Dial = e.URL(neontest.Host, "postgres", "none", "postgres"), e.Resolve
	stop := b.start()
	r := b.reader()
	b.awaitSlot()
	b.exec("INSERT INTO a VALUES (1)")
	b.expect(r, `1 c public.a null -> {"id":1}`)
	if suspended, err := e.Suspend(t.Context(), devstack.StopFast, false); err != nil || suspended {
		t.Fatalf("it sleeps under a stream: %v (%v)", suspended, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	b.exec("INSERT INTO a VALUES (2)")
	b.await("SELECT NOT EXISTS (SELECT FROM pg_stat_replication)")
	b.conn.Close(t.Context())
	if suspended, err := e.Suspend(t.Context(), devstack.StopFast, false); err != nil || !suspended {
		t.Fatalf("it does not sleep: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	running := b.run(ended)
	b.expect(r, `2 c public.a null -> {"id":2}`)
	cancel()
	if err := <-running; err != nil {
		t.Fatal(err)
	}
}

// A password is changed under the stream: until the file of passwords has it too, the source refuses us, and then we are in again.
func TestAPasswordIsChangedUnderTheStream(t *testing.T) {
	t.Parallel()
	server := devstack.TestPostgres(t)
	b := benchOn(t, server.URL(), "livedb_rotated")
	b.exec("CREATE TABLE a (id int PRIMARY KEY)", "CREATE ROLE rotated SUPERUSER LOGIN PASSWORD 'one'",
		"COPY (SELECT 'host all rotated all scram-sha-256' UNION ALL SELECT unnest(string_to_array(pg_read_file('pg_hba.conf'), E'\\n'))) TO PROGRAM 'cat > pg_hba.new; mv pg_hba.new pg_hba.conf'",
		"SELECT pg_reload_conf()")
	passwords := filepath.Join(t.TempDir(), "pgpass")
	say := func(password string) {
		if err := os.WriteFile(passwords, []byte("*:*:*:rotated:"+password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	say("one")
	b.config.Source.URL = fmt.Sprintf("postgres://rotated@127.0.0.1:%d/postgres?sslmode=disable&passfile=%s", server.Port(), passwords)
	waitsFor := b.counts()
	stop := b.start()
	r := b.reader()
	b.awaitSlot()
	b.exec("INSERT INTO a VALUES (1)")
	b.expect(r, `1 c public.a null -> {"id":1}`)
	b.exec("ALTER ROLE rotated PASSWORD 'two'", "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active", "INSERT INTO a VALUES (2)")
	waitsFor("source_login_refused", 2)
	say("two")
	b.expect(r, `2 c public.a null -> {"id":2}`)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
