package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
	"github.com/livedb/livedb/producer"
)

// drainToKafka is the role cdc as it is: exactly once, with the transaction topic, checkpoints and metrics.
func drainToKafka(ctx context.Context, t Task, m *meter, log *slog.Logger) error {
	return drainRoles(ctx, t, m, log, nil)
}

// station is a role behind the role cdc, and what its status counts up to the number of events.
type station struct {
	role string
	run  func(ctx context.Context, s *status.Reporter) error
}

// drainRoles runs the role cdc, and the stations behind it, until all have seen the whole load. The load has as many
// events as the stream's seq counts, since the stream begins with it. The page shows what comes after it looked: the stations
// wait for the stream, not it for them.
func drainRoles(ctx context.Context, t Task, m *meter, log *slog.Logger, behind []station) error {
	registry := prometheus.NewRegistry()
	c := captureConfig(t, log)
	c.Metrics = metrics.NewCDC(registry)
	if err := seed(ctx, c, t.Start); err != nil {
		return err
	}
	board := status.NewBoard("bench")
	c.Status = board.Role("cdc")
	roles, end := context.WithCancel(ctx)
	defer end()
	group, running := errgroup.WithContext(roles)
	for _, s := range behind {
		group.Go(func() error { return s.run(running, board.Role(s.role)) })
	}
	group.Go(func() error {
		for _, s := range behind {
			if err := healthy(running, board.Role(s.role)); err != nil {
				return err
			}
		}
		return capture.Run(running, c)
	})
	group.Go(func() error {
		defer end()
		if err := healthy(running, c.Status); err != nil {
			return err
		}
		m.begin() // it streams
		if t.First > 0 {
			if err := reach(running, c.Status, status.EventsTotal, t.First); err != nil {
				return err
			}
			m.lap(int(c.Status.Status().Numbers[status.EventsTotal]))
		}
		if err := reach(running, c.Status, status.EventsTotal, t.Events); err != nil {
			return err
		}
		for _, s := range behind {
			if err := reach(running, board.Role(s.role), status.Seq, t.Events); err != nil {
				return err
			}
		}
		m.end(t.Rows)
		var err error
		m.BytesPerRead, err = bytesPerRead(registry)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if m.Rows == 0 {
		return errors.Join(ctx.Err(), errors.New("a role ended before the load did"))
	}
	return nil
}

// source is LiveDB's side of the task's Postgres.
func (t Task) source() postgres.Config {
	return postgres.Config{URL: t.Source, Slot: t.Slot, Publication: t.Publication, DecodingMemory: t.Memory}
}

func captureConfig(t Task, log *slog.Logger) capture.Config {
	return capture.Config{
		Source: t.source(),
		Kafka:  kafka.Config{Brokers: t.Brokers, ClientID: "livedb/bench", Compression: t.Compression},
		Prefix: t.Prefix, Partitions: t.Partitions, Version: "bench",
		Metrics: metrics.NewCDC(prometheus.NewRegistry()), Log: log,
	}
}

// bytesPerRead is what a read of the replication connection's socket brought in the mean, from what the role exports.
func bytesPerRead(registry *prometheus.Registry) (float64, error) {
	families, err := registry.Gather()
	if err != nil {
		return -1, fmt.Errorf("read the metrics of the role cdc: %w", err)
	}
	values := map[string]float64{}
	for _, f := range families {
		if m := f.GetMetric(); len(m) == 1 {
			values[f.GetName()] = m[0].GetCounter().GetValue()
		}
	}
	return values["livedb_cdc_socket_read_bytes_total"] / max(1, values["livedb_cdc_socket_reads_total"]), nil
}

// seed writes the checkpoint of a stream that has delivered nothing yet and goes on at the slot's position, as the role's
// own bootstrap does once it has made a slot.
func seed(ctx context.Context, c capture.Config, start cdc.LSN) error {
	server, err := postgres.Inspect(ctx, c.Source)
	if err != nil {
		return err
	}
	identity, err := postgres.Identify(ctx, c.Source)
	if err != nil {
		return err
	}
	client, err := kafka.Connect(ctx, c.Kafka)
	if err != nil {
		return err
	}
	defer client.Close()
	topics := envelope.Topics(c.Prefix)
	if err := kafka.EnsureTopics(ctx, client, producer.OwnTopics(topics, c.RetentionBytes)...); err != nil {
		return err
	}
	p, err := kafka.OpenProducer(ctx, c.Kafka, c.Prefix+".cdc")
	if err != nil {
		return err
	}
	defer p.Close()
	source := producer.Source{SystemID: identity.SystemID, Timeline: identity.Timeline, NeonTimeline: server.NeonTimeline,
		Database: identity.Database, Slot: c.Source.Slot, Publication: c.Source.Publication}
	return producer.WriteCheckpoint(p, topics, producer.Checkpoint{Version: 1, Epoch: 1, Time: time.Now().UTC(), State: producer.Streaming,
		Source: source, End: cdc.EndLSN(start), AckedUpto: start})
}

// healthy waits until a role works.
func healthy(ctx context.Context, r *status.Reporter) error {
	select {
	case <-r.Healthy():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Bounds of the time between two looks at a number.
const (
	shortestLook = time.Millisecond
	longestLook  = 50 * time.Millisecond
)

// reach waits until a role's number has come to want. It looks rarely while that is far off, for a look costs something,
// and often when it is near, for its time is what is measured.
func reach(ctx context.Context, r *status.Reporter, number string, want int) error {
	began := time.Now()
	for {
		got := r.Status().Numbers[number]
		if got >= float64(want) {
			return nil
		}
		pause := shortestLook
		if got > 0 {
			left := time.Duration(float64(time.Since(began)) * (float64(want) - got) / got)
			pause = min(max(left/2, shortestLook), longestLook)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
