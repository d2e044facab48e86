package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
)

// FollowConfig says which stream to audit while it grows.
type FollowConfig struct {
	Stream StreamConfig

	Metrics *metrics.Audit
	Status  *status.Reporter // of the role audit; may be nil
	Log     *slog.Logger
}

// followPause is what lies between two rounds.
const followPause = time.Second

// Texts that the role reports.
const (
	textVerified = "verified_lsn" // of the last whole transaction before the first fault
	textPosition = "position"     // of the last event judged
)

// Follow audits the raw log of a stream until the context ends, and returns the report as of then. While Kafka is away it
// waits. What it keeps does not grow with the stream.
func Follow(ctx context.Context, c FollowConfig) (*StreamReport, error) {
	f := &follower{FollowConfig: c}
	c.Stream.Trouble = func(err error) {
		c.Log.Warn("kafka does not answer", "error", err)
		c.Status.Set(status.Warning, fmt.Sprintf("It waits for Kafka: %v", err))
	}
	f.auditor = NewAuditor(c.Stream)
	c.Status.Set(status.Initializing, "It reads the stream from its beginning.")
	c.Status.Number(status.EventsTotal, func() float64 { return float64(f.events.Load()) })
	c.Status.Number(status.Seq, func() float64 { return float64(f.seq.Load()) })
	c.Status.Number(status.ViolationsTotal, func() float64 { return float64(f.faults.Load()) })
	tick := time.NewTicker(followPause)
	defer tick.Stop()
	for {
		err := f.auditor.Round(ctx)
		switch {
		case ctx.Err() != nil:
			return f.auditor.Report(), nil
		case errors.Is(err, ErrNoStream):
			c.Status.Set(status.Initializing, fmt.Sprintf("It waits for the stream: %v.", err))
		case err != nil && f.auditor.broken:
			c.Status.Set(status.Error, err.Error())
			return f.auditor.Report(), err
		case err != nil:
			c.Stream.Trouble(err)
		default:
			f.tell()
		}
		select {
		case <-ctx.Done():
			return f.auditor.Report(), nil
		case <-tick.C:
		}
	}
}

// follower is what has been told of an audit.
type follower struct {
	FollowConfig
	auditor *Auditor
	told    StreamReport

	events, seq, faults atomic.Uint64
}

// tell reports what the last round found.
func (f *follower) tell() {
	r := f.auditor.Report()
	f.Metrics.Checked.Add(float64(r.Events - f.told.Events))
	for _, kind := range Kinds {
		f.Metrics.Violations.WithLabelValues(string(kind)).Add(float64(r.Counts[kind] - f.told.Counts[kind]))
	}
	for _, finding := range r.Findings[len(f.told.Findings):] {
		f.Log.Error("the audit found a fault", "fault", finding.String())
	}
	f.events.Store(r.Events)
	f.faults.Store(r.Faults())
	f.Status.Text(textPosition, r.Last.String())
	if r.OK() {
		f.Metrics.Verified.Set(float64(r.LastCommit))
		f.Status.Text(textVerified, r.LastCommit.String())
		f.Status.Set(status.Healthy, "")
	} else {
		f.Status.Text(status.FirstViolation, r.Findings[0].String())
		f.Status.Set(status.Warning, fmt.Sprintf("It found %d faults; the first is %s.", r.Faults(), r.Findings[0]))
	}
	f.told = *r
	f.seq.Store(r.To) // last: whoever sees it sees the rest
}
