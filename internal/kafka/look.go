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
	type answer struct {
		response *sarama.MetadataResponse
		err      error
	}
	answered := make(chan answer, 1)
	go func() { // bounded by sarama's time limits
		broker, err := client.Controller()
		if err != nil {
			answered <- answer{nil, err}
			return
		}
		response, err := broker.GetMetadata(sarama.NewMetadataRequest(client.Config().Version, topics))
		answered <- answer{response, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil {
			return nil, fmt.Errorf("look at the topics of kafka: %w", a.err)
		}
		return found(a.response)
	case <-ctx.Done():
		return nil, fmt.Errorf("look at the topics of kafka: %w", ctx.Err())
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
