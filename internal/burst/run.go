package burst

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/burst/ledger"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
)

// Result is what a run did.
type Result struct {
	Rows         int64           `json:"rows"`         // committed, ledger rows included
	Transactions int64           `json:"transactions"` // committed
	Rollbacks    int64           `json:"rollbacks"`    // on purpose or not
	Unknown      int64           `json:"unknown"`      // commits whose fate could not be learnt before the end
	Offered      float64         `json:"offered"`      // rows that the rate asked for
	Seed         uint64          `json:"seed"`
	Took         time.Duration   `json:"took"`
	Writers      []ledger.Writer `json:"writers"` // as they believe; the ledger must say the same
}

// stopLimit is how long an open transaction may take to end when the run ends.
const stopLimit = 2 * time.Second

// Run writes until ctx ends or the time is over, which is no error. An error says what is wrong and what to do; the
// result holds either way.
func Run(ctx context.Context, cfg Config) (Result, error) {
	r, err := newRun(cfg)
	if err != nil {
		cfg.Status.Set(status.Error, err.Error())
		return Result{}, err
	}
	return r.work(ctx)
}

// run is what the writers of one Run share.
type run struct {
	cfg    *Config
	source *pgx.ConnConfig
	pacer  *pacer
	counts counts
	start  time.Time

	reached atomic.Bool // a session was once opened
	mu      sync.Mutex
	away    map[int]bool // writers without a session
}

func newRun(given Config) (*run, error) {
	cfg, err := given.withDefaults()
	if err != nil {
		return nil, err
	}
	for cfg.Seed == 0 {
		cfg.Seed = rand.Uint64()
	}
	source, err := postgres.Parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	return &run{cfg: &cfg, source: source, away: map[int]bool{}}, nil
}

func (r *run) work(ctx context.Context) (Result, error) {
	stop, cancel := context.WithCancel(ctx)
	if r.cfg.For > 0 {
		stop, cancel = context.WithTimeout(ctx, r.cfg.For)
	}
	defer cancel()
	hard, give := context.WithCancel(context.WithoutCancel(ctx))
	defer give()
	r.start = time.Now()
	r.pacer = newPacer(r.cfg.Rate, r.cfg.Burst, time.Now)
	r.introduce()
	group, stop := errgroup.WithContext(stop) // one that fails ends all
	defer context.AfterFunc(stop, func() { time.AfterFunc(stopLimit, give) })()
	writers := make([]*writer, r.cfg.Connections)
	for i := range writers {
		r.away[i] = true
		writers[i] = newWriter(r, i)
	}
	for _, w := range writers {
		group.Go(func() error { return w.work(stop, hard) })
	}
	reported, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(reported)
		r.report(done)
	}()
	err := group.Wait()
	close(done)
	<-reported

	result := r.result(writers)
	if err != nil {
		err = explain(err, r.cfg, r.source)
		r.cfg.Status.Set(status.Error, err.Error())
	}
	r.cfg.Log.Info("burst ended", "rows", result.Rows, "transactions", result.Transactions, "rollbacks", result.Rollbacks,
		"unknown", result.Unknown, "seed", result.Seed)
	return result, err
}

// introduce says what is about to begin.
func (r *run) introduce() {
	s := r.cfg.Status
	s.Set(status.Initializing, "connecting to the source")
	s.Text("source", postgres.Address(r.source))
	s.Text("schema", r.cfg.Schema)
	s.Text("seed", fmt.Sprint(r.cfg.Seed))
	s.Number(status.RowsTotal, func() float64 { return float64(r.counts.rows.Load()) })
	s.Number(status.TransactionsTotal, func() float64 { return float64(r.counts.transactions.Load()) })
	s.Number(status.OfferedRowsTotal, r.pacer.Offered)
	s.Number(status.TargetRate, func() float64 { return r.cfg.Rate })
	r.cfg.Log.Info("burst begins", "source", postgres.Address(r.source), "schema", r.cfg.Schema, "rate", r.cfg.Rate,
		"connections", r.cfg.Connections, "seed", r.cfg.Seed)
}

func (r *run) result(writers []*writer) Result {
	result := Result{Rows: r.counts.rows.Load(), Transactions: r.counts.transactions.Load(), Rollbacks: r.counts.rollbacks.Load(),
		Unknown: r.counts.unknowns.Load(), Offered: r.pacer.Offered(), Seed: r.cfg.Seed, Took: time.Since(r.start)}
	for _, w := range writers {
		result.Writers = append(result.Writers, ledger.Writer{ID: formatID(w.id), N: w.n, Rows: w.rows})
	}
	return result
}

// up notes that a writer has a session.
func (r *run) up(number int) {
	r.reached.Store(true)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.away, number)
	if len(r.away) == 0 {
		r.cfg.Status.Set(status.Healthy, "")
	}
}

// down notes that a writer has none, and why.
func (r *run) down(number int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away[number] = true
	state := status.Warning
	if !r.reached.Load() {
		state = status.Initializing
	}
	r.cfg.Status.Set(state, fmt.Sprintf("%d of %d writers try to reach the source again: %s", len(r.away), r.cfg.Connections, r.mask(err)))
}

// mask is an error's text without the password.
func (r *run) mask(err error) string { return postgres.Mask(err.Error(), r.cfg.URL) }

// report writes the progress and feeds the offered rows to the metrics, each second and at the end.
func (r *run) report(done <-chan struct{}) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var before progress
	for last := false; !last; {
		select {
		case <-ticker.C:
		case <-done:
			last = true
		}
		now := progress{at: time.Since(r.start), offered: r.pacer.Offered(), rows: r.counts.rows.Load()}
		if r.cfg.Metrics != nil {
			r.cfg.Metrics.OfferedRows.Add(max(0, now.offered-before.offered))
		}
		if r.cfg.Progress != nil {
			// A terminal that is gone is no reason to stop.
			_, _ = fmt.Fprintln(r.cfg.Progress, now.line(before, &r.counts))
		}
		before = now
	}
}

// progress is where a run stands.
type progress struct {
	at      time.Duration
	offered float64
	rows    int64
}

func (p progress) line(before progress, c *counts) string {
	seconds := max(p.at-before.at, time.Millisecond).Seconds()
	return fmt.Sprintf("%5.0fs  offered %7.0f rows/s  written %7.0f rows/s  total %d rows in %d transactions, %d rolled back",
		p.at.Seconds(), (p.offered-before.offered)/seconds, float64(p.rows-before.rows)/seconds,
		p.rows, c.transactions.Load(), c.rollbacks.Load())
}

// counts are the run's totals.
type counts struct {
	rows, transactions, rollbacks, unknowns atomic.Int64
}

func (c *counts) committed(m *metrics.Burst, t *ledger.Tally) {
	c.transactions.Add(1)
	c.rows.Add(t.Total() + 1)
	if m == nil {
		return
	}
	m.Transactions.WithLabelValues("commit").Inc()
	m.Rows.WithLabelValues(ledger.Entries.String(), ledger.Inserted.String()).Inc()
	for table, byKind := range t.Rows {
		for kind, rows := range byKind {
			if rows > 0 {
				m.Rows.WithLabelValues(ledger.Table(table).String(), ledger.Kind(kind).String()).Add(float64(rows))
			}
		}
	}
}

func (c *counts) rolledBack(m *metrics.Burst) {
	c.rollbacks.Add(1)
	if m != nil {
		m.Transactions.WithLabelValues("rollback").Inc()
	}
}

func (c *counts) unknown(m *metrics.Burst) {
	c.unknowns.Add(1)
	if m != nil {
		m.Transactions.WithLabelValues("unknown").Inc()
	}
}
