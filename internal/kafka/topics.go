package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/IBM/sarama"
)

// Topic is a topic as LiveDB wants it.
type Topic struct {
	Name       string
	Partitions int32
	Compacted  bool // keeps the last record per key for ever; otherwise every record, as long as the broker keeps it

	// RetentionBytes bounds each partition; 0 leaves it to the broker's settings. A compacted topic that has it is trimmed
	// instead of compacted, and its writer repeats what must stay: kfake's compaction keeps every transaction's marker.
	RetentionBytes int64
}

// PartitionsError says that a topic exists with another partition count than the stream's.
type PartitionsError struct {
	Topic      string
	Have, Want int32
}

// Error says which topic, and what to do.
func (e *PartitionsError) Error() string { return e.Problem() + "; " + e.Remedy() }

// Problem says what is wrong.
func (e *PartitionsError) Problem() string {
	return fmt.Sprintf("the topic %s has %d partitions and this stream wants %d: a changed count breaks the order by key", e.Topic, e.Have, e.Want)
}

// Remedy says what to do.
func (e *PartitionsError) Remedy() string {
	return fmt.Sprintf("set --partitions %d, delete the topic, or use another --prefix", e.Have)
}

// CheckTopics compares what exists with what is wanted and returns the topics that do not exist. It changes nothing.
func CheckTopics(ctx context.Context, client sarama.Client, topics ...Topic) (missing []Topic, err error) {
	type answer struct {
		missing []Topic
		err     error
	}
	answered := make(chan answer, 1)
	go func() {
		missing, err := checkTopics(client, topics)
		answered <- answer{missing, err}
	}()
	select {
	case a := <-answered:
		return a.missing, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("read the topics of kafka: %w", ctx.Err())
	}
}

func checkTopics(client sarama.Client, topics []Topic) (missing []Topic, err error) {
	if err := client.RefreshMetadata(); err != nil {
		return nil, fmt.Errorf("read the topics of kafka: %w", err)
	}
	names, err := client.Topics()
	if err != nil {
		return nil, fmt.Errorf("read the topics of kafka: %w", err)
	}
	for _, t := range topics {
		if !slices.Contains(names, t.Name) {
			missing = append(missing, t)
			continue
		}
		partitions, err := client.Partitions(t.Name)
		if err != nil {
			return nil, fmt.Errorf("read the partitions of topic %s: %w", t.Name, err)
		}
		if int32(len(partitions)) != t.Partitions {
			return nil, &PartitionsError{t.Name, int32(len(partitions)), t.Partitions}
		}
	}
	return missing, nil
}

// EnsureTopics creates the topics that do not exist and refuses one that exists with another partition count.
// It returns once every topic has a leader.
//
// Sarama's requests know no context. If it ends first, what they still do is left behind, and ends with their own limits.
func EnsureTopics(ctx context.Context, client sarama.Client, topics ...Topic) error {
	ensured := make(chan error, 1)
	go func() { ensured <- ensureTopics(ctx, client, topics) }()
	select {
	case err := <-ensured:
		return err
	case <-ctx.Done():
		return fmt.Errorf("create topics: %w", ctx.Err())
	}
}

func ensureTopics(ctx context.Context, client sarama.Client, topics []Topic) error {
	missing, err := checkTopics(client, topics)
	if err != nil || len(missing) == 0 {
		return err
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	if err != nil {
		return fmt.Errorf("ask kafka to create topics: %w", err)
	}
	for _, t := range missing {
		err := admin.CreateTopic(t.Name, t.detail(), false)
		if err != nil && !errors.Is(err, sarama.ErrTopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", t.Name, err)
		}
	}
	return awaitLeaders(ctx, client, missing)
}

// awaitLeaders polls until every partition has a leader: a created topic is known to the brokers only some
// milliseconds later.
func awaitLeaders(ctx context.Context, client sarama.Client, topics []Topic) error {
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Name
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := client.RefreshMetadata(names...)
		for i := 0; err == nil && i < len(topics); i++ {
			err = ready(client, topics[i])
		}
		if err == nil || !errors.Is(err, sarama.ErrUnknownTopicOrPartition) && !errors.Is(err, sarama.ErrLeaderNotAvailable) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the new topics' leaders: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func ready(client sarama.Client, t Topic) error {
	partitions, err := client.Partitions(t.Name)
	if err != nil {
		return err
	}
	if int32(len(partitions)) != t.Partitions {
		return &PartitionsError{t.Name, int32(len(partitions)), t.Partitions}
	}
	for _, p := range partitions {
		if _, err := client.Leader(t.Name, p); err != nil {
			return err
		}
	}
	return nil
}

// detail leaves the replication factor to the broker's default (-1).
func (t Topic) detail() *sarama.TopicDetail {
	config := map[string]string{"max.message.bytes": strconv.Itoa(MaxRecordBytes)}
	switch {
	case t.Compacted && t.RetentionBytes == 0:
		maps.Copy(config, map[string]string{
			"cleanup.policy": "compact",
			"retention.ms":   "-1", "retention.bytes": "-1",
			"segment.ms": "600000", "min.cleanable.dirty.ratio": "0.1",
		})
	case t.RetentionBytes > 0:
		config["cleanup.policy"] = "delete"
		config["retention.bytes"] = strconv.FormatInt(t.RetentionBytes, 10)
		config["segment.bytes"] = strconv.FormatInt(max(t.RetentionBytes/8, 64<<10), 10) // what is trimmed goes by the segment
	default:
		config["cleanup.policy"] = "delete"
	}
	entries := make(map[string]*string, len(config))
	for _, name := range slices.Sorted(maps.Keys(config)) {
		value := config[name]
		entries[name] = &value
	}
	return &sarama.TopicDetail{NumPartitions: t.Partitions, ReplicationFactor: -1, ConfigEntries: entries}
}
