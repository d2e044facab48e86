package replay

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
	"github.com/livedb/livedb/producer"
)

func TestMain(m *testing.M) {
	if setting := os.Getenv(childSetting); setting != "" {
		os.Exit(runChild(setting))
	}
	os.Exit(devstack.RunTests(m))
}

// rig is a stream to replay.
type rig struct {
	t      testing.TB
	conn   *pgx.Conn
	config capture.Config
	client sarama.Client
	peak   uint64 // MiB of memory that the last replay in a process of its own had at most, where the system tells
}

// newRig makes a database on a server with a stream's names, and no stream yet.
func newRig(t testing.TB, server *devstack.Postgres, statements ...string) *rig {
	t.Helper()
	r := newRigOn(t, devstack.TestDatabase(t, server))
	r.exec(statements...)
	return r
}

// newRigOn makes the rig in a database that is there.
func newRigOn(t testing.TB, url string) *rig {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	name, _, _ := strings.Cut(url[strings.LastIndex(url, "/")+1:], "?")
	r := &rig{t: t, conn: conn, config: capture.Config{
		Source: postgres.Config{URL: url, Slot: name, Publication: "livedb"},
		Kafka:  kafka.Config{Brokers: devstack.TestKafka(t), ClientID: "livedb/test"},
		Prefix: "r-" + strings.ReplaceAll(name, "_", "-"), Partitions: 3, Version: "test",
		Status: status.NewBoard("test").Role("cdc"), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Metrics: metrics.NewCDC(prometheus.NewRegistry()),
	}}
	r.config.Limits.Heartbeat = 100 * time.Millisecond
	if r.client, err = kafka.Connect(t.Context(), r.config.Kafka); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.client.Close() })
	return r
}

func (r *rig) exec(statements ...string) {
	r.t.Helper()
	for _, s := range statements {
		if _, err := r.conn.Exec(r.t.Context(), s); err != nil {
			r.t.Fatalf("%s: %v", s, err)
		}
	}
}

// start runs the stream until the test ends or the returned function is called, and returns once there is a replay slot.
func (r *rig) start() (stop func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := capture.Run(ctx, r.config)
		if err != nil {
			r.t.Errorf("the stream ended: %v", err)
		}
		ended <- err
	}()
	stopped := false
	stop = func() {
		if cancel(); !stopped {
			stopped = true
			<-ended
		}
	}
	r.t.Cleanup(stop)
	r.await("SELECT count(*) = 2 FROM pg_replication_slots WHERE slot_name::text IN ($1::text, $1::text || '_replay') AND confirmed_flush_lsn IS NOT NULL", r.config.Source.Slot)
	return stop
}

// await polls a condition in the source.
func (r *rig) await(condition string, args ...any) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	for {
		var holds bool
		if err := r.conn.QueryRow(ctx, condition, args...).Scan(&holds); err != nil {
			r.t.Fatalf("%s: %v", condition, err)
		}
		if holds {
			return
		}
		select {
		case <-ctx.Done():
			r.t.Fatalf("%s does not come true", condition)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// delivered waits until all that was committed so far is on Kafka.
func (r *rig) delivered() {
	r.t.Helper()
	var now string
	if err := r.conn.QueryRow(r.t.Context(), "SELECT pg_current_wal_lsn()::text").Scan(&now); err != nil {
		r.t.Fatal(err)
	}
	r.await("SELECT confirmed_flush_lsn >= $2::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $1", r.config.Source.Slot, now)
}

// replay is the configuration of a replay of the stream.
func (r *rig) replay(id, from, to string) Config {
	return Config{Source: r.config.Source, Kafka: r.config.Kafka, Prefix: r.config.Prefix, Version: r.config.Version, ID: id, From: from, To: to,
		Metrics: metrics.NewReplay(prometheus.NewRegistry()), Log: r.config.Log}
}

// run replays, and expects that it is finished.
func (r *rig) run(c Config) *Result {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	result, err := Run(ctx, c)
	if err != nil || result.State != Finished && result.State != Planned {
		r.t.Fatalf("replay %s of %q to %q is %s: %v", c.ID, c.From, c.To, result.State, err)
	}
	return result
}

// events are the records of events of a prefix, by topic and partition. The topics are named without the prefix.
type events map[string][]event

// event is a record without its time of processing.
type event struct {
	Seq     uint64
	Key     string
	Value   string // without the times of processing
	Headers []string
}

// read reads the events of the stream's tables from the topics of a prefix, those of a range of seqs. A topic that is not
// there has none.
func (r *rig) read(topics envelope.Topics, from, to uint64) events {
	r.t.Helper()
	saved, err := producer.PeekSaved(r.t.Context(), r.client, envelope.Topics(r.config.Prefix))
	if err != nil {
		r.t.Fatal(err)
	}
	all := events{}
	live := append(slices.Collect(maps.Keys(saved.Topology.Topics)), envelope.Topics(r.config.Prefix).Truncate())
	for _, name := range live {
		name = strings.TrimPrefix(name, r.config.Prefix)
		found, err := kafka.Look(r.t.Context(), r.client, string(topics)+name)
		if err != nil {
			r.t.Fatal(err)
		}
		for p := range found[string(topics)+name].Partitions {
			if read := r.partition(string(topics)+name, p, from, to); len(read) > 0 {
				all[fmt.Sprint(name, "/", p)] = read
			}
		}
	}
	return all
}

func (r *rig) partition(topic string, partition int32, from, to uint64) (all []event) {
	r.t.Helper()
	scan, err := kafka.OpenScan(r.client, topic, partition, sarama.OffsetOldest)
	if err != nil {
		r.t.Fatal(err)
	}
	for {
		record, more, err := scan.Next(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		if !more {
			return all
		}
		e := newEvent(r.t, record)
		if e.Seq > to {
			return all
		}
		if e.Seq >= from {
			all = append(all, e)
		}
	}
}

func newEvent(t testing.TB, record kafka.Record) event {
	e := event{Key: string(record.Key), Value: "tombstone"}
	if record.Value != nil {
		e.Value = string(untimed(record.Value))
	}
	for _, h := range record.Headers {
		e.Headers = append(e.Headers, fmt.Sprintf("%s=%s", h.Key, h.Value))
		if string(h.Key) == envelope.HeaderSeq {
			var err error
			if e.Seq, err = envelope.ParseSeq(h.Value); err != nil {
				t.Fatal(err)
			}
		}
	}
	return e
}

// untimed cuts the times of processing off an event, which stand at its end.
func untimed(value []byte) []byte {
	return value[:bytes.LastIndex(value, []byte(`,"ts_ms":`))]
}

// same holds a replay's events against the stream's own.
func (r *rig) same(id string, from, to uint64) (records int) {
	r.t.Helper()
	topics := envelope.Topics(r.config.Prefix)
	want, got := r.read(topics, from, to), r.read(topics.Replay(id), 0, 1<<63)
	for _, all := range want {
		records += len(all)
		for i := range all {
			all[i].Headers = append(all[i].Headers, envelope.HeaderReplay+"="+id)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Fatalf("replay %s, seq %d to %d (-stream +replay):\n%.5000s", id, from, to, diff)
	}
	if records == 0 {
		r.t.Fatalf("seq %d to %d hold nothing", from, to)
	}
	return records
}

// seen waits until a reader sees so many events of a replay: Kafka answers a commit before it shows it. An open transaction
// would hide them for a minute.
func (r *rig) seen(id string, events uint64) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		var seen uint64
		for _, records := range r.read(envelope.Topics(r.config.Prefix).Replay(id), 0, 1<<63) {
			for _, e := range records {
				if e.Value != "tombstone" {
					seen++
				}
			}
		}
		if seen == events {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%d events are seen, and %d were written", seen, events)
		}
		r.await("SELECT true FROM pg_sleep(0.1)") // paces the poll
	}
}

// occupy takes walsenders until the returned function is called.
func (r *rig) occupy(n int) (free func()) {
	r.t.Helper()
	var conns []*postgres.Conn
	for range n {
		conn, err := postgres.Dial(r.t.Context(), r.config.Source)
		if err != nil {
			r.t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	return func() {
		for _, c := range conns {
			c.Close()
		}
	}
}

// transactions reads the whole order.
func (r *rig) transactions() (all []*transaction) {
	r.t.Helper()
	o := &order{client: r.client, topic: envelope.Topics(r.config.Prefix).Transaction(), epoch: 1}
	c, err := o.read(sarama.OffsetOldest)
	for err == nil {
		var t *transaction
		if t, err = c.next(r.t.Context()); t == nil && err == nil {
			return all
		}
		all = append(all, t)
	}
	r.t.Fatal(err)
	return nil
}

// position writes one of a transaction.
func position(t *transaction, index uint64) string {
	return cdc.Position{Commit: t.Commit, Index: index}.String()
}
