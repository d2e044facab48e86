package producer

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/metrics"
)

// Progress is what has been committed since the process began. All sessions of a role share one.
type Progress struct {
	Transactions, Events, Records, Bytes, Commits, Seq, LastCommitNanos atomic.Int64
	Commit                                                              atomic.Uint64 // LSN of the last whole transaction
	Acked                                                               atomic.Uint64 // LSN up to which the source may forget
}

// count reports a committed batch.
func (w *Writer) count(b *Batch, began time.Time) {
	now := time.Now()
	m, p := w.metrics, w.progress
	m.KafkaTransactions.WithLabelValues("commit").Inc()
	m.TransactionDuration.Observe(now.Sub(began).Seconds())
	p.Commits.Add(1)
	p.Acked.Store(uint64(b.checkpoint.AckedUpto))
	for _, place := range b.places {
		m.Records.WithLabelValues(place.topic).Add(float64(place.records))
		p.Records.Add(int64(place.records))
	}
	events := w.countEvents(b)
	m.RecordBytes.Add(float64(len(b.arena)))
	m.Transactions.Add(float64(b.whole))
	p.Events.Add(events)
	p.Bytes.Add(int64(len(b.arena)))
	p.Transactions.Add(int64(b.whole))
	p.Seq.Store(int64(b.checkpoint.Seq))
	if b.whole > 0 {
		lag := now.Sub(b.lastCommit)
		m.LastCommit.Set(float64(b.lastCommit.UnixMicro()) / 1e6)
		m.CommitLag.Set(lag.Seconds())
		m.Latency.WithLabelValues(metrics.StageCommitted).Observe(lag.Seconds())
		p.LastCommitNanos.Store(b.lastCommit.UnixNano())
		p.Commit.Store(uint64(b.checkpoint.Commit))
	}
}

// counted names a counter of events.
type counted struct {
	table *cdc.Table
	op    cdc.Op
}

// countEvents counts the events, run by run of the same table and op.
func (w *Writer) countEvents(b *Batch) (events int64) {
	var of counted
	var run int64
	end := func() {
		if run > 0 {
			w.counter(of).Add(float64(run))
		}
		events, run = events+run, 0
	}
	for i := range b.records {
		r := &b.records[i]
		if r.table != of.table || r.op != of.op {
			end()
			of = counted{r.table, r.op}
		}
		if !r.value.none() { // a tombstone is no event
			run++
		}
	}
	end()
	return events
}

// counter finds the counter of a table and an op.
func (w *Writer) counter(of counted) prometheus.Counter {
	c := w.counters[of]
	if c == nil {
		if len(w.counters) > countersKept { // of descriptions that have long been replaced
			clear(w.counters)
		}
		c = w.metrics.Events.WithLabelValues(of.table.Schema, of.table.Name, of.op.String())
		w.counters[of] = c
	}
	return c
}

const countersKept = 10_000
