package producer

import (
	"sync/atomic"
	"time"

	"github.com/livedb/livedb/internal/metrics"
)

// Progress is what has been committed since the process began. All sessions of a role share one.
type Progress struct {
	Transactions, Events, Bytes, Commits, Seq, LastCommitNanos atomic.Int64
	Commit                                                     atomic.Uint64 // LSN of the last whole transaction
}

// count reports a committed batch.
func (w *Writer) count(b *Batch, began time.Time) {
	now := time.Now()
	m, p := w.metrics, w.progress
	m.KafkaTransactions.WithLabelValues("commit").Inc()
	m.TransactionDuration.Observe(now.Sub(began).Seconds())
	p.Commits.Add(1)
	var events int64
	for i := range b.records {
		r := &b.records[i]
		m.Records.WithLabelValues(b.places[r.place].topic).Inc()
		if !r.value.none() {
			m.Events.WithLabelValues(r.table.Schema, r.table.Name, r.op.String()).Inc()
			events++
		}
	}
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
