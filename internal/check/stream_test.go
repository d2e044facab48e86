package check_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/check"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
	"github.com/livedb/livedb/producer"
)

// streamed is a rig whose stream runs until stop.
func streamed(t *testing.T, statements ...string) (r *rig, stop func()) {
	t.Helper()
	r = newRig(t, statements...).brokers()
	c := r.config.Stream
	c.Status, c.Log = status.NewBoard("test").Role("cdc"), slog.New(slog.NewTextHandler(t.Output(), nil))
	c.Metrics = metrics.NewCDC(prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- capture.Run(ctx, c) }()
	select {
	case <-c.Status.Healthy():
	case err := <-ended:
		t.Fatal(err)
	}
	return r, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// saved reads the stream's checkpoint.
func (r *rig) saved() producer.Saved {
	r.t.Helper()
	client, err := kafka.Connect(r.t.Context(), r.config.Stream.Kafka)
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	saved, err := producer.PeekSaved(r.t.Context(), client, envelope.Topics(r.config.Stream.Prefix))
	if err != nil {
		r.t.Fatal(err)
	}
	return saved
}

// save writes another checkpoint, as only a test would.
func (r *rig) save(c producer.Checkpoint) {
	r.t.Helper()
	p, err := kafka.OpenProducer(r.t.Context(), r.config.Stream.Kafka, r.config.Stream.Prefix+".cdc")
	if err != nil {
		r.t.Fatal(err)
	}
	defer p.Close()
	if err := producer.WriteCheckpoint(p, envelope.Topics(r.config.Stream.Prefix), c); err != nil {
		r.t.Fatal(err)
	}
}

// hasAll holds that one check finds all of these, and that the start's refusal is among them. A real Kafka shows what was
// done to its topics some moments later.
func (r *rig) hasAll(wanted ...string) {
	r.t.Helper()
	report := r.run()
	lacks := func(slug string) bool { return find(report, slug, "") == nil }
	for deadline := time.Now().Add(10 * time.Second); slices.ContainsFunc(wanted, lacks) && time.Now().Before(deadline); {
		report = r.run()
	}
	for _, slug := range wanted {
		f := find(report, slug, "")
		if f == nil {
			r.t.Errorf("no %s among %q", slug, slugs(report))
			continue
		}
		told(r.t, *f)
		if f.Severity != check.Critical {
			r.t.Errorf("%s is %s: %s", slug, f.Severity, f.Summary)
		}
	}
	r.agrees()
}

// A stream that is well shows nothing to mend, while it runs and when it has stopped.
func TestAHealthyStreamHasNothingToMend(t *testing.T) {
	t.Parallel()
	r, stop := streamed(t, "CREATE TABLE a (id int PRIMARY KEY)", "ALTER TABLE a REPLICA IDENTITY FULL")
	for _, what := range []string{"it runs", "it has stopped"} {
		if report := check.Run(t.Context(), check.Config{Stream: r.config.Stream}); report.Bad() || report.Stale > 0 || report.Checks < 10 {
			t.Errorf("while %s: %+v", what, report)
		}
		if what == "it runs" {
			stop()
		}
	}
}

// All that is wrong with a stream is found at once, where its start stops at the first.
func TestAllThatIsWrongWithAStreamIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	r, stop := streamed(t, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE TABLE c (id int PRIMARY KEY)",
		"CREATE PUBLICATION livedb FOR TABLE a, b, c")
	r.exec("INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (1)", "INSERT INTO c VALUES (1)")
	for deadline := time.Now().Add(30 * time.Second); len(r.saved().Topology.Topics) < 3; { // each has an event now
		if time.Now().After(deadline) {
			t.Fatal("the tables' events did not come")
		}
	}
	stop()
	was := *r.saved().Position

	// The source is another, and everything of it.
	other := was
	other.SystemID, other.Timeline, other.NeonTimeline, other.Database, other.Slot, other.Publication = "1", 9, "bbbb", "elsewhere", "another", "another"
	r.save(other)
	r.hasAll("system_identifier_changed", "timeline_changed", "neon_timeline_changed", "database_changed", "slot_changed", "publication_changed")
	// It went back, as far as its history is the same.
	ahead := was
	ahead.End += 1 << 40
	ahead.AckedUpto += 1 << 40
	r.save(ahead)
	r.hasAll("checkpoint_ahead_of_wal")
	// The slot was moved by someone else.
	behind := was
	behind.End, behind.AckedUpto = 1, 1
	r.save(behind)
	r.hasAll("slot_ahead_of_checkpoint")
	// Somewhere else it was only being made.
	creating := other
	creating.State = producer.Creating
	r.save(creating)
	r.hasAll("stream_elsewhere")
	r.save(was)
	r.agrees()

	// Topics, slot and publication.
	topic := func(table string) string { return r.config.Stream.Prefix + ".public." + table }
	r.kafka(func(admin sarama.ClusterAdmin) error { return admin.DeleteTopic(topic("a")) })
	r.kafka(func(admin sarama.ClusterAdmin) error { return admin.CreatePartitions(topic("b"), 7, nil, false) })
	r.kafka(func(admin sarama.ClusterAdmin) error { return admin.DeleteTopic(topic("c")) })
	r.remade(topic("c"))
	r.exec("ALTER PUBLICATION livedb DROP TABLE a", "ALTER PUBLICATION livedb SET (publish = 'insert')")
	r.hasAll("topic_missing", "topic_partitions_changed", "topic_recreated", "table_left_publication", "publication_altered")
	r.exec("DROP PUBLICATION livedb", "SELECT pg_drop_replication_slot('$')", "SELECT pg_drop_replication_slot('$_replay') FROM pg_replication_slots WHERE slot_name = '$_replay'")
	r.hasAll("topic_missing", "slot_missing", "publication_missing")

	// At last the checkpoint goes.
	r.unreadable()
	r.hasAll("checkpoint_unreadable")
}

// remade makes a topic again once it is gone.
func (r *rig) remade(topic string) {
	r.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		var err error
		r.kafka(func(admin sarama.ClusterAdmin) error {
			err = admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1}, false)
			return nil
		})
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatal(err)
		}
	}
}

// unreadable writes a checkpoint that no LiveDB wrote.
func (r *rig) unreadable() {
	r.t.Helper()
	p, err := sarama.NewSyncProducer(r.config.Stream.Kafka.Brokers, r.config.Stream.Kafka.Sarama())
	if err != nil {
		r.t.Fatal(err)
	}
	defer p.Close()
	message := &sarama.ProducerMessage{Topic: envelope.Topics(r.config.Stream.Prefix).Checkpoint(), Key: sarama.StringEncoder("position"), Value: sarama.StringEncoder("{")}
	if _, _, err := p.SendMessage(message); err != nil {
		r.t.Fatal(err)
	}
}
