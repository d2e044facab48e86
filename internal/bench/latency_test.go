package bench

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/devstack"
)

func TestPercentiles(t *testing.T) {
	h := newLatencies()
	if got := percentilesOf(h); got != (Percentiles{}) {
		t.Errorf("of nothing: %+v", got)
	}
	for ms := range 1000 {
		record(h, time.Duration(ms+1)*time.Millisecond)
	}
	record(h, -time.Second) // a clock was set
	record(h, time.Hour)    // more than is told apart
	got := percentilesOf(h)
	near := func(name string, got, want float64) {
		if got < want*.997 || got > want*1.003 {
			t.Errorf("%s: %g ms, want about %g", name, got, want)
		}
	}
	near("p50", got.P50, 500)
	near("p90", got.P90, 900)
	near("p99", got.P99, 990)
	near("max", got.Max, 600_000)
	if got.Count != 1002 {
		t.Errorf("%d counted", got.Count)
	}
}

// The fast way to the commit time finds what a whole parse finds, though the row itself has members of these names.
func TestCommitMicros(t *testing.T) {
	value := `{"before":null,"after":{"id":1,"ts_us":5,"payload":"{\"source\":{\"ts_us\":7}}"},"source":{"version":"1","ts_ms":1700000000123,` +
		`"sequence":"[null,\"1\"]","ts_us":1700000000123456,"ts_ns":1700000000123456000,"txId":3,"lsn":4,"commit_lsn":5,"seq":6,"epoch":1},` +
		`"transaction":null,"op":"c","ts_ms":1700000000200,"ts_us":1700000000200000}`
	event, err := envelope.ParseEvent([]byte(value))
	if err != nil {
		t.Fatal(err)
	}
	got, err := commitMicros([]byte(value))
	if err != nil || got != event.Source.TsUS {
		t.Errorf("%d, %v; want %d", got, err, event.Source.TsUS)
	}
	for _, broken := range []string{"", `{"op":"c","ts_us":12}`, `{"a":1,"source":{"b":1}}`, `{"a":1,"source":{"b":1,"ts_us":}}`, `{"a":1,"source":{"b":1,"ts_us":1234567890123456789}}`} {
		if got, err := commitMicros([]byte(broken)); err == nil {
			t.Errorf("%q has the commit time %d", broken, got)
		}
	}
}

// A transaction is in the view with the first place that includes its last event; what another transaction, or a part of
// it, does in between does not count.
func TestViewLatencies(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	entry := func(last uint64, ms int64, ends bool) envelope.TransactionEntry {
		return envelope.TransactionEntry{Last: last, TimeUS: ms * 1000, Ends: ends}
	}
	seen := []reached{{1, at(100)}, {4, at(130)}, {6, at(190)}}
	entries := []envelope.TransactionEntry{
		entry(1, 90, true),  // before the span
		entry(2, 105, true), // at 130: 25
		entry(3, 110, true), // at 130: 20
		entry(5, 120, false),
		entry(6, 120, true), // at 190: 70
		entry(7, 125, true), // never
		entry(8, 200, true), // after the span
	}
	h := newLatencies()
	if missing := viewLatencies(seen, entries, span{at(100).UnixMicro(), at(200).UnixMicro()}, h); missing != 1 {
		t.Errorf("%d transactions are in no place, want 1", missing)
	}
	got := percentilesOf(h)
	if got.Count != 3 || got.P50 < 24.9 || got.P50 > 25.1 || got.Max < 69.9 || got.Max > 70.1 {
		t.Errorf("%+v, want 20, 25 and 70 ms", got)
	}
}

func TestPlacesPassOverBarriers(t *testing.T) {
	p := &places{}
	for _, value := range [][]byte{nil, []byte(`{"seq":3}`), nil, []byte(`{"seq":9}`)} {
		if err := p.take(0, &sarama.ConsumerMessage{Value: value}, time.UnixMilli(1)); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.seen) != 2 || p.seq.Load() != 9 {
		t.Errorf("%+v", p.seen)
	}
}

// The schedule depends on nothing but the begin and the rate.
func TestWriterSchedule(t *testing.T) {
	w := &latencyWriter{rate: 10_000, begin: time.UnixMilli(0)}
	for n, want := range map[int]time.Duration{0: 0, 1: 100 * time.Microsecond, 10_000: time.Second, 12_345: 1234500 * time.Microsecond} {
		if got := w.due(n).Sub(w.begin); got != want {
			t.Errorf("transaction %d is due after %s, want %s", n, got, want)
		}
	}
}

func TestARunWhoseWriterWasLateIsNoResult(t *testing.T) {
	for name, c := range map[string]struct {
		result  LatencyResult
		refused bool
	}{
		"on time":  {LatencyResult{Rate: 1000, Written: 999, WriterLag: Percentiles{P99: 2}}, false},
		"too few":  {LatencyResult{Rate: 1000, Written: 900, WriterLag: Percentiles{P99: 2}}, true},
		"noisy":    {LatencyResult{Rate: 1000, Written: 1000, Unexplained: .2}, true},
		"too late": {LatencyResult{Rate: 1000, Written: 1000, WriterLag: Percentiles{P99: 30}}, true},
	} {
		c.result.judge()
		report := &LatencyReport{Results: []LatencyResult{c.result}}
		if got := report.Refused(); got != c.refused {
			t.Errorf("%s: refused is %v: %q", name, got, c.result.Refused)
		}
	}
}

func TestPrintLatency(t *testing.T) {
	report := &LatencyReport{Seconds: 20, WarmUp: 5, Connections: 4, Partitions: 6, LingerMS: 10, Kafka: "embedded", Results: []LatencyResult{
		{Rate: 2000, To: ToReader, Latency: Percentiles{40_000, 9.96, 14, 18.04, 31.2}, WriterLag: Percentiles{40_000, .5, .9, 1.1, 4}, Written: 2000,
			ClientCores: .1, WalsenderCores: .05, BrokerCores: .125, ProcessCores: -1, PostgresCores: .4, BenchCores: .2, Unexplained: .03},
		{Rate: 10_000, To: ToView, Latency: Percentiles{190_000, 25, 40, 55, 80}, WriterLag: Percentiles{190_000, .6, 1, 12, 40}, Written: 9500,
			ClientCores: .3, WalsenderCores: .1, BrokerCores: -1, ProcessCores: .25, PostgresCores: -1, BenchCores: .5, Unexplained: -1, Refused: "only 9500 transactions per second were written"},
	}}
	const want = `Open loop, 20 s at each rate after 5 s of warm-up that are left out; one row per transaction.
From the commit, by the source's clock, to its arrival at a read_committed reader; milliseconds.
4 writing connections, 6 partitions, linger 10 ms, Kafka embedded.

  rate/s  commit to   p50   p90   p99   max   count  written/s  writer lag p50    p99   max  cores: client  walsender  broker  process  postgres  bench  noise
    2000     reader  10.0  14.0  18.0  31.2   40000       2000            0.50   1.10   4.0           0.10       0.05    0.12        –      0.40   0.20    3 %
   10000       view  25.0  40.0  55.0  80.0  190000       9500            0.60  12.00  40.0           0.30       0.10       –     0.25         –   0.50      –
no result at 10000 to the view: only 9500 transactions per second were written
`
	var printed strings.Builder
	if err := report.PrintTable(&printed); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, printed.String()); diff != "" {
		t.Error(diff)
	}
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var read LatencyReport
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(report, &read); diff != "" {
		t.Error(diff)
	}
}

// Everything that is written in the measured part is counted, to the reader and to the view, and nothing is left behind.
func TestLatency(t *testing.T) {
	t.Parallel()
	pg := devstack.TestPostgres(t, Settings)
	report, err := Latency(t.Context(), LatencyConfig{Source: pg.URL(), Command: testCommand, Rates: []int{200}, For: time.Second, WarmUp: time.Second / 2,
		Connections: 2, Partitions: 3, View: true, Tell: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Results) != 2 || report.Results[0].To != ToReader || report.Results[1].To != ToView {
		t.Fatalf("%+v", report.Results)
	}
	for _, r := range report.Results {
		// Who commits at the edge of the span, and how far behind its schedule the writer is, is the machine's affair.
		if r.Latency.Count == 0 || r.Latency.Count > 300 || r.Latency.P50 <= 0 || r.Latency.P50 > r.Latency.P99 || r.Latency.P99 > r.Latency.Max {
			t.Errorf("to the %s: %+v", r.To, r.Latency)
		}
		if r.WriterLag.Count < 199 || r.WriterLag.Count > 201 {
			t.Errorf("to the %s: the lag of %d transactions of 200 is known", r.To, r.WriterLag.Count)
		}
	}
	conn, err := pgx.Connect(t.Context(), pg.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if names := left(t, conn); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

// A role that cannot start is an error that says so, and leaves nothing running.
func TestARoleThatCannotStart(t *testing.T) {
	t.Parallel()
	_, err := startRole(t.Context(), testCommand, partStream, Task{Source: "postgres://127.0.0.1:1/none?sslmode=disable", Brokers: []string{"127.0.0.1:1"}, Prefix: "none",
		Slot: "none", Publication: "none", Partitions: 1})
	if err == nil || !strings.Contains(err.Error(), "start the stream") {
		t.Errorf("%v", err)
	}
}
