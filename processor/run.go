package processor

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
)

// Defaults and limits of the role.
const (
	defaultInterval = 25 * time.Millisecond
	firstBackoff    = 100 * time.Millisecond
	longestBackoff  = 10 * time.Second
)

// ErrFenced: another instance computes the view now.
var ErrFenced = errors.New("fenced")

// Config says what Run computes.
type Config struct {
	Kafka    kafka.Config
	Prefix   string
	View     View
	Interval time.Duration // between two Kafka transactions with results; 0 means 25 ms

	// NoSnapshot tells that the stream does not hold the rows that were there before it. Windows that began before its first
	// transaction cannot be computed then: they are left out, and their changes count as late.
	NoSnapshot bool

	// RetentionBytes has the two topics trimmed to about this size instead of compacted, for brokers whose compaction
	// does not help; 0 compacts. Results that no change touches are repeated before they are trimmed away, so they must
	// fit a quarter of it.
	RetentionBytes int64

	Metrics *metrics.Processor // nil: none
	Status  *status.Reporter   // nil: none
	Log     *slog.Logger       // nil: none
}

// Run is the role "process": it keeps one view up to date, with its results in <prefix>.view-<view> and its place in
// the stream in <prefix>.state-<view>, both written in one Kafka transaction.
//
//	┌─► connect, create the topics ─► fence ─► read state and results ─► read the stream ─► fold ─► write ─┐
//	│                                                                        └◄────────────────────────────┤
//	└──────────────────────────── any trouble with Kafka: wait, and begin again ───────────────────────────┘
//
// What is in memory counts for nothing until Kafka has committed it: after any doubt the state is read again. Run
// returns nil when ctx ends, and an error when beginning again would not help: a broken stream (Broken), ErrView, or
// ErrFenced.
func Run(ctx context.Context, c Config) error {
	if err := errors.Join(envelope.CheckPrefix(c.Prefix), c.View.Check()); err != nil {
		return err
	}
	c.Interval = cmp.Or(c.Interval, defaultInterval)
	if c.Metrics == nil {
		c.Metrics = metrics.NewProcessor(prometheus.NewRegistry())
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With("view", c.View.Name)
	c.Kafka.Instance = rand.Text()
	totals := newTotals(c)

	for backoff := firstBackoff; ; backoff = min(2*backoff, longestBackoff) {
		progress, err := runOnce(ctx, c, totals)
		err = kafka.Named(err)
		switch {
		case ctx.Err() != nil:
			c.Log.Info("stopped", "seq", totals.seq.Load())
			return nil
		case final(err):
			c.Status.Set(status.Error, err.Error())
			return fmt.Errorf("view %s: %w", c.View.Name, err)
		case progress:
			backoff = firstBackoff
		}
		c.Log.Warn("kafka trouble, beginning again", "error", err, "in", backoff)
		c.Status.Set(status.Warning, err.Error())
		select {
		case <-ctx.Done():
		case <-time.After(backoff):
		}
	}
}

// runOnce runs until something fails and reports whether it wrote anything.
func runOnce(ctx context.Context, c Config, totals *totals) (progress bool, err error) {
	s, err := openSession(ctx, c, totals)
	defer s.close()
	if err == nil {
		c.Status.Set(status.Healthy, "")
		c.Log.Info("computing", "seq", totals.seq.Load(), "groups", s.fold.live)
		err = s.run(ctx)
	}
	if kafka.Fenced(err) {
		err = s.fenced(ctx, err)
	}
	return s.wrote, err
}

// final reports whether an error would be met again.
func final(err error) bool {
	var refusal *cdc.Refusal
	return Broken(err) || errors.Is(err, ErrView) || errors.Is(err, ErrFenced) || errors.As(err, &refusal)
}
