package capture_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// somebody opens a transactional producer that is not the stream's.
func (b *bench) somebody() *kafka.Producer {
	b.t.Helper()
	p, err := kafka.OpenProducer(b.t.Context(), b.config.Kafka, b.config.Prefix+"-somebody")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { p.Close() })
	return p
}

// A transaction that somebody left open on a topic of the stream hides what the stream commits behind it. A start waits for its end:
// nothing is lost, whatever the tails seem to say.
func TestAnOpenTransactionOfSomebodyElseIsNoLoss(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.config.Limits.Heartbeat = time.Hour // the last checkpoint is that of the last event, and names its partition
	begun(t, b)
	hides := b.somebody()
	if err := hides.Begin(); err != nil {
		t.Fatal(err)
	}
	for partition := range int32(3) {
		hides.To(b.config.Prefix+".public.a", partition).Add(nil, []byte("{}"))
	}
	if err := hides.Enlist(); err != nil {
		t.Fatal(err)
	}
	if err := hides.Flush(); err != nil {
		t.Fatal(err)
	}
	stop := b.start()
	b.exec("INSERT INTO a VALUES (10, 'hidden')")
	b.awaitCheckpoint(func(c *producer.Checkpoint) bool { return c.Seq == 7 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	waitsFor := b.counts()
	stop = b.start()
	waitsFor("broken", 2)
	b.somebody() // ends what its older one left open
	b.awaitSlot()
	b.exec("INSERT INTO a VALUES (11, 'seen')")
	b.awaitCheckpoint(func(c *producer.Checkpoint) bool { return c.Seq == 8 })
	if report := b.audited(); report.Events != 8 {
		t.Errorf("the stream has %d events", report.Events)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// Whatever stands at the end of a topic and is not what the checkpoint says, or is not there, is a named stop: in every partition, in
// the topic of no table, and in the order.
func TestEveryTailIsHeldAgainstTheCheckpoint(t *testing.T) {
	t.Parallel()
	event := func(topic string, partition int32, seq int) func(b *bench, p *kafka.Producer) {
		return func(b *bench, p *kafka.Producer) {
			p.Send(&sarama.ProducerMessage{Topic: b.config.Prefix + topic, Partition: partition, Value: sarama.StringEncoder("{}"),
				Headers: []sarama.RecordHeader{{Key: []byte(envelope.HeaderSeq), Value: []byte(strconv.Itoa(seq))}}})
		}
	}
	order := func(epoch uint32, seq uint64) func(b *bench, p *kafka.Producer) {
		return func(b *bench, p *kafka.Producer) {
			r := envelope.TransactionRecord{Version: 1, Epoch: epoch, Topics: []string{b.config.Prefix + ".public.a"}, Entries: []envelope.TransactionEntry{
				{XID: 9, Commit: 0x900, End: 0x920, First: seq, Last: seq, Starts: true, Ends: true, Counts: []envelope.TopicCount{{Topic: 0, Events: 1}}}}}
			p.Send(&sarama.ProducerMessage{Topic: b.config.Prefix + ".transaction", Value: sarama.ByteEncoder(r.Append(nil))})
		}
	}
	for _, c := range []struct {
		story, name string
		damage      func(b *bench, p *kafka.Producer)
	}{
		{"a later event in partition 0", "events_beyond_checkpoint", event(".public.a", 0, 7)},
		{"a later event in partition 2", "events_beyond_checkpoint", event(".public.a", 2, 7)},
		{"a later truncation", "events_beyond_checkpoint", event(".truncate", 0, 7)},
		{"a later order", "events_beyond_checkpoint", order(1, 7)},
		{"a later epoch's order", "events_beyond_checkpoint", order(2, 1)},
		{"an earlier order", "events_missing", order(1, 5)},
	} {
		t.Run(c.story, func(t *testing.T) {
			t.Parallel()
			b := begun(t, newBench(t))
			p := b.somebody()
			if err := p.Begin(); err != nil {
				t.Fatal(err)
			}
			c.damage(b, p)
			if err := p.Commit(); err != nil {
				t.Fatal(err)
			}
			b.refused(c.name)
		})
	}
}

// A checkpoint that counts or touches more than the topics hold is one whose events are lost.
func TestACheckpointAheadOfItsTopicsIsRefused(t *testing.T) {
	t.Parallel()
	for story, alter := range map[string]func(c *producer.Checkpoint, topic string){
		"a later seq": func(c *producer.Checkpoint, _ string) { c.Seq++ },
		"another end of a partition": func(c *producer.Checkpoint, topic string) {
			for partition := range int32(3) {
				if _, has := c.Touched[topic][partition]; !has {
					c.Touched[topic] = map[int32]uint64{partition: c.Seq}
					return
				}
			}
		},
	} {
		t.Run(story, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.config.Limits.Heartbeat = time.Hour
			begun(t, b)
			saved := b.awaitCheckpoint(func(c *producer.Checkpoint) bool { return c.Seq == 6 })
			if len(saved.Touched) == 0 {
				t.Fatalf("the checkpoint touches nothing: %+v", saved)
			}
			alter(saved, b.config.Prefix+".public.a")
			if err := producer.WriteCheckpoint(b.somebody(), envelope.Topics(b.config.Prefix), *saved); err != nil {
				t.Fatal(err)
			}
			b.refused("events_missing")
		})
	}
}

// A checkpoint topic that is made anew under a leader gets its positions and no topology. Without one nothing is known of the stream's
// topics, so nothing could be compared.
func TestACheckpointWithoutItsTopologyIsRefused(t *testing.T) {
	t.Parallel()
	b := begun(t, newBench(t))
	saved := b.awaitCheckpoint(func(c *producer.Checkpoint) bool { return c.Seq == 6 })
	topic := b.config.Prefix + ".checkpoint"
	b.deleted(topic)
	b.admin(func(admin sarama.ClusterAdmin) error {
		return admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false)
	})
	if err := producer.WriteCheckpoint(b.somebody(), envelope.Topics(b.config.Prefix), *saved); err != nil {
		t.Fatal(err)
	}
	b.refused("topic_recreated")
}

// What an older stream of the prefix left in its topics, after its checkpoint and slots are gone, is not mixed with what a new one would
// write: its seqs would begin with 1 behind them.
func TestTheRestOfAnOlderStreamIsNotTaken(t *testing.T) {
	t.Parallel()
	b := begun(t, newBench(t))
	stop := b.start()
	b.exec("TRUNCATE a")
	b.awaitCheckpoint(func(c *producer.Checkpoint) bool { return c.Seq == 7 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	b.awaitNoSlot()
	b.deleted(b.config.Prefix + ".checkpoint")
	b.refused("checkpoint_missing")
	b.deleted(b.config.Prefix + ".transaction")
	b.exec("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()")
	b.refused("checkpoint_missing") // the truncation
	b.deleted(b.config.Prefix + ".truncate")
	ended := b.run(t.Context())
	b.awaitSlot()
	b.exec("INSERT INTO a VALUES (1)")
	stops(t, ended, "topic_not_empty")
	b.refused("topic_not_empty")
}

// A checkpoint that says that the stream is only being made lets a start drop the slot and make it anew. Where topics hold what was
// delivered it is an older copy of the truth, and the slots may be all that is left.
func TestACreationAfterDeliveriesIsRefused(t *testing.T) {
	t.Parallel()
	b := begun(t, newBench(t))
	saved := b.awaitCheckpoint(func(c *producer.Checkpoint) bool { return c.Seq == 6 })
	creating := producer.Checkpoint{Version: 1, Epoch: 1, State: producer.Creating, Source: saved.Source}
	if err := producer.WriteCheckpoint(b.somebody(), envelope.Topics(b.config.Prefix), creating); err != nil {
		t.Fatal(err)
	}
	b.refused("checkpoint_missing")
	b.await("SELECT count(*) = 2 FROM pg_replication_slots WHERE database = current_database()")
}
