package check_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	apachekafka "github.com/livedb/livedb/compose/kafka"
	"github.com/livedb/livedb/internal/check"
	"github.com/livedb/livedb/internal/kafka"
)

// onKafka is a rig that looks at a Kafka alone, for a stream whose own topics are there.
func onKafka(t *testing.T, brokers []string, prefix string) *rig {
	t.Helper()
	r := &rig{t: t, name: prefix, config: check.OwnRules(check.Config{})}
	r.config.Stream.Prefix, r.config.Stream.Partitions = prefix, 2
	r.config.Stream.Kafka = kafka.Config{Brokers: brokers, ClientID: "livedb/test"}
	return r
}

// kfakeWith is an embedded Kafka with options of the test's own.
func kfakeWith(t *testing.T, options ...kfake.Opt) []string {
	t.Helper()
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster.ListenAddrs()
}

// own are the names of the stream's own topics.
func (r *rig) own() (checkpoint, transaction, truncate string) {
	p := r.config.Stream.Prefix
	return p + ".checkpoint", p + ".transaction", p + ".truncate"
}

// topics makes topics with settings, as someone other than LiveDB would.
func (r *rig) topics(replicas int16, settings map[string]string, names ...string) {
	r.t.Helper()
	r.kafka(func(admin sarama.ClusterAdmin) error {
		entries := map[string]*string{}
		for name, value := range settings {
			entries[name] = &value
		}
		for _, name := range names {
			if err := admin.CreateTopic(name, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: replicas, ConfigEntries: entries}, false); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *rig) kafka(do func(admin sarama.ClusterAdmin) error) {
	r.t.Helper()
	client, err := kafka.Connect(r.t.Context(), r.config.Stream.Kafka)
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err == nil {
		err = do(admin)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// obey does what a printed line for Kafka's or our own tools says.
func (r *rig) obey(f check.Finding) {
	r.t.Helper()
	if alter := regexp.MustCompile(`^kafka-configs\.sh --bootstrap-server (\S+) --alter --entity-type topics --entity-name (\S+) --add-config ([a-z.]+)=(\S+)$`).FindStringSubmatch(f.Command); alter != nil {
		r.addressed(alter[1])
		r.kafka(func(admin sarama.ClusterAdmin) error {
			return admin.IncrementalAlterConfig(sarama.TopicResource, alter[2], map[string]sarama.IncrementalAlterConfigsEntry{
				alter[3]: {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &alter[4]}}, false)
		})
		return
	}
	if give := regexp.MustCompile(`^livedb cdc --(partitions|transaction-timeout) (\S+) …$`).FindStringSubmatch(f.Command); give != nil {
		var err error
		if give[1] == "partitions" {
			_, err = fmt.Sscan(give[2], &r.config.Stream.Partitions)
		} else {
			r.config.Stream.Kafka.TransactionTimeout, err = time.ParseDuration(give[2])
		}
		if err != nil {
			r.t.Fatal(err)
		}
		return
	}
	r.t.Fatalf("nobody knows how to run %q", f.Command)
}

func (r *rig) addressed(brokers string) {
	r.t.Helper()
	if brokers != strings.Join(r.config.Stream.Kafka.Brokers, ",") {
		r.t.Errorf("the line is for %s", brokers)
	}
}

// Each setting of a topic that harms the stream: it is made so, the printed line is obeyed, and it is gone.
func TestFindingsOfTopicsAreMendedByTheirLine(t *testing.T) {
	t.Parallel()
	brokers := kfakeWith(t, kfake.NumBrokers(3), kfake.BrokerConfigs(map[string]string{"transaction.max.timeout.ms": "120000"}))
	r := onKafka(t, brokers, "topics")
	checkpoint, transaction, truncate := r.own()
	r.topics(3, map[string]string{"cleanup.policy": "compact"}, transaction)
	r.topics(3, map[string]string{"cleanup.policy": "compact,delete", "max.message.bytes": fmt.Sprint(kafka.MaxRecordBytes)}, checkpoint)
	r.topics(3, map[string]string{"cleanup.policy": "delete", "max.message.bytes": fmt.Sprint(kafka.MaxRecordBytes)}, truncate)
	for _, c := range []struct{ slug, object string }{
		{"topic_compacted", "topic " + transaction}, {"message_too_small", "topic " + transaction},
		{"checkpoint_not_compacted", "topic " + checkpoint}, {"min_isr_low", "topic " + truncate}, {"transaction_timeout_too_long", ""},
	} {
		f := r.has(c.slug, c.object)
		r.obey(f)
		r.gone(f.Slug, f.Object)
	}

	// One broker keeps what two would not lose.
	r.topics(2, nil, "other.checkpoint")
	other := onKafka(t, brokers, "other")
	f := other.has("replication_factor_low", "topic other.checkpoint")
	r.kafka(func(admin sarama.ClusterAdmin) error { return admin.DeleteTopic("other.checkpoint") })
	other.gone(f.Slug, f.Object)
}

// A topic of a table that was made ahead with another number of partitions.
func TestPartitionsThatDifferAreFound(t *testing.T) {
	t.Parallel()
	r := newRig(t, "CREATE TABLE a (id int PRIMARY KEY)").brokers()
	topic := r.config.Stream.Prefix + ".public.a"
	r.kafka(func(admin sarama.ClusterAdmin) error {
		return admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 5, ReplicationFactor: 1}, false)
	})
	f := r.has("topic_partitions_differ", "topic "+topic)
	r.agrees()
	r.obey(f)
	r.gone(f.Slug, f.Object)
	r.agrees()
}

// leaveTransactionOpen writes a record in a transaction that does not end until the producer is opened anew.
func (r *rig) leaveTransactionOpen(topic string) (end func()) {
	r.t.Helper()
	open := func() *kafka.Producer {
		p, err := kafka.OpenProducer(r.t.Context(), r.config.Stream.Kafka, "somebody")
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(p.Close)
		return p
	}
	p := open()
	err := p.Begin()
	if err == nil {
		p.Send(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("x")})
		err = errors.Join(p.Enlist(), p.Flush())
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return func() { open() }
}

// A transaction that stays open holds up every reader.
func TestAHangingTransactionIsFound(t *testing.T) {
	t.Parallel()
	r := onKafka(t, kfakeWith(t, kfake.NumBrokers(1)), "hanging")
	_, transaction, _ := r.own()
	r.topics(1, nil, transaction)
	end := r.leaveTransactionOpen(transaction)
	if f := find(r.run(), "hanging_transaction", ""); f != nil {
		t.Errorf("a young transaction hangs: %+v", *f)
	}
	r.config.HangsFor = time.Millisecond
	f := r.has("hanging_transaction", "partition 0 of topic "+transaction)
	if !strings.Contains(f.Summary, "transactional id somebody") || !strings.HasSuffix(f.Command, fmt.Sprintf("abort --topic %s --partition 0 --start-offset 0", transaction)) {
		t.Errorf("%+v", f)
	}
	end()
	r.gone(f.Slug, f.Object)
}

// A user without rights is told of each, before anything fails.
func TestMissingRightsAreFound(t *testing.T) {
	t.Parallel()
	r := onKafka(t, kfakeWith(t, kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "ann", "secret"), kfake.User("PLAIN", "bob", "secret")), "rights")
	r.config.Stream.Kafka.SASL = kafka.SASL{Mechanism: kafka.Plain, User: "bob", Password: "secret"}
	f := r.has("kafka_denied", "transactional id rights.cdc")
	topic := r.has("kafka_denied", "topic rights.checkpoint")
	for _, f := range []check.Finding{f, topic} {
		if !strings.HasPrefix(f.Command, "kafka-acls.sh --bootstrap-server ") || !strings.Contains(f.Command, "--add") || !strings.Contains(f.Command, " rights. ") {
			t.Errorf("%q", f.Command)
		}
	}
	stale := r.has("stale", "the brokers' settings")
	r.config.Stream.Kafka.SASL.User = "ann"
	for _, f := range []check.Finding{f, topic, stale} {
		r.gone(f.Slug, f.Object)
	}
}

func TestKafkaThatIsNotThereIsFound(t *testing.T) {
	t.Parallel()
	r := onKafka(t, []string{closed(t)}, "nowhere")
	f := r.has("kafka_unreachable", "")
	r.config.Stream.Kafka.Brokers = kfakeWith(t, kfake.NumBrokers(1))
	r.gone(f.Slug, "")
}

// What the embedded Kafka cannot show, a real one does.
func TestFindingsOfApacheKafka(t *testing.T) {
	if os.Getenv("LIVEDB_REQUIRE_KAFKA") == "" {
		t.Skip("LIVEDB_REQUIRE_KAFKA=1 runs this with Apache Kafka, which takes Java 17 and Maven")
	}
	t.Parallel()
	cluster := apachekafka.TestCluster(t, apachekafka.Config{Settings: map[string]string{"auto.create.topics.enable": "true", "unclean.leader.election.enable": "true",
		"transaction.partition.verification.enable": "false", "default.replication.factor": "3"}, Security: apachekafka.Security{Users: map[string]string{"ann": "secret"}}})
	r := onKafka(t, cluster.Brokers(), "real")
	r.config.Stream.Kafka.SASL = kafka.SASL{Mechanism: kafka.ScramSHA256, User: "ann", Password: "wrong"}
	r.has("kafka_login_refused", "")
	r.config.Stream.Kafka.SASL.Password = "secret"
	r.gone("kafka_login_refused", "")

	r.has("auto_create_enabled", "")
	r.has("partition_verification_off", "")
	checkpoint, transaction, _ := r.own()
	refused := r.has("topic_refused", "topic "+checkpoint)
	r.topics(1, map[string]string{"cleanup.policy": "compact", "retention.ms": "-1", "max.message.bytes": fmt.Sprint(kafka.MaxRecordBytes)}, checkpoint)
	r.gone(refused.Slug, refused.Object)
	unclean := r.has("unclean_election", "topic "+checkpoint)
	r.obey(unclean)
	r.gone(unclean.Slug, unclean.Object)
	r.has("replication_factor_low", "topic "+checkpoint)

	r.topics(1, nil, transaction)
	small := r.has("message_too_small", "topic "+transaction)
	r.obey(small)
	r.gone(small.Slug, small.Object)
	end := r.leaveTransactionOpen(transaction)
	r.config.HangsFor = time.Millisecond
	hanging := r.has("hanging_transaction", "partition 0 of topic "+transaction)
	if !strings.Contains(hanging.Summary, "transactional id somebody") {
		t.Errorf("%+v", hanging)
	}
	end()
	r.gone(hanging.Slug, hanging.Object)
}
