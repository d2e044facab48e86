package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Percentiles sum up latencies, in milliseconds. They are at most a thousandth off.
type Percentiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// newLatencies counts microseconds, up to ten minutes.
func newLatencies() *hdrhistogram.Histogram { return hdrhistogram.New(1, 10*60*1e6, 3) }

// record counts a latency. One that is below a microsecond, or negative since a clock was set, counts as one.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(1, d.Microseconds()), 10*60*1e6)) // in range, so it takes it
}

func percentilesOf(h *hdrhistogram.Histogram) Percentiles {
	if h.TotalCount() == 0 {
		return Percentiles{}
	}
	ms := func(microseconds int64) float64 { return float64(microseconds) / 1e3 }
	return Percentiles{Count: h.TotalCount(), P50: ms(h.ValueAtQuantile(50)), P90: ms(h.ValueAtQuantile(90)),
		P99: ms(h.ValueAtQuantile(99)), Max: ms(h.Max())}
}

// What a latency is measured to.
const (
	ToReader = "reader" // a read_committed consumer of the table's topic
	ToView   = "view"   // a read_committed consumer of the processor's results
)

// LatencyResult is one run at one rate, its warm-up left out. Cores are CPU seconds per second; a negative value is not
// known.
type LatencyResult struct {
	Rate      int         `json:"rate"` // transactions per second that were due
	To        string      `json:"to"`
	Latency   Percentiles `json:"latency_ms"`    // from the commit, by the source's clock
	WriterLag Percentiles `json:"writer_lag_ms"` // from when a transaction was due until it was sent
	Written   float64     `json:"written"`       // transactions per second

	ClientCores    float64 `json:"client_cores"` // the role cdc
	WalsenderCores float64 `json:"walsender_cores"`
	BrokerCores    float64 `json:"broker_cores"`
	ProcessCores   float64 `json:"process_cores"`  // the role process, where it ran
	PostgresCores  float64 `json:"postgres_cores"` // without the walsender: the writer's side, and what keeps the WAL
	BenchCores     float64 `json:"bench_cores"`    // the writer and the reader
	Unexplained    float64 `json:"unexplained"`    // share of the machine that nobody of these explains

	Refused string `json:"refused,omitempty"` // why it is no result
}

// Limits of a writer that is on its schedule.
const (
	leastWritten = 0.99 // of the rate
	longestLag   = 10.0 // of 99 %, in milliseconds
)

// judge refuses a run that was disturbed, or whose writer was not on its schedule: the load was then not what the result says.
func (r *LatencyResult) judge() {
	switch {
	case tooNoisy(r.Unexplained):
		r.Refused = fmt.Sprintf("something else used %.0f %% of the machine", 100*r.Unexplained)
	case r.Written < leastWritten*float64(r.Rate):
		r.Refused = fmt.Sprintf("only %.0f transactions per second were written", r.Written)
	case r.WriterLag.P99 > longestLag:
		r.Refused = fmt.Sprintf("the writer was late: a hundredth of the transactions by more than %.1f ms", r.WriterLag.P99)
	}
}

// LatencyReport is what a measurement found and under which conditions.
type LatencyReport struct {
	Results     []LatencyResult `json:"results"`
	Seconds     float64         `json:"seconds"` // measured, of each run
	WarmUp      float64         `json:"warm_up_seconds"`
	Connections int             `json:"connections"` // of the writer
	Partitions  int32           `json:"partitions"`
	LingerMS    float64         `json:"linger_ms"`
	Kafka       string          `json:"kafka"` // embedded, or the brokers
}

// Refused tells whether a run is no result.
func (r *LatencyReport) Refused() bool {
	for _, result := range r.Results {
		if result.Refused != "" {
			return true
		}
	}
	return false
}

// PrintTable writes the report for a person.
func (r *LatencyReport) PrintTable(w io.Writer) error {
	fmt.Fprintf(w, "Open loop, %g s at each rate after %g s of warm-up that are left out; one row per transaction.\n"+
		"From the commit, by the source's clock, to its arrival at a read_committed reader; milliseconds.\n"+
		"%d writing connections, %d partitions, linger %g ms, Kafka %s.\n\n",
		r.Seconds, r.WarmUp, r.Connections, r.Partitions, r.LingerMS, r.Kafka)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "rate/s\tcommit to\tp50\tp90\tp99\tmax\tcount\twritten/s\twriter lag p50\tp99\tmax\tcores: client\twalsender\tbroker\tprocess\tpostgres\tbench\tnoise\t\n")
	for _, s := range r.Results {
		l, lag := s.Latency, s.WriterLag
		fmt.Fprintf(t, "%d\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t%d\t%.0f\t%.2f\t%.2f\t%.1f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", s.Rate, s.To, l.P50, l.P90, l.P99, l.Max, l.Count,
			s.Written, lag.P50, lag.P99, lag.Max,
			cores(s.ClientCores), cores(s.WalsenderCores), cores(s.BrokerCores), cores(s.ProcessCores), cores(s.PostgresCores), cores(s.BenchCores), percent(s.Unexplained))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	for _, s := range r.Results {
		if s.Refused != "" {
			fmt.Fprintf(w, "no result at %d to the %s: %s\n", s.Rate, s.To, s.Refused)
		}
	}
	return nil
}

// cores writes what may not be known.
func cores(n float64) string { return perhaps("%.2f", n) }
