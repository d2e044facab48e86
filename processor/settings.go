package processor

import (
	"fmt"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/internal/kafka"
)

// NewConfig returns the sarama settings that a Reader needs, with a name for the broker's logs. Add what your Kafka asks
// for, such as Net.TLS and Net.SASL, and leave the rest: sarama's defaults show aborted events, skip large ones and create
// topics by reading them. A Reader refuses such settings with ErrSettings.
//
// The package raises sarama.MaxResponseSize, for one fetch may hold a batch of every partition.
func NewConfig(clientID string) *sarama.Config {
	return kafka.Config{ClientID: clientID}.Sarama()
}

// checkSettings refuses settings under which Kafka or sarama would skip, hide or invent records.
func checkSettings(s *sarama.Config) error {
	switch {
	case s.Consumer.IsolationLevel != sarama.ReadCommitted:
		return fmt.Errorf("%w: it would show aborted events: set Consumer.IsolationLevel to ReadCommitted", ErrSettings)
	case s.Consumer.Fetch.Max != 0:
		return fmt.Errorf("%w: it would skip large events: set Consumer.Fetch.Max to 0", ErrSettings)
	case s.Metadata.AllowAutoTopicCreation:
		return fmt.Errorf("%w: it would create the topics it looks for: set Metadata.AllowAutoTopicCreation to false", ErrSettings)
	case s.Consumer.Retry.Max != 0:
		return fmt.Errorf("%w: it would give partitions up: set Consumer.Retry.Max to 0", ErrSettings)
	case !s.Consumer.Return.Errors:
		return fmt.Errorf("%w: it would hide errors: set Consumer.Return.Errors to true", ErrSettings)
	}
	return nil
}
