package producer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/failpoint"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
)

const (
	// batches in turn: one is filled, one is written, one waits or is the spare of a split.
	batches = 3
	// fastEvents within Limits.Linger, 75,000 a second with its default, let a batch gather fastLinger times as long.
	fastEvents, fastLinger = 300, 4
	// heartbeatWanted is the heartbeat when the source asks for one, as it does before it shuts down.
	heartbeatWanted = 250 * time.Millisecond
)

// ErrStalled says that Kafka has not committed for Limits.Stall.
var ErrStalled = errors.New("kafka has not committed a transaction for some seconds")

// Writer is the handler of a stream: it fills batches through the Assembler on the stream's goroutine, and commits them
// on its own. It is good for one session: after an error drop it, and start again from the checkpoint.
type Writer struct {
	assembler *Assembler
	producer  *kafka.Producer
	topics    envelope.Topics
	limits    Limits
	metrics   *metrics.CDC
	progress  *Progress
	write     func(*Batch) error   // has a batch committed; the Kafka transaction, unless NewSinkWriter was given another
	mark      *sarama.RecordHeader // on every record of events, if not nil
	topology  Topology             // the last one written; used by Write alone
	since     int                  // commits since then
	counters  map[counted]prometheus.Counter

	batch     *Batch // being filled
	spare     *Batch // for the rest of a transaction that is about to be split
	free      chan *Batch
	freed     chan struct{} // has a token when a batch may have become free
	queue     chan *Batch   // never full: there are no more batches than places
	inFlight  atomic.Int32
	oldest    atomic.Int64 // when the oldest batch in flight was handed over, Unix nanoseconds
	durable   atomic.Uint64
	done      chan struct{} // closed when Write returns
	heartbeat time.Time     // when the last one was handed over
	quiet     cdc.LSN       // the last position with nothing before it outstanding
	wanted    bool
}

// NewWriter goes on from a checkpoint, whose topology was written.
func NewWriter(a *Assembler, p *kafka.Producer, topics envelope.Topics, topology Topology, limits Limits, m *metrics.CDC, progress *Progress) *Writer {
	w := &Writer{assembler: a, producer: p, topics: topics, topology: topology, limits: limits.orDefault(), metrics: m, progress: progress, counters: map[counted]prometheus.Counter{},
		free: make(chan *Batch, batches), freed: make(chan struct{}, 1), queue: make(chan *Batch, batches), done: make(chan struct{}), heartbeat: time.Now()}
	for range batches { // with room for all: to grow to it would leave as much behind
		w.free <- &Batch{arena: make([]byte, 0, w.limits.Bytes+w.limits.Bytes/8)}
	}
	w.durable.Store(uint64(a.done.AckedUpto))
	w.write = w.toKafka
	w.next()
	return w
}

// Begin implements the stream's handler.
func (w *Writer) Begin(tx cdc.Transaction) error {
	if err := w.assembler.Begin(tx); err != nil {
		return err
	}
	return failpoint.Hit(failpoint.AfterBegin)
}

// Change implements the stream's handler. A batch that is over a limit in the middle of a transaction is handed over when
// the transaction goes on, not before: so its last part is never empty.
func (w *Writer) Change(c *cdc.Change) error {
	w.split()
	if err := w.assembler.Change(c); err != nil {
		return err
	}
	return failpoint.Hit(failpoint.MidTransaction)
}

// Truncate implements the stream's handler.
func (w *Writer) Truncate(lsn cdc.LSN, tables []*cdc.Table) error {
	w.split()
	return w.assembler.Truncate(lsn, tables)
}

// Commit implements the stream's handler.
func (w *Writer) Commit(tx cdc.Transaction) error {
	if err := w.assembler.Commit(tx); err != nil {
		return err
	}
	if err := failpoint.Hit(failpoint.AfterCommit); err != nil {
		return err
	}
	if w.over() || w.due(w.assembler.clock()) && len(w.queue) == 0 {
		w.handOver()
	}
	return nil
}

// Quiet implements the stream's handler. A position may be acknowledged once nothing before it is open or in flight,
// and only after a checkpoint says so. What is in flight now lies before it: the position is kept until that is durable, for
// the source does not name it again for many seconds.
func (w *Writer) Quiet(lsn cdc.LSN, wanted bool) error {
	if w.assembler.open || uint64(lsn) <= w.durable.Load() {
		return nil
	}
	w.quiet, w.wanted = lsn, wanted || w.wanted && w.quiet > 0
	return w.Tick(time.Now())
}

// Tick implements the stream's handler.
func (w *Writer) Tick(now time.Time) error {
	if w.inFlight.Load() > 0 && now.Sub(time.Unix(0, w.oldest.Load())) > w.limits.Stall {
		return ErrStalled
	}
	if w.batch == nil || w.assembler.open {
		return nil
	}
	if w.due(now) && len(w.queue) == 0 {
		w.handOver()
		return nil
	}
	if w.quiet > 0 && w.idle() && !now.Before(w.nextHeartbeat()) {
		news := w.quiet > w.assembler.done.AckedUpto // unless transactions came after it
		w.assembler.done.AckedUpto = max(w.assembler.done.AckedUpto, w.quiet)
		w.quiet = 0
		if news {
			w.handOver()
		}
	}
	return nil
}

// Alarm implements the stream's handler.
func (w *Writer) Alarm() time.Time {
	if w.batch != nil && !w.assembler.open && !w.batch.empty() {
		alarm := w.batch.first.Add(w.linger())
		if len(w.queue) > 0 { // Kafka is behind: look again soon, and let the batch grow meanwhile
			alarm = time.Now().Add(time.Millisecond)
		}
		return alarm
	}
	if w.quiet > 0 && w.idle() {
		return w.nextHeartbeat()
	}
	return time.Now().Add(time.Second)
}

// idle reports whether all that was read has been committed.
func (w *Writer) idle() bool {
	return w.batch != nil && !w.assembler.open && w.batch.empty() && w.inFlight.Load() == 0
}

func (w *Writer) nextHeartbeat() time.Time {
	if w.wanted {
		return w.heartbeat.Add(heartbeatWanted)
	}
	return w.heartbeat.Add(w.limits.Heartbeat)
}

// Full implements the stream's handler.
func (w *Writer) Full() <-chan struct{} {
	if w.batch == nil && !w.next() {
		return w.freed
	}
	if w.spare == nil && w.assembler.open && w.over() {
		select {
		case w.spare = <-w.free:
		default:
			return w.freed
		}
	}
	return nil
}

// Durable implements the stream's handler.
func (w *Writer) Durable() cdc.LSN { return cdc.LSN(w.durable.Load()) }

func (w *Writer) over() bool {
	return len(w.batch.arena) >= w.limits.Bytes || len(w.batch.records) >= w.limits.Events || w.batch.orderBytes() >= maxOrder
}

func (w *Writer) due(now time.Time) bool {
	return !w.batch.empty() && now.Sub(w.batch.first) >= w.linger()
}

// linger is how long the batch may gather. One that fills fast may for longer: most of what a small commit costs would come
// several times, while at such a rate, which is that of catching up, the longer wait is not seen.
func (w *Writer) linger() time.Duration {
	if len(w.batch.records) >= fastEvents {
		return fastLinger * w.limits.Linger
	}
	return w.limits.Linger
}

// split hands over a batch that is over a limit; Full has set the spare aside for what follows.
func (w *Writer) split() {
	if w.spare != nil {
		w.handOver()
	}
}

// handOver seals the batch and takes the next one, if there is one.
func (w *Writer) handOver() {
	now := time.Now()
	b := w.assembler.Seal(now)
	w.batch = nil
	w.heartbeat = now
	if w.inFlight.Add(1) == 1 {
		w.oldest.Store(now.UnixNano())
	}
	w.queue <- b
	if w.spare != nil {
		w.batch, w.spare = w.spare, nil
		w.assembler.Use(w.batch)
		return
	}
	w.next()
}

func (w *Writer) next() bool {
	select {
	case w.batch = <-w.free:
		w.assembler.Use(w.batch)
		return true
	default:
		return false
	}
}

// Drain hands over what is whole. The stream has ended; no other method but Write may follow.
func (w *Writer) Drain() {
	if w.batch != nil && !w.assembler.open && !w.batch.empty() {
		w.handOver()
	}
	close(w.queue)
}

// Write commits batch after batch until Drain, or until an error.
func (w *Writer) Write(ctx context.Context) error {
	defer close(w.done)
	for {
		select {
		case b, more := <-w.queue:
			if !more {
				return nil
			}
			if err := w.commit(b); err != nil {
				return err
			}
			w.free <- b
			select {
			case w.freed <- struct{}{}:
			default:
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Done is closed once Write has returned: what is durable then stays so.
func (w *Writer) Done() <-chan struct{} { return w.done }

// commit has a batch written, and counts it as durable.
func (w *Writer) commit(b *Batch) error {
	began := time.Now()
	if err := w.write(b); err != nil {
		return err
	}
	// Only now may the source forget.
	w.durable.Store(uint64(b.checkpoint.AckedUpto))
	w.inFlight.Add(-1)
	w.oldest.Store(time.Now().UnixNano())
	w.count(b, began)
	return nil
}

// toKafka writes a batch, its order and its checkpoint in one Kafka transaction.
func (w *Writer) toKafka(b *Batch) error {
	if err := w.writeTopology(b); err != nil {
		return w.failed(err)
	}
	checkpoint, err := json.Marshal(b.checkpoint)
	if err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	if err := w.send(b, checkpoint); err != nil {
		return w.failed(err)
	}
	if err := w.producer.Commit(); err != nil {
		return w.failed(err)
	}
	return failpoint.Hit(b.committed())
}

// send has the brokers take all records of a Kafka transaction, the checkpoint among them.
func (w *Writer) send(b *Batch, checkpoint []byte) error {
	if err := w.producer.Begin(); err != nil {
		return err
	}
	b.queue(w.producer, w.mark)
	if len(b.entries) > 0 {
		w.producer.To(w.topics.Transaction(), 0).Add(nil, b.order())
	}
	w.producer.To(w.topics.Checkpoint(), 0).Add([]byte(keyPosition), checkpoint)
	if err := w.producer.Enlist(); err != nil {
		return err
	}
	if err := failpoint.Hit(failpoint.KafkaBegun); err != nil {
		return err
	}
	if err := w.producer.Flush(); err != nil {
		return err
	}
	if err := failpoint.Hit(failpoint.EventsSent); err != nil {
		return err
	}
	return failpoint.Hit(failpoint.BeforeCommit)
}

// writeTopology writes the topology, in a Kafka transaction of its own, if the batch changed it or if it is time to repeat
// it.
func (w *Writer) writeTopology(b *Batch) error {
	repeat := w.limits.RepeatTopology > 0 && w.since >= w.limits.RepeatTopology
	w.since++
	if b.topology == nil && !repeat {
		return nil
	}
	if b.topology != nil {
		w.topology = *b.topology
	}
	w.since = 0
	if err := WriteTopology(w.producer, w.topics, w.topology); err != nil {
		return err
	}
	return failpoint.Hit(failpoint.TopologyWritten)
}

func (w *Writer) failed(err error) error {
	outcome := "abort"
	switch {
	case kafka.Fenced(err):
		outcome = "fenced"
	case errors.Is(err, kafka.ErrOutcomeUnknown):
		outcome = "unknown"
	}
	w.metrics.KafkaTransactions.WithLabelValues(outcome).Inc()
	return w.named(err)
}

// named adds to the refusal of a table's record what helps there and for no topic of the stream's own.
func (w *Writer) named(err error) error {
	var large *kafka.TooLargeError
	if !errors.As(err, &large) || large.Topic == w.topics.Transaction() || large.Topic == w.topics.Checkpoint() || large.Topic == w.topics.Truncate() {
		return err
	}
	refusal := large.Refusal()
	refusal.Remedy += ", or leave the table or its large column out of the publication" + anew
	return refusal
}
