package capture_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/faults/network"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/neontest"
	"github.com/livedb/livedb/internal/status"
	"github.com/livedb/livedb/processor"
	"github.com/livedb/livedb/producer"
)

const (
	writers  = 2
	pace     = 20 * time.Millisecond // between two transactions of a writer
	patience = 2 * time.Minute       // for what must happen; two cores may have much else to do

	senderTimeout = 5 * time.Second // the shortest that is allowed
)

// rig is a role that reaches its servers through faulty dialers, under a load whose truth is known. What looks at the
// stream does so through a network of its own, which has no faults.
type rig struct {
	*bench
	kafka, postgres *network.Dialer
	random          *rand.Rand
	stopLoad        func()
	stop            func() error
	reader          *processor.Reader
	seen            history
	neon            *neontest.Endpoint // on the way to the source, before its dialer; may be nil
	service         string             // a file that tells where that is; empty: its name does
}

// newRig starts the role and the load, and returns when the stream runs. before is called ahead of them; it may be nil.
func newRig(t *testing.T, server *devstack.Postgres, before func(*rig)) *rig {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	url := devstack.TestDatabase(t, server)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	name, _, _ := strings.Cut(url[strings.LastIndex(url, "/")+1:], "?")
	r := &rig{kafka: network.NewKafka(seed), postgres: network.NewPostgres(seed), random: rand.New(rand.NewPCG(seed, 1)), seen: newHistory()}
	r.bench = &bench{t: t, conn: conn, config: capture.Config{
		Source: postgres.Config{URL: url, Slot: name, Publication: "livedb", SenderTimeout: senderTimeout},
		Kafka:  kafka.Config{Brokers: devstack.TestKafka(t), ClientID: "livedb/test"},
		Prefix: "s-" + strings.ReplaceAll(name, "_", "-"), Partitions: 3, Version: "test",
		Limits: producer.Limits{Events: 100, Stall: time.Second},
		Status: status.NewBoard("test").Role("cdc"), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}}
	t.Cleanup(r.kafka.Close)
	t.Cleanup(r.postgres.Close)
	r.exec("CREATE TABLE counter (writer int PRIMARY KEY, n bigint)", "ALTER TABLE counter REPLICA IDENTITY FULL",
		"CREATE TABLE log (writer int, n bigint, i int, PRIMARY KEY (writer, n, i))",
		fmt.Sprintf("INSERT INTO counter SELECT generate_series(1, %d), 0", writers))
	if before != nil {
		before(r)
	}
	r.start()
	t.Cleanup(func() { // again, for a test that failed
		if err := r.stop(); err != nil {
			t.Log(err)
		}
	})
	r.awaitSlot()
	r.reader = r.bench.reader()
	r.stopLoad = r.write()
	t.Cleanup(r.stopLoad)
	r.await(counted(3))
	r.progress()
	return r
}

// start runs the role through the faulty dialers.
func (r *rig) start() {
	faulty := *r.bench
	faulty.config.Kafka.Dial, faulty.config.Source.Dial = r.kafka.Dial, r.postgres.Dial
	if r.neon != nil {
		faulty.config.Source.URL = r.neon.URL(neontest.Host, "postgres", "none", r.config.Source.Slot)
		faulty.config.Source.Dial, r.neon.Dial = r.neon.Resolve, r.postgres.Dial
	}
	if r.service != "" {
		faulty.config.Source.URL = "postgres:///" + r.config.Source.Slot + "?service=livedb&servicefile=" + r.service
		faulty.config.Source.Dial = nil
	}
	r.stop = sync.OnceValue(faulty.start())
}

// size is how many rows a writer's n-th transaction inserts; some are larger than a Kafka transaction may be.
func size(n int64) int64 {
	if n%40 == 0 {
		return 150
	}
	return 1 + n%5
}

// write has each writer count up in one row and insert as many rows as the number says, again and again, over lost
// connections, until it is told to stop. So the truth needs no book: what was committed is 1, 2, 3 … up to the counter.
func (r *rig) write() (stop func()) {
	const transaction = `WITH c AS (UPDATE counter SET n = n + 1 WHERE writer = $1 RETURNING n)
		INSERT INTO log SELECT $1, n, i FROM c, generate_series(1, CASE WHEN n % 40 = 0 THEN 150 ELSE 1 + n % 5 END) i`
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	var writing sync.WaitGroup
	for w := 1; w <= writers; w++ {
		writing.Go(func() {
			var conn *pgx.Conn
			tick := time.NewTicker(pace)
			defer tick.Stop()
			for ctx.Err() == nil {
				var err error
				if conn == nil {
					conn, err = pgx.Connect(ctx, r.config.Source.URL)
				}
				if err == nil { // to its end: one that was given up might commit after the count was taken
					_, err = conn.Exec(context.WithoutCancel(ctx), transaction, w)
				}
				if err != nil && conn != nil { // the counter knows what became of it
					conn.Close(context.WithoutCancel(ctx))
					conn = nil
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
			if conn != nil {
				conn.Close(context.WithoutCancel(ctx))
			}
		})
	}
	return func() { cancel(); writing.Wait() }
}

// counted is the condition that every writer has come so far.
func counted(n int64) string { return fmt.Sprintf("SELECT min(n) >= %d FROM counter", n) }

// committed reads how far each writer has come.
func (r *rig) committed() map[int]int64 {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	counted := map[int]int64{}
	rows, err := r.conn.Query(ctx, "SELECT writer, n FROM counter")
	if err != nil {
		r.t.Fatal(err)
	}
	var w int
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&w, &n}, func() error { counted[w] = n; return nil }); err != nil {
		r.t.Fatal(err)
	}
	return counted
}

// progress returns when the stream holds what is committed now, and all of it was right.
func (r *rig) progress() {
	r.t.Helper()
	r.follow(r.reader, &r.seen, r.committed())
}

func (r *rig) follow(from *processor.Reader, seen *history, target map[int]int64) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for !seen.reached(target) {
		item, err := from.Next(ctx)
		if err == nil {
			err = seen.take(item)
		}
		if err != nil && !errors.Is(err, processor.ErrUnavailable) {
			r.t.Fatalf("at %v of %v: %v (the role ended with %v)", seen.last, target, err, r.stop())
		}
	}
}

// finish ends load and role, and reads the whole stream once more from its beginning: each transaction stands there once,
// whole and in order, and nothing else does.
func (r *rig) finish() {
	r.t.Helper()
	r.stopLoad()
	r.progress()
	if err := r.stop(); err != nil {
		r.t.Fatal(err)
	}
	end := r.committed()
	again := newHistory()
	r.follow(r.bench.reader(), &again, end)
	if !maps.Equal(again.last, end) {
		r.t.Errorf("the stream counts up to %v, the source to %v", again.last, end)
	}
	report := r.audited()
	r.t.Logf("%v transactions, %d events in %d kafka transactions", end, report.Events, report.KafkaTransactions)
}

// slot reads a column of the live slot, as text.
func (r *rig) slot(column string) (value string) {
	r.t.Helper()
	sql := "SELECT " + column + "::text FROM pg_replication_slots WHERE slot_name = '" + r.config.Source.Slot + "'"
	if err := r.conn.QueryRow(r.t.Context(), sql).Scan(&value); err != nil {
		r.t.Fatal(err)
	}
	return value
}

// deliverLate has a request to Kafka arrive late: after its repetition, and after the first Produce of the transaction that
// follows, whose second Produce waits for it.
func (r *rig) deliverLate(request network.Match, skip int) *network.Injection {
	middle := make(chan struct{})
	late := r.kafka.Inject(network.Fault{Match: request, Action: network.Late, Skip: skip, Until: middle})
	ended := r.kafka.Inject(network.Fault{Match: network.Response(network.EndTxn), Action: network.Watch, After: late})
	second := r.kafka.Inject(network.Fault{Match: network.Request(network.Produce), Action: network.Hold, After: ended, Skip: 1, Until: late.Answered()})
	var waiting sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	waiting.Go(func() {
		select {
		case <-second.Fired():
			close(middle)
		case <-ctx.Done():
		}
	})
	r.t.Cleanup(func() { cancel(); waiting.Wait() })
	return late
}

// happen waits for a fault to strike.
func (r *rig) happen(what string, signal <-chan struct{}) {
	r.t.Helper()
	select {
	case <-signal:
	case <-time.After(patience):
		r.t.Fatalf("%s: did not happen (the role ended with %v)", what, r.stop())
	}
}

// history holds what was read of the stream to the law of write.
type history struct {
	last   map[int]int64 // by writer, the number of the last whole transaction
	writer int           // of the open transaction; 0 until its first event
	n, i   int64
	others int // events of other tables, whose transactions are not looked into
}

func newHistory() history { return history{last: map[int]int64{}} }

func (h *history) reached(target map[int]int64) bool {
	for w, n := range target {
		if h.last[w] < n {
			return false
		}
	}
	return true
}

// take accepts the next item: of a transaction, first its count, one more than the last, then its rows one by one.
func (h *history) take(item processor.Item) error {
	switch item.Kind {
	case processor.Begin:
		h.writer, h.n, h.i = 0, 0, 0
	case processor.Event:
		e, err := envelope.ParseEvent(item.Value)
		if err != nil {
			return err
		}
		if e.Source.Table != "counter" && e.Source.Table != "log" {
			h.others++
			return nil
		}
		var row struct {
			Writer int
			N, I   int64
		}
		if err := json.Unmarshal(e.After, &row); err != nil {
			return err
		}
		right := h.writer == row.Writer && h.n == row.N && row.I == h.i+1
		if e.Op == "u" {
			right = h.writer == 0 && row.N == h.last[row.Writer]+1
			h.writer, h.n = row.Writer, row.N
		}
		h.i = row.I
		if !right {
			return fmt.Errorf("seq %d at %s: %s %s is not what follows writer %d, transaction %d, row %d", item.Seq, item.Position, e.Op, e.After, h.writer, h.n, h.i)
		}
	case processor.End:
		if h.writer == 0 && h.others > 0 {
			return nil
		}
		if h.writer == 0 || h.i != size(h.n) {
			return fmt.Errorf("transaction %d of writer %d has %d rows of %d", h.n, h.writer, h.i, size(h.n))
		}
		h.last[h.writer] = h.n
	}
	return nil
}
