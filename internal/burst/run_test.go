package burst

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/burst/ledger"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
	"github.com/livedb/livedb/migrations"
)

// everything is a configuration that uses all that a writer can do, on small tables.
func everything(url string) Config {
	return Config{URL: url, Seed: 42, Rollback: .1, Savepoint: .3, KeepOrders: 400, KeepLedger: 1_000_000, TransactionRows: Range{1, 60}}
}

// The WAL must hold exactly what the ledger says: all kinds of change, rollbacks whole and in part, trimming, long values.
func TestTheWALHoldsWhatTheLedgerSays(t *testing.T) {
	t.Parallel()
	s := newSource(t, devstack.SharedPostgres(t))
	cfg := everything(s.url)
	cfg.KeepLedger = 20
	stop := background(t, cfg)
	for what, sql := range map[string]string{
		"the ledger was trimmed often": "SELECT count(*) FROM burst_ledger HAVING min(n) > 100",
		"a long note was updated":      "SELECT count(*) FROM orders WHERE length(note) > 2500 AND status > 'new'",
		"a note is null":               "SELECT count(*) FROM orders WHERE note IS NULL",
		"a note has a quote":           "SELECT count(*) FROM orders WHERE note LIKE '%''%'",
		"a note has a backslash":       `SELECT count(*) FROM orders WHERE note LIKE '%\\%'`,
		"an order was cancelled":       "SELECT count(*) FROM orders WHERE status = 'cancelled'",
		"an order was delivered":       "SELECT count(*) FROM orders WHERE status = 'delivered'",
		"a customer left":              "SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'customers'",
	} {
		await(t, what, func() bool { return s.number("SELECT coalesce(("+sql+"), 0)") > 0 })
	}
	result := stop()

	got := s.verify()
	if !got.OK() || got.Events != uint64(result.Rows) || got.Transactions != uint64(result.Transactions) {
		t.Errorf("report %+v, want a clean one of %d events in %d transactions", got, result.Rows, result.Transactions)
	}
	if n := s.number("SELECT count(*) FROM burst_ledger"); n > int64(4*(20+20)) {
		t.Errorf("the ledger kept %d rows of 4 writers, want about 20 each", n)
	}
	if n := s.number(`SELECT count(*) FROM orders AS o WHERE total <> (SELECT coalesce(sum(quantity * price), 0) FROM order_items WHERE order_id = o.id)`); n != 0 {
		t.Errorf("the total of %d orders is not the sum of their items", n)
	}
}

func TestTheTablesHoldWhatTheLedgerSays(t *testing.T) {
	t.Parallel()
	s := newSource(t, devstack.SharedPostgres(t))
	stop := background(t, everything(s.url))
	await(t, "something was deleted", func() bool {
		return s.number("SELECT count(*) FROM burst_ledger WHERE counts->'orders' ? 'd' AND counts->'order_items' ? 'd'") > 50
	})
	result := stop()
	s.checkLedger(result)
	for table := ledger.Customers; table <= ledger.Items; table++ {
		want := s.number(fmt.Sprintf(`SELECT sum(coalesce((counts->'%[1]s'->>'c')::bigint, 0) - coalesce((counts->'%[1]s'->>'d')::bigint, 0)) FROM burst_ledger`, table))
		if got := s.number("SELECT count(*) FROM " + table.String()); got != want || want == 0 {
			t.Errorf("%s has %d rows, the ledger says %d", table, got, want)
		}
	}
	// What was taken back was truly written.
	if result.Rollbacks == 0 {
		t.Error("no transaction was rolled back")
	}
	await(t, "the statistics are there", func() bool {
		return s.number("SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'orders'") >
			s.number("SELECT sum((counts->'orders'->>'c')::bigint) FROM burst_ledger")
	})
}

func TestTablesReachASteadySize(t *testing.T) {
	t.Parallel()
	s := newSource(t, devstack.SharedPostgres(t))
	cfg := Config{URL: s.url, KeepOrders: 200, KeepLedger: 50, Connections: 2, TransactionRows: Range{5, 30}, Seed: 5}
	for run := range 2 { // the second finds the rows of the first
		deleted := s.number("SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'orders'")
		stop := background(t, cfg)
		await(t, "the tables were renewed", func() bool {
			return s.number("SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'orders'") > deleted+1000
		})
		stop()
		if n := s.number("SELECT count(*) FROM orders"); n < 100 || n > 200+2*30 {
			t.Errorf("run %d: %d orders, want about 200", run, n)
		}
		if n := s.number("SELECT count(*) FROM customers"); n < 10 || n > 100 {
			t.Errorf("run %d: %d customers, want about 20 and some who still have orders", run, n)
		}
	}
	if report := s.verify(); !report.OK() {
		t.Errorf("report %+v", report)
	}
}

func TestTheSameSeedWritesTheSame(t *testing.T) {
	t.Parallel()
	const rows = 60
	var histories [3][]string
	for i, seed := range []uint64{7, 7, 8} {
		s := newSource(t, devstack.SharedPostgres(t))
		cfg := everything(s.url)
		cfg.Seed, cfg.Connections = seed, 1
		cfg.now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC) }
		stop := background(t, cfg)
		await(t, "enough transactions", func() bool { return s.number("SELECT count(*) FROM burst_ledger") >= rows })
		stop()
		for n := range rows {
			var entry string
			if err := s.conn.QueryRow(t.Context(), "SELECT n || ' ' || counts || ' ' || hash_sum || ' ' || rows_total FROM burst_ledger WHERE n = $1", n+1).Scan(&entry); err != nil {
				t.Fatal(err)
			}
			histories[i] = append(histories[i], entry)
		}
	}
	if diff := cmp.Diff(histories[0], histories[1]); diff != "" {
		t.Errorf("one seed gave two histories:\n%s", diff)
	}
	if cmp.Equal(histories[0], histories[2]) {
		t.Error("two seeds gave one history")
	}
}

func TestTwoProgramsWriteAtOnce(t *testing.T) {
	t.Parallel()
	s := newSource(t, devstack.SharedPostgres(t))
	first := everything(s.url)
	stop := background(t, first)
	await(t, "there are orders to quarrel about", func() bool { return s.number("SELECT count(*) FROM orders") > 100 })
	second := everything(s.url)
	second.Seed, second.Connections = 43, 3
	stopSecond := background(t, second)
	begun := s.number("SELECT count(*) FROM burst_ledger")
	await(t, "both have written", func() bool {
		return s.number("SELECT count(*) FROM burst_ledger") > begun+500 && s.number("SELECT count(DISTINCT writer) FROM burst_ledger") == 7
	})
	one, two := stop(), stopSecond()
	one.Rows, one.Transactions, one.Writers = one.Rows+two.Rows, one.Transactions+two.Transactions, append(one.Writers, two.Writers...)
	s.checkLedger(one)
	if report := s.verify(); !report.OK() {
		t.Errorf("report %+v", report)
	}
}

func TestRateMetricsAndStatus(t *testing.T) {
	t.Parallel()
	s := newSource(t, devstack.SharedPostgres(t))
	registry := prometheus.NewRegistry()
	board := status.NewBoard("test")
	var lines safeLines
	cfg := everything(s.url)
	cfg.Rate, cfg.Burst, cfg.For = 1000, Burst{Size: 200, Every: 500 * time.Millisecond}, 1500*time.Millisecond
	cfg.Metrics, cfg.Status, cfg.Progress = metrics.NewBurst(registry), board.Role("burst"), &lines
	result, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.checkLedger(result)

	// 1,500 rows of the rate and 2 or 3 bursts; what is written follows, but for the last moment and a slow machine.
	if result.Offered < 1400 || result.Offered > 1000*result.Took.Seconds()+600 {
		t.Errorf("offered %g rows in %s", result.Offered, result.Took)
	}
	if float64(result.Rows) > result.Offered+4*60 {
		t.Errorf("written %d rows of %g offered", result.Rows, result.Offered)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v %v", problems, err)
	}
	var rows float64
	for _, op := range []string{"c", "u", "d"} {
		for table := ledger.Customers; table <= ledger.Entries; table++ {
			rows += testutil.ToFloat64(cfg.Metrics.Rows.WithLabelValues(table.String(), op))
		}
	}
	if rows != float64(result.Rows) {
		t.Errorf("metrics count %g rows, the result %d", rows, result.Rows)
	}
	if got := testutil.ToFloat64(cfg.Metrics.Transactions.WithLabelValues("commit")); got != float64(result.Transactions) {
		t.Errorf("metrics count %g transactions, the result %d", got, result.Transactions)
	}
	if got := testutil.ToFloat64(cfg.Metrics.OfferedRows); got < 1400 || got > result.Offered {
		t.Errorf("metrics count %g offered rows, the result %g", got, result.Offered)
	}
	report := board.Reports()[0]
	if report.State != status.Healthy || report.Numbers[status.RowsTotal] != float64(result.Rows) || report.Numbers[status.TargetRate] != 1000 ||
		report.Texts["seed"] != "42" || strings.Contains(report.Texts["source"], "postgres://") {
		t.Errorf("status %+v", report)
	}
	if text := lines.String(); strings.Count(text, "\n") < 2 || !strings.Contains(text, fmt.Sprintf("total %d rows in %d transactions", result.Rows, result.Transactions)) {
		t.Errorf("progress:\n%s", text)
	}
}

type safeLines struct {
	mu sync.Mutex
	strings.Builder
}

func (l *safeLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Builder.Write(p)
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := newSource(t, devstack.SharedPostgres(t))
	s.exec("CREATE SCHEMA half; CREATE TABLE half.customers ()")
	if _, err := migrations.Up(t.Context(), s.url, "ruled"); err != nil {
		t.Fatal(err)
	}
	s.exec("ALTER TABLE ruled.customers ADD CHECK (balance < 0) NOT VALID")
	role := "guest_" + strings.TrimPrefix(s.slot, "test_")
	s.exec(fmt.Sprintf("CREATE ROLE %s LOGIN; GRANT USAGE ON SCHEMA %s TO %[1]s", role, DefaultSchema))
	t.Cleanup(func() {
		_, err := s.conn.Exec(context.Background(), fmt.Sprintf("DROP OWNED BY %s; DROP ROLE %[1]s", role))
		if err != nil {
			t.Error(err)
		}
	})
	s.exec(fmt.Sprintf("CREATE ROLE %s_reader LOGIN; ALTER ROLE %[1]s_reader SET default_transaction_read_only = on", role)) // which the writer overrules
	t.Cleanup(func() {
		if _, err := s.conn.Exec(context.Background(), "DROP ROLE "+role+"_reader"); err != nil {
			t.Error(err)
		}
	})
	as := func(user string) string { return strings.Replace(s.url, "postgres@", user+"@", 1) }
	cases := []struct {
		name string
		cfg  Config
		want string // a Refusal's name, else a part of the text
	}{
		{"no tables", Config{URL: s.url, Schema: "nowhere"}, "demo_tables_missing"},
		{"other tables", Config{URL: s.url, Schema: "half"}, "demo_tables_missing"},
		{"no right", Config{URL: as(role)}, "write_denied"},
		{"no right to the schema", Config{URL: as(role + "_reader")}, "demo_tables_missing"},
		{"no database", Config{URL: strings.Replace(s.url, s.slot, "nowhere", 1)}, "source_database_missing"},
		{"no user", Config{URL: as("nobody")}, "source_login_refused"},
		{"pooler", Config{URL: "postgres://u@ep-x-pooler.eu.neon.tech/db"}, "pooled_endpoint"},
		{"nobody listens", Config{URL: "postgres://u:geheim@127.0.0.1:1/db", patience: 100 * time.Millisecond}, "check that the source runs"},
		{"a rule of somebody", Config{URL: s.url, Schema: "ruled"}, "no transaction of 10 succeeded"},
		{"rate", Config{URL: s.url, Rate: -1}, "give rows per second"},
		{"burst without rate", Config{URL: s.url, Burst: Burst{Size: 1, Every: 1}}, "there is none"},
		{"rows", Config{URL: s.url, TransactionRows: Range{5, 2}}, "5 to 2 rows"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			reporter := status.NewBoard("test").Role("burst")
			c.cfg.Status = reporter
			_, err := Run(t.Context(), c.cfg)
			if err == nil {
				t.Fatal("no error")
			}
			text := err.Error()
			if refusal, ok := errors.AsType[*cdc.Refusal](err); ok {
				text = refusal.Name
			}
			if !strings.Contains(text, c.want) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("error %v, want %s", err, c.want)
			}
			if state := reporter.Status(); state.State != status.Error || state.Detail != err.Error() {
				t.Errorf("status %+v", state)
			}
		})
	}
}
