package audit_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/audit"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
)

// stream is a running stream with an oracle's slot beside its own, made before its first change.
type stream struct {
	t      testing.TB
	conn   *pgx.Conn
	config capture.Config
	oracle string
	client sarama.Client
}

// newStream makes tables and starts a stream of them.
func newStream(t testing.TB, statements ...string) *stream {
	t.Helper()
	url := devstack.TestDatabase(t, devstack.SharedPostgres(t))
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	name, _, _ := strings.Cut(url[strings.LastIndex(url, "/")+1:], "?")
	s := &stream{t: t, conn: conn, oracle: name + "_oracle", config: capture.Config{
		Source: postgres.Config{URL: url, Slot: name, Publication: "livedb"},
		Kafka:  kafka.Config{Brokers: devstack.TestKafka(t), ClientID: "livedb/test"},
		Prefix: "a-" + strings.ReplaceAll(name, "_", "-"), Partitions: 3, Version: "test",
		Status: status.NewBoard("test").Role("cdc"), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Metrics: metrics.NewCDC(prometheus.NewRegistry()),
	}}
	s.config.Limits.Heartbeat = 100 * time.Millisecond
	s.exec(statements...)
	if s.client, err = kafka.Connect(t.Context(), s.config.Kafka); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.client.Close() })
	return s
}

// start runs the stream until the test ends, and copies its slot.
func (s *stream) start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- capture.Run(ctx, s.config) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
	s.await("SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active AND confirmed_flush_lsn IS NOT NULL)", s.config.Source.Slot)
	s.exec(fmt.Sprintf("SELECT pg_copy_logical_replication_slot('%s', '%s')", s.config.Source.Slot, s.oracle))
}

func (s *stream) exec(statements ...string) {
	s.t.Helper()
	for _, statement := range statements {
		if _, err := s.conn.Exec(s.t.Context(), statement); err != nil {
			s.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// await polls a condition in the source.
func (s *stream) await(condition string, args ...any) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	for {
		var holds bool
		if err := s.conn.QueryRow(ctx, condition, args...).Scan(&holds); err != nil {
			s.t.Fatalf("%s: %v", condition, err)
		}
		if holds {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("%s does not come true", condition)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// delivered waits until all that was committed so far is on Kafka.
func (s *stream) delivered() {
	s.t.Helper()
	var now string
	if err := s.conn.QueryRow(s.t.Context(), "SELECT pg_current_wal_lsn()::text").Scan(&now); err != nil {
		s.t.Fatal(err)
	}
	s.await("SELECT confirmed_flush_lsn >= $2::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $1", s.config.Source.Slot, now)
}

// audit holds a prefix, the stream's own or a copy, against the source.
func (s *stream) audit(prefix string) *audit.SourceReport {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	r, err := audit.Source(ctx, audit.SourceConfig{Client: s.client, Prefix: prefix, Source: s.config.Source, OracleSlot: s.oracle})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// proven waits for the stream, audits it and expects a number of events and no finding.
func (s *stream) proven(events uint64) {
	s.t.Helper()
	s.delivered()
	r := s.audit(s.config.Prefix)
	for _, f := range r.Findings {
		s.t.Error(f)
	}
	if r.Events != events || r.FirstSeq != 1 || r.LastSeq != events || r.Expired > 0 {
		s.t.Errorf("audited %s, %d expired; want %d events", r.Range(), r.Expired, events)
	}
}

// Every shape of transaction that the oracle and the product have to agree on.
func TestSourceAgreesOnTransactions(t *testing.T) {
	t.Parallel()
	s := newStream(t,
		"CREATE TABLE a (id int PRIMARY KEY, v text, w text)",
		"CREATE TABLE f (id int PRIMARY KEY, v text, big text)", "ALTER TABLE f REPLICA IDENTITY FULL", "ALTER TABLE f ALTER big SET STORAGE EXTERNAL",
		"CREATE TABLE d (id int PRIMARY KEY, v text, big text, bytes bytea, list text[], doc jsonb)",
		"CREATE TABLE i (id int, code text NOT NULL, other int NOT NULL, UNIQUE (other, code))", "ALTER TABLE i REPLICA IDENTITY USING INDEX i_other_code_key",
		"CREATE TABLE n (v text)", "CREATE TABLE nf (v text)", "ALTER TABLE nf REPLICA IDENTITY FULL",
		"CREATE TABLE k (b int, c text, a int, PRIMARY KEY (a, b))", "ALTER TABLE k REPLICA IDENTITY FULL",
		"CREATE TABLE elsewhere (id int)",
		`CREATE TABLE "odd ""Name" ("a ""b" int PRIMARY KEY, "ü" text)`)
	s.config.Source.Tables = []string{"public.a", "public.f", "public.d", "public.i", "public.nf", "public.k", `public.odd "Name`}
	s.start()

	s.exec("INSERT INTO a VALUES (1, 'x', ''), (2, NULL, NULL), (3, '', 'z')")                                                                                             // 3
	s.exec("UPDATE a SET v = 'y' WHERE id = 1", "DELETE FROM a WHERE id = 2")                                                                                              // 5
	s.exec("UPDATE a SET id = 4 WHERE id = 3")                                                                                                                             // 7: a key change is two
	s.exec("BEGIN", "INSERT INTO a VALUES (5)", "SAVEPOINT s", "INSERT INTO a VALUES (6)", "UPDATE a SET v = 'no'", "ROLLBACK TO s", "INSERT INTO f VALUES (5)", "COMMIT") // 9
	s.exec("BEGIN", "INSERT INTO a VALUES (7)", "ROLLBACK", "INSERT INTO elsewhere VALUES (1)")
	s.exec("INSERT INTO f VALUES (1, 'x', repeat('long ', 5000))", "UPDATE f SET v = 'y' WHERE id = 1", "UPDATE f SET id = 2 WHERE id = 1", "UPDATE f SET big = NULL WHERE id = 2", "DELETE FROM f WHERE id = 2") // 15
	s.exec("INSERT INTO d SELECT 1, 'x', string_agg(md5(i::text), ''), string_agg(md5(i::text), '')::bytea, array_agg(md5(i::text)), jsonb_agg(md5(i::text)) FROM generate_series(1, 500) i",
		"UPDATE d SET v = 'y'", "UPDATE d SET id = 2", "DELETE FROM d") // 20
	s.exec("INSERT INTO i VALUES (1, 'a', 1)", "UPDATE i SET id = 2", "UPDATE i SET code = 'b'", "DELETE FROM i") // 25
	s.exec("INSERT INTO nf VALUES ('x'), ('x')", "UPDATE nf SET v = 'y'", "DELETE FROM nf")                       // 31
	s.exec("INSERT INTO k VALUES (1, 'x', 2)", "UPDATE k SET c = NULL", "UPDATE k SET a = 3", "DELETE FROM k")    // 36
	s.exec(`INSERT INTO "odd ""Name" VALUES (1, 'x')`, `DELETE FROM "odd ""Name"`)                                // 38
	s.exec("INSERT INTO a VALUES (8)", "TRUNCATE a, f, nf")                                                       // 42
	s.exec("BEGIN", "INSERT INTO a VALUES (1, 'before')", "ALTER TABLE a ADD x int DEFAULT 5", "INSERT INTO a VALUES (2)", "ALTER TABLE a RENAME v TO vv", "ALTER TABLE a ALTER w TYPE bytea USING NULL",
		"INSERT INTO a VALUES (3, 'after', '\\x00', 6)", "ALTER TABLE a DROP vv", "UPDATE a SET x = 7 WHERE id = 1", "DELETE FROM a WHERE id = 2", "COMMIT") // 47
	s.exec("INSERT INTO a SELECT i FROM generate_series(100, 5099) i", "UPDATE a SET x = id WHERE id >= 100") // 10047
	s.proven(10047)
}

// A partitioned table's changes belong to its root or to its leaves, whose columns may stand in another order.
func TestSourceAgreesOnPartitions(t *testing.T) {
	t.Parallel()
	for _, root := range []bool{false, true} {
		t.Run(fmt.Sprint("root=", root), func(t *testing.T) {
			s := newStream(t,
				"CREATE TABLE p (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region)",
				"CREATE TABLE p_eu PARTITION OF p FOR VALUES IN ('eu')",
				"CREATE TABLE p_us (v text, gone int, region text NOT NULL, id int NOT NULL, PRIMARY KEY (id, region))", "ALTER TABLE p_us DROP gone",
				"ALTER TABLE p ATTACH PARTITION p_us FOR VALUES IN ('us')",
				fmt.Sprintf("CREATE PUBLICATION livedb FOR TABLE p WITH (publish_via_partition_root = %t)", root))
			s.start()
			s.exec("INSERT INTO p VALUES (1, 'eu', 'x'), (2, 'us', 'y')", "UPDATE p SET v = 'z'", "UPDATE p SET region = 'us' WHERE id = 1", "DELETE FROM p")
			s.proven(8) // a row that moves is deleted and inserted
		})
	}
}

func (s *stream) execf(statement string, args ...any) {
	s.t.Helper()
	s.exec(fmt.Sprintf(statement, args...))
}

// Without an oracle's slot the WAL comes from the replay slot, or from the stream's own; whichever it is, it is copied, and
// stays where it is. What lies before it is not covered, and the report says from where.
func TestSourceCopiesASlot(t *testing.T) {
	t.Parallel()
	s := newStream(t, "CREATE TABLE a (id int PRIMARY KEY)")
	s.start()
	s.exec("INSERT INTO a VALUES (1), (2)")
	s.delivered()
	where := func(slot string) (lsn string) {
		if err := s.conn.QueryRow(t.Context(), "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1 AND NOT active", slot).Scan(&lsn); err != nil {
			t.Fatal(err)
		}
		return lsn
	}
	before := where(s.oracle)
	if r := s.audit(s.config.Prefix); r.Slot != s.oracle || r.From.String() != before || r.Events != 2 || !r.OK() {
		t.Errorf("audited %s: %v", r.Range(), r.Findings)
	}
	if after := where(s.oracle); after != before {
		t.Errorf("the slot moved from %s to %s", before, after)
	}

	live := s.config.Source.Slot
	s.oracle = live // it has confirmed all that was
	if r := s.audit(s.config.Prefix); r.Slot != live || r.Events != 0 || !r.OK() {
		t.Errorf("audited %s: %v", r.Range(), r.Findings)
	}
	s.oracle = ""
	s.exec("INSERT INTO a VALUES (3)")
	s.delivered()
	if r := s.audit(s.config.Prefix); r.Slot != live+"_replay" || r.LastSeq != 3 || !r.OK() {
		t.Errorf("audited %s: %v", r.Range(), r.Findings)
	}
	s.await("SELECT NOT EXISTS (SELECT FROM pg_replication_slots WHERE temporary AND database = current_database())")
}

// What is not the stream's own source, and what is no slot, is refused.
func TestSourceRefuses(t *testing.T) {
	t.Parallel()
	s := newStream(t, "CREATE TABLE a (id int PRIMARY KEY)")
	s.start()
	config := audit.SourceConfig{Client: s.client, Prefix: s.config.Prefix, Source: s.config.Source, OracleSlot: "none"}
	if _, err := audit.Source(t.Context(), config); err == nil || !strings.Contains(err.Error(), "there is no slot none") {
		t.Errorf("a slot that does not exist: %v", err)
	}
	config.OracleSlot, config.Prefix = s.oracle, "nothing-here"
	if _, err := audit.Source(t.Context(), config); err == nil {
		t.Error("a stream that does not exist was audited")
	}
	config.Prefix, config.Source.URL = s.config.Prefix, devstack.TestPostgres(t).URL()
	if _, err := audit.Source(t.Context(), config); err == nil || !strings.Contains(err.Error(), "the stream was made from database") {
		t.Errorf("another source: %v", err)
	}
}

// A key column that is stored out of line and does not change is in no new row.
func TestSourceAgreesOnLargeKeys(t *testing.T) {
	t.Parallel()
	s := newStream(t,
		"CREATE TABLE k (id text PRIMARY KEY, v int, big text)", "ALTER TABLE k ALTER id SET STORAGE EXTERNAL, ALTER big SET STORAGE EXTERNAL",
		"CREATE TABLE kf (id text PRIMARY KEY, v int)", "ALTER TABLE kf ALTER id SET STORAGE EXTERNAL", "ALTER TABLE kf REPLICA IDENTITY FULL")
	s.start()
	s.exec("INSERT INTO k SELECT string_agg(md5(i::text), ''), 1, repeat('x', 5000) FROM generate_series(1, 75) i", "INSERT INTO kf SELECT id FROM k",
		"UPDATE k SET v = 2", "UPDATE kf SET v = 2", "UPDATE k SET id = 'short'", "UPDATE kf SET id = 'short'", "DELETE FROM k", "DELETE FROM kf")
	s.proven(10)
}

// A table may have no identity, as long as its rows only come.
func TestSourceAgreesWithoutIdentity(t *testing.T) {
	t.Parallel()
	s := newStream(t, "CREATE TABLE none (id int PRIMARY KEY, v int)", "ALTER TABLE none REPLICA IDENTITY NOTHING", "CREATE TABLE bare (v int)",
		"CREATE PUBLICATION livedb FOR ALL TABLES WITH (publish = 'insert, truncate')")
	s.start()
	s.exec("INSERT INTO none VALUES (1, 1)", "UPDATE none SET v = 2", "INSERT INTO bare VALUES (1), (NULL)", "DELETE FROM bare", "TRUNCATE none, bare")
	s.proven(5)
}

// A stream is audited while it runs, with its transactions split over several Kafka transactions: what lies beyond the
// checkpoint is left out, also when that is the rest of a transaction.
func TestSourceAuditsARunningStream(t *testing.T) {
	t.Parallel()
	s := newStream(t, "CREATE TABLE a (id bigserial PRIMARY KEY, v text)", "CREATE TABLE b (id bigserial PRIMARY KEY)")
	s.config.Limits.Events = 50
	s.start()
	ctx, stop := context.WithCancel(t.Context())
	writing := make(chan error, 1)
	allowed := make(allowance, 10)
	go func() {
		conn, err := pgx.Connect(ctx, s.config.Source.URL)
		for err == nil && allowed.wait(ctx) {
			_, err = conn.Exec(ctx, "INSERT INTO a (v) SELECT 'x' FROM generate_series(1, 333); INSERT INTO b DEFAULT VALUES; UPDATE a SET v = 'y' WHERE id % 100 = 0; DELETE FROM a WHERE id % 2 = 0 OR v = 'y'")
		}
		if conn != nil {
			conn.Close(context.Background())
		}
		writing <- err
	}()
	var last *audit.SourceReport
	for range 5 {
		allowed.refill()
		last = s.audit(s.config.Prefix)
		for _, f := range last.Findings {
			t.Error(f)
		}
	}
	stop()
	if err := <-writing; ctx.Err() == nil {
		t.Fatal(err)
	}
	s.delivered()
	r := s.audit(s.config.Prefix)
	for _, f := range r.Findings {
		t.Error(f)
	}
	if r.Events < last.Events || r.Events == 0 {
		t.Errorf("audited %s after %s", r.Range(), last.Range())
	}
}
