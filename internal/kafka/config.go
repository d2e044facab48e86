// Package kafka is what the rooms on both sides of Kafka share: the client's settings, topics, the transactional
// producer and the reading of a compacted topic up to a barrier. It knows no event and no view.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

// Config says which Kafka to use.
type Config struct {
	Brokers  []string
	ClientID string // names us in the broker's logs, such as livedb/cdc
}

// MaxRecordBytes is the largest record LiveDB writes. Its topics are created with this max.message.bytes.
const MaxRecordBytes = 16 << 20

// Sarama returns the settings every client of LiveDB starts from: sarama's defaults lose or skip data in several
// places (read_uncommitted, topics created by reading them, silent jumps to the newest offset), and each is overruled
// here. The protocol version is an upper bound: sarama uses what the broker offers.
func (c Config) Sarama() *sarama.Config {
	s := sarama.NewConfig()
	s.Version = sarama.V4_0_0_0
	s.ClientID = c.ClientID
	s.Net.DialTimeout = 5 * time.Second
	s.Net.ReadTimeout = 30 * time.Second
	s.Net.WriteTimeout = 30 * time.Second
	s.Metadata.AllowAutoTopicCreation = false
	s.Metadata.Retry.Max = 3
	s.Metadata.Retry.Backoff = 100 * time.Millisecond

	s.Producer.RequiredAcks = sarama.WaitForAll
	s.Producer.Compression = sarama.CompressionLZ4 // JSON shrinks to a fraction, at little cost
	s.Producer.MaxMessageBytes = MaxRecordBytes
	s.Producer.Partitioner = sarama.NewManualPartitioner
	s.Producer.Return.Successes = true
	s.Producer.Return.Errors = true
	s.Producer.Retry.Max = 30
	s.Producer.Retry.Backoff = 100 * time.Millisecond

	s.Consumer.IsolationLevel = sarama.ReadCommitted
	s.Consumer.Offsets.Initial = sarama.OffsetOldest
	s.Consumer.Group.ResetInvalidOffsets = false
	s.Consumer.Fetch.Max = 0 // with a limit sarama skips a larger batch
	s.Consumer.Fetch.Default = 1 << 20
	s.Consumer.MaxWaitTime = 100 * time.Millisecond
	s.Consumer.Return.Errors = true
	return s
}

func init() {
	// One fetch may hold one batch of every partition of a broker.
	sarama.MaxResponseSize = 512 << 20
}

// UnreachableError says that no broker answered.
type UnreachableError struct {
	Brokers []string
	Err     error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("kafka does not answer at %s (%v): check that the brokers run and that the addresses and ports are theirs",
		strings.Join(e.Brokers, ","), e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// Connect opens a client. It refuses an address without a port before dialling, and answers within some seconds.
func Connect(ctx context.Context, c Config, adjust ...func(*sarama.Config)) (sarama.Client, error) {
	if len(c.Brokers) == 0 {
		return nil, errors.New("no kafka broker is given: name one or more as host:port, with --kafka or KAFKA_BROKERS")
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return nil, fmt.Errorf("the kafka broker %q is not written as host:port: %w", b, err)
		}
	}
	s := c.Sarama()
	for _, f := range adjust {
		f(s)
	}
	type answer struct {
		client sarama.Client
		err    error
	}
	answered := make(chan answer, 1)
	go func() { // bounded by sarama's dial and metadata time limits
		client, err := sarama.NewClient(c.Brokers, s)
		answered <- answer{client, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil {
			return nil, &UnreachableError{c.Brokers, a.err}
		}
		return a.client, nil
	case <-ctx.Done():
		go func() {
			if a := <-answered; a.err == nil {
				a.client.Close()
			}
		}()
		return nil, ctx.Err()
	}
}
