package capture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
)

// begun is a bench whose stream has delivered some transactions and was stopped.
func begun(t *testing.T, b *bench) *bench {
	t.Helper()
	b.exec("CREATE TABLE a (id int PRIMARY KEY, v text)")
	stop := b.start()
	r := b.reader()
	b.awaitSlot()
	for i := range 6 { // over all partitions
		b.exec(fmt.Sprintf("INSERT INTO a VALUES (%d, 'x')", i))
		b.read(r)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	b.awaitNoSlot()
	return b
}

// written returns the committed records of all topics of the stream, but for barriers: how many there are in each partition.
func (b *bench) written() map[string]int {
	b.t.Helper()
	client, err := kafka.Connect(b.t.Context(), b.config.Kafka)
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	names, err := client.Topics()
	if err != nil {
		b.t.Fatal(err)
	}
	counts := map[string]int{}
	for _, topic := range names {
		if len(topic) < len(b.config.Prefix) || topic[:len(b.config.Prefix)] != b.config.Prefix {
			continue
		}
		partitions, err := client.Partitions(topic)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, p := range partitions {
			scan, err := kafka.OpenScan(client, topic, p, sarama.OffsetOldest)
			if err != nil {
				b.t.Fatal(err)
			}
			for {
				record, more, err := scan.Next(b.t.Context())
				if err != nil {
					b.t.Fatal(err)
				}
				if !more {
					break
				}
				if string(record.Key) != `{"livedb":"barrier"}` {
					counts[fmt.Sprint(topic, "/", p)]++
				}
			}
		}
	}
	return counts
}

// refused runs the role twice and holds that it stops both times with the name, writes nothing but barriers, and
// acknowledges nothing. It returns the refusal.
func (b *bench) refused(name string) (refusal *cdc.Refusal) {
	b.t.Helper()
	b.await("SELECT NOT EXISTS (SELECT FROM pg_replication_slots WHERE active AND database = current_database())")
	records, confirmed := b.written(), b.confirmed()
	for range 2 {
		ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
		err := <-b.run(ctx)
		cancel()
		if !errors.As(err, &refusal) || refusal.Name != name || refusal.Problem == "" || refusal.Remedy == "" {
			b.t.Fatalf("it ended with %v, not with %s", err, name)
		}
		if strings.Count(err.Error(), "\n") > 0 || !strings.HasSuffix(err.Error(), "["+name+"]") {
			b.t.Errorf("not one line that ends with the name: %v", err)
		}
	}
	if diff := cmp.Diff(records, b.written()); diff != "" {
		b.t.Errorf("it wrote (-before +after):\n%s", diff)
	}
	if now := b.confirmed(); now != confirmed {
		b.t.Errorf("it acknowledged: from %s to %s", confirmed, now)
	}
	return refusal
}

// confirmed is how far the slot is acknowledged; empty without a slot.
func (b *bench) confirmed() (lsn string) {
	b.t.Helper()
	err := b.conn.QueryRow(b.t.Context(), "SELECT coalesce((SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1), '')", b.config.Source.Slot).Scan(&lsn)
	if err != nil {
		b.t.Fatal(err)
	}
	return lsn
}

// admin does something to Kafka.
func (b *bench) admin(do func(admin sarama.ClusterAdmin) error) {
	b.t.Helper()
	client, err := kafka.Connect(b.t.Context(), b.config.Kafka)
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := do(admin); err != nil {
		b.t.Fatal(err)
	}
}

// deleted waits until no broker knows the topic.
func (b *bench) deleted(topic string) {
	b.t.Helper()
	b.admin(func(admin sarama.ClusterAdmin) error { return admin.DeleteTopic(topic) })
	client, err := kafka.Connect(b.t.Context(), b.config.Kafka)
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	for {
		found, err := kafka.Look(b.t.Context(), client, topic)
		if err != nil {
			b.t.Fatal(err)
		}
		if len(found) == 0 {
			return
		}
	}
}

// alter changes a setting of a topic.
func (b *bench) alter(topic, setting, value string) {
	b.t.Helper()
	b.admin(func(admin sarama.ClusterAdmin) error {
		return admin.AlterConfig(sarama.TopicResource, topic, map[string]*string{setting: &value}, false)
	})
}

// recreated deletes a topic and makes it anew.
func (b *bench) recreated(topic string, partitions int32) {
	b.t.Helper()
	b.deleted(topic)
	b.admin(func(admin sarama.ClusterAdmin) error {
		return admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false)
	})
}

// send writes one record past LiveDB.
func (b *bench) send(topic string, headers ...sarama.RecordHeader) {
	b.t.Helper()
	p, err := sarama.NewSyncProducer(b.config.Kafka.Brokers, b.config.Kafka.Sarama())
	if err != nil {
		b.t.Fatal(err)
	}
	defer p.Close()
	if _, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("{}"), Headers: headers}); err != nil {
		b.t.Fatal(err)
	}
}

// Whatever an operator does to the stream's objects ends in its named stop, each time anew, and nothing is written.
func TestOperatorFaultsEndInNamedStops(t *testing.T) {
	t.Parallel()
	slot := func(b *bench) string { return b.config.Source.Slot }
	table := func(b *bench) string { return b.config.Prefix + ".public.a" }
	for _, c := range []struct {
		name   string
		damage func(b *bench)
	}{
		{"slot_missing", func(b *bench) { b.exec("SELECT pg_drop_replication_slot('" + slot(b) + "')") }},
		{"slot_ahead_of_checkpoint", func(b *bench) { // made anew
			b.exec("SELECT pg_drop_replication_slot('"+slot(b)+"')", "INSERT INTO a VALUES (20)", "SELECT pg_create_logical_replication_slot('"+slot(b)+"', 'pgoutput')")
		}},
		{"slot_two_phase", func(b *bench) {
			b.exec("SELECT pg_drop_replication_slot('"+slot(b)+"')", "SELECT pg_create_logical_replication_slot('"+slot(b)+"', 'pgoutput', false, true)")
		}},
		{"publication_missing", func(b *bench) { b.exec("DROP PUBLICATION livedb") }},
		{"publication_altered", func(b *bench) { b.exec("ALTER PUBLICATION livedb SET (publish = 'insert, update')") }},
		{"checkpoint_missing", func(b *bench) { b.deleted(b.config.Prefix + ".checkpoint") }},
		{"topic_missing", func(b *bench) { b.deleted(table(b)) }},
		{"topic_missing", func(b *bench) { b.deleted(b.config.Prefix + ".transaction") }},
		{"topic_recreated", func(b *bench) { b.recreated(table(b), 3) }},
		{"topic_recreated", func(b *bench) { b.recreated(b.config.Prefix+".transaction", 1) }},
		{"topic_recreated", func(b *bench) { b.recreated(b.config.Prefix+".truncate", 1) }},
		{"topic_partitions_changed", func(b *bench) {
			b.admin(func(admin sarama.ClusterAdmin) error { return admin.CreatePartitions(table(b), 5, nil, false) })
		}},
		{"topic_compacted", func(b *bench) { b.alter(table(b), "cleanup.policy", "compact") }},
		{"topic_compacted", func(b *bench) { b.alter(b.config.Prefix+".transaction", "cleanup.policy", "compact,delete") }},
		{"events_beyond_checkpoint", func(b *bench) {
			b.send(table(b), sarama.RecordHeader{Key: []byte(envelope.HeaderSeq), Value: []byte("7")})
		}},
		{"foreign_record", func(b *bench) { b.send(table(b)) }},
		{"foreign_record", func(b *bench) { b.send(b.config.Prefix + ".transaction") }},
		{"slot_other_database", func(b *bench) { b.config.Source.URL = devstack.TestDatabase(b.t, devstack.SharedPostgres(b.t)) }},
		{"publication_changed", func(b *bench) {
			b.exec("CREATE PUBLICATION other FOR ALL TABLES")
			b.config.Source.Publication = "other"
		}},
		{"slot_changed", func(b *bench) { b.config.Source.Slot = slot(b) + "_replay" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := begun(t, newBench(t))
			c.damage(b)
			b.refused(c.name)
		})
	}
}

// A new stream takes no slot that is there already, neither for its own nor for the one that lags behind: they may be
// somebody else's.
func TestANewStreamTakesNobodysSlot(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"", "_replay"} {
		b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)")
		b.exec("SELECT pg_create_logical_replication_slot('" + b.config.Source.Slot + suffix + "', 'pgoutput')")
		b.refused("checkpoint_missing")
	}
}

// A publication of named tables loses one without a word when the table is dropped and made anew. Where it is only dropped,
// nothing is left to lose.
func TestATableThatLeavesThePublicationStopsTheStream(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE b (id int PRIMARY KEY)", "CREATE TABLE c (id int PRIMARY KEY)")
	b.config.Source.Tables = []string{"public.a", "public.b", "public.c"}
	begun(t, b)
	b.config.Source.Tables = nil
	b.exec("DROP TABLE b")
	stop := b.start()
	b.awaitSlot()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	b.exec("DROP TABLE c", "CREATE TABLE c (id int PRIMARY KEY)")
	b.refused("table_left_publication")
}

// It is noticed while the stream runs, too.
func TestAPublicationAlteredUnderTheStreamStopsIt(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)")
	ended := b.run(t.Context())
	b.awaitSlot()
	b.exec("ALTER PUBLICATION livedb SET (publish = 'insert')")
	var refusal *cdc.Refusal
	if err := <-ended; !errors.As(err, &refusal) || refusal.Name != "publication_altered" {
		t.Errorf("it ended with %v", err)
	}
}

// Someone who has the right prefix and the wrong source, or a second source, does not disturb the stream that runs.
func TestAHealthyLeaderIsNotDisturbedByAWrongSecond(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)")
	b.exec("CREATE SEQUENCE n START 100")
	var log bytes.Buffer
	b.config.Log = slog.New(slog.NewTextHandler(&log, nil)) // read only after the role has ended
	stop := b.start()
	r := b.reader()
	b.awaitSlot()
	b.exec("INSERT INTO a VALUES (1)")
	b.expect(r, `1 c public.a null -> {"id":1}`)
	for _, wrong := range []struct{ url, name string }{
		{devstack.TestDatabase(t, devstack.SharedPostgres(t)), "slot_other_database"},
		{devstack.TestPostgres(t).URL(), "system_identifier_changed"},
	} {
		second := b.config
		second.Source.URL = wrong.url
		second.Log, second.Metrics = slog.New(slog.DiscardHandler), metrics.NewCDC(prometheus.NewRegistry())
		second.Status = status.NewBoard("second").Role("cdc")
		var refusal *cdc.Refusal
		if err := capture.Run(t.Context(), second); !errors.As(err, &refusal) || refusal.Name != wrong.name {
			t.Errorf("the second ended with %v", err)
		}
		b.exec("INSERT INTO a VALUES (nextval('n'))")
	}
	b.expect(r, `2 c public.a null -> {"id":100}`)
	b.expect(r, `3 c public.a null -> {"id":101}`)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "starts again") {
		t.Errorf("the leader was disturbed:\n%s", log.String())
	}
}

// What a role or a database sets for its connections does not change a value that the stream carries.
func TestSettingsOfTheRoleDoNotMatter(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY, t timestamptz, f float8, i interval, b bytea, v text)")
	for _, set := range []string{"datestyle = 'SQL, DMY'", "timezone = 'Asia/Kolkata'", "extra_float_digits = 0", "intervalstyle = 'sql_standard'",
		"bytea_output = 'escape'", "search_path = ''", "statement_timeout = '1s'", "lock_timeout = '1s'", "client_min_messages = 'error'", "client_encoding = 'LATIN1'"} {
		b.exec("ALTER DATABASE " + b.config.Source.Slot + " SET " + set)
	}
	stop := b.start()
	r := b.reader()
	b.awaitSlot()
	b.exec(`INSERT INTO a VALUES (1, '2024-02-03 04:05:06.789+00', 0.1 + 0.2::float8, '1 day 02:03:04', '\x00ff', 'ü€')`)
	b.expect(r, `1 c public.a null -> {"id":1,"t":"2024-02-03T04:05:06.789000Z","f":0.30000000000000004,"i":"P1DT2H3M4S","b":"AP8=","v":"ü€"}`)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// A row that Kafka does not take stops the stream before its transaction, by name, with what is too large and for which limit;
// nothing of the transaction is there. Leaving out a table is no remedy for the stream's own topics.
func TestARowTooLargeForTheBrokerStopsTheStream(t *testing.T) {
	t.Parallel()
	for topic, c := range map[string]struct {
		limit, largest string
		bytes          int
		table          bool
	}{
		".public.a":    {"10000", `with the key {"id":21}`, 96000, true},
		".transaction": {"100", "without a key", 20, false},
	} {
		t.Run(topic, func(t *testing.T) {
			t.Parallel()
			b := begun(t, newBench(t))
			b.alter(b.config.Prefix+topic, "max.message.bytes", c.limit)
			b.exec("BEGIN", "INSERT INTO a VALUES (20, 'before')", "INSERT INTO a SELECT 21, string_agg(md5(i::text), '') FROM generate_series(1, 3000) i", "COMMIT")
			refusal := b.refused("row_too_large")
			_, words, _ := strings.Cut(refusal.Problem, "for the topic ")
			var bytes int
			if _, err := fmt.Sscanf(words, b.config.Prefix+topic+" (max.message.bytes "+c.limit+"): the largest, "+c.largest+", has %d bytes", &bytes); err != nil ||
				bytes < c.bytes || bytes > c.bytes+1000 {
				t.Errorf("the problem is %q: %d bytes, %v", refusal.Problem, bytes, err)
			}
			if strings.Contains(refusal.Remedy, "publication") != c.table || !strings.Contains(refusal.Remedy, "max.message.bytes") {
				t.Errorf("the remedy is %q", refusal.Remedy)
			}
		})
	}
}
