package capture_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/faults/workload"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// pair is a bench whose source is a primary and a standby that keeps its failover slots in step.
type pair struct {
	*bench
	primary, standby *devstack.Postgres
}

// failover runs a test on the versions of Postgres that have failover slots. With an older one there is nothing to test.
func failover(t *testing.T, test func(t *testing.T)) {
	version := devstack.SharedPostgres(t).Version()
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < 17 {
		t.Logf("Postgres %s has no failover slots", version)
		return
	}
	test(t)
}

func newPair(t *testing.T, primarySettings map[string]string) *pair {
	t.Helper()
	primary := server(t, devstack.PostgresConfig{Settings: primarySettings})
	backup := filepath.Join(t.TempDir(), "backup")
	if err := primary.Restart(t.Context(), devstack.StopFast, func() error { return exec.Command("cp", "-a", primary.DataDir(), backup).Run() }); err != nil {
		t.Fatal(err)
	}
	on(t, primary, "SELECT pg_create_physical_replication_slot('standby', true)")
	standby := server(t, devstack.PostgresConfig{StandbyOf: backup, Settings: map[string]string{
		"primary_conninfo":       fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres", primary.Port()),
		"primary_slot_name":      "standby",
		"hot_standby_feedback":   "on",
		"sync_replication_slots": "on",
		// One that the standby had from the primary would have it wait for a standby of its own after its promotion.
		"synchronized_standby_slots": "",
	}})
	url := fmt.Sprintf("postgres://postgres@127.0.0.1:%d,127.0.0.1:%d/postgres?sslmode=disable&target_session_attrs=read-write", primary.Port(), standby.Port())
	return &pair{bench: benchOn(t, url, "livedb"), primary: primary, standby: standby}
}

// server starts a Postgres that the test may end.
func server(t *testing.T, c devstack.PostgresConfig) *devstack.Postgres {
	t.Helper()
	p, err := devstack.StartPostgres(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("postgres on port %d:\n%s", p.Port(), p.LastLog())
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return p
}

// on runs a query of one value on a server and returns it as text.
func on(t *testing.T, p *devstack.Postgres, query string) (value string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), "SELECT ("+query+")::text").Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// poll waits until a condition holds, of which nothing tells.
func poll(t *testing.T, what func() string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come true: %s", what())
		}
		select {
		case <-t.Context().Done():
			t.FailNow()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// awaitSynced waits until the standby could take over both slots. What would take its time is done at once: the primary logs its
// running transactions, from which the standby may decode; the replay slot moves beyond those that are older than the standby; and
// this one looks anew, for it looks the more rarely the longer there was nothing to see.
func (p *pair) awaitSynced() {
	p.t.Helper()
	p.await("SELECT count(*) = 2 FROM pg_replication_slots WHERE failover")
	move := func() (moved bool) {
		p.exec("SELECT pg_log_standby_snapshot()")
		_, err := p.conn.Exec(p.t.Context(), `SELECT pg_replication_slot_advance('livedb_replay', greatest(l.confirmed_flush_lsn, r.confirmed_flush_lsn))
			FROM pg_replication_slots l, pg_replication_slots r WHERE l.slot_name = 'livedb' AND r.slot_name = 'livedb_replay'`)
		if busy, is := errors.AsType[*pgconn.PgError](err); is && busy.Code == "55006" { // the stream looks after it just now
			return false
		}
		if err != nil {
			p.t.Fatal(err)
		}
		return true
	}
	poll(p.t, func() string { return "the replay slot can be moved" }, move)
	if err := p.standby.Restart(p.t.Context(), devstack.StopFast); err != nil {
		p.t.Fatal(err)
	}
	poll(p.t, func() string {
		return "the slots are in step: " + on(p.t, p.standby, "SELECT json_agg(s) FROM pg_replication_slots s") +
			"; the primary's: " + on(p.t, p.primary, "SELECT json_agg(s) FROM pg_replication_slots s") +
			"; its senders: " + on(p.t, p.primary, "SELECT json_agg(r) FROM (SELECT application_name, state, sent_lsn, flush_lsn, reply_time FROM pg_stat_replication) r")
	}, func() bool {
		move()
		return on(p.t, p.standby, "SELECT count(*) FROM pg_replication_slots WHERE synced AND NOT temporary") == "2"
	})
}

// awaitReplayed waits until the standby has all that the primary has now.
func (p *pair) awaitReplayed() {
	p.t.Helper()
	at := on(p.t, p.primary, "SELECT pg_current_wal_lsn()")
	poll(p.t, func() string { return "the standby has replayed " + at }, func() bool {
		return on(p.t, p.standby, "SELECT pg_last_wal_replay_lsn() >= '"+at+"'") == "true"
	})
}

var errGone = errors.New("gone for good")

// crash ends the primary for good.
func (p *pair) crash() error {
	p.conn.Close(context.Background())
	if err := p.primary.Restart(p.t.Context(), devstack.StopImmediate, func() error { return errGone }); !errors.Is(err, errGone) {
		return fmt.Errorf("end the primary: %w", err)
	}
	return nil
}

// promote has the standby take the primary's place.
func (p *pair) promote() {
	p.t.Helper()
	if on(p.t, p.standby, "SELECT pg_promote(true, 60)") != "true" {
		p.t.Fatal("not promoted")
	}
	conn, err := pgx.Connect(p.t.Context(), p.standby.URL())
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close(context.Background()) })
	p.conn = conn
}

// awaitCheckpoint polls the stream's checkpoint until it is as wanted.
func (b *bench) awaitCheckpoint(wanted func(*producer.Checkpoint) bool) *producer.Checkpoint {
	b.t.Helper()
	client, err := kafka.Connect(b.t.Context(), b.config.Kafka)
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	var saved producer.Saved
	poll(b.t, func() string { return fmt.Sprintf("the checkpoint is %+v", saved.Position) }, func() bool {
		if saved, err = producer.PeekSaved(b.t.Context(), client, envelope.Topics(b.config.Prefix)); err != nil {
			b.t.Fatal(err)
		}
		return saved.Position != nil && wanted(saved.Position)
	})
	return saved.Position
}

// faultless holds the stream against itself, against the source's WAL and against its tables.
func (b *bench) faultless() {
	b.t.Helper()
	state, stream, source := b.auditedState(), b.audited(), b.auditedSource()
	b.t.Logf("audited: %d events; %s; %d tables", stream.Events, source.Range(), state.Judged())
	if state.Judged() == 0 || source.Transactions == 0 {
		b.t.Errorf("nothing was judged: %+v, %+v", state, source)
	}
}

// The primary dies under load and its standby takes its place: the stream goes on, by the same list of hosts, with every
// change of the new primary exactly once.
func TestTheStreamGoesOnAfterAPromotion(t *testing.T) {
	t.Parallel()
	failover(t, func(t *testing.T) {
		p := newPair(t, map[string]string{"synchronized_standby_slots": "standby"})
		load, err := workload.Open(t.Context(), p.config.Source.URL, workload.Config{Writers: 3, Rate: 150, Big: 300})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("workload: seed %d", load.Seed())
		p.config.Source.Tables = load.Tables()
		stop := p.start()
		p.reader()
		p.awaitSlot()
		p.awaitSynced()

		ctx, cancel := context.WithCancel(t.Context())
		loaded := make(chan error, 1)
		go func() { loaded <- load.Run(ctx) }()
		defer func() { cancel(); <-loaded }()
		before := p.awaitCheckpoint(func(c *producer.Checkpoint) bool { return c.Seq >= 1000 })
		if err := p.crash(); err != nil {
			t.Fatal(err)
		}
		p.promote()
		p.awaitCheckpoint(func(c *producer.Checkpoint) bool { return c.Timeline == before.Timeline+1 && c.Seq >= before.Seq+1000 })
		cancel()
		if err := <-loaded; err != nil {
			t.Error(err)
		}
		loaded <- nil
		p.faultless()
		if err := stop(); err != nil {
			t.Fatal(err)
		}

		stop = p.start() // the witness of this start comes from the slot that was kept in step
		p.awaitSlot()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// A standby that had not received all that was delivered takes the primary's place: the stream stops, and names the
// transactions that readers have seen and the source has lost.
func TestAPromotionThatLostCommitsIsNamed(t *testing.T) {
	t.Parallel()
	failover(t, func(t *testing.T) {
		p := newPair(t, nil)
		p.exec("CREATE TABLE a (id int PRIMARY KEY, v text)")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := p.run(ctx)
		r := p.reader()
		p.awaitSlot()
		p.exec("INSERT INTO a VALUES (1, 'kept')")
		p.expect(r, `1 c public.a null -> {"id":1,"v":"kept"}`)
		p.awaitSynced()
		p.awaitReplayed()

		var want []producer.Phantom
		err := p.standby.Restart(t.Context(), devstack.StopFast, func() error {
			for i, statement := range []string{"INSERT INTO a VALUES (2, 'lost')", "UPDATE a SET v = 'lost'", "INSERT INTO a SELECT i, 'lost' FROM generate_series(3, 7) i"} {
				p.exec(statement)
				events := p.read(r)
				first := []uint64{2, 3, 5}[i]
				want = append(want, producer.Phantom{First: first, Last: first + uint64(len(events)) - 1})
			}
			return p.crash()
		})
		if err != nil {
			t.Fatal(err)
		}
		p.promote()

		err = <-ended
		var refusal *cdc.Refusal
		var phantoms *producer.Phantoms
		if !errors.As(err, &refusal) || refusal.Name != "promotion_lost_commits" || !refusal.Unsafe || !errors.As(err, &phantoms) {
			t.Fatalf("it ended with %v", err)
		}
		t.Log(err)
		var got []producer.Phantom
		for _, one := range phantoms.First {
			if one.XID == 0 || time.Since(one.Time) > time.Hour || cdc.LSN(one.Position.Commit) < phantoms.Fork || !strings.Contains(err.Error(), one.String()) {
				t.Errorf("%+v", one)
			}
			got = append(got, producer.Phantom{First: one.First, Last: one.Last})
		}
		if diff := cmp.Diff(want, got); diff != "" || phantoms.Count != 3 || phantoms.Last != 9 {
			t.Errorf("%d phantoms to seq %d (-want +got):\n%s", phantoms.Count, phantoms.Last, diff)
		}
		p.refused("promotion_lost_commits")
	})
}

// The standby had not received all of the primary's WAL, but what it lacks held nothing for the stream, which had acknowledged it:
// nothing is lost, and what stands there now is read. The new primary is found at the old one's address, as by a DNS name; that it
// is not promoted yet is waited for.
func TestAPromotionThatLostNothingOfTheStreamIsFollowed(t *testing.T) {
	t.Parallel()
	failover(t, func(t *testing.T) {
		p := newPair(t, nil)
		p.exec("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE elsewhere (v text)")
		var behind atomic.Int64 // the port behind the address
		behind.Store(int64(p.primary.Port()))
		p.config.Source.URL = p.primary.URL()
		p.config.Source.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, fmt.Sprint("127.0.0.1:", behind.Load()))
		}
		p.config.Source.Tables = []string{"public.a"}
		p.config.Limits.Heartbeat = 100 * time.Millisecond
		stop := p.start()
		r := p.reader()
		p.awaitSlot()
		p.exec("INSERT INTO a VALUES (1)")
		p.expect(r, `1 c public.a null -> {"id":1}`)
		p.awaitSynced()
		p.awaitReplayed()

		var acked *producer.Checkpoint
		err := p.standby.Restart(t.Context(), devstack.StopFast, func() error {
			p.exec("INSERT INTO elsewhere SELECT repeat('x', 1000) FROM generate_series(1, 2000)")
			at, err := cdc.ParseLSN(on(t, p.primary, "SELECT pg_current_wal_lsn()"))
			if err != nil {
				return err
			}
			acked = p.awaitCheckpoint(func(c *producer.Checkpoint) bool { return c.AckedUpto >= at })
			return p.crash()
		})
		if err != nil {
			t.Fatal(err)
		}
		behind.Store(int64(p.standby.Port()))
		poll(t, func() string { return "the stream waits for the promotion: " + p.config.Status.Status().Detail }, func() bool {
			return strings.Contains(p.config.Status.Status().Detail, "[source_is_replica]")
		})
		p.promote()
		p.exec("INSERT INTO a VALUES (2)")
		p.expect(r, `2 c public.a null -> {"id":2}`)
		now := p.awaitCheckpoint(func(c *producer.Checkpoint) bool { return c.Seq == 2 })
		if now.Timeline != acked.Timeline+1 || cdc.LSN(now.Commit) >= acked.AckedUpto {
			t.Errorf("on timeline %d, the commit at %s; before the promotion %s was acknowledged: this tests nothing", now.Timeline, now.Commit, acked.AckedUpto)
		}
		p.faultless()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}
