//go:build unix

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// visibleLimit is how long a committed checkpoint may stay invisible: Kafka answers a commit before its markers are
// written, and while a node is down these wait for new leaders.
const visibleLimit = time.Minute

// checkpoint is what the round needs to know of the stream's checkpoint.
type checkpoint struct {
	streaming bool
	seq       uint64
	acked     cdc.LSN // the greatest acked_upto
}

// viewState is what the round needs to know of the view's state.
type viewState struct {
	Seq       uint64 `json:"seq"`
	EventTime int64  `json:"event_time_us"` // the greatest one, microseconds since 1970
	Begin     int64  `json:"begin_us"`      // windows that began before it are left out
}

// observed counts the observations of the slot.
type observed struct{ count atomic.Int64 }

// watch follows the checkpoint and the view's state, and holds the slot against the checkpoint, until the round ends.
func (r *round) watch() {
	ctx := r.life
	topics := envelope.Topics(r.prefix)
	r.watching.Go(func() { follow(ctx, r.client, topics.Checkpoint(), r.takeCheckpoint) })
	r.watching.Go(func() {
		follow(ctx, r.client, topics.State("orders"), func(record kafka.Record) {
			if string(record.Key) == "position" && record.Value != nil {
				r.state.update(func(s *viewState) { r.parse(topics.State("orders"), record, s) })
			}
		})
	})
	r.watching.Go(func() { r.observe(ctx) })
}

func (r *round) takeCheckpoint(record kafka.Record) {
	if string(record.Key) != "position" || record.Value == nil {
		return
	}
	var c producer.Checkpoint
	r.parse(envelope.Topics(r.prefix).Checkpoint(), record, &c)
	r.checkpoint.update(func(was *checkpoint) {
		was.streaming, was.seq = c.State == producer.Streaming, c.Seq
		was.acked = max(was.acked, c.AckedUpto)
	})
}

func (r *round) parse(topic string, record kafka.Record, into any) {
	if err := json.Unmarshal(record.Value, into); err != nil {
		r.fail(fmt.Errorf("offset %d of topic %s: %w", record.Offset, topic, err))
	}
}

// observe holds A6: whatever the slot has been told was allowed by a checkpoint that had been committed before.
func (r *round) observe(ctx context.Context) {
	for ctx.Err() == nil {
		if conn, err := pgx.Connect(ctx, r.postgres.URL()); err == nil {
			r.observeOn(ctx, conn)
			conn.Close(context.WithoutCancel(ctx))
		}
		select {
		case <-ctx.Done():
		case <-time.After(tailPause):
		}
	}
}

// observeOn observes until the connection breaks. The server paces it.
func (r *round) observeOn(ctx context.Context, conn *pgx.Conn) {
	for {
		var confirmed cdc.LSN
		err := conn.QueryRow(ctx, `SELECT coalesce(max(confirmed_flush_lsn), '0/0')::text FROM pg_replication_slots, pg_sleep(0.1) WHERE slot_name = $1`,
			r.slot()).Scan((*lsnText)(&confirmed))
		if err != nil {
			return
		}
		if !r.checkpoint.get().streaming {
			continue // the slot is being made
		}
		visible, cancel := r.within(ctx, visibleLimit, fmt.Sprintf("no committed checkpoint allowed the slot's confirmed_flush_lsn %s", confirmed))
		_, err = r.checkpoint.await(visible, func(c checkpoint) bool { return c.acked >= confirmed })
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			r.fail(err)
			return
		}
		r.observed.count.Add(1)
	}
}

// lsnText scans an LSN from its text.
type lsnText cdc.LSN

// Scan implements sql.Scanner.
func (l *lsnText) Scan(text any) error { return (*cdc.LSN)(l).Scan(text) }
