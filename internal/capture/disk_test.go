package capture_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/faults/network"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
	"github.com/livedb/livedb/producer"
)

const mb = 1 << 20

// scale is the size of a run: as the promise is made, which takes half an hour (LIVEDB_TEST_DISK=full), or small enough for
// every day, on a server whose segments are of 1 MB.
type scale struct {
	segment    int // MB; 0 is Postgres' own
	checkpoint time.Duration
	keep       int // max_slot_wal_keep_size in MB
	window     capture.Window
	rate       int // MB of WAL per second
	lasts      time.Duration
	limit      int64 // MB that may be retained
	snaps      int   // snapshot files after which Neon would remove a slot
}

// scaled chooses; it skips the test where neither is asked for.
func scaled(t *testing.T, full, small scale) scale {
	t.Helper()
	switch {
	case os.Getenv("LIVEDB_TEST_DISK") == "full":
		return full
	case os.Getenv("LIVEDB_REQUIRE_LONG") != "":
		return small
	}
	t.Skip("takes half a minute or, with LIVEDB_TEST_DISK=full, half an hour: set LIVEDB_REQUIRE_LONG=1")
	return scale{}
}

// disk is a role on a source that is written to at a steady rate, most of it in a table that is not published, and what it
// retains.
type disk struct {
	*bench
	scale
	kafka    *network.Dialer
	registry *prometheus.Registry
	ended    chan struct{} // closed when the role has ended, with err
	err      error
	stop     func() error
}

func newDisk(t *testing.T, s scale) *disk {
	t.Helper()
	settings := map[string]string{"max_slot_wal_keep_size": fmt.Sprintf("%dMB", s.keep), "full_page_writes": "on",
		"checkpoint_timeout": "5min", "max_wal_size": "1GB", "min_wal_size": fmt.Sprintf("%dMB", max(5*s.segment, 80)), "log_checkpoints": "on"}
	if s.snaps > 0 {
		settings["neon.logical_replication_max_snap_files"] = fmt.Sprint(s.snaps)
	}
	server := devstack.TestPostgresWith(t, devstack.PostgresConfig{Segment: s.segment, Settings: settings})
	conn, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	d := &disk{scale: s, kafka: network.NewKafka(1), ended: make(chan struct{}), registry: prometheus.NewRegistry()}
	t.Cleanup(d.kafka.Close)
	d.bench = &bench{t: t, conn: conn, config: capture.Config{
		Source: postgres.Config{URL: server.URL(), Slot: "disk", Publication: "livedb", Tables: []string{"public.load"}},
		Kafka:  kafka.Config{Brokers: devstack.TestKafka(t), ClientID: "livedb/test"},
		Prefix: "disk", Partitions: 3, Version: "test", Window: s.window, Limits: producer.Limits{Stall: 3 * time.Second, Heartbeat: time.Second},
		Status: status.NewBoard("test").Role("cdc"), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Metrics: metrics.NewCDC(d.registry),
	}}
	for _, table := range []string{"load", "noise"} {
		d.exec("CREATE TABLE "+table+" (id int PRIMARY KEY, v text) WITH (fillfactor = 20)",
			"INSERT INTO "+table+" SELECT i, repeat(md5(random()::text), 45) FROM generate_series(0, 999) i")
	}
	d.exec("CHECKPOINT")
	config := d.config
	config.Kafka.Dial = d.kafka.Dial
	ctx, cancel := context.WithCancel(t.Context())
	go func() { d.err = capture.Run(ctx, config); close(d.ended) }()
	d.stop = func() error { cancel(); <-d.ended; return d.err }
	t.Cleanup(func() { d.stop() }) // again, for a test that failed
	d.awaitSlot()
	d.await("SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'disk_replay')")
	return d
}

// write writes WAL at the rate until the returned function is called. An eighth of it is the stream's.
func (d *disk) write() (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(d.t.Context()))
	conn, err := pgx.Connect(ctx, d.config.Source.URL)
	if err != nil {
		d.t.Fatal(err)
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		defer conn.Close(context.Background())
		began, first, checkpoint := time.Now(), d.lsn(ctx, conn), time.Now()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for at := 0; ctx.Err() == nil; {
			due := int(time.Since(began).Seconds()*float64(d.rate*mb)) - int(d.lsn(ctx, conn)-first)
			if rows := due / 1700; rows > 0 {
				table := "noise"
				if at++; at%8 == 0 {
					table = "load"
				}
				_, err := conn.Exec(ctx, "UPDATE "+table+" SET v = repeat(md5(random()::text), 45) WHERE id BETWEEN $1 AND $2", at*7%500, at*7%500+min(rows, 400))
				if err != nil && ctx.Err() == nil {
					d.t.Error(err)
					return
				}
			}
			if d.checkpoint > 0 && time.Since(checkpoint) > d.checkpoint { // which logs the running transactions, as is done every 15 s
				conn.Exec(ctx, "CHECKPOINT")
				checkpoint = time.Now()
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	return sync.OnceFunc(func() { cancel(); writing.Wait() })
}

func (d *disk) lsn(ctx context.Context, conn *pgx.Conn) cdc.LSN {
	var text string
	if err := conn.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&text); err != nil {
		return 0 // the writer ends
	}
	lsn, err := cdc.ParseLSN(text)
	if err != nil {
		d.t.Error(err)
	}
	return lsn
}

// held is what the slots hold at a moment, in bytes.
type held struct{ wal, live, replay, window int64 }

func (h held) String() string {
	return fmt.Sprintf("%d | %d | %d", h.live/mb, h.replay/mb, h.window/mb)
}

func (d *disk) held() (h held) {
	d.t.Helper()
	err := d.conn.QueryRow(d.t.Context(), `SELECT pg_current_wal_lsn() - '0/0',
		coalesce(max(pg_current_wal_lsn() - restart_lsn) FILTER (WHERE slot_name = 'disk'), 0)::bigint,
		coalesce(max(pg_current_wal_lsn() - restart_lsn) FILTER (WHERE slot_name <> 'disk'), 0)::bigint,
		coalesce(max(pg_current_wal_lsn() - confirmed_flush_lsn) FILTER (WHERE slot_name <> 'disk'), 0)::bigint
		FROM pg_replication_slots`).Scan(&h.wal, &h.live, &h.replay, &h.window)
	if err != nil {
		d.t.Fatal(err)
	}
	return h
}

// metric reads a metric of one series, by the values of its labels; false if there is none.
func (d *disk) metric(name string, labels ...string) (float64, bool) {
	d.t.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if f.GetName() == name && strings.Join(values, ",") == strings.Join(labels, ",") {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue(), true
			}
		}
	}
	return 0, false
}

// watch looks every 500 ms until the end, or until the function says so.
func (d *disk) watch(lasts time.Duration, look func(at time.Duration, h held) (enough bool)) {
	d.t.Helper()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for {
		at := time.Since(began)
		if look(at, d.held()) || at > lasts {
			return
		}
		select {
		case <-tick.C:
		case <-d.ended:
			d.t.Fatalf("the role ended with %v", d.err)
		}
	}
}

// caughtUp waits for the stream to have delivered all, and proves it.
func (d *disk) caughtUp() {
	d.t.Helper()
	var end string
	if err := d.conn.QueryRow(d.t.Context(), "SELECT pg_current_wal_lsn()::text").Scan(&end); err != nil {
		d.t.Fatal(err)
	}
	for caught, began := "", time.Now(); caught != "true"; caught = d.slotOf("", "confirmed_flush_lsn >= '"+end+"'") {
		select {
		case <-d.ended:
			d.t.Fatalf("the role ended with %v", d.err)
		case <-time.After(100 * time.Millisecond):
		}
		if time.Since(began) > 10*time.Minute {
			d.t.Fatal("the stream does not catch up")
		}
	}
	if err := d.stop(); err != nil {
		d.t.Fatal(err)
	}
	report := d.audited()
	if report.Events == 0 {
		d.t.Error("nothing was audited")
	}
	d.t.Logf("audit: %d events, %d faults", report.Events, len(report.Findings))
}

// Half an hour at 2 MB of WAL per second, with a replay window of 64 MB: the source retains less than 160 MB.
func TestLongTheReplayWindowBoundsTheDisk(t *testing.T) {
	s := scaled(t,
		scale{keep: 2048, window: capture.Window{Time: time.Hour, Bytes: 64 * mb}, rate: 2, lasts: 30 * time.Minute, limit: 160},
		scale{segment: 1, checkpoint: 2 * time.Second, keep: 512, window: capture.Window{Time: time.Hour, Bytes: 16 * mb}, rate: 3, lasts: 20 * time.Second, limit: 40})
	d := newDisk(t, s)
	stop := d.write()
	defer stop()
	first := d.held().wal
	var most, minute held
	row := s.lasts / 30
	t.Log("minute | WAL written, MB | at most retained for the live slot | for the replay slot | replay window")
	d.watch(s.lasts, func(at time.Duration, h held) bool {
		for _, m := range []*held{&most, &minute} {
			m.live, m.replay, m.window = max(m.live, h.live), max(m.replay, h.replay), max(m.window, h.window)
		}
		if at > row {
			row += s.lasts / 30
			t.Logf("| %.1f | %d | %s |", at.Minutes(), (h.wal-first)/mb, minute)
			minute = held{}
		}
		return false
	})
	written := d.held().wal - first
	stop()
	t.Logf("%d MB of WAL were written; at most retained, in MB: live | replay | window: %s", written/mb, most)
	if max(most.live, most.replay) >= s.limit*mb {
		t.Errorf("%s MB were retained, and %d is the limit", most, s.limit)
	}
	if want := int64(s.lasts.Seconds()) * int64(s.rate) * mb; written < want*2/3 { // else the run shows nothing
		t.Errorf("%d MB of WAL were written of %d", written/mb, want/mb)
	}
	if most.window < s.window.Bytes*3/4 {
		t.Errorf("the window never was more than %d bytes", most.window)
	}
	d.caughtUp()
}

// Kafka is away for five minutes: what the source retains stays below max_slot_wal_keep_size, the runway and the guard's steps
// can be read in the metrics, and afterwards the stream catches up and the window comes back.
func TestLongTheGuardInAnOutageOfKafka(t *testing.T) {
	s := scaled(t,
		scale{keep: 2048, window: capture.DefaultWindow, rate: 5, lasts: 5 * time.Minute},
		scale{segment: 1, checkpoint: 2 * time.Second, keep: 64, window: capture.Window{Time: time.Hour, Bytes: 16 * mb}, rate: 4, lasts: 11 * time.Second})
	d := newDisk(t, s)
	stop := d.write()
	defer stop()
	d.watch(5*time.Minute, func(_ time.Duration, h held) bool { return h.window > s.window.Bytes/2 }) // a window to give back
	d.kafka.Refuse()
	shortest, furthest, row := 1e9, 0.0, time.Duration(0)
	t.Log("| seconds | live retained, MB | replay retained | window | safe MB | runway, s | step |")
	d.watch(s.lasts, func(at time.Duration, h held) bool {
		runway, told := d.metric("livedb_slot_runway_seconds", "disk")
		safe, _ := d.metric("livedb_slot_safe_wal_bytes", "disk")
		step, _ := d.metric("livedb_replay_window_step")
		if told {
			shortest = min(shortest, runway)
		}
		furthest = max(furthest, step)
		if at >= row {
			row += s.lasts / 20
			t.Logf("| %.0f | %s | %.0f | %.0f | %.0f |", at.Seconds(), h, safe/mb, runway, step)
		}
		if max(h.live, h.replay) >= int64(s.keep)*mb {
			t.Errorf("%s MB are retained", h)
		}
		return false
	})
	d.kafka.Heal()
	stop()
	if furthest == 0 || shortest > 1e6 {
		t.Errorf("the guard's furthest step was %.0f, and the shortest runway %.0f s", furthest, shortest)
	}
	if half, told := d.metric("livedb_replay_window_steps_total", "half"); !told || half < 1 {
		t.Errorf("no step was counted")
	}
	d.caughtUp()
}

// The limit is hit while Kafka is away: the stream stops by name, and not by a gap, once Kafka can tell where it is.
func TestLongALostSlotIsANamedStop(t *testing.T) {
	d := newDisk(t, scaled(t,
		scale{keep: 256, window: capture.DefaultWindow, rate: 8, lasts: 10 * time.Minute},
		scale{segment: 1, checkpoint: time.Second, keep: 16, window: capture.DefaultWindow, rate: 4, lasts: time.Minute}))
	stop := d.write()
	defer stop()
	d.watch(time.Minute, func(_ time.Duration, h held) bool { return h.window > mb })
	d.kafka.Refuse()
	d.watch(d.lasts, func(time.Duration, held) bool { return d.slotOf("", "wal_status") == "lost" })
	d.kafka.Heal()
	select {
	case <-d.ended:
		var refusal *cdc.Refusal
		if !errors.As(d.err, &refusal) || refusal.Name != "slot_wal_lost" || !refusal.Unsafe {
			t.Errorf("it ended with %v", d.err)
		}
		t.Log(d.err)
	case <-time.After(d.lasts):
		t.Errorf("the slot holds %s MB of %d, and the stream goes on", d.held(), d.keep)
	}
}

// Neon removes every slot, in use or not, that too many snapshot files have come after: the guard gives the window back, and
// then the replay slot, before that happens to it. Here the limit is 40 files instead of 10,000, and nothing of the stream's is
// written, so the slot cannot follow.
func TestLongTheGuardCountsNeonsSnapshotFiles(t *testing.T) {
	s := scale{segment: 1, keep: 512, window: capture.Window{Time: time.Hour, Bytes: 64 * mb}, lasts: time.Minute, snaps: 40}
	d := newDisk(t, scaled(t, s, s))
	d.exec("UPDATE load SET v = 'last' WHERE id = 1")
	var told []float64
	d.watch(d.lasts, func(_ time.Duration, _ held) bool {
		d.exec("UPDATE noise SET v = md5(random()::text) WHERE id = 1", "CHECKPOINT") // which makes a file
		if step, _ := d.metric("livedb_replay_window_step"); len(told) == 0 || told[len(told)-1] != step {
			files, _ := d.metric("livedb_slot_snapshot_files", "disk_replay")
			t.Logf("step %.0f at %.0f files newer than the replay slot", step, files)
			told = append(told, step)
		}
		return told[len(told)-1] == 4
	})
	if len(told) < 3 || told[len(told)-1] != 4 {
		t.Errorf("the steps were %v", told)
	}
	d.await("SELECT NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'disk_replay')")
	if active := d.slotOf("", "active"); active != "true" {
		t.Error("the stream's own slot was touched")
	}
	d.caughtUp()
}
