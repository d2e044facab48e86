package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/IBM/sarama"
)

// Inspector asks a Kafka how it and a stream's topics are set up. It changes nothing.
type Inspector struct {
	client sarama.Client
	admin  sarama.TransactionClusterAdmin
}

// NewInspector inspects through a client, which it does not close.
func NewInspector(ctx context.Context, client sarama.Client) (*Inspector, error) {
	admin, err := Within(ctx, "ask kafka how it is set up", func() (sarama.ClusterAdmin, error) { return sarama.NewClusterAdminFromClient(client) })
	if err != nil {
		return nil, err
	}
	return &Inspector{client, admin.(sarama.TransactionClusterAdmin)}, nil
}

// Within runs a request of sarama, which knows no context. If the context ends first the request is left behind, and ends
// with sarama's own time limits.
func Within[T any](ctx context.Context, what string, ask func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		value, err := ask()
		answered <- answer{value, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil {
			return a.value, fmt.Errorf("%s: %w", what, a.err)
		}
		return a.value, nil
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("%s: %w", what, ctx.Err())
	}
}

// Brokers returns how many brokers the cluster has.
func (i *Inspector) Brokers() int { return len(i.client.Brokers()) }

// BrokerSettings returns the settings of one of the brokers.
func (i *Inspector) BrokerSettings(ctx context.Context) (map[string]string, error) {
	return Within(ctx, "read the broker's settings", func() (map[string]string, error) {
		broker, err := i.client.Controller()
		if err != nil {
			return nil, err
		}
		all, err := i.settings(sarama.BrokerResource, strconv.Itoa(int(broker.ID())))
		if err != nil {
			return nil, err
		}
		for _, settings := range all {
			return settings, nil
		}
		return nil, errors.New("the broker told none")
	})
}

// TopicSettings returns the settings of topics that exist, by topic.
func (i *Inspector) TopicSettings(ctx context.Context, topics ...string) (map[string]map[string]string, error) {
	return Within(ctx, "read the settings of the topics", func() (map[string]map[string]string, error) {
		return i.settings(sarama.TopicResource, topics...)
	})
}

func (i *Inspector) settings(of sarama.ConfigResourceType, names ...string) (map[string]map[string]string, error) {
	var resources []*sarama.ConfigResource
	for _, name := range names {
		resources = append(resources, &sarama.ConfigResource{Type: of, Name: name})
	}
	results, err := i.admin.DescribeConfigs(resources, sarama.DescribeConfigsOptions{})
	if err != nil {
		return nil, err
	}
	all := map[string]map[string]string{}
	for _, r := range results {
		if r.ErrorCode != sarama.ErrNoError {
			return nil, fmt.Errorf("%s: %w", r.Name, r.ErrorCode)
		}
		all[r.Name] = map[string]string{}
		for _, entry := range r.Configs {
			all[r.Name][entry.Name] = entry.Value
		}
	}
	return all, nil
}

// Replicas returns on how many brokers the topics that exist are kept, by topic: the least of their partitions.
func (i *Inspector) Replicas(ctx context.Context, topics ...string) (map[string]int, error) {
	return Within(ctx, "read the replicas of the topics", func() (map[string]int, error) {
		if len(topics) == 0 {
			return nil, nil
		}
		described, err := i.admin.DescribeTopics(topics)
		if err != nil {
			return nil, err
		}
		replicas := map[string]int{}
		for _, t := range described {
			for _, p := range t.Partitions {
				if least, known := replicas[t.Name]; !known || len(p.Replicas) < least {
					replicas[t.Name] = len(p.Replicas)
				}
			}
		}
		return replicas, nil
	})
}

// TryTopic has Kafka say whether it would create a topic for us, and creates none.
func (i *Inspector) TryTopic(ctx context.Context, t Topic) error {
	_, err := Within(ctx, "try to create topic "+t.Name, func() (struct{}, error) {
		return struct{}{}, i.admin.CreateTopic(t.Name, t.detail(), true)
	})
	return err
}

// MayProduce has Kafka say whether we may use a transactional id. No producer is fenced.
func (i *Inspector) MayProduce(ctx context.Context, transactionalID string) error {
	_, err := Within(ctx, "look for the coordinator of the transactional id "+transactionalID, func() (struct{}, error) {
		_, err := i.client.TransactionCoordinator(transactionalID)
		return struct{}{}, err
	})
	return err
}

// OpenTransaction is a Kafka transaction that has not ended: readers of its partition stand before it.
type OpenTransaction struct {
	Topic         string
	Partition     int32
	Offset        int64 // of its first record
	ProducerID    int64
	Last          time.Time     // of its last record there
	Transactional string        // its transactional id; empty if no coordinator knows of it
	Timeout       time.Duration // after which the coordinator aborts it
}

// OpenTransactions returns the transactions that are open in the partitions of topics.
func (i *Inspector) OpenTransactions(ctx context.Context, partitions map[string]int32) ([]OpenTransaction, error) {
	return Within(ctx, "look for open kafka transactions", func() ([]OpenTransaction, error) {
		wanted := map[string][]int32{}
		for topic, count := range partitions {
			for p := range count {
				wanted[topic] = append(wanted[topic], p)
			}
		}
		described, err := i.admin.DescribeProducers(wanted)
		if err != nil {
			return nil, err
		}
		var open []OpenTransaction
		for topic, of := range described {
			for p, described := range of {
				if described.ErrorCode != sarama.ErrNoError {
					return nil, fmt.Errorf("partition %d of topic %s: %w", p, topic, described.ErrorCode)
				}
				for _, producer := range described.ActiveProducers {
					if producer.CurrentTxnStartOffset >= 0 {
						open = append(open, OpenTransaction{Topic: topic, Partition: p, Offset: producer.CurrentTxnStartOffset,
							ProducerID: producer.ProducerID, Last: time.UnixMilli(producer.LastTimestamp)})
					}
				}
			}
		}
		return open, i.nameOwners(open)
	})
}

// nameOwners asks the coordinators whose transactions these are.
func (i *Inspector) nameOwners(open []OpenTransaction) error {
	if len(open) == 0 {
		return nil
	}
	var producers []int64
	for _, o := range open {
		producers = append(producers, o.ProducerID)
	}
	listed, err := i.admin.ListTransactions(nil, producers, -1)
	if err != nil {
		return err
	}
	var ids []string
	for _, l := range listed {
		if l.TransactionState == "Ongoing" || l.TransactionState == "PrepareCommit" || l.TransactionState == "PrepareAbort" {
			ids = append(ids, l.TransactionalID)
		}
	}
	described, err := i.admin.DescribeTransactions(ids)
	if err != nil {
		return err
	}
	for n := range open {
		for id, d := range described {
			if d.ProducerID == open[n].ProducerID {
				open[n].Transactional, open[n].Timeout = id, d.TransactionTimeout
			}
		}
	}
	return nil
}

// EffectiveTransactionTimeout is the configured one, or the default.
func (c Config) EffectiveTransactionTimeout() time.Duration { return c.transactionTimeout() }
