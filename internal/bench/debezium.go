package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/IBM/sarama"
	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/compose/debezium"
	"github.com/livedb/livedb/internal/kafka"
)

const (
	debeziumStart = 2 * time.Minute       // until its walsender streams
	debeziumStall = time.Minute           // without a new record
	debeziumTick  = 25 * time.Millisecond // between two looks at the topic: how exact the end is
)

// Debezium is its Postgres connector in a Kafka Connect of its own, which starts anew for each drain. It delivers at least
// once. Its figures are from the moment that its walsender has the slot: the start of Java is not in them, warming up is.
func Debezium(tuned bool, log *slog.Logger) Party {
	name := "debezium"
	if tuned {
		name = "debezium-tuned"
	}
	drain := func(ctx context.Context, t Task) (Figures, error) { return drainDebezium(ctx, t, tuned, log) }
	p := Party{Name: name, Kafka: true, Drain: drain, Verify: verifyDebezium}
	for _, s := range debezium.Settings(tuned) {
		p.Settings = append(p.Settings, s.String())
	}
	return p
}

func drainDebezium(ctx context.Context, t Task, tuned bool, log *slog.Logger) (_ Figures, err error) {
	config := debezium.Config{
		Source: t.Source, Slot: t.Slot, Publication: t.Publication, Table: t.Table, Brokers: t.Brokers, Prefix: t.Prefix, Tuned: tuned, Log: log,
	}
	conn, err := pgx.Connect(ctx, t.Source)
	if err != nil {
		return unknown(), err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	client, err := kafka.Connect(ctx, kafka.Config{Brokers: t.Brokers, ClientID: "livedb/bench"})
	if err != nil {
		return unknown(), err
	}
	defer client.Close()
	if err := kafka.EnsureTopics(ctx, client, kafka.Topic{Name: config.Topic(), Partitions: t.Partitions}); err != nil {
		return unknown(), err
	}

	c, err := debezium.Start(ctx, config)
	if err != nil {
		return unknown(), err
	}
	defer func() {
		if closed := c.Close(); err == nil {
			err = closed
		}
	}()
	if err := awaitWalsender(ctx, conn, c, t.Slot); err != nil {
		return unknown(), err
	}
	run := debeziumRun{Connect: c, client: client, topic: config.Topic(), events: t.Events, began: time.Now()}
	run.start, _ = readProcess(c.PID())
	figures, err := run.drain(ctx, log)
	figures.Rows = t.Rows
	return figures, err
}

// awaitWalsender returns when the slot is being read.
func awaitWalsender(ctx context.Context, conn *pgx.Conn, c *debezium.Connect, slot string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, debeziumStart, fmt.Errorf("debezium does not read the slot %s within %s", slot, debeziumStart))
	defer cancel()
	for {
		var active bool
		if err := conn.QueryRow(ctx, `SELECT active FROM pg_replication_slots WHERE slot_name = $1`, slot).Scan(&active); err != nil {
			return fmt.Errorf("look at the slot %s: %w", slot, err)
		}
		if active {
			return nil
		}
		if err := c.Failed(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; its last words:\n%s", context.Cause(ctx), c.Log())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// debeziumRun is one from the moment that the walsender has the slot.
type debeziumRun struct {
	*debezium.Connect
	client sarama.Client
	topic  string
	events int
	began  time.Time
	start  process // as it was then
}

// drain returns when all events are in the topic: what is below its high watermarks is on every replica in sync.
func (r *debeziumRun) drain(ctx context.Context, log *slog.Logger) (Figures, error) {
	last, moved := 0, r.began
	half, halfway := r.start, r.began // when half of the events were there: by then Java has warmed up
	for {
		written, err := r.written()
		if err != nil {
			return unknown(), err
		}
		now := time.Now()
		p, _ := readProcess(r.PID())
		if written == r.events {
			figures := unknown()
			figures.Seconds, figures.PeakRSS = now.Sub(r.began).Seconds(), peakRSS(r.PID())
			if p.own > 0 {
				figures.ClientCPU = p.own - r.start.own
			}
			log.Info("debezium drained the slot", "events", r.events, "seconds", figures.Seconds, "cpu", figures.ClientCPU,
				"seconds_of_second_half", now.Sub(halfway).Seconds(), "cpu_of_second_half", p.own-half.own, "cpu_before", r.start.own)
			return figures, nil
		}
		if written > last {
			if last < r.events/2 && written >= r.events/2 {
				half, halfway = p, now
			}
			last, moved = written, now
		}
		if err := r.check(written, now.Sub(moved)); err != nil {
			return unknown(), err
		}
		select {
		case <-ctx.Done():
			return unknown(), context.Cause(ctx)
		case <-time.After(debeziumTick):
		}
	}
}

// check says why the run cannot come to a good end.
func (r *debeziumRun) check(written int, idle time.Duration) error {
	if err := r.Failed(); err != nil {
		return err
	}
	if written > r.events {
		return fmt.Errorf("debezium wrote %d records for %d events, some twice after a failure: repeat the run; its last words:\n%s",
			written, r.events, r.Log())
	}
	if idle > debeziumStall {
		return fmt.Errorf("debezium has written %d of %d events, and none for %s; its last words:\n%s", written, r.events, idle, r.Log())
	}
	return nil
}

// written counts the topic's records.
func (r *debeziumRun) written() (int, error) {
	partitions, err := r.client.Partitions(r.topic)
	if err != nil {
		return 0, fmt.Errorf("look at the topic %s: %w", r.topic, err)
	}
	total := 0
	for _, p := range partitions {
		next, err := r.client.GetOffset(r.topic, p, sarama.OffsetNewest)
		if err != nil {
			return 0, fmt.Errorf("look at the topic %s: %w", r.topic, err)
		}
		total += int(next)
	}
	return total, nil
}

// verifyDebezium looks whether each event is there once: by its place in the WAL, its key and what it did.
func verifyDebezium(ctx context.Context, t Task) error {
	topic := debezium.Config{Prefix: t.Prefix, Table: t.Table}.Topic()
	type event struct {
		lsn     uint64
		key, op string
	}
	seen := make(map[event]bool, t.Events)
	err := readCommitted(ctx, t.Brokers, topic, func(r *kafka.Record) error {
		var value struct {
			Op     string
			Source struct{ LSN uint64 }
		}
		if err := json.Unmarshal(r.Value, &value); err != nil {
			return err
		}
		seen[event{value.Source.LSN, string(r.Key), value.Op}] = true
		return nil
	})
	if err != nil {
		return err
	}
	if len(seen) != t.Events {
		return fmt.Errorf("topic %s has %d different events where the load has %d", topic, len(seen), t.Events)
	}
	return nil
}
