package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/IBM/sarama"
	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// readSource reads all that an SQL connection tells, each part by itself.
func (r *run) readSource(ctx context.Context, conn *pgx.Conn) {
	c := r.c.Stream.Source
	if !r.try(ctx, Source, "the server", func(ctx context.Context) error {
		s, took, err := readServer(ctx, conn, c.Slot)
		if err == nil {
			r.server, r.skew = &s, s.Now.Sub(r.c.now().Add(-took/2))
			r.neon = r.neon || s.NeonTimeline != ""
		}
		return err
	}) {
		return
	}
	r.try(ctx, Source, "the slots", func(ctx context.Context) (err error) {
		r.slots, err = readSlots(ctx, conn)
		r.slotsKnown = err == nil
		return err
	})
	r.try(ctx, Source, "the running transactions", func(ctx context.Context) (err error) {
		r.transactions, err = readTransactions(ctx, conn, r.c.openFor())
		return err
	})
	r.try(ctx, Source, "the prepared transactions", func(ctx context.Context) (err error) {
		r.prepared, err = readPrepared(ctx, conn)
		return err
	})
	r.try(ctx, Source, "the publication and its tables", func(ctx context.Context) error { return r.readTables(ctx, conn) })
	if r.neon {
		r.try(ctx, Neon, "the snapshot files, after which Neon removes slots", func(ctx context.Context) error {
			s, err := readSnapshots(ctx, conn)
			if err == nil {
				r.snapshots = &s
			}
			return err
		})
	}
}

func (r *run) readTables(ctx context.Context, conn *pgx.Conn) (err error) {
	c := r.c.Stream.Source
	if r.publication, err = postgres.ReadPublication(ctx, conn, c.Publication); err != nil {
		return err
	}
	if r.publication == nil {
		if r.tables, err = readWanted(ctx, conn, c.Tables); err != nil {
			return err
		}
	} else {
		if r.flags, err = readPublicationFlags(ctx, conn, c.Publication); err != nil {
			return err
		}
		if r.tables, err = readPublished(ctx, conn, r.publication); err != nil {
			return err
		}
		if len(r.tables) == 0 {
			if err := r.readCandidates(ctx, conn); err != nil {
				return err
			}
		}
	}
	if r.leaves, err = readLeaves(ctx, conn, r.tables); err != nil {
		return err
	}
	if err := r.readExisting(ctx, conn); err != nil {
		return err
	}
	r.tablesKnown = true
	return nil
}

// readCandidates lists the tables that an empty publication could hold without harm to the application.
func (r *run) readCandidates(ctx context.Context, conn *pgx.Conn) error {
	all, err := readWanted(ctx, conn, nil)
	for i := range all {
		if all[i].HasIdentity {
			r.candidates = append(r.candidates, all[i].quoted())
		}
	}
	return err
}

// readExisting notes every table of the source: the checkpoint, which is read later, may name one that is not published.
func (r *run) readExisting(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'`)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	r.exists = map[string]bool{}
	for _, name := range names {
		r.exists[name] = true
	}
	return err
}

// lookAtKafka reads what Kafka tells. close ends the connection.
func (r *run) lookAtKafka(ctx context.Context) (close func(), saw bool) {
	c := r.c.Stream
	close = func() {}
	if len(c.Kafka.Brokers) == 0 {
		r.skip("kafka, for there is no --kafka")
		return close, false
	}
	object := "kafka " + strings.Join(c.Kafka.Brokers, ",")
	r.report.Checks++
	connecting, cancel := context.WithTimeout(ctx, 2*r.c.limit())
	defer cancel()
	client, err := kafka.Connect(connecting, c.Kafka)
	if err != nil {
		r.report.Stale++
		r.all = append(r.all, kafkaFinding(object, err))
		return close, false
	}
	close = func() {
		if ctx.Err() != nil { // what was given up may hold up its end, for as long as sarama allows it
			go client.Close()
			return
		}
		client.Close()
	}
	if envelope.CheckPrefix(c.Prefix) != nil {
		return close, false
	}
	r.readCheckpoint(ctx, client)
	inspector, err := kafka.NewInspector(connecting, client)
	if err != nil {
		r.all = append(r.all, stale(Kafka, object, err))
		return close, false
	}
	r.readCluster(ctx, client, inspector)
	return close, true
}

func (r *run) readCheckpoint(ctx context.Context, client sarama.Client) {
	topics := envelope.Topics(r.c.Stream.Prefix)
	r.report.Checks++
	reading, cancel := context.WithTimeout(ctx, r.c.limit())
	defer cancel()
	saved, err := kafka.Within(reading, "read topic "+topics.Checkpoint(), func() (producer.Saved, error) { return capture.PeekSaved(reading, client, topics) })
	if err = kafka.Named(err); err == nil {
		r.saved = &saved
		return
	}
	r.report.Stale++
	switch refusal := asRefusal(err); {
	case kafka.Denied(err):
		r.all = append(r.all, r.topicDenied(topics.Checkpoint(), refusal.Err))
	case refusal != nil:
		r.all = append(r.all, refused(Kafka, "topic "+topics.Checkpoint(), refusal))
	default:
		r.all = append(r.all, stale(Kafka, "topic "+topics.Checkpoint(), err))
	}
}

// readCluster reads how Kafka and the stream's topics are set up.
func (r *run) readCluster(ctx context.Context, client sarama.Client, i *kafka.Inspector) {
	k := &cluster{brokers: i.Brokers(), refused: map[string]error{}}
	names := []string{}
	for _, t := range r.wanted() {
		names = append(names, t.Name)
	}
	if !r.try(ctx, Kafka, "the stream's topics", func(ctx context.Context) (err error) {
		k.topics, err = kafka.Look(ctx, client, names...)
		if err == nil && r.saved != nil && r.saved.Position != nil {
			err = r.lookAgain(ctx, client, k)
		}
		if kafka.Denied(err) {
			r.all, err = append(r.all, r.topicDenied(envelope.Topics(r.c.Stream.Prefix).Checkpoint(), err)), nil
		}
		return err
	}) {
		return
	}
	r.kafka = k
	r.try(ctx, Kafka, "the brokers' settings", func(ctx context.Context) (err error) {
		k.broker, err = i.BrokerSettings(ctx)
		return err
	})
	r.readTopics(ctx, i, k)
	transactions := envelope.Topics(r.c.Stream.Prefix).Transaction()
	if _, exists := k.topics[transactions]; exists {
		r.try(ctx, Kafka, "topic "+transactions, func(ctx context.Context) error {
			end, err := kafka.Within(ctx, "read topic "+transactions, func() (int64, error) { return client.GetOffset(transactions, 0, sarama.OffsetNewest) })
			k.written = end > 0
			return err
		})
	}
	r.try(ctx, Kafka, "the transactional id", func(ctx context.Context) error {
		err := i.MayProduce(ctx, r.c.Stream.Prefix+".cdc")
		if kafka.Denied(err) {
			k.producer, err = err, nil
		}
		return err
	})
}

// lookAgain gives Kafka some time to show the topics that the stream has: a broker may not know of a new one yet.
func (r *run) lookAgain(ctx context.Context, client sarama.Client, k *cluster) error {
	var missing []string
	for _, name := range r.saved.Topology.Names() {
		if _, exists := k.topics[name]; !exists {
			missing = append(missing, name)
		}
	}
	if missing == nil {
		return nil
	}
	again, err := kafka.LookAgain(ctx, client, missing...)
	maps.Copy(k.topics, again)
	return err
}

// readTopics reads the settings of the topics that exist, and whether Kafka would make the others.
func (r *run) readTopics(ctx context.Context, i *kafka.Inspector, k *cluster) {
	existing := slices.Sorted(maps.Keys(k.topics))
	partitions := map[string]int32{}
	for name, found := range k.topics {
		partitions[name] = found.Partitions
	}
	if len(existing) > 0 {
		r.try(ctx, Kafka, "the topics' settings", func(ctx context.Context) (err error) {
			k.settings, err = i.TopicSettings(ctx, existing...)
			return err
		})
		r.try(ctx, Kafka, "the topics' replicas", func(ctx context.Context) (err error) {
			k.replicas, err = i.Replicas(ctx, existing...)
			return err
		})
		r.try(ctx, Kafka, "open kafka transactions", func(ctx context.Context) (err error) {
			k.open, err = i.OpenTransactions(ctx, partitions)
			return err
		})
	}
	tried := 0
	for _, t := range r.wanted() {
		if _, exists := k.topics[t.Name]; exists || tried == triedTopics {
			continue
		}
		tried++
		r.try(ctx, Kafka, "whether the topic "+t.Name+" can be made", func(ctx context.Context) error {
			err := i.TryTopic(ctx, t)
			if ctx.Err() != nil {
				return fmt.Errorf("kafka did not answer: %w", err)
			}
			if err != nil && !errors.Is(err, sarama.ErrTopicAlreadyExists) { // made this moment
				k.refused[t.Name] = err
			}
			return nil
		})
	}
}

// triedTopics bounds how many topics Kafka is asked to try: the others would fare alike.
const triedTopics = 5
