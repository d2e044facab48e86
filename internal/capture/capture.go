// Package capture is the role cdc: it joins the source (cdc/postgres) with Kafka (producer) and runs the start protocol
// between them. It stands apart from both, since neither may know the other.
//
//	preflight, read only ─► replication connection + lead ─► new Kafka producer ─► checkpoint ─► checks ─► stream
//	        ▲                                                                                             │
//	        └── any doubt: drop connection and producer, start again ◄────────────────────────────────────┘
package capture

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/failpoint"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
	"github.com/livedb/livedb/producer"
)

// Config is what the role needs.
type Config struct {
	Source     postgres.Config
	Kafka      kafka.Config
	Prefix     string
	Partitions int32 // of each table's topic; fixed for the stream's life
	Limits     producer.Limits
	Version    string // of LiveDB, for the events

	// NewEpoch orders that a stream which has lost changes goes on in an epoch of this number, or in the next one. It is an
	// order for one start: once the process has committed anything, it counts no more. 0: a loss ends the role.
	NewEpoch uint32

	// RetentionBytes bounds each partition of the topics that hold events and their order; 0 leaves it to the broker.
	RetentionBytes int64

	// Window is how far the replay slot stays behind.
	Window Window

	// Drain, unless it is nil, has Run return once everything is delivered that had committed when the stream began, and holds
	// what was done.
	Drain *Drained

	Metrics *metrics.CDC
	Status  *status.Reporter
	Log     *slog.Logger
}

// Limits of starting again.
const (
	drainLimit = 1500 * time.Millisecond // for the last commit after the role was told to stop
	repeatLog  = 10 * time.Second        // between two log lines for the same reason; status and metrics have each
)

// Run streams until the context ends, which is no error, or until a *cdc.Refusal or a misfit of Kafka's topics says that
// trying again would not help. It returns an error of its first preflight at once; later it waits for the source and
// for Kafka as long as it takes.
func Run(ctx context.Context, c Config) error {
	r := &role{Config: c, topics: envelope.Topics(c.Prefix), progress: &producer.Progress{}, silence: silence{first: c.Source.Silence()}}
	r.report()
	r.warden = newWarden(r)
	if r.began = time.Now(); c.Drain != nil {
		r.Limits.Heartbeat = drainHeartbeat
	}
	var pauses backoff
	var told struct {
		reason string
		at     time.Time
	}
	for first := true; ; first = false {
		before, began := r.progress.Commits.Load(), time.Now()
		r.flow = flow{}
		if before > 0 {
			r.NewEpoch = 0
		}
		err := preflight(ctx, r.Config, &evidence{})
		if err == nil {
			err = failpoint.Hit(failpoint.Preflighted)
		}
		hopeless := first && err != nil
		if first && err == nil && c.Drain == nil {
			defer r.warden.start(ctx)()
		}
		if err == nil {
			err = r.session(ctx)
		}
		err = kafka.Named(err)
		if ctx.Err() != nil || errors.Is(err, errDrained) {
			return nil
		}
		if !hopeless && r.takeUp(err) {
			continue
		}
		v := judge(err, !r.served.IsZero())
		if hopeless || v.permanent || r.exhausted(r.progress.Commits.Load() != before) {
			err = certified(ctx, c, err)
			c.Status.Set(status.Error, err.Error())
			return err
		}
		lived := r.served.After(began) && time.Since(r.served) > settled
		fresh := lived || r.progress.Commits.Load() != before
		pause := pauses.next(v, fresh)
		r.silence.next(errors.Is(err, postgres.ErrSilent), r.flow.lasted())
		if fresh || v.reason != told.reason || time.Since(told.at) > repeatLog {
			c.Log.Warn("the stream starts again", "reason", err, "in", pause.Round(time.Millisecond))
			told.reason, told.at = v.reason, time.Now()
		}
		c.Status.Set(status.Warning, err.Error())
		c.Metrics.Reconnects.WithLabelValues(v.reason).Inc()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// role is what outlives a session.
type role struct {
	Config
	topics   envelope.Topics
	progress *producer.Progress
	warden   *warden
	served   time.Time // when the source last began to stream to us; zero: never
	silence  silence
	flow     flow // of the session's WAL
	began    time.Time
	tries    int          // of a drain, in a row without progress
	recovery *Recovery    // of a session that recovers; nil in one that streams
	lost     *cdc.Refusal // why the next session is to begin a new epoch, if a session before it found out
}

func (r *role) report() {
	p := r.progress
	r.Status.Set(status.Initializing, "checking the source and kafka")
	r.Status.Number(status.TransactionsTotal, func() float64 { return float64(p.Transactions.Load()) })
	r.Status.Number(status.EventsTotal, func() float64 { return float64(p.Events.Load()) })
	r.Status.Number(status.BytesTotal, func() float64 { return float64(p.Bytes.Load()) })
	r.Status.Number(status.CommitsTotal, func() float64 { return float64(p.Commits.Load()) })
	r.Status.Number(status.Seq, func() float64 { return float64(p.Seq.Load()) })
	r.Status.Number(status.LagSeconds, func() float64 {
		if last := p.LastCommitNanos.Load(); last > 0 {
			return time.Since(time.Unix(0, last)).Seconds()
		}
		return 0
	})
	r.Status.Text("slot", r.Source.Slot)
	r.Status.Text("publication", r.Source.Publication)
	r.Status.Text("prefix", r.Prefix)
}

// client opens a Kafka client for one session.
func (r *role) client(ctx context.Context) (sarama.Client, error) { return kafka.Connect(ctx, r.Kafka) }
