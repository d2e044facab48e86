package processor

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
)

// totals are the role's numbers, and what else is kept over its sessions.
type totals struct {
	config  Config
	settled bool                          // a barrier of this instance stands in the state topic
	records map[string]prometheus.Counter // by topic
	topic   string                        // of the last event, with its counter
	counter prometheus.Counter

	events, transactions, groups, late, seq atomic.Uint64

	commit atomic.Int64 // commit time of the last transaction written, microseconds since 1970; 0 for none
}

func newTotals(c Config) *totals {
	t := &totals{config: c, records: map[string]prometheus.Counter{}}
	for name, value := range map[string]*atomic.Uint64{
		status.EventsTotal: &t.events, status.TransactionsTotal: &t.transactions,
		status.Groups: &t.groups, status.LateTotal: &t.late, status.Seq: &t.seq,
	} {
		c.Status.Number(name, func() float64 { return float64(value.Load()) })
	}
	c.Status.Number(status.LagSeconds, func() float64 {
		if at := t.commit.Load(); at != 0 {
			return time.Since(time.UnixMicro(at)).Seconds()
		}
		return 0
	})
	return t
}

// event counts an event that was read.
func (t *totals) event(topic string) {
	t.events.Add(1)
	if t.topic != topic {
		t.topic, t.counter = topic, t.records[topic]
		if t.counter == nil {
			t.counter = t.config.Metrics.Records.WithLabelValues(topic)
			t.records[topic] = t.counter
		}
	}
	t.counter.Inc()
}

// restored takes over what an earlier session, or instance, wrote.
func (t *totals) restored(s *session) {
	t.late.Store(s.fold.late)
	t.show(s)
}

// written counts what a session has just written. The latency is that of its oldest transaction.
func (t *totals) written(s *session) {
	m := t.config.Metrics
	t.transactions.Add(uint64(s.waiting))
	m.Late.Add(float64(s.fold.late - t.late.Swap(s.fold.late)))
	if s.waiting > 0 { // not where an epoch begins
		m.Latency.WithLabelValues(metrics.StageProcessed).Observe(s.written.Sub(s.oldest).Seconds())
	}
	m.Lag.Set(s.written.Sub(s.last.Tx.Time).Seconds())
	t.show(s)
}

func (t *totals) show(s *session) {
	m := t.config.Metrics
	t.seq.Store(s.last.Seq)
	t.commit.Store(s.last.Tx.Time.UnixMicro())
	t.groups.Store(uint64(s.fold.live))
	m.Windows.Set(float64(s.fold.live))
	m.StateKeys.Set(1)
	if s.fold.timed {
		m.Watermark.Set(float64(s.fold.newest) / 1e6)
	}
	t.config.Status.Text("position", s.last.Position.String())
}
