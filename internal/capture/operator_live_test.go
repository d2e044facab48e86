package capture_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/processor"
	"github.com/livedb/livedb/producer"
)

// stops waits for a role that stops by itself, by one of the names.
func stops(t *testing.T, ended <-chan error, names ...string) {
	t.Helper()
	select {
	case err := <-ended:
		var refusal *cdc.Refusal
		if !errors.As(err, &refusal) || !slices.Contains(names, refusal.Name) {
			t.Fatalf("it ended with %v, not with one of %q", err, names)
		}
	case <-time.After(patience):
		t.Fatalf("it goes on, and does not end with one of %q", names)
	}
}

// anew deletes a topic of the stream and makes it again.
func (b *bench) anew(topic string, partitions int32) {
	b.t.Helper()
	b.deleted(topic)
	b.admin(func(admin sarama.ClusterAdmin) error {
		return admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false)
	})
}

// event returns the next event.
func (b *bench) event(r *processor.Reader) processor.Item {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	for {
		item, err := r.Next(ctx)
		if err != nil {
			b.t.Fatal(err)
		}
		if item.Kind == processor.Event {
			return item
		}
	}
}

// What happens to the stream's topics, or to its publication, while it runs stops it by name too, though Kafka would take its events,
// and the next start stops again.
func TestOperatorFaultsUnderTheStream(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what   string
		damage func(b *bench)
		names  []string
	}{
		{"a table's topic is deleted", func(b *bench) { b.deleted(b.config.Prefix + ".public.a") }, []string{"topic_missing"}},
		{"a table's topic is made anew", func(b *bench) { b.anew(b.config.Prefix+".public.a", 3) }, []string{"topic_recreated", "topic_missing"}},
		{"the order is made anew", func(b *bench) { b.anew(b.config.Prefix+".transaction", 1) }, []string{"topic_recreated", "topic_missing"}},
		{"the checkpoint is made anew", func(b *bench) { b.anew(b.config.Prefix+".checkpoint", 1) }, []string{"topic_recreated", "topic_missing", "checkpoint_missing"}},
		{"partitions are added", func(b *bench) {
			b.admin(func(admin sarama.ClusterAdmin) error {
				return admin.CreatePartitions(b.config.Prefix+".public.a", 5, nil, false)
			})
		}, []string{"topic_partitions_changed"}},
		{"the publication is dropped", func(b *bench) { b.exec("DROP PUBLICATION livedb") }, []string{"publication_missing", "slot_or_publication_missing"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)", "INSERT INTO a VALUES (0)")
			ended := b.run(t.Context())
			b.awaitSlot()
			b.exec("INSERT INTO a VALUES (1)")
			b.awaitCheckpoint(func(c *producer.Checkpoint) bool { return c.Seq == 1 })
			c.damage(b)
			b.exec("INSERT INTO a VALUES (2)")
			stops(t, ended, c.names...)
			stops(t, b.run(t.Context()), c.names...)
		})
	}
}

// A restart with another --partitions moves no key: the stream's tables keep what they began with, and a new one gets what is asked for.
func TestAnotherNumberOfPartitionsIsForNewTables(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	begun(t, b)
	r := b.reader()
	places := map[string]int32{}
	for range 6 {
		item := b.event(r)
		places[string(item.Key)] = item.Partition
	}
	for i, partitions := range []int32{2, 5} {
		b.config.Partitions = partitions
		stop := b.start()
		b.awaitSlot()
		b.exec(fmt.Sprintf("UPDATE a SET v = 'y%d'", i), fmt.Sprintf("CREATE TABLE n%d (id int PRIMARY KEY)", i), fmt.Sprintf("INSERT INTO n%d VALUES (1)", i))
		for range 6 {
			if item := b.event(r); item.Partition != places[string(item.Key)] {
				t.Errorf("with --partitions %d the key %s went from partition %d to %d", partitions, item.Key, places[string(item.Key)], item.Partition)
			}
		}
		b.event(r)
		client := b.client()
		if found, err := client.Partitions(fmt.Sprintf("%s.public.n%d", b.config.Prefix, i)); err != nil || len(found) != int(partitions) {
			t.Errorf("a new table has %d partitions of %d, %v", len(found), partitions, err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		b.awaitNoSlot()
	}
	b.audited()
}
