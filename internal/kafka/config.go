// Package kafka is what the rooms on both sides of Kafka share: the client's settings, topics, the transactional
// producer and the reading of a compacted topic up to a barrier. It knows no event and no view.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
)

// Config says which Kafka to use.
type Config struct {
	Brokers  []string
	ClientID string // names us in the broker's logs, such as livedb/cdc
	Instance string // stands in the barriers that its producers write, see OthersBarrier
	TLS      TLS
	SASL     SASL

	// TransactionTimeout is after what time the broker aborts an open transaction; zero means DefaultTransactionTimeout.
	TransactionTimeout time.Duration

	// Compression of what is written: none, gzip, snappy, lz4 or zstd; empty means lz4.
	Compression string

	// Dial opens the network connection below TLS; nil means the default dialer, which notices a half-open connection.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// The bounds of Config.TransactionTimeout; Kafka's brokers take no more than the largest unless they are told to.
const (
	DefaultTransactionTimeout = 5 * time.Minute
	minTransactionTimeout     = time.Second
	maxTransactionTimeout     = 15 * time.Minute
)

func (c Config) transactionTimeout() time.Duration {
	if c.TransactionTimeout == 0 {
		return DefaultTransactionTimeout
	}
	return c.TransactionTimeout
}

// MaxRecordBytes is the largest record LiveDB writes. Its topics are created with this max.message.bytes.
const MaxRecordBytes = 16 << 20

// Sarama returns the settings every client of LiveDB starts from: sarama's defaults lose or skip data in several
// places (read_uncommitted, topics created by reading them, silent jumps to the newest offset), and each is overruled
// here. The protocol version is an upper bound: sarama uses what the broker offers. TLS and the login are not in them:
// only Connect and OpenProducer add these.
func (c Config) Sarama() *sarama.Config {
	s := sarama.NewConfig()
	s.Version = sarama.V4_0_0_0
	s.ClientID = c.ClientID
	s.Net.ReadTimeout = 30 * time.Second
	s.Net.WriteTimeout = 30 * time.Second
	s.Metadata.AllowAutoTopicCreation = false
	s.Metadata.Retry.Max = 3
	s.Metadata.Retry.Backoff = 100 * time.Millisecond

	s.Producer.RequiredAcks = sarama.WaitForAll
	s.Producer.Compression = c.compression()
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

// compression is the one chosen, or lz4: JSON shrinks to a fraction, at little cost (docs/benchmarks.md).
func (c Config) compression() sarama.CompressionCodec {
	codec := sarama.CompressionLZ4
	if c.Compression != "" {
		_ = codec.UnmarshalText([]byte(c.Compression)) // check refuses what it does not know
	}
	return codec
}

func init() {
	// One fetch may hold one batch of every partition of a broker.
	sarama.MaxResponseSize = 512 << 20
}

// Check refuses what cannot work before anything is dialled.
func (c Config) Check() error {
	if len(c.Brokers) == 0 {
		return errors.New("no kafka broker is given: name one or more as host:port, with --kafka or KAFKA_BROKERS")
	}
	if t := c.transactionTimeout(); t < minTransactionTimeout || t > maxTransactionTimeout {
		return &cdc.Refusal{Name: "transaction_timeout_malformed", Remedy: "choose another --transaction-timeout",
			Problem: fmt.Sprintf("the transaction timeout %s is not between %s and %s", t, minTransactionTimeout, maxTransactionTimeout)}
	}
	if err := new(sarama.CompressionCodec).UnmarshalText([]byte(c.Compression)); c.Compression != "" && err != nil {
		return &cdc.Refusal{Name: "compression_malformed", Problem: fmt.Sprintf("there is no compression %q", c.Compression),
			Remedy: "choose none, gzip, snappy, lz4 or zstd"}
	}
	if err := c.SASL.check(); err != nil {
		return err
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return fmt.Errorf("the kafka broker %q is not written as host:port: %w", b, err)
		}
		if err := c.clearTo(b); err != nil {
			return err
		}
	}
	return nil
}

// secured is Sarama with TLS, the login and the dialler.
func (c Config) secured() (*sarama.Config, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	d, err := c.dialer()
	if err != nil {
		return nil, err
	}
	s := c.Sarama()
	s.Net.Proxy.Enable, s.Net.Proxy.Dialer = true, d // sarama's name for a dialler of one's own
	c.SASL.set(s)
	return s, nil
}

// Connect opens a client. It refuses what cannot work before dialling, and answers within some seconds: with an
// UnreachableError, which may pass, or with a cdc.Refusal, which will not.
func Connect(ctx context.Context, c Config, adjust ...func(*sarama.Config)) (sarama.Client, error) {
	s, err := c.secured()
	if err != nil {
		return nil, err
	}
	for _, f := range adjust {
		f(s)
	}
	type answer struct {
		client sarama.Client
		err    error
	}
	answered := make(chan answer, 1)
	go func() { // bounded by sarama's dial and metadata time limits
		client, err := c.connect(s)
		answered <- answer{client, err}
	}()
	select {
	case a := <-answered:
		return a.client, a.err
	case <-ctx.Done():
		go func() {
			if a := <-answered; a.err == nil {
				a.client.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

func (c Config) connect(s *sarama.Config) (sarama.Client, error) {
	client, err := sarama.NewClient(c.Brokers, s)
	if err != nil {
		return nil, c.explain(s, err)
	}
	for _, b := range client.Brokers() { // sarama would forget why it could not use them
		if err := c.clearTo(b.Addr()); err != nil {
			_ = client.Close() // nothing is under way
			return nil, err
		}
	}
	return client, nil
}
