package processor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
)

// topicPoll is how often a topic that does not exist yet is looked for.
const topicPoll = 500 * time.Millisecond

// awaitTopic waits until a topic exists and reports whether it had to.
func awaitTopic(ctx context.Context, client sarama.Client, topic string) (waited bool, err error) {
	for {
		err := client.RefreshMetadata(topic)
		if err == nil {
			return waited, nil
		}
		if !errors.Is(err, sarama.ErrUnknownTopicOrPartition) && !errors.Is(err, sarama.ErrLeaderNotAvailable) {
			return waited, fmt.Errorf("look for topic %s: %w", topic, err)
		}
		waited = true
		select {
		case <-ctx.Done():
			return waited, fmt.Errorf("wait for topic %s, which livedb cdc creates: %w", topic, ctx.Err())
		case <-time.After(topicPoll):
		}
	}
}

// beginAt finds where to begin a partition that is to be read from an offset on. If the log begins later, so does the
// reading: what was removed may be nothing that counts (commit markers, aborted records), and the seqs will tell.
func beginAt(client sarama.Client, topic string, partition int32, offset int64) (begin, error) {
	newest, err := client.GetOffset(topic, partition, sarama.OffsetNewest)
	if err != nil {
		return begin{}, fmt.Errorf("read the end of topic %s, partition %d: %w", topic, partition, err)
	}
	if offset > newest {
		return begin{}, &Violation{Err: ErrReset, Topic: topic, Partition: partition, Offset: offset,
			Want: fmt.Sprint("offset ", offset), Got: fmt.Sprint("a log that ends at offset ", newest)}
	}
	oldest, err := client.GetOffset(topic, partition, sarama.OffsetOldest)
	if err != nil {
		return begin{}, fmt.Errorf("read the beginning of topic %s, partition %d: %w", topic, partition, err)
	}
	return begin{max(offset, oldest), oldest > offset}, nil
}

// fetchClient is a client of its own for the fetches. A broker answers the requests of one connection in turn, so on the
// same one every question for an offset would wait until a fetch has waited for data.
type fetchClient struct {
	sarama.Client
	lookup sarama.Client
}

// What sarama holds of each partition: a fetch, and a queue of records that may pin the one before it.
const (
	minFetchBytes  = 32 << 10
	maxFetchBytes  = 1 << 20
	fetchedRecords = 64
)

func newFetchClient(lookup sarama.Client, queueBytes int) (fetchClient, error) {
	var addresses []string
	for _, b := range lookup.Brokers() {
		addresses = append(addresses, b.Addr())
	}
	settings := *lookup.Config()
	settings.Consumer.Fetch.Default = int32(min(max(queueBytes/128, minFetchBytes), maxFetchBytes))
	settings.ChannelBufferSize = fetchedRecords
	client, err := sarama.NewClient(addresses, &settings)
	return fetchClient{client, lookup}, err
}

// GetOffset asks on the other client's connection.
func (c fetchClient) GetOffset(topic string, partition int32, time int64) (int64, error) {
	return c.lookup.GetOffset(topic, partition, time)
}

// sample finds the offsets from which the transactions written from now on are read.
//
// First each event partition's last stable offset, then the newest offset of <prefix>.transaction. A transaction whose
// record stands at or after the latter had not been committed when the former were taken, for the record is written
// last and the commit comes after it: so its events, too, stand at or after the offsets taken. A topic that is not among
// them is younger and is read from its beginning.
func sample(client sarama.Client, topics envelope.Topics, chosen choice) (transaction int64, offsets map[string]map[int32]int64, err error) {
	if err := client.RefreshMetadata(); err != nil {
		return 0, nil, fmt.Errorf("read the topics of kafka: %w", err)
	}
	names, err := client.Topics()
	if err != nil {
		return 0, nil, fmt.Errorf("read the topics of kafka: %w", err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !eventTopic(topics, name) || !chosen.has(name) })
	if offsets, err = stableOffsets(client, names); err != nil {
		return 0, nil, err
	}
	transaction, err = client.GetOffset(topics.Transaction(), 0, sarama.OffsetNewest)
	if err != nil {
		return 0, nil, fmt.Errorf("read the end of topic %s: %w", topics.Transaction(), err)
	}
	return transaction, offsets, nil
}

// eventTopic reports whether a topic may hold the stream's events. One that does not does no harm.
func eventTopic(topics envelope.Topics, name string) bool {
	rest, ours := strings.CutPrefix(name, string(topics)+".")
	switch {
	case !ours, strings.HasPrefix(rest, "view-"), strings.HasPrefix(rest, "state-"), strings.HasPrefix(rest, "replay-"):
		return false
	}
	return !slices.Contains([]string{"transaction", "checkpoint", "status", "control", "schema"}, rest)
}

// stableOffsets asks each leader for the last stable offsets of its partitions: no transaction that is open has written
// before them. Sarama's GetOffset cannot ask that.
func stableOffsets(client sarama.Client, topics []string) (map[string]map[int32]int64, error) {
	requests := map[*sarama.Broker]*sarama.OffsetRequest{}
	for _, topic := range topics {
		partitions, err := client.Partitions(topic)
		if err != nil {
			return nil, fmt.Errorf("read the partitions of topic %s: %w", topic, err)
		}
		for _, p := range partitions {
			leader, err := client.Leader(topic, p)
			if err != nil {
				return nil, fmt.Errorf("find the leader of topic %s, partition %d: %w", topic, p, err)
			}
			if requests[leader] == nil {
				requests[leader] = sarama.NewOffsetRequest(client.Config().Version)
				requests[leader].IsolationLevel = sarama.ReadCommitted
			}
			requests[leader].AddBlock(topic, p, sarama.OffsetNewest, 1)
		}
	}
	offsets := map[string]map[int32]int64{}
	for leader, request := range requests {
		response, err := leader.GetAvailableOffsets(request)
		if err != nil {
			return nil, fmt.Errorf("read the last stable offsets: %w", err)
		}
		for topic, blocks := range response.Blocks {
			for p, block := range blocks {
				if block.Err != sarama.ErrNoError {
					return nil, fmt.Errorf("read the last stable offset of topic %s, partition %d: %w", topic, p, block.Err)
				}
				if offsets[topic] == nil {
					offsets[topic] = map[int32]int64{}
				}
				offsets[topic][p] = block.Offset
			}
		}
	}
	return offsets, nil
}
