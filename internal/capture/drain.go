package capture

import (
	"context"
	"errors"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/producer"
)

// Drained is what a drain did.
type Drained struct {
	Done         bool    `json:"drained"`
	From         cdc.LSN `json:"-"` // acknowledged before
	To           cdc.LSN `json:"-"` // acknowledged now: at least everything that had committed before the stream began
	Seq          uint64  `json:"seq"`
	Transactions int64   `json:"transactions"`
	Events       int64   `json:"events"`
	Bytes        int64   `json:"bytes"`
	Seconds      float64 `json:"seconds"`
}

const (
	drainTick      = 20 * time.Millisecond // between two looks whether it is done
	drainHeartbeat = 20 * time.Millisecond
	drainTries     = 5 // in a row without progress: who drains by a schedule comes again
)

// errDrained ends a session that has drained what there was.
var errDrained = errors.New("the stream is drained")

// drain is a writer that ends the stream once everything up to an LSN is durable.
type drain struct {
	*producer.Writer
	to cdc.LSN
}

// Tick implements the stream's handler.
func (d *drain) Tick(now time.Time) error {
	if err := d.Writer.Tick(now); err != nil {
		return err
	}
	if d.Durable() >= d.to {
		return errDrained
	}
	return nil
}

// Alarm implements the stream's handler.
func (d *drain) Alarm() time.Time {
	soon := time.Now().Add(drainTick)
	if alarm := d.Writer.Alarm(); alarm.Before(soon) {
		return alarm
	}
	return soon
}

// handler is what the stream feeds: the writer, which in a drain knows when to end. The mark that it ends at is written to the
// source's WAL after the stream began, so everything that had committed before lies before it.
func (r *role) handler(ctx context.Context, w *producer.Writer) (postgres.Handler, error) {
	if r.Drain == nil {
		return w, nil
	}
	to, err := postgres.Mark(ctx, r.Source)
	if err != nil {
		return nil, err
	}
	return &drain{Writer: w, to: to}, nil
}

// drained notes what was done, and keeps the replay slot, which nobody does until the next drain.
func (r *role) drained(ctx context.Context, client sarama.Client) {
	p := r.progress
	*r.Drain = Drained{Done: true, From: r.Drain.From, To: cdc.LSN(p.Acked.Load()), Seq: uint64(p.Seq.Load()), Transactions: p.Transactions.Load(),
		Events: p.Events.Load(), Bytes: p.Bytes.Load(), Seconds: time.Since(r.began).Seconds()}
	r.warden.seed(ctx, client)
	if err := r.warden.once(ctx); err != nil {
		r.Log.Debug("the replay slot was not kept", "error", err)
	}
}

// exhausted tells a drain that has failed too often in a row.
func (r *role) exhausted(progressed bool) bool {
	if r.Drain == nil {
		return false
	}
	if r.tries++; progressed {
		r.tries = 1
	}
	return r.tries >= drainTries
}

// led refuses to drain what another cdc streams.
func (r *role) led() error {
	return &cdc.Refusal{Name: "already_streaming", Problem: "another cdc leads the slot " + r.Source.Slot + ", so there is nothing to drain",
		Remedy: "let it stream, or stop it before --drain"}
}
