package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// Found is a topic as Kafka has it.
type Found struct {
	ID         string // a topic that was deleted and made anew has another; empty if the broker gives none (before 2.8)
	Partitions int32
}

// Look returns those of the topics that exist, by name.
func Look(ctx context.Context, client sarama.Client, topics ...string) (map[string]Found, error) {
	if len(topics) == 0 {
		return map[string]Found{}, nil
	}
	response, err := Within(ctx, "look at the topics of kafka", func() (*sarama.MetadataResponse, error) { return askTopics(ctx, client, topics) })
	if err != nil {
		return nil, err
	}
	return found(response)
}

// lookTries is how often an answer is asked for: the first question may meet a connection that the broker has closed, since
// it was idle for some minutes, and the second a controller that has moved.
const lookTries = 3

func askTopics(ctx context.Context, client sarama.Client, topics []string) (*sarama.MetadataResponse, error) {
	for try := 1; ; try++ {
		broker, err := client.Controller()
		if err != nil {
			return nil, err
		}
		response, err := broker.GetMetadata(sarama.NewMetadataRequest(client.Config().Version, topics))
		if err == nil || try == lookTries || ctx.Err() != nil {
			return response, err
		}
		broker.Close()                    // the client opens it anew; closed already is as good
		_, _ = client.RefreshController() // the next try tells whether it helped
	}
}

func found(response *sarama.MetadataResponse) (map[string]Found, error) {
	all := map[string]Found{}
	for _, t := range response.Topics {
		switch t.Err {
		case sarama.ErrNoError, sarama.ErrLeaderNotAvailable:
			f := Found{Partitions: int32(len(t.Partitions))}
			if t.Uuid != (sarama.Uuid{}) {
				f.ID = t.Uuid.String()
			}
			all[t.Name] = f
		case sarama.ErrUnknownTopicOrPartition:
		default:
			return nil, fmt.Errorf("look at topic %s: %w", t.Name, t.Err)
		}
	}
	return all, nil
}

// lookPatience is how long a broker may take to learn of a topic.
const lookPatience = 3 * time.Second

// LookAgain is Look for topics that should exist: it asks again, for some seconds, while one does not, since a broker may
// know less than the others for a moment.
func LookAgain(ctx context.Context, client sarama.Client, topics ...string) (map[string]Found, error) {
	deadline := time.Now().Add(lookPatience)
	for {
		all, err := Look(ctx, client, topics...)
		if err != nil || len(all) == len(topics) || time.Now().After(deadline) {
			return all, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("look at the topics of kafka: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
