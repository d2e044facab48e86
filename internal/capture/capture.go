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
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
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

	// RetentionBytes bounds each partition of the topics that hold events and their order; 0 leaves it to the broker.
	RetentionBytes int64

	Metrics *metrics.CDC
	Status  *status.Reporter
	Log     *slog.Logger
}

// Limits of starting again.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
	drainLimit   = 1500 * time.Millisecond // for the last commit after the role was told to stop
)

// Run streams until the context ends, which is no error, or until a *cdc.Refusal or a misfit of Kafka's topics says that
// trying again would not help. It returns an error of its first preflight at once; later it waits for the source and
// for Kafka as long as it takes.
func Run(ctx context.Context, c Config) error {
	r := &role{Config: c, topics: envelope.Topics(c.Prefix), progress: &producer.Progress{}}
	r.report()
	backoff := firstBackoff
	for first := true; ; first = false {
		began := time.Now()
		err := Preflight(ctx, c)
		hopeless := first && err != nil
		if err == nil {
			err = r.session(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		if hopeless || permanent(err) {
			c.Status.Set(status.Error, err.Error())
			return err
		}
		if time.Since(began) > time.Minute {
			backoff = firstBackoff
		}
		c.Log.Warn("the stream starts again", "reason", err, "in", backoff)
		c.Status.Set(status.Warning, err.Error())
		c.Metrics.Reconnects.WithLabelValues(reason(err)).Inc()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backoff/2 + rand.N(backoff/2)):
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// permanent tells what trying again would not mend.
func permanent(err error) bool {
	var refusal *cdc.Refusal
	var partitions *kafka.PartitionsError
	return errors.As(err, &refusal) || errors.As(err, &partitions) || kafka.TooLarge(err)
}

// reason is the label of a restart.
func reason(err error) string {
	var connect *postgres.ConnectError
	var busy *postgres.SlotBusyError
	var unreachable *kafka.UnreachableError
	switch {
	case errors.As(err, &connect):
		return "source_unreachable"
	case errors.As(err, &busy):
		return "slot_in_use"
	case errors.As(err, &unreachable):
		return "kafka_unreachable"
	case errors.Is(err, producer.ErrStalled):
		return "kafka_stalled"
	case errors.Is(err, kafka.ErrOutcomeUnknown):
		return "outcome_unknown"
	case kafka.Fenced(err):
		return "fenced"
	}
	return "broken"
}

// Preflight looks at both sides and changes nothing: no object is created, no producer fenced, no lock taken.
func Preflight(ctx context.Context, c Config) error {
	if c.Partitions < 1 {
		return &cdc.Refusal{Name: "partitions_malformed", Problem: fmt.Sprintf("a topic cannot have %d partitions", c.Partitions), Remedy: "give --partitions 1 or more"}
	}
	if err := envelope.CheckPrefix(c.Prefix); err != nil {
		return &cdc.Refusal{Name: "prefix_malformed", Problem: err.Error(), Remedy: "correct --prefix", Err: err}
	}
	server, err := postgres.Preflight(ctx, c.Source)
	if err != nil {
		return err
	}
	client, err := kafka.Connect(ctx, c.Kafka)
	if err != nil {
		return err
	}
	defer client.Close()
	topics, err := tableTopics(c, server)
	if err != nil {
		return err
	}
	_, err = kafka.CheckTopics(ctx, client, append(topics, producer.OwnTopics(envelope.Topics(c.Prefix), c.RetentionBytes)...)...)
	return err
}

// tableTopics lists the topics of the tables that are, or will be, published.
func tableTopics(c Config, server *postgres.Server) ([]kafka.Topic, error) {
	tables := server.Wanted
	if server.Publication != nil {
		tables = server.Publication.Tables
	}
	owner := map[string]postgres.PublishedTable{}
	var topics []kafka.Topic
	for _, t := range tables {
		topic, err := envelope.Topics(c.Prefix).Table(t.Schema, t.Name)
		if err != nil {
			return nil, &cdc.Refusal{Name: "topic_name_too_long", Problem: err.Error(), Remedy: "leave the table out of the publication", Err: err}
		}
		if other, taken := owner[alike(topic)]; taken {
			return nil, shared(topic, other.Schema+"."+other.Name, t.Schema+"."+t.Name)
		}
		owner[alike(topic)] = t
		topics = append(topics, kafka.Topic{Name: topic, Partitions: c.Partitions, RetentionBytes: c.RetentionBytes})
	}
	return topics, nil
}

// alike gives the same text for topics that Kafka does not tell apart: it refuses names that differ in dots and
// underscores alone.
func alike(topic string) string { return strings.ReplaceAll(topic, ".", "_") }

func shared(topic, one, other string) *cdc.Refusal {
	return &cdc.Refusal{Name: "topic_shared", Unsafe: true, Problem: fmt.Sprintf("the tables %s and %s would share the topic %s", one, other, topic),
		Remedy: "rename one of them, or leave it out of the publication"}
}

// role is what outlives a session.
type role struct {
	Config
	topics   envelope.Topics
	progress *producer.Progress
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
