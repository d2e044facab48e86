package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/failpoint"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/status"
)

// stopTimeout is what a write under way may still take when the role is to stop.
const stopTimeout = 3 * time.Second

// session is one stretch of work with one producer and one reader. Whatever fails, both are dropped, for what they
// know may be wrong.
type session struct {
	config Config
	topics envelope.Topics
	table  string // the view's topic of events
	clear  string // the topic of truncates
	view   string // the topic of its results
	place  string // the topic of its state
	totals *totals

	client   sarama.Client
	producer *kafka.Producer
	released func() bool
	reader   *Reader
	fold     *fold

	inside  bool      // a transaction that has begun and not ended
	waiting int       // transactions folded but not written
	oldest  time.Time // commit time of the first of them
	last    Item      // the End of the last of them
	written time.Time // when results were last written
	wrote   bool
	bytes   int64 // written since all results were; the rest of the topic may be trimmed

	due    context.Context // ends when the next results are due; nil while nothing waits
	cancel context.CancelFunc
}

// openSession fences older instances, reads what they left and opens the reader at their place. The session is to be closed
// also after an error.
func openSession(ctx context.Context, c Config, totals *totals) (s *session, err error) {
	s = &session{config: c, topics: envelope.Topics(c.Prefix), totals: totals, fold: newFold(c.View), bytes: c.RetentionBytes}
	if s.table, err = s.topics.Table(c.View.Schema, c.View.Table); err != nil {
		return s, fmt.Errorf("%w: %w", ErrView, err)
	}
	if s.client, err = kafka.Connect(ctx, c.Kafka); err != nil {
		return s, err
	}
	s.view, s.place, s.clear = s.topics.View(c.View.Name), s.topics.State(c.View.Name), s.topics.Truncate()
	err = kafka.EnsureTopics(ctx, s.client,
		kafka.Topic{Name: s.view, Partitions: 1, Compacted: true, RetentionBytes: c.RetentionBytes},
		kafka.Topic{Name: s.place, Partitions: 1, Compacted: true, RetentionBytes: c.RetentionBytes / 8})
	if err != nil {
		return s, err
	}
	if s.producer, err = kafka.OpenProducer(ctx, c.Kafka, c.Prefix+".process-"+c.View.Name); err != nil {
		return s, err
	}
	s.released = context.AfterFunc(ctx, func() { // a role that is to stop waits for the broker, but not long
		time.AfterFunc(stopTimeout, s.producer.Abandon)
	})
	if err := failpoint.Hit(failpoint.ViewFenced); err != nil {
		return s, err
	}
	start, err := s.restore(ctx)
	if err != nil {
		return s, err
	}
	if err := failpoint.Hit(failpoint.ViewRestored); err != nil {
		return s, err
	}
	c.Status.Set(status.Initializing, "waiting for the topic "+s.topics.Transaction()+", which livedb cdc creates")
	s.reader, err = OpenReader(ctx, ReaderConfig{Client: s.client, Prefix: c.Prefix, Start: start})
	return s, err
}

func (s *session) close() {
	if s.due != nil {
		s.cancel()
	}
	if s.reader != nil {
		s.reader.Close() // has nothing to say that its errors did not
	}
	if s.producer != nil {
		s.released()
		s.producer.Close()
	}
	if s.client != nil {
		s.client.Close() // likewise
	}
}

// run folds the stream and writes results: at the end of a transaction, and at most once per interval.
func (s *session) run(ctx context.Context) error {
	for {
		item, err := s.reader.Next(s.patience(ctx))
		switch {
		case err == nil:
			err = s.take(&item)
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			err = s.write()
		}
		if err != nil {
			return err
		}
	}
}

// patience ends when results are due. A transaction is never written in part, so inside one it does not end.
func (s *session) patience(ctx context.Context) context.Context {
	if s.inside || s.waiting == 0 {
		return ctx
	}
	if s.due == nil {
		s.due, s.cancel = context.WithDeadline(ctx, s.written.Add(s.config.Interval))
	}
	return s.due
}

// take folds one item.
func (s *session) take(item *Item) error {
	switch item.Kind {
	case Begin:
		s.inside = true
		if s.config.NoSnapshot && item.Tx.First == 1 {
			s.fold.begin = item.Tx.Time.UnixMicro()
		}
	case Event:
		s.totals.event(item.Topic)
		switch item.Topic {
		case s.table:
			return s.fold.apply(item)
		case s.clear:
			return s.fold.truncate(item)
		}
	case Epoch:
		return s.renew(item)
	case End:
		s.inside = false
		if s.waiting == 0 {
			s.oldest = item.Tx.Time
		}
		s.waiting++
		s.last = *item
	}
	return nil
}

// renew begins the view anew with a new epoch, and writes that at once: its results are gone, for the rows that they
// counted are not known any more. A transaction that the gap cuts in two leaves nothing behind.
func (s *session) renew(item *Item) error {
	s.fold.forget(item.Tx.Epoch)
	s.inside = false
	s.last = Item{Kind: End, Tx: Transaction{Epoch: item.Tx.Epoch, Time: item.Gap.To.Time}}
	s.config.Log.Warn("the stream has lost changes, and the view begins anew: " + item.Gap.String())
	return s.write()
}

// write writes the results that changed and the place they are true for, in one Kafka transaction.
func (s *session) write() error {
	if err := s.producer.Begin(); err != nil {
		return err
	}
	if err := failpoint.Hit(failpoint.ViewKafkaBegun); err != nil {
		return err
	}
	if s.config.RetentionBytes > 0 && s.bytes >= s.config.RetentionBytes/4 {
		s.fold.repeat()
		s.bytes = 0
	}
	s.fold.results(func(key string, value []byte) {
		s.bytes += int64(len(key)+len(value)) + recordOverhead
		m := &sarama.ProducerMessage{Topic: s.view, Key: sarama.StringEncoder(key)}
		if value != nil {
			m.Value = sarama.ByteEncoder(value)
		}
		s.producer.Send(m)
	})
	s.producer.Send(&sarama.ProducerMessage{Topic: s.place, Key: sarama.StringEncoder(stateKey), Value: sarama.ByteEncoder(s.state())})
	if err := failpoint.Hit(failpoint.ViewBeforeCommit); err != nil {
		return err
	}
	if err := s.producer.Commit(); err != nil {
		return err
	}
	if err := failpoint.Hit(failpoint.ViewCommitted); err != nil {
		return err
	}
	s.written, s.wrote = time.Now(), true
	s.totals.written(s)
	if s.due != nil {
		s.cancel()
	}
	s.waiting, s.due = 0, nil
	return nil
}

// fenced finds out why Kafka takes nothing more from our producer: its transaction timed out, or another instance opened a
// producer; the answer is the same. An instance that takes over writes a barrier, which is then the last one, behind ours. As
// long as there is none it has not taken over, and we begin again. Two that do so fence each other only until one of them has
// its barrier in the topic before the other comes back: the one without the last barrier ends.
func (s *session) fenced(ctx context.Context, err error) error {
	if s.totals.settled {
		replaced, unread := kafka.OthersBarrier(ctx, s.client, s.place, s.config.Kafka.Instance)
		if unread != nil {
			return fmt.Errorf("%w; whether another instance is why is not known: %w", err, unread)
		}
		if replaced {
			return fmt.Errorf("%w: another instance computes this view now: stop one of the two, or give them different prefixes: %w", ErrFenced, err)
		}
	}
	return fmt.Errorf("kafka ended our producer, because a transaction was open for longer than the time limit of %s, or another instance is just starting: %w",
		s.config.Kafka.EffectiveTransactionTimeout(), err)
}
