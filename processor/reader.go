package processor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
)

// Defaults of ReaderConfig, and the bound of transaction records in memory, in bytes of their JSON.
const (
	defaultQueueBytes   = 64 << 20
	defaultStallTimeout = 60 * time.Second
	announcedBytes      = 2 << 20
	closeTimeout        = 5 * time.Second
)

// ReaderConfig says what a Reader reads.
type ReaderConfig struct {
	// Client is used but not closed; the Reader connects once more with its settings. Make them with NewConfig: OpenReader
	// refuses settings that would skip or invent records.
	Client sarama.Client
	Prefix string
	Start  Start // the zero value is FromBeginning

	// Tables are the tables to read, each as schema.table; none means all. The truncates of all tables come with them: the
	// Item's value names its table. Transactions that hold nothing of these are passed over, and nothing but these and the
	// order is fetched. A table that has had no event yet has no topic, so a name written wrong is not noticed.
	Tables []string

	// QueueBytes bounds the records that wait for their turn, all partitions together; 0 means 64 MiB. Each partition may
	// hold one record, however large. A reader of some tables holds, beyond that, what one Kafka transaction has for it: 4 MiB
	// and a record, as cdc writes them. Sarama holds what a fetch brought of each partition, decoded: some QueueBytes/128 as
	// compressed, or one batch if that is larger. With 64 partitions that all run ahead, in batches of 1 MB, that was 65 MiB.
	QueueBytes int

	// StallTimeout is how long an event, or a topic, may stay missing while the transaction record that names it is visible; 0
	// means 60 s.
	StallTimeout time.Duration
}

// Reader delivers a stream's events in commit order. One goroutine uses it.
type Reader struct {
	config   ReaderConfig
	topics   envelope.Topics
	fetching fetchClient
	consumer sarama.Consumer

	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	feeders sync.WaitGroup
	wake    chan struct{}
	timer   *time.Timer

	mu           sync.Mutex
	order        *sequencer
	chosen       choice
	transactions *source
	sources      []*source // by partition.index
	waiting      bool      // Next waits for wake
	trouble      error     // Kafka did not answer; told once

	due      uint64 // the seq that is missing, 0 if none is
	dueSince time.Time
}

// OpenReader starts reading. If <prefix>.transaction does not exist yet, it waits for it until ctx ends.
func OpenReader(ctx context.Context, c ReaderConfig) (*Reader, error) {
	c.Tables = slices.Compact(slices.Sorted(slices.Values(c.Tables)))
	chosen, err := choose(envelope.Topics(c.Prefix), c.Tables)
	if err := errors.Join(envelope.CheckPrefix(c.Prefix), checkSettings(c.Client.Config()), err, c.Start.check(c.Tables)); err != nil {
		return nil, err
	}
	if c.QueueBytes == 0 {
		c.QueueBytes = defaultQueueBytes
	}
	if c.StallTimeout == 0 {
		c.StallTimeout = defaultStallTimeout
	}
	fetching, err := newFetchClient(c.Client, c.QueueBytes)
	if err != nil {
		return nil, fmt.Errorf("open the ordering reader: %w", asUnavailable(err))
	}
	consumer, err := sarama.NewConsumerFromClient(fetching)
	if err != nil {
		fetching.Close()
		return nil, fmt.Errorf("open the ordering reader: %w", asUnavailable(err))
	}
	r := &Reader{config: c, topics: envelope.Topics(c.Prefix), chosen: chosen, fetching: fetching, consumer: consumer,
		wake: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	r.ctx, r.stop = context.WithCancel(context.Background())
	if err := r.open(ctx); err != nil {
		r.Close()
		return nil, fmt.Errorf("open the ordering reader: %w", asUnavailable(err))
	}
	return r, nil
}

// Next returns the next item, and waits for it until ctx ends: then the error is ctx's and the Reader stays good.
//
// An error that is ErrUnavailable says that Kafka did not answer; the Reader goes on trying, and Next may be called
// again. After any other error the Reader is good for Close alone.
func (r *Reader) Next(ctx context.Context) (item Item, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return Item{}, err
		}
		found, patience, err := r.take(&item)
		if found || err != nil {
			return item, err
		}
		r.timer.Reset(patience)
		select {
		case <-r.wake:
		case <-r.timer.C:
		case <-ctx.Done():
		case <-r.ctx.Done():
			return Item{}, errors.New("the ordering reader is closed")
		}
	}
}

// take pops an item, or says how long to wait for one.
func (r *Reader) take(item *Item) (found bool, patience time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()

	found, err = r.order.pop(item)
	switch {
	case err != nil:
		return false, 0, err
	case found && item.Kind == Event:
		r.due = 0
		p := r.order.popped
		r.sources[p.index].drained(p.bytes, r.limit())
		return true, 0, nil
	}
	r.transactions.drained(r.order.bytes, announcedBytes)
	if found {
		return true, 0, nil
	}
	for i, p := range r.order.partitions {
		if r.order.wants(p) {
			r.sources[i].resume()
		}
	}
	if r.trouble != nil {
		err, r.trouble = r.trouble, nil
		return false, 0, err
	}
	patience, err = r.patience()
	r.waiting = err == nil
	return false, patience, err
}

// patience says how long the event that is due may still be missing.
func (r *Reader) patience() (time.Duration, error) {
	if r.order.current == nil {
		return time.Hour, nil // no event is due
	}
	if r.due != r.order.next {
		r.due, r.dueSince = r.order.next, time.Now()
	}
	left := r.config.StallTimeout - time.Since(r.dueSince)
	if left > 0 {
		return left, nil
	}
	v := r.order.stalled()
	v.Cause = fmt.Errorf("waited for %s", r.config.StallTimeout)
	return 0, v
}

// limit is what each partition's queue may hold.
func (r *Reader) limit() int { return r.config.QueueBytes / max(1, len(r.sources)) }

// wakeNext has Next look again, if it waits and there is something to see. The caller holds mu.
func (r *Reader) wakeNext() {
	if r.waiting && (r.trouble != nil || r.order.ready()) {
		r.waiting = false
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// Saved returns the place after the last End or Epoch, and after the transactions of other tables that were passed over since. It
// is not to be called between a Begin and its End, nor before the first End or Epoch.
func (r *Reader) Saved() Saved {
	r.mu.Lock()
	defer r.mu.Unlock()
	saved := r.order.saved()
	saved.Tables = r.config.Tables
	return saved
}

// Close stops reading and waits for the Reader's goroutines; if the broker does not answer, some seconds at most.
func (r *Reader) Close() error {
	if r.ctx.Err() != nil {
		return nil // it is closed
	}
	r.stop()
	r.timer.Stop()
	ended := make(chan struct{})
	go func() {
		r.feeders.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(closeTimeout): // sarama's own time limits end what is left
	}
	return errors.Join(r.consumer.Close(), r.fetching.Close())
}
