package capture_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
	"github.com/livedb/livedb/processor"
	"github.com/livedb/livedb/producer"
)

func TestMain(m *testing.M) {
	os.Exit(devstack.RunTests(m))
}

// bench is a source, a Kafka and a role between them.
type bench struct {
	t      *testing.T
	conn   *pgx.Conn
	config capture.Config
}

func newBench(t *testing.T, statements ...string) *bench {
	t.Helper()
	url := devstack.TestDatabase(t, devstack.SharedPostgres(t))
	name, _, _ := strings.Cut(url[strings.LastIndex(url, "/")+1:], "?")
	b := benchOn(t, url, name)
	b.exec(statements...)
	return b
}

// benchOn is a bench with a database of the test's own.
func benchOn(t *testing.T, url, name string) *bench {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return &bench{t: t, conn: conn, config: capture.Config{
		Source: postgres.Config{URL: url, Slot: name, Publication: "livedb"},
		Kafka:  kafka.Config{Brokers: devstack.TestKafka(t), ClientID: "livedb/test"},
		Prefix: "s-" + strings.ReplaceAll(name, "_", "-"), Partitions: 3, Version: "test",
		Status: status.NewBoard("test").Role("cdc"), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}}
}

func (b *bench) exec(statements ...string) {
	b.t.Helper()
	for _, s := range statements {
		if _, err := b.conn.Exec(b.t.Context(), s); err != nil {
			b.t.Fatalf("%s: %v", s, err)
		}
	}
}

// start runs the role, once no earlier one is left, until the returned function is called, which gives its error.
func (b *bench) start() (stop func() error) {
	b.awaitNoSlot()
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := b.run(ctx)
	return func() error { cancel(); return <-ended }
}

// run runs the role until the context ends or it stops by itself.
func (b *bench) run(ctx context.Context) (ended <-chan error) {
	c := b.config
	if c.Metrics == nil {
		c.Metrics = metrics.NewCDC(prometheus.NewRegistry())
	}
	done := make(chan error, 1)
	go func() { done <- capture.Run(ctx, c) }()
	return done
}

// reader opens an ordering reader at the stream's beginning.
func (b *bench) reader() *processor.Reader {
	b.t.Helper()
	client, err := kafka.Connect(b.t.Context(), b.config.Kafka)
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := processor.OpenReader(b.t.Context(), processor.ReaderConfig{Client: client, Prefix: b.config.Prefix})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { r.Close(); client.Close() })
	return r
}

// read tells the next transaction, a line an event.
func (b *bench) read(r *processor.Reader) []string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	var told []string
	for {
		item, err := r.Next(ctx)
		if err != nil {
			b.t.Fatalf("after %q: %v", told, err)
		}
		switch item.Kind {
		case processor.Event:
			e, err := envelope.ParseEvent(item.Value)
			if err != nil {
				b.t.Fatal(err)
			}
			told = append(told, fmt.Sprintf("%d %s %s %s -> %s", item.Seq, e.Op, strings.TrimPrefix(item.Topic, b.config.Prefix+"."), e.Before, e.After))
		case processor.End:
			return told
		}
	}
}

func (b *bench) expect(r *processor.Reader, want ...string) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.read(r)); diff != "" {
		b.t.Fatalf("transaction (-want +got):\n%s", diff)
	}
}

func TestChangesArriveInCommitOrderOverAStop(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY, v text)", "ALTER TABLE a REPLICA IDENTITY FULL", "CREATE TABLE b (id int PRIMARY KEY)")
	stop := b.start()
	r := b.reader() // returns once the stream has been made
	b.awaitSlot()
	b.exec("INSERT INTO a VALUES (1, 'x'), (2, NULL)")
	b.expect(r, `1 c public.a null -> {"id":1,"v":"x"}`, `2 c public.a null -> {"id":2,"v":null}`)
	b.exec("BEGIN", "UPDATE a SET v = 'y' WHERE id = 1", "INSERT INTO b VALUES (7)", "SAVEPOINT s", "DELETE FROM a", "ROLLBACK TO s", "DELETE FROM a WHERE id = 2", "COMMIT")
	b.expect(r, `3 u public.a {"id":1,"v":"x"} -> {"id":1,"v":"y"}`, `4 c public.b null -> {"id":7}`, `5 d public.a {"id":2,"v":null} -> null`)
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	b.exec("UPDATE b SET id = 8", "TRUNCATE a, b")
	stop = b.start()
	b.expect(r, `6 d public.b {"id":7} -> null`, `7 c public.b null -> {"id":8}`)
	b.expect(r, `8 t truncate null -> null`, `9 t truncate null -> null`)
	b.exec("ALTER TABLE a ADD COLUMN w int DEFAULT 5", "INSERT INTO a VALUES (3, 'z')")
	b.expect(r, `10 c public.a null -> {"id":3,"v":"z","w":5}`)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// awaitSlot waits until a walsender streams from the slot; one that makes the slot has it too.
func (b *bench) awaitSlot() {
	b.t.Helper()
	b.await("SELECT EXISTS (SELECT FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid WHERE slot_name = '" + b.config.Source.Slot + "' AND state IN ('catchup', 'streaming'))")
}

// awaitNoSlot waits until no walsender has the slot.
func (b *bench) awaitNoSlot() {
	b.t.Helper()
	b.await("SELECT NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '" + b.config.Source.Slot + "' AND active)")
}

// awaitConfirmed waits until all that has been written is acknowledged. Other tests go on writing to the same server.
func (b *bench) awaitConfirmed() {
	b.t.Helper()
	var now string
	if err := b.conn.QueryRow(b.t.Context(), "SELECT pg_current_wal_lsn()::text").Scan(&now); err != nil {
		b.t.Fatal(err)
	}
	b.await("SELECT confirmed_flush_lsn >= '" + now + "' FROM pg_replication_slots WHERE slot_name = '" + b.config.Source.Slot + "'")
}

// await polls a condition in the source.
func (b *bench) await(condition string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	for {
		var holds bool
		if err := b.conn.QueryRow(ctx, condition).Scan(&holds); err != nil {
			b.t.Fatalf("%s: %v", condition, err)
		}
		if holds {
			return
		}
		select {
		case <-ctx.Done():
			b.t.Fatalf("%s does not come true", condition)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// A transaction larger than a Kafka transaction may be is split, and is one for the reader.
func TestALargeTransactionIsSplitAndReadWhole(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)")
	b.config.Limits = producer.Limits{Events: 100}
	stop := b.start()
	r := b.reader()
	b.awaitSlot()
	b.exec("INSERT INTO a SELECT generate_series(1, 1050)")
	got := b.read(r)
	if len(got) != 1050 || got[1049] != `1050 c public.a null -> {"id":1050}` {
		t.Fatalf("%d events, the last %q", len(got), got[len(got)-1])
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// The walsender is terminated and the stream goes on.
func TestTheStreamSurvivesItsWalsender(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)")
	stop := b.start()
	r := b.reader()
	b.awaitSlot()
	for i := 1; i <= 5; i++ {
		b.exec(fmt.Sprintf("INSERT INTO a VALUES (%d)", i))
		b.expect(r, fmt.Sprintf(`%d c public.a null -> {"id":%d}`, i, i))
		b.awaitSlot()
		b.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '" + b.config.Source.Slot + "'")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// An idle stream lets the source forget WAL that holds nothing for it, and records that it did.
func TestAnIdleStreamAcknowledgesForeignWAL(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE elsewhere (v text)")
	b.config.Source.Tables = []string{"public.a"}
	b.config.Limits.Heartbeat = 100 * time.Millisecond
	stop := b.start()
	b.reader()
	b.awaitSlot()
	b.exec("INSERT INTO elsewhere SELECT repeat('x', 1000) FROM generate_series(1, 2000)")
	b.awaitConfirmed()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	stop = b.start() // what was acknowledged must have been recorded, or this start would refuse
	b.awaitSlot()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// While Kafka does not commit, the connection to the source is closed, so that the source can shut down; then the stream
// goes on where it was.
func TestAHangingKafkaClosesTheConnectionToTheSource(t *testing.T) {
	t.Parallel()
	k, err := devstack.StartKafka(devstack.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)")
	b.config.Kafka.Brokers = k.Brokers()
	b.config.Limits.Stall = 300 * time.Millisecond
	stop := b.start()
	r := b.reader()
	b.awaitSlot()
	b.exec("INSERT INTO a VALUES (1)")
	b.expect(r, `1 c public.a null -> {"id":1}`)

	release := make(chan struct{})
	k.Cluster().ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.Cluster().SleepControl(func() { <-release })
		return nil, nil, false
	})
	b.exec("INSERT INTO a VALUES (2)")
	b.await("SELECT NOT active FROM pg_replication_slots WHERE slot_name = '" + b.config.Source.Slot + "'")
	close(release)
	b.expect(r, `2 c public.a null -> {"id":2}`)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestPreflightRefusesAnotherPartitionCountAndChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)")
	client, err := kafka.Connect(t.Context(), b.config.Kafka)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topic := b.config.Prefix + ".public.a"
	if err := kafka.EnsureTopics(t.Context(), client, kafka.Topic{Name: topic, Partitions: 5}); err != nil {
		t.Fatal(err)
	}
	b.config.Metrics = metrics.NewCDC(prometheus.NewRegistry())
	err = capture.Run(t.Context(), b.config)
	var misfit *kafka.PartitionsError
	if !errors.As(err, &misfit) || misfit.Topic != topic || misfit.Have != 5 || misfit.Want != 3 {
		t.Errorf("got %v", err)
	}
	b.await("SELECT NOT EXISTS (SELECT FROM pg_publication) AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE database = current_database())")
	if err := client.RefreshMetadata(); err != nil {
		t.Fatal(err)
	}
	topics, err := client.Topics()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range topics {
		if strings.HasPrefix(name, b.config.Prefix) && name != topic {
			t.Errorf("the topic %s was made", name)
		}
	}
}
