package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
)

// Limits of the transactional producer.
const (
	commitTimeout = 60 * time.Second // for each step of a transaction
	fenceTimeout  = 60 * time.Second // for InitProducerID, which waits for the older transaction's end
	// idleLimit is after what time without a transaction the connections are made anew: brokers close theirs after ten minutes,
	// balancers before them after four or six, and a request that meets such an end is one without an answer.
	idleLimit = time.Minute
)

// ErrOutcomeUnknown says that a commit may or may not have happened. Whoever sees it drops the producer and reads what
// Kafka holds; sending again would double.
var ErrOutcomeUnknown = errors.New("the outcome of a kafka transaction is unknown")

// Producer is a transactional producer. One goroutine uses it; after any error it is good for Close alone.
//
// It speaks the transaction protocol itself, over sarama's connections. sarama's own producer takes records one by one
// through four channels, and repeats by itself an EndTxn whose answer it missed: under Kafka's first transaction protocol,
// the only one sarama knows, a late copy of that ends the next transaction too early (KAFKA-17754). Here every request that a
// late copy of could do harm is sent once; doubt ends the producer, and the next one's epoch fences what is still on its way.
//
//	Begin, Send or To/Add, …          collects
//	Enlist   AddPartitionsToTxn       once; again where the coordinator answered that it did not do it
//	Flush    Produce                  again for some time: the broker knows a second copy by its sequence
//	Commit   EndTxn                   once; again where the coordinator answered that it did not do it
type Producer struct {
	id       string
	instance string
	timeout  time.Duration // of a transaction
	client   sarama.Client
	lines    *lines

	producerID int64
	epoch      int16

	queues   map[partition]*Queue
	round    uint64    // of the open transaction, so that what was noted for an earlier one is void
	open     bool      // between Begin and Commit
	used     []*Queue  // of the open transaction
	enlisted int       // of used
	expires  time.Time // when the broker may abort the open transaction
	batches  []*batch  // of one Flush
	memory   memory
	failed   error
	last     time.Time // when the last transaction ended, or the producer was opened

	abandoned atomic.Bool
	closing   sync.Once
}

// partition names a partition.
type partition struct {
	topic  string
	number int32
}

// OpenProducer opens the producer of a transactional id. This fences every older one of the id, and ends its open
// transaction: what is read afterwards is the truth.
func OpenProducer(ctx context.Context, c Config, transactionalID string) (*Producer, error) {
	p := &Producer{id: transactionalID, instance: c.Instance, timeout: c.transactionTimeout(), lines: &lines{}, queues: map[partition]*Queue{}}
	ctx, cancel := context.WithTimeout(ctx, fenceTimeout)
	defer cancel()
	var err error
	p.client, err = Connect(ctx, c, func(s *sarama.Config) {
		p.lines.dialer, s.Net.Proxy.Dialer = s.Net.Proxy.Dialer, p.lines
	})
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, p.lines.hangUp)
	err = p.fence(ctx, c)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	p.last = time.Now()
	return p, nil
}

// fence takes the id's producer id in a new epoch.
func (p *Producer) fence(ctx context.Context, c Config) error {
	request := &sarama.InitProducerIDRequest{Version: 4, TransactionalID: &p.id, TransactionTimeout: c.transactionTimeout(),
		ProducerID: -1, ProducerEpoch: -1}
	for backoff := 50 * time.Millisecond; ; backoff = min(2*backoff, time.Second) {
		err := p.ask(func(coordinator *sarama.Broker) (sarama.KError, error) {
			r, err := coordinator.InitProducerID(request)
			if err != nil {
				return sarama.ErrNoError, err
			}
			p.producerID, p.epoch = r.ProducerID, r.ProducerEpoch
			return r.Err, nil
		})
		if err == nil {
			return nil
		}
		if refusal := c.refusal(fmt.Errorf("open the transactional producer %s: %w", p.id, err)); refusal != nil {
			return refusal
		}
		if !passing(err) {
			return fmt.Errorf("open the transactional producer %s: %w", p.id, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("open the transactional producer %s: its coordinator is not ready: %w", p.id, err)
		case <-time.After(backoff):
		}
	}
}

// ask puts one question to the transaction's coordinator. An error that is a sarama.KError is its answer.
func (p *Producer) ask(question func(*sarama.Broker) (sarama.KError, error)) error {
	coordinator, err := p.client.TransactionCoordinator(p.id)
	if err != nil {
		return err
	}
	code, err := question(coordinator)
	if err != nil {
		return err
	}
	if code == sarama.ErrNotCoordinatorForConsumer || code == sarama.ErrConsumerCoordinatorNotAvailable {
		p.client.RefreshTransactionCoordinator(p.id) // the next question tells whether it helped
	}
	switch code {
	case sarama.ErrNoError:
		return nil
	case sarama.ErrProducerFenced:
		return fencedError{}
	}
	return code
}

// fencedError is sarama.ErrProducerFenced, for which sarama has no words.
type fencedError struct{}

func (fencedError) Error() string {
	return "kafka server: another producer of the transactional id took over, or the transaction timed out"
}

func (fencedError) Unwrap() error { return sarama.ErrProducerFenced }

// passing tells what a coordinator answers for a moment: while it ends the older transaction of the id, and while it moves. It
// has not done what it was asked, but for an EndTxn that it wrote down as it lost its replicas or its lead: the next one of the
// same transaction then hears how the first one ended.
func passing(err error) bool {
	for _, code := range []sarama.KError{sarama.ErrConcurrentTransactions, sarama.ErrOffsetsLoadInProgress,
		sarama.ErrConsumerCoordinatorNotAvailable, sarama.ErrNotCoordinatorForConsumer} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// Abandon makes whatever is under way, and each later call, return at once, whatever the broker does. Any goroutine may
// call it.
func (p *Producer) Abandon() {
	p.abandoned.Store(true)
	p.lines.hangUp()
}

// Abandoned reports whether Abandon was called: a transaction may still be open then.
func (p *Producer) Abandoned() bool { return p.abandoned.Load() }

// Close drops the producer. An open transaction is left to the next producer of the same id, or to its timeout.
func (p *Producer) Close() {
	p.closing.Do(func() {
		p.Abandon()
		_ = p.client.Close() // its connections are closed already
	})
}

// TooLarge reports whether an error says that Kafka does not take a batch of that size, over the topic's limit or longer than
// a segment: trying again will not help.
func TooLarge(err error) bool {
	return errors.Is(err, sarama.ErrMessageSizeTooLarge) || errors.Is(err, sarama.ErrMessageSetSizeTooLarge)
}

// Fenced reports whether an error says that another producer of the same transactional id took over, or that the
// transaction timed out, which looks the same.
func Fenced(err error) bool {
	return errors.Is(err, sarama.ErrProducerFenced) || errors.Is(err, sarama.ErrInvalidProducerEpoch)
}
