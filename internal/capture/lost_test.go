package capture_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/processor"
)

// longOnly leaves a test to the run of the long ones.
func longOnly(t *testing.T) {
	if os.Getenv("LIVEDB_REQUIRE_LONG") == "" {
		t.Skip("set LIVEDB_REQUIRE_LONG=1 for the long tests")
	}
}

// fill has the source write WAL, segment after segment, and then a checkpoint, until the slot is lost.
func (b *bench) fill() {
	b.t.Helper()
	for range 20 {
		b.exec("INSERT INTO elsewhere SELECT repeat('x', 1000)", "SELECT pg_switch_wal()", "INSERT INTO elsewhere SELECT repeat('x', 1000)", "SELECT pg_switch_wal()", "CHECKPOINT")
		var lost bool
		if err := b.conn.QueryRow(b.t.Context(), "SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = $1", b.config.Source.Slot).Scan(&lost); err != nil {
			b.t.Fatal(err)
		}
		if lost {
			return
		}
	}
	b.t.Fatal("the slot is not lost")
}

// hung is a bench on servers of its own whose Kafka does not answer commits any more until it is released; the stream holds
// a transaction that it cannot deliver.
func hung(t *testing.T, stall time.Duration) (b *bench, ended <-chan error, release func()) {
	t.Helper()
	k, err := devstack.StartKafka(devstack.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	p := devstack.TestPostgres(t, map[string]string{"max_slot_wal_keep_size": "16MB", "min_wal_size": "32MB", "max_wal_size": "64MB"})
	b = benchOn(t, p.URL(), "livedb_limited")
	b.config.Kafka.Brokers = k.Brokers()
	b.config.Source.Tables = []string{"public.a"}
	b.config.Limits.Stall = stall
	b.exec("CREATE TABLE a (id int PRIMARY KEY, v text)", "CREATE TABLE elsewhere (v text)")
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	ended = b.run(ctx)
	r := b.reader()
	b.awaitSlot()
	b.exec("INSERT INTO a VALUES (1)")
	b.read(r)
	b.await("SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'livedb_limited_replay')")

	open, asked := make(chan struct{}), make(chan struct{}, 100)
	k.Cluster().ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		asked <- struct{}{}
		k.Cluster().SleepControl(func() { <-open })
		return nil, nil, false
	})
	b.exec("INSERT INTO a VALUES (2)")
	<-asked
	return b, ended, func() { close(open) }
}

// The limit on what a slot retains is hit, by a stream that is there and cannot go on, or that has closed its connection:
// the source ends the walsender and removes the WAL. It is a named stop, with what is lost, and a new epoch goes on.
func TestLongAStreamThatHitsTheLimitOfItsSlot(t *testing.T) {
	longOnly(t)
	t.Parallel()
	for name, stall := range map[string]time.Duration{"connected": time.Minute, "disconnected": 300 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, ended, release := hung(t, stall)
			if stall < time.Second {
				b.await("SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'livedb_limited'")
			}
			b.fill()
			release()
			gap := b.certificate(<-ended, "slot_wal_lost")
			if gap.From.Seq < 1 || gap.From.Seq > 2 { // the second was on its way
				t.Errorf("it ends with %s", gap)
			}
			b.refused("slot_wal_lost")

			b.config.NewEpoch = gap.EpochTo
			b.exec("INSERT INTO a VALUES (3)")
			stop := b.start()
			r := b.reader()
			for range gap.From.Seq {
				b.read(r)
			}
			if begun := b.renewed(r); begun.From != gap.From || begun.To.LSN < gap.From.End {
				t.Errorf("it goes on with %s", begun)
			}
			b.awaitSlot()
			b.exec("INSERT INTO a VALUES (4)")
			b.expect(r, `1 c public.a null -> {"id":4,"v":null}`)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			b.audited()
		})
	}
}

// A slot that nobody reads is given up after a time, from Postgres 18 on.
func TestLongASlotThatWasIdleForTooLong(t *testing.T) {
	longOnly(t)
	t.Parallel()
	p := devstack.TestPostgres(t)
	b := begun(t, benchOn(t, p.URL(), "livedb_idle"))
	var version int
	if err := b.conn.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		t.Fatal(err)
	}
	if version < 180000 {
		return // it has no such setting
	}
	b.exec("ALTER SYSTEM SET idle_replication_slot_timeout = '1s'", "SELECT pg_reload_conf()")
	for lost := false; !lost; {
		b.exec("INSERT INTO a SELECT 100 + count(*) FROM a", "SELECT pg_switch_wal()", "CHECKPOINT")
		if err := b.conn.QueryRow(t.Context(), "SELECT invalidation_reason = 'idle_timeout' IS TRUE FROM pg_replication_slots WHERE slot_name = 'livedb_idle'").Scan(&lost); err != nil {
			t.Fatal(err)
		}
	}
	b.exec("ALTER SYSTEM RESET idle_replication_slot_timeout", "SELECT pg_reload_conf()")
	b.refused("slot_wal_lost")
	b.config.NewEpoch = 2
	stop := b.start()
	b.awaitSlot()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// The replay slot of a stream that has nothing to deliver is used often enough to stay, from Postgres 18 on.
func TestLongAQuietNightKeepsTheReplaySlot(t *testing.T) {
	longOnly(t)
	t.Parallel()
	p := devstack.TestPostgres(t)
	b := begun(t, benchOn(t, p.URL(), "livedb_quiet"))
	var version int
	if err := b.conn.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		t.Fatal(err)
	}
	if version < 180000 {
		return // it has no such setting
	}
	b.exec("ALTER SYSTEM SET idle_replication_slot_timeout = '8s'", "SELECT pg_reload_conf()")
	stop := b.start()
	b.awaitSlot()
	for deadline := time.Now().Add(16 * time.Second); time.Now().Before(deadline); <-time.After(time.Second) {
		b.exec("SELECT pg_logical_emit_message(false, 'test', 'noise')", "SELECT pg_switch_wal()", "CHECKPOINT")
		if lost := b.slotOf("_replay", "coalesce(invalidation_reason, '')"); lost != "" {
			t.Fatalf("the replay slot is lost: %s", lost)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// load inserts rows 1, 2, 3 … into a, each in a transaction of its own, until it is stopped; then it tells the last.
func (b *bench) load() (stop func() int) {
	ctx, cancel := context.WithCancel(b.t.Context())
	last := make(chan int, 1)
	conn, err := pgx.Connect(ctx, b.config.Source.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	go func() {
		defer conn.Close(context.Background())
		n := 0
		for ctx.Err() == nil {
			if _, err := conn.Exec(context.WithoutCancel(ctx), fmt.Sprintf("INSERT INTO a VALUES (%d, 'v%d')", n+1, (n+1)%3)); err != nil {
				b.t.Error(err)
				break
			}
			n++
		}
		last <- n
	}()
	return func() int { cancel(); return <-last }
}

// steal ends the walsender and drops the slot, again and again until that wins against the stream, which comes back.
func (b *bench) steal() {
	b.t.Helper()
	slot := b.config.Source.Slot
	for {
		_, err := b.conn.Exec(b.t.Context(), "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '"+slot+"'; SELECT pg_drop_replication_slot('"+slot+"')")
		var refused *pgconn.PgError
		switch {
		case err == nil:
			return
		case !errors.As(err, &refused) || refused.Code != "55006":
			b.t.Fatal(err)
		}
	}
}

// A slot is taken from a stream under load, as Neon does it. Stream, reader, view and audits go on in the new epoch; what is
// lost is one run of rows, and the certificate tells where it begins and ends.
func TestASlotThatIsTakenUnderLoad(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY, v text)", "ALTER TABLE a REPLICA IDENTITY FULL")
	b.config.Limits.Heartbeat = 200 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	ended := b.run(ctx)
	r := b.reader()
	b.awaitSlot()
	view := processor.View{Name: "rows", Schema: "public", Table: "a", GroupBy: []processor.Group{{Column: "v", As: "v"}}, Aggregates: []processor.Aggregate{{Func: processor.Count, As: "n"}}}
	viewed := make(chan error, 1)
	go func() {
		viewed <- processor.Run(ctx, processor.Config{Kafka: b.config.Kafka, Prefix: b.config.Prefix, View: view, NoSnapshot: true})
	}()
	stopLoad := b.load()
	seen := newFollowed(b, r)
	for range 50 {
		seen.transaction()
	}
	b.steal()
	err := <-ended
	var name string
	for _, may := range []string{"slot_missing", "slot_or_publication_missing"} { // as it was noticed
		if strings.HasSuffix(err.Error(), "["+may+"]") {
			name = may
		}
	}
	gap := b.certificate(err, name)
	b.config.NewEpoch = gap.EpochTo
	ended = b.run(ctx)
	for seen.gap == nil {
		seen.transaction()
	}
	if seen.gap.From != gap.From || seen.last != int(gap.From.Seq) {
		t.Errorf("the reader saw %d rows and then %s; the stop said %s", seen.last, seen.gap, gap)
	}
	b.awaitSlot()
	for range 50 {
		seen.transaction()
	}
	written := stopLoad()
	for seen.last < written {
		seen.transaction()
	}
	b.hasView("rows", seen)
	b.audits()
	cancel()
	for _, ended := range []<-chan error{ended, viewed} {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// audits makes all three audits. Where changes were lost the tables are not what the events make of them, and that is said.
func (b *bench) audits() {
	b.t.Helper()
	if report := b.audited(); len(report.Gaps) != 1 {
		b.t.Errorf("the audit of the stream tells of the gaps %v", report.Gaps)
	}
	if source := b.auditedSource(); source.Events == 0 {
		b.t.Error("the audit of the source saw no event")
	}
	if state := b.auditedState(); len(state.Tables) != 1 || !strings.Contains(state.Tables[0].Reason, "changes were lost before epoch 2 began") {
		b.t.Errorf("the audit of the state: %+v", state)
	}
}

// A source that was restored from an older copy goes on in a new epoch. It uses LSNs for the second time.
func TestLongARestoredSourceGoesOnInANewEpoch(t *testing.T) {
	longOnly(t)
	t.Parallel()
	p := devstack.TestPostgres(t)
	b := benchOn(t, p.URL(), "livedb_again")
	begun(t, b)
	data, backup := p.DataDir(), t.TempDir()
	b.restart(p, devstack.StopFast, func() error { return exec.Command("cp", "-a", data+"/.", backup).Run() })
	stop := b.start()
	r := b.reader()
	for range 6 {
		b.read(r)
	}
	b.awaitSlot()
	b.exec("SELECT pg_switch_wal()", "INSERT INTO a VALUES (100, 'this history')")
	b.read(r)
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
	b.config.NewEpoch = b.lost("checkpoint_ahead_of_wal").EpochTo
	stop = b.start()
	if gap := b.renewed(r); gap.To.LSN >= gap.From.End {
		t.Errorf("the LSNs did not go back: %s", gap)
	}
	b.awaitSlot()
	for i := range 3 {
		b.exec(fmt.Sprintf("INSERT INTO a VALUES (%d, 'another history')", 100+i))
		b.expect(r, fmt.Sprintf(`%d c public.a null -> {"id":%d,"v":"another history"}`, i+1, 100+i))
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if report := b.audited(); report.Events != 7+3 || report.Gaps[0].Why.Name != "checkpoint_ahead_of_wal" {
		t.Errorf("%d events, gaps %v", report.Events, report.Gaps)
	}
}
