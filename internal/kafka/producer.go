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
	commitTimeout = 60 * time.Second
	fenceTimeout  = 60 * time.Second // for InitProducerID, which waits for the older transaction's end
)

// ErrOutcomeUnknown says that a commit may or may not have happened. Whoever sees it drops the producer and reads what
// Kafka holds; sending again would double.
var ErrOutcomeUnknown = errors.New("the outcome of a kafka transaction is unknown")

// Producer is a transactional producer. One goroutine uses it; after any error it is good for Close alone.
type Producer struct {
	async     sarama.AsyncProducer
	drained   sync.WaitGroup
	commits   sync.WaitGroup // one may outlive its caller
	abandoned chan struct{}
	abandon   sync.Once
	closing   sync.Once

	repeats *atomic.Int64 // of this transactional id's EndTxn requests
	before  int64         // of them, before this producer was opened

	mu  sync.Mutex
	err error // the first record that failed
}

// OpenProducer opens the producer of a transactional id. This fences every older one of the id, and ends its open
// transaction: what is read afterwards is the truth.
func OpenProducer(ctx context.Context, c Config, transactionalID string) (*Producer, error) {
	s, err := c.secured()
	if err != nil {
		return nil, err
	}
	s.Producer.Idempotent = true
	s.Net.MaxOpenRequests = 1
	s.Producer.Transaction.ID = transactionalID
	s.Producer.Transaction.Timeout = c.transactionTimeout()
	// sarama repeats EndTxn by itself with the same epoch; a late copy may commit the next transaction's first half.
	// Fewer repeats than sarama's own, but enough, over some four seconds, for a partition to find its new leader.
	s.Producer.Transaction.Retry.Max = 12
	s.Producer.Transaction.Retry.BackoffFunc = func(tried, _ int) time.Duration {
		return min(10*time.Millisecond<<min(tried, 10), 500*time.Millisecond)
	}
	s.ChannelBufferSize = 1024

	ctx, cancel := context.WithTimeout(ctx, fenceTimeout)
	defer cancel()
	for backoff := 50 * time.Millisecond; ; backoff = min(2*backoff, time.Second) {
		async, err := newAsyncProducer(ctx, c.Brokers, s)
		if err == nil {
			p := &Producer{async: async, abandoned: make(chan struct{}), repeats: repeatsOf(transactionalID)}
			p.before = p.repeats.Load()
			p.drain()
			return p, nil
		}
		if refusal := c.refusal(fmt.Errorf("open the transactional producer %s: %w", transactionalID, err)); refusal != nil {
			return nil, refusal
		}
		if !passing(err) {
			return nil, fmt.Errorf("open the transactional producer %s: %w", transactionalID, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("open the transactional producer %s: its coordinator is not ready: %w", transactionalID, err)
		case <-time.After(backoff):
		}
	}
}

// passing tells what a coordinator answers for a moment: while it ends the older transaction of the id, and while it moves.
func passing(err error) bool {
	for _, code := range []sarama.KError{sarama.ErrConcurrentTransactions, sarama.ErrOffsetsLoadInProgress,
		sarama.ErrConsumerCoordinatorNotAvailable, sarama.ErrNotCoordinatorForConsumer} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

func newAsyncProducer(ctx context.Context, brokers []string, s *sarama.Config) (sarama.AsyncProducer, error) {
	type answer struct {
		async sarama.AsyncProducer
		err   error
	}
	answered := make(chan answer, 1)
	go func() { // bounded by sarama's own time limits
		async, err := sarama.NewAsyncProducer(brokers, s)
		answered <- answer{async, err}
	}()
	select {
	case a := <-answered:
		return a.async, a.err
	case <-ctx.Done():
		go func() {
			if a := <-answered; a.err == nil {
				a.async.AsyncClose()
			}
		}()
		return nil, ctx.Err()
	}
}

// drain empties sarama's two channels, without which CommitTxn would wait for ever.
func (p *Producer) drain() {
	p.drained.Add(2)
	go func() {
		defer p.drained.Done()
		for range p.async.Successes() {
		}
	}()
	go func() {
		defer p.drained.Done()
		for failed := range p.async.Errors() {
			p.mu.Lock()
			if p.err == nil {
				p.err = fmt.Errorf("produce to topic %s: %w", failed.Msg.Topic, failed.Err)
			}
			p.mu.Unlock()
		}
	}()
}

// ErrWorn says that a producer, all of whose commits succeeded, must be replaced before its next one.
var ErrWorn = errors.New("a commit was sent to kafka twice, and its late copy must not meet the next one")

// Begin opens a transaction. It is the one place where a late copy of the last EndTxn could do harm, so a producer that sent
// one twice is refused here, as ErrWorn.
func (p *Producer) Begin() error {
	if p.repeats.Load() != p.before {
		return ErrWorn
	}
	if err := p.async.BeginTxn(); err != nil {
		return fmt.Errorf("begin a kafka transaction: %w", err)
	}
	return nil
}

// Send adds a record to the open transaction. It returns before the record is sent; Commit tells of failures.
func (p *Producer) Send(m *sarama.ProducerMessage) {
	select {
	case p.async.Input() <- m:
	case <-p.abandoned:
	}
}

// Abandon makes a Send or Commit under way, and each later one, return at once, whatever the broker does. Any goroutine
// may call it.
func (p *Producer) Abandon() { p.abandon.Do(func() { close(p.abandoned) }) }

// Commit ends the open transaction. An error that is ErrOutcomeUnknown may hide a commit; after any other, nothing was
// committed. Commit returns within a minute, even if the broker does not answer.
func (p *Producer) Commit() error {
	select {
	case <-p.abandoned: // a Send may have dropped its record, and to commit the others would tear the transaction
		return fmt.Errorf("%w: the producer was abandoned", ErrOutcomeUnknown)
	default:
	}
	committed := make(chan error, 1)
	p.commits.Go(func() { committed <- p.async.CommitTxn() })
	watchdog := time.NewTimer(commitTimeout)
	defer watchdog.Stop()
	select {
	case err := <-committed:
		if err == nil {
			return nil
		}
		p.mu.Lock()
		first := p.err
		p.mu.Unlock()
		if first != nil {
			return first
		}
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	case <-p.abandoned:
		return fmt.Errorf("%w: the producer was abandoned", ErrOutcomeUnknown)
	case <-watchdog.C:
		return fmt.Errorf("%w: no answer within %s", ErrOutcomeUnknown, commitTimeout)
	}
}

// closeTimeout bounds Close: sarama keeps trying to send what it holds.
const closeTimeout = time.Second

// Close drops the producer. An open transaction is left to the next producer of the same id, or to its timeout. If the
// broker does not answer, sarama's goroutines live on until their own time limits.
func (p *Producer) Close() { p.closing.Do(p.close) }

func (p *Producer) close() {
	p.Abandon()
	closed := make(chan struct{})
	go func() {
		p.commits.Wait() // sarama panics if it is closed under a commit
		p.async.AsyncClose()
		p.drained.Wait()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(closeTimeout):
	}
}

// TooLarge reports whether an error says that Kafka does not take a record of that size: trying again will not help.
func TooLarge(err error) bool {
	var limit sarama.ConfigurationError
	return errors.Is(err, sarama.ErrMessageSizeTooLarge) || errors.As(err, &limit)
}

// Fenced reports whether an error says that another producer of the same transactional id took over, or that the
// transaction timed out, which looks the same.
func Fenced(err error) bool {
	return errors.Is(err, sarama.ErrProducerFenced) || errors.Is(err, sarama.ErrInvalidProducerEpoch)
}
