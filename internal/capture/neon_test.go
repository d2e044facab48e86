package capture_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/devstack"
	. "github.com/livedb/livedb/internal/faults/network"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/neontest"
	"github.com/livedb/livedb/internal/status"
)

// docs/neon.md tells which test holds which of Neon's rules. Here are those that take a whole role.

// throughNeon has the bench's role find its database behind an endpoint, as the superuser. The bench itself looks at the server
// directly.
func throughNeon(b *bench) *neontest.Endpoint {
	b.t.Helper()
	e := neontest.Start(b.t, devstack.SharedPostgres(b.t))
	b.config.Source.URL, b.config.Source.Dial = e.URL(neontest.Host, "postgres", "none", b.config.Source.Slot), e.Resolve
	return e
}

// counts has the role count, and returns what waits until it has started again so often for a reason.
func (b *bench) counts() (waitsFor func(reason string, times float64)) {
	b.config.Metrics = metrics.NewCDC(prometheus.NewRegistry())
	return func(reason string, times float64) {
		b.t.Helper()
		counter := b.config.Metrics.Reconnects.WithLabelValues(reason)
		for deadline := time.Now().Add(patience); testutil.ToFloat64(counter) < times; <-time.After(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				b.t.Fatalf("it did not start again %v times for %s", times, reason)
			}
		}
	}
}

// ends waits for a role that stops by itself, and returns its refusal.
func ends(t *testing.T, ended <-chan error) *cdc.Refusal {
	t.Helper()
	select {
	case err := <-ended:
		var refusal *cdc.Refusal
		if !errors.As(err, &refusal) {
			t.Fatalf("it ended with %v, which is no refusal", err)
		}
		return refusal
	case <-time.After(patience):
		t.Fatal("it did not end")
		return nil
	}
}

// What cannot work is said by name at once, without a storm of connections, and nothing is made.
func TestNeonSaysWhatCannotWork(t *testing.T) {
	t.Parallel()
	answers := func(text string) func(*bench, *neontest.Endpoint) {
		return func(_ *bench, e *neontest.Endpoint) { e.Answer(text) }
	}
	at := func(host string) func(*bench, *neontest.Endpoint) {
		return func(b *bench, e *neontest.Endpoint) {
			b.config.Source.URL = e.URL(host, "postgres", "none", b.config.Source.Slot)
		}
	}
	clear := func(host string) func(*bench, *neontest.Endpoint) {
		return func(b *bench, _ *neontest.Endpoint) {
			b.config.Source.URL = "postgres://postgres@" + host + "/" + b.config.Source.Slot + "?sslmode=disable"
		}
	}
	pooled := func(p neontest.Pool) func(*bench, *neontest.Endpoint) {
		return func(_ *bench, e *neontest.Endpoint) { e.Pool = p }
	}
	whole := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)")
	for _, c := range []struct {
		name     string
		wrong    func(*bench, *neontest.Endpoint)
		refusal  string
		says     string
		startups int // at most
	}{
		{"the pooler's name", at(neontest.PooledHost), "pooled_endpoint", "use the direct host " + neontest.Host, 0},
		{"a pooler that refuses to replicate", pooled(neontest.PoolRefuses), "pooled_endpoint", "unsupported startup parameter: replication", 3},
		{"a pooler that replicates for nobody", pooled(neontest.PoolIgnores), "pooled_endpoint", `syntax error at or near "IDENTIFY_SYSTEM"`, 3},
		{"no TLS", clear(neontest.Host), "source_tls_required", "sslmode=disable", 0},
		{"no TLS under another name", clear("db.example.com"), "source_tls_required", "sslmode=disable", 1},
		{"an address", at("203.0.113.7"), "source_certificate_other_host", "203.0.113.7", 0},
		{"an address, without a look at the name", at("127.0.0.1"), "source_name_required", "ep-cool-name-123", 1},
		{"another name", at("ep-other-456.eu-central-1.aws.neon.tech"), "source_certificate_other_host", "ep-other-456", 0},
		{"compute time", answers("Your account or project has exceeded the compute time quota. Upgrade your plan to increase limits."), "source_quota_exceeded", "raise the plan's limits", 1},
		{"a list of addresses", answers("This IP address 203.0.113.7 is not allowed to connect to this endpoint."), "source_address_refused", "IP Allow list", 1},
		{"a disabled endpoint", answers("Control plane request failed: endpoint is disabled"), "source_endpoint_missing", "console", 1},
		{"a wrong password", answers("password authentication failed for user 'postgres'"), "source_login_refused", "password of --source", 1},
	} {
		t.Run(c.name, func(t *testing.T) { // one after the other: since none makes anything, they have one database
			b := &bench{t, whole.conn, whole.config}
			e := throughNeon(b)
			c.wrong(b, e)
			refusal := ends(t, b.run(t.Context()))
			if refusal.Name != c.refusal || !strings.Contains(refusal.Error(), c.says) {
				t.Errorf("%v, want %s with %q", refusal, c.refusal, c.says)
			}
			if n := e.Startups(); n > c.startups {
				t.Errorf("%d connections, want %d at most", n, c.startups)
			}
			b.await("SELECT NOT EXISTS (SELECT FROM pg_publication) AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE database = current_database())")
		})
	}
}

// The proxy drops what it does not know of a startup, here even the options; what the role's own settings make of the values then
// does not arrive in Kafka.
func TestDroppedStartupParametersDoNotMatter(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY, t timestamptz, f float8, i interval, b bytea)")
	role := b.config.Source.Slot + "_german"
	b.exec("CREATE ROLE " + role + " LOGIN SUPERUSER")
	t.Cleanup(func() { b.conn.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	for _, set := range []string{"datestyle = 'German'", "timezone = 'Asia/Kolkata'", "extra_float_digits = 0", "intervalstyle = 'sql_standard'",
		"bytea_output = 'escape'", "search_path = ''", "wal_sender_timeout = '10s'"} {
		b.exec("ALTER ROLE " + role + " SET " + set)
	}
	e := throughNeon(b)
	e.DropOptions = true
	b.config.Source.URL = e.URL(neontest.Host, role, "none", b.config.Source.Slot)
	stop := b.start()
	r := b.reader()
	b.awaitSlot()
	b.exec(`INSERT INTO a VALUES (1, '2024-02-03 04:05:06.789+00', 0.1 + 0.2::float8, '1 day 02:03:04', '\x00ff')`)
	b.expect(r, `1 c public.a null -> {"id":1,"t":"2024-02-03T04:05:06.789000Z","f":0.30000000000000004,"i":"P1DT2H3M4S","b":"AP8="}`)
	b.await("SELECT application_name = 'livedb/" + b.config.Source.Slot + "' FROM pg_stat_replication JOIN pg_replication_slots ON active_pid = pid WHERE slot_name = '" + b.config.Source.Slot + "'")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// A walsender that does not get its WAL says so and ends; nothing is lost by it, and the reason is counted.
func TestADonorThatLags(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)")
	e := throughNeon(b)
	waitsFor := b.counts()
	stop := b.start()
	r := b.reader()
	for i := 1; i <= 3; i++ {
		b.awaitSlot()
		b.exec(fmt.Sprintf("INSERT INTO a VALUES (%d)", i))
		b.expect(r, fmt.Sprintf(`%d c public.a null -> {"id":%d}`, i, i))
		for e.Tell("XX000", "closing remote connection: requested WAL up to 0/2000000, but current donor safekeeper-1 has only up to 0/1FFFFF8") == 0 {
			b.awaitSlot()
		}
		b.await("SELECT NOT active FROM pg_replication_slots WHERE slot_name = '" + b.config.Source.Slot + "'")
	}
	b.awaitSlot()
	waitsFor("source_wal_unavailable", 3)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// A quota that runs out under the stream ends it by name; what was acknowledged is in Kafka, and after a person has acted the
// stream goes on where it was.
func TestAQuotaRunsOutUnderTheStream(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)")
	e := throughNeon(b)
	ended := b.run(t.Context())
	r := b.reader()
	b.awaitSlot()
	b.exec("INSERT INTO a VALUES (1)")
	b.expect(r, `1 c public.a null -> {"id":1}`)

	before := e.Startups()
	e.Answer("Your project has exceeded the data transfer quota. Upgrade your plan to increase limits.")
	e.Cut()
	if refusal := ends(t, ended); refusal.Name != "source_quota_exceeded" {
		t.Errorf("it ended with %v", refusal)
	}
	if n := e.Startups() - before; n > 2 {
		t.Errorf("%d connections after the quota ran out", n)
	}
	b.exec("INSERT INTO a VALUES (2)")
	e.Answer("")
	stop := b.start()
	b.expect(r, `2 c public.a null -> {"id":2}`)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// A refusal that a person mends while the stream is to go on, such as a list of addresses that is being changed, is waited out.
func TestWhatAPersonMendsIsWaitedOut(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)")
	e := throughNeon(b)
	waitsFor := b.counts()
	stop := b.start()
	r := b.reader()
	b.awaitSlot()
	b.exec("INSERT INTO a VALUES (1)")
	b.expect(r, `1 c public.a null -> {"id":1}`)
	e.Answer("This IP address 203.0.113.7 is not allowed to connect to this endpoint. Please add it to the allowed list in the Neon console.")
	e.Cut()
	b.exec("INSERT INTO a VALUES (2)")
	waitsFor("source_address_refused", 2)
	e.Answer("")
	b.expect(r, `2 c public.a null -> {"id":2}`)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// A restored or another branch behind the same name has another timeline of Neon's, though Postgres' own is the same.
func TestAnotherNeonTimelineStopsTheStream(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	set := func(timeline string) {
		b.exec("ALTER DATABASE " + b.config.Source.Slot + " SET neon.timeline_id = '" + timeline + "'")
	}
	set("aaaa")
	begun(t, b)
	set("bbbb")
	b.refused("neon_timeline_changed")
	set("aaaa")
	stop := b.start()
	b.awaitSlot()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// Neon's worker ends the walsender and drops the slot at once. The stream ends by name, whichever it notices first, and makes no
// slot anew; what was acknowledged stands.
func TestASlotDroppedUnderTheStreamStopsIt(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)")
	ended := b.run(t.Context())
	r := b.reader()
	b.awaitSlot()
	b.exec("INSERT INTO a VALUES (1)")
	b.expect(r, `1 c public.a null -> {"id":1}`)
	slot := b.config.Source.Slot
	for dropped := false; !dropped; { // it races with the reconnect
		b.exec("SELECT pg_terminate_backend(active_pid, 1000) FROM pg_replication_slots WHERE slot_name = '" + slot + "' AND active")
		_, err := b.conn.Exec(t.Context(), "SELECT pg_drop_replication_slot('"+slot+"')")
		dropped = err == nil
	}
	b.exec("INSERT INTO a VALUES (2)")
	if refusal := ends(t, ended); !refusal.Unsafe || !strings.Contains(refusal.Problem, slot) {
		t.Errorf("it ended with %v", refusal)
	}
	b.await("SELECT NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '" + slot + "')")
	b.refused("slot_missing")
}

// The server's bytes are late by more than wal_sender_timeout, then slow, and the limits of time that the database sets for its
// connections are shorter still: the walsender lives on, for our statuses come, and no second one takes its place.
func TestWALThatComesLate(t *testing.T) {
	t.Parallel()
	r := newRig(t, devstack.SharedPostgres(t), func(r *rig) {
		limits := []string{"idle_in_transaction_session_timeout", "idle_session_timeout", "statement_timeout"}
		var since17 bool
		if err := r.conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'transaction_timeout')").Scan(&since17); err != nil {
			t.Fatal(err)
		}
		if since17 {
			limits = append(limits, "transaction_timeout")
		}
		r.exec("CREATE TABLE bulk (id int PRIMARY KEY, v text)")
		for _, limit := range limits {
			r.exec("ALTER DATABASE " + r.config.Source.Slot + " SET " + limit + " = '1s'")
		}
	})
	walsender := r.slot("active_pid")
	late, cancel := context.WithTimeout(t.Context(), senderTimeout+2*time.Second)
	defer cancel()
	ours := Of(r.config.Source.Slot, Type(XLogData))
	held := r.postgres.Inject(Fault{Match: ours, Action: Hold, Until: late.Done()})
	r.happen("the late WAL", held.Fired())
	<-late.Done()
	r.progress()
	slow := r.postgres.Inject(Fault{Match: ours, Action: Slow, Rate: 4000})
	r.happen("the slow WAL", slow.Fired())
	r.stopLoad()                                                                                   // which would take its time on this way
	r.exec("INSERT INTO bulk SELECT i, repeat(md5(i::text), 250) FROM generate_series(1, 1500) i") // 12 MB, for some seconds
	before := r.committed()[1]
	r.stopLoad = r.write()
	t.Cleanup(r.stopLoad)
	r.await(counted(before + 2)) // so that what progress waits for is behind it
	r.stopLoad()
	r.progress()
	if now := r.slot("active_pid"); now != walsender {
		t.Errorf("the walsender is %s, and was %s", now, walsender)
	}
	r.finish()
}

// Of Neon's ten slots one is its own, and the others may be taken. A stream that runs does not need another; a new one is refused by
// name; one that starts again waits for the slot of its witness, seldom asking, and says so.
func TestNeonsTenSlots(t *testing.T) {
	t.Parallel()
	server := devstack.TestPostgres(t, map[string]string{"max_replication_slots": "10", "max_wal_senders": "10"})
	b := benchOn(t, server.URL(), "livedb_ten")
	b.exec("CREATE TABLE a (id int PRIMARY KEY)", "SELECT pg_create_physical_replication_slot('wal_proposer_slot')")
	waitsFor := b.counts()
	stop := b.start()
	r := b.reader()
	b.awaitSlot()
	b.exec("INSERT INTO a VALUES (1)")
	b.expect(r, `1 c public.a null -> {"id":1}`)
	b.await("SELECT count(*) = 3 FROM pg_replication_slots") // ours, and the one that lags behind
	b.exec("SELECT pg_create_physical_replication_slot('taken_' || i) FROM generate_series(1, 7) i", "INSERT INTO a VALUES (2)")
	b.expect(r, `2 c public.a null -> {"id":2}`)

	second := b.config
	second.Prefix, second.Source.Slot, second.Metrics = "another", "another", metrics.NewCDC(prometheus.NewRegistry())
	second.Status = status.NewBoard("second").Role("cdc")
	var refusal *cdc.Refusal
	if err := capture.Run(t.Context(), second); !errors.As(err, &refusal) || refusal.Name != "slots_exhausted" {
		t.Errorf("a new stream ended with %v", err)
	}

	b.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active", "INSERT INTO a VALUES (3)")
	waitsFor("source_slots_taken", 1)
	b.exec("SELECT pg_drop_replication_slot('taken_1')")
	b.expect(r, `3 c public.a null -> {"id":3}`)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
