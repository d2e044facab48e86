package check

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// What keeps what Kafka has acknowledged, when a broker is lost.
const (
	enoughReplicas = 3
	enoughInSync   = 2
)

// openGrace is how much longer than its timeout a Kafka transaction may stay open: coordinators look now and then.
const openGrace = time.Minute

// wanted are the topics that the stream has, or that its start would make.
func (f *facts) wanted() []kafka.Topic {
	c := f.c.Stream
	names := envelope.Topics(c.Prefix)
	topics := producer.OwnTopics(names, c.RetentionBytes)
	known := map[string]bool{}
	add := func(name string, partitions int32) {
		if !known[name] {
			known[name] = true
			topics = append(topics, kafka.Topic{Name: name, Partitions: partitions, RetentionBytes: c.RetentionBytes})
		}
	}
	if f.saved != nil {
		for _, name := range slices.Sorted(maps.Keys(f.saved.Topology.Topics)) {
			add(name, f.saved.Topology.Topics[name].Partitions)
		}
	}
	for i := range f.tables {
		if name, err := names.Table(f.tables[i].Schema, f.tables[i].Name); err == nil {
			add(name, c.Partitions)
		}
	}
	return topics
}

// kafkaRules judge Kafka and the stream's topics.
func (f *facts) kafkaRules() (all []Finding) {
	k := f.kafka
	if k.producer != nil {
		id := f.c.Stream.Prefix + ".cdc"
		all = append(all, f.denied("transactional id "+id, k.producer, "Write", "transactional-id", "transactional ids"))
	}
	all = append(all, f.brokerRules()...)
	for _, t := range f.wanted() {
		if _, exists := k.topics[t.Name]; exists {
			all = append(all, f.topicRules(t)...)
		} else if err := k.refused[t.Name]; err != nil {
			all = append(all, f.topicRefused(t, err))
		}
	}
	for _, o := range k.open {
		if age := f.c.now().Sub(o.Last); age > f.hangs(o) {
			all = append(all, f.hanging(o, age))
		}
	}
	return all
}

// kafkaCommand is a line for one of Kafka's own tools.
func (f *facts) kafkaCommand(tool, arguments string) string {
	return fmt.Sprintf("%s --bootstrap-server %s %s", tool, strings.Join(f.c.Stream.Kafka.Brokers, ","), arguments)
}

func (f *facts) topicCommand(topic, setting, value string) string {
	return f.kafkaCommand("kafka-configs.sh", fmt.Sprintf("--alter --entity-type topics --entity-name %s --add-config %s=%s", topic, setting, value))
}

// brokerRules judge the cluster.
func (f *facts) brokerRules() (all []Finding) {
	k, object := f.kafka, "kafka "+strings.Join(f.c.Stream.Kafka.Brokers, ",")
	if k.broker == nil {
		return nil
	}
	if k.broker["auto.create.topics.enable"] == "true" {
		all = append(all, found("auto_create_enabled", object, "the brokers make a topic for whoever asks for one, with settings that are not ours: a reader with a wrong name, or after a deletion, makes an empty one",
			"set auto.create.topics.enable=false in the brokers' server.properties and restart them"))
	}
	if k.broker["transaction.partition.verification.enable"] == "false" {
		all = append(all, found("partition_verification_off", object, "the brokers take records of a transaction that has ended: late ones of a producer that is gone stay open, and readers stand before them",
			"set transaction.partition.verification.enable=true on the brokers"))
	}
	if most, err := strconv.ParseInt(k.broker["transaction.max.timeout.ms"], 10, 64); err == nil {
		if ours := f.c.Stream.Kafka.EffectiveTransactionTimeout(); ours > time.Duration(most)*time.Millisecond {
			finding := found("transaction_timeout_too_long", object, fmt.Sprintf("--transaction-timeout is %s and the brokers allow %s, so no producer can be opened", ours, time.Duration(most)*time.Millisecond),
				"choose a --transaction-timeout that they allow, or raise transaction.max.timeout.ms on the brokers")
			finding.Command = fmt.Sprintf("livedb cdc --transaction-timeout %s …", time.Duration(most)*time.Millisecond)
			all = append(all, finding)
		}
	}
	missing := len(k.topics) < len(f.wanted())
	if n, err := strconv.Atoi(k.broker["default.replication.factor"]); missing && err == nil && n < enoughReplicas {
		all = append(all, found("replication_factor_low", object, fmt.Sprintf("new topics are kept on %s: what Kafka acknowledged goes with it", brokers(n)),
			fmt.Sprintf("set default.replication.factor=%d on the brokers before the stream begins", enoughReplicas)))
	}
	return all
}

func brokers(n int) string {
	if n == 1 {
		return "one broker alone"
	}
	return fmt.Sprintf("%d brokers", n)
}

// topicRules judge a topic that exists.
func (f *facts) topicRules(t kafka.Topic) (all []Finding) {
	k, object := f.kafka, "topic "+t.Name
	known := false // by the checkpoint, which the stream's rules hold it against
	if f.saved != nil {
		_, known = f.saved.Topology.Topics[t.Name]
	}
	if have := k.topics[t.Name].Partitions; !known && have != t.Partitions {
		differ := &kafka.PartitionsError{Topic: t.Name, Have: have, Want: t.Partitions}
		finding := found("topic_partitions_differ", object, differ.Problem(), differ.Remedy())
		finding.Command = fmt.Sprintf("livedb cdc --partitions %d …", have)
		all = append(all, finding)
	}
	if n, ok := k.replicas[t.Name]; ok && n < enoughReplicas {
		all = append(all, found("replication_factor_low", object, fmt.Sprintf("the topic %s is kept on %s: what Kafka acknowledged goes with it", t.Name, brokers(n)),
			fmt.Sprintf("reassign its partitions to %d brokers with kafka-reassign-partitions.sh", enoughReplicas)))
	}
	settings := k.settings[t.Name]
	if settings == nil {
		return all
	}
	add := func(slug, summary, remedy, setting, value string) {
		finding := found(slug, object, summary, remedy)
		finding.Command = f.topicCommand(t.Name, setting, value)
		all = append(all, finding)
	}
	compacted := strings.Contains(settings["cleanup.policy"], "compact")
	if compacted && !t.Compacted {
		add("topic_compacted", fmt.Sprintf("the topic %s is compacted: older events of a key are removed, and readers find a gap", t.Name), "have it delete by age or size instead", "cleanup.policy", "delete")
	}
	deletes := strings.Contains(settings["cleanup.policy"], "delete")
	if t.Compacted && t.RetentionBytes == 0 && (!compacted || deletes) {
		add("checkpoint_not_compacted", fmt.Sprintf("the topic %s is not only compacted: the checkpoint is removed with age, and the stream cannot go on", t.Name), "have it compacted", "cleanup.policy", "compact")
	}
	if n, err := strconv.Atoi(settings["min.insync.replicas"]); err == nil && n < enoughInSync && k.replicas[t.Name] > enoughInSync {
		add("min_isr_low", fmt.Sprintf("the topic %s acknowledges what a single broker has: it is lost with that one", t.Name), "have two brokers acknowledge", "min.insync.replicas", strconv.Itoa(enoughInSync))
	}
	if settings["unclean.leader.election.enable"] == "true" {
		add("unclean_election", fmt.Sprintf("the topic %s may be led by a broker that lags, which loses what was acknowledged", t.Name), "forbid it", "unclean.leader.election.enable", "false")
	}
	if n, err := strconv.Atoi(settings["max.message.bytes"]); err == nil && n < kafka.MaxRecordBytes {
		add("message_too_small", fmt.Sprintf("the topic %s takes batches of %s, and LiveDB writes up to %s: a wide row or a full batch stops the stream", t.Name, size(int64(n)), size(kafka.MaxRecordBytes)),
			"raise its limit", "max.message.bytes", strconv.Itoa(kafka.MaxRecordBytes))
	}
	return all
}

// topicRefused says why Kafka would not make a topic.
func (f *facts) topicRefused(t kafka.Topic, err error) Finding {
	if kafka.Denied(err) {
		return f.topicDenied(t.Name, err)
	}
	finding := found("topic_refused", "topic "+t.Name, fmt.Sprintf("kafka would not make the topic %s (%v)", t.Name, err), "mend what Kafka says, or create the topic ahead")
	if errors.Is(err, sarama.ErrInvalidReplicationFactor) {
		finding.Remedy = "set default.replication.factor on the brokers to what there are of them, or create the topic ahead"
	}
	finding.Command = f.kafkaCommand("kafka-topics.sh", fmt.Sprintf("--create --topic %s --partitions %d", t.Name, t.Partitions))
	return finding
}

func (f *facts) topicDenied(topic string, err error) Finding {
	return f.denied("topic "+topic, err, "Create --operation Read --operation Write", "topic", "topics")
}

// denied says which right we lack. Rights are given for all objects of the stream at once, by their prefix.
func (f *facts) denied(object string, err error, operations, kind, kinds string) Finding {
	finding := found("kafka_denied", object, "kafka denies us a right ("+err.Error()+")",
		fmt.Sprintf("grant our user the right to the %s that begin with %s.; docs/security.md lists all", kinds, f.c.Stream.Prefix))
	finding.Command = f.kafkaCommand("kafka-acls.sh", fmt.Sprintf("--add --allow-principal User:%s --operation %s --%s %s. --resource-pattern-type prefixed",
		cmp.Or(f.c.Stream.Kafka.SASL.User, "USER"), operations, kind, f.c.Stream.Prefix))
	return finding
}

// hanging says what a Kafka transaction that does not end holds up.
func (f *facts) hanging(o kafka.OpenTransaction, age time.Duration) Finding {
	object := fmt.Sprintf("partition %d of topic %s", o.Partition, o.Topic)
	summary := fmt.Sprintf("a Kafka transaction is open in %s since %s, from offset %d on: readers stand before it", object, age.Round(time.Second), o.Offset)
	remedy := "abort it, if its producer is gone"
	if o.Transactional == "" {
		summary += ", and no coordinator knows of it, so it never ends by itself"
	} else {
		summary += fmt.Sprintf(", by the transactional id %s, whose timeout is %s", o.Transactional, o.Timeout)
		remedy = "see why its producer neither commits nor ends; a start of that producer ends it, or abort it"
	}
	finding := found("hanging_transaction", object, summary, remedy)
	finding.Command = f.kafkaCommand("kafka-transactions.sh", fmt.Sprintf("abort --topic %s --partition %d --start-offset %d", o.Topic, o.Partition, o.Offset))
	return finding
}

// kafkaFinding says why Kafka could not be reached.
func kafkaFinding(object string, err error) Finding {
	err = kafka.Named(err)
	if refusal := asRefusal(err); refusal != nil {
		return refused(Kafka, object, refusal)
	}
	remedy := "check that the brokers run, that the addresses and ports are theirs, and whether they want TLS or a login (--kafka-tls, --kafka-sasl)"
	return found("kafka_unreachable", object, err.Error(), remedy)
}

// hangs is from which age on an open transaction counts as hanging.
func (f *facts) hangs(o kafka.OpenTransaction) time.Duration {
	if f.c.HangsFor > 0 {
		return f.c.HangsFor
	}
	return max(f.c.Stream.Kafka.EffectiveTransactionTimeout(), o.Timeout) + openGrace
}
