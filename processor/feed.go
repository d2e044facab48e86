package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
)

// Feeding in bursts keeps the lock, and Next, from being taken once per record.
const (
	burstRecords = 256
	burstBytes   = 64 << 10
)

// openTimeout bounds how long a topic that a transaction record names may be unknown to the brokers.
const openTimeout = 30 * time.Second

// source is a partition as it is read. Its state is guarded by Reader.mu.
type source struct {
	topic    string
	number   int32
	consumer sarama.PartitionConsumer
	room     chan struct{} // told when there is room again
	next     int64         // the offset after the last record read; the feeder's own

	paused bool
}

// filled is called after records arrived and reports whether the feeder must wait for room. A queue half full stops the
// fetching; what was fetched already still finds room, so that sarama, which feeds the partitions of a broker in turn,
// is seldom held up for all of them.
func (s *source) filled(bytes, limit int) (full bool) {
	if bytes >= limit/2 && !s.paused {
		s.paused = true
		s.consumer.Pause()
	}
	return bytes >= limit
}

// drained is called after a record left.
func (s *source) drained(bytes, limit int) {
	if s.paused && bytes <= limit/4 {
		s.paused = false
		s.consumer.Resume()
		select {
		case s.room <- struct{}{}:
		default:
		}
	}
}

// open finds where reading begins and starts the feeder of <prefix>.transaction; that one starts the others.
func (r *Reader) open(ctx context.Context) error {
	topic := r.topics.Transaction()
	waited, err := awaitTopic(ctx, r.config.Client, topic)
	if err != nil {
		return err
	}
	start := r.config.Start
	first, offsets := begin{offset: sarama.OffsetOldest}, map[string]map[int32]int64{}
	switch {
	case start.kind == fromSaved:
		offsets = start.saved.Offsets
		if first, err = beginAt(r.config.Client, topic, 0, start.saved.Transaction); err != nil {
			return err
		}
	case start.kind == fromNow && !waited: // a topic that has just appeared holds nothing older than now
		if first.offset, offsets, err = sample(r.config.Client, r.topics); err != nil {
			return err
		}
	}
	r.order = newSequencer(r.config.Prefix, start, offsets)
	r.order.chain.cut = first.cut
	if first.cut {
		r.order.chain.skip = 0
	}
	consumer, err := r.consumer.ConsumePartition(topic, 0, first.offset)
	if err != nil {
		return fmt.Errorf("read topic %s: %w", topic, err)
	}
	r.transactions = &source{topic: topic, consumer: consumer, room: make(chan struct{}, 1)}
	r.feeders.Go(func() { r.feed(r.transactions, r.announce) })
	return nil
}

// openTopic starts the feeders of a topic that a transaction record names.
func (r *Reader) openTopic(name string) error {
	ctx, cancel := context.WithTimeout(r.ctx, openTimeout)
	defer cancel()
	if _, err := awaitTopic(ctx, r.config.Client, name); err != nil {
		return err
	}
	numbers, err := r.config.Client.Partitions(name)
	if err != nil {
		return fmt.Errorf("read the partitions of topic %s: %w", name, err)
	}
	begins := make([]begin, len(numbers))
	consumers := make([]sarama.PartitionConsumer, len(numbers))
	for i := range numbers {
		saved, known := r.order.offsets[name][int32(i)]
		if !known {
			saved = 0
		}
		if begins[i], err = beginAt(r.config.Client, name, int32(i), saved); err != nil {
			break
		}
		if consumers[i], err = r.consumer.ConsumePartition(name, int32(i), begins[i].offset); err != nil {
			err = fmt.Errorf("read topic %s, partition %d: %w", name, i, err)
			break
		}
	}
	if err != nil {
		for _, c := range consumers {
			if c != nil {
				c.AsyncClose()
			}
		}
		return err
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	for i, p := range r.order.add(name, begins).partitions {
		s := &source{topic: name, number: int32(i), consumer: consumers[i], room: make(chan struct{}, 1)}
		r.sources = append(r.sources, s)
		burst := make([]record, 0, burstRecords)
		var bytes arena
		r.feeders.Go(func() {
			r.feed(s, func(m []*sarama.ConsumerMessage) (bool, error) { return r.push(s, p, m, burst, &bytes) })
		})
	}
	r.wakeNext()
	return nil
}

// feed passes a partition's records on, in bursts, until the Reader is closed or an error ends the stream.
func (r *Reader) feed(s *source, pass func([]*sarama.ConsumerMessage) (full bool, err error)) {
	defer func() {
		s.consumer.AsyncClose()
		for range s.consumer.Messages() { // until sarama has let go of the partition
		}
	}()
	burst := make([]*sarama.ConsumerMessage, 0, burstRecords)
	for {
		select {
		case <-r.ctx.Done():
			return
		case err, open := <-s.consumer.Errors():
			if !open || !r.consumerError(s, err.Err) {
				return
			}
			continue
		case m, open := <-s.consumer.Messages():
			if !open {
				for err := range s.consumer.Errors() { // the reason
					r.consumerError(s, err.Err)
				}
				return
			}
			burst = gather(append(burst[:0], m), s.consumer.Messages())
		}
		full, err := pass(burst)
		s.next = burst[len(burst)-1].Offset + 1
		clear(burst)
		switch {
		case err != nil: // Next tells of it
			return
		case full:
			select {
			case <-s.room:
			case <-r.ctx.Done():
			}
		}
	}
}

// gather adds what is there already.
func gather(burst []*sarama.ConsumerMessage, from <-chan *sarama.ConsumerMessage) []*sarama.ConsumerMessage {
	for bytes := 0; len(burst) < burstRecords && bytes < burstBytes; {
		select {
		case m, open := <-from:
			if !open {
				return burst
			}
			burst = append(burst, m)
			bytes += len(m.Key) + len(m.Value)
		default:
			return burst
		}
	}
	return burst
}

// push passes event records on.
func (r *Reader) push(s *source, p *partition, burst []*sarama.ConsumerMessage, records []record, bytes *arena) (full bool, err error) {
	for _, m := range burst {
		seq, position, unread := readHeaders(m)
		if unread != nil {
			err = p.violation(ErrRecord, m.Offset, "an event of LiveDB", "another record: "+unread.Error())
			break
		}
		records = append(records, record{seq, position, m.Offset, bytes.copy(m.Key), bytes.copy(m.Value)})
	}
	defer clear(records)

	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.wakeNext()
	for i := range records {
		if err := r.order.push(p, records[i]); err != nil {
			return false, err
		}
	}
	if err != nil {
		r.order.fail(err)
	}
	return s.filled(p.bytes, r.limit()), err
}

// announce passes transaction records on and opens the topics they name.
func (r *Reader) announce(burst []*sarama.ConsumerMessage) (full bool, err error) {
	for _, m := range burst {
		unknown, err := r.announceOne(m)
		if err != nil {
			return false, err
		}
		for _, name := range unknown {
			if err := r.openTopic(name); err != nil {
				r.fail(fmt.Errorf("open topic %s: %w", name, err))
				return false, err
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.transactions.filled(r.order.bytes, announcedBytes), nil
}

func (r *Reader) announceOne(m *sarama.ConsumerMessage) (unknown []string, err error) {
	parsed, err := envelope.ParseTransaction(m.Value)
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.wakeNext()
	if err != nil {
		err = &Violation{Err: ErrRecord, Topic: m.Topic, Partition: m.Partition, Offset: m.Offset,
			Want: "a transaction record", Got: "another record: " + err.Error()}
		r.order.breakOff(err)
		return nil, err
	}
	return r.order.announce(parsed, m.Offset, len(m.Value))
}

// consumerError takes an error of sarama's and reports whether the partition is read on.
func (r *Reader) consumerError(s *source, err error) bool {
	if errors.Is(err, sarama.ErrOffsetOutOfRange) {
		r.fail(&Violation{Err: ErrRetention, Topic: s.topic, Partition: s.number, Offset: s.next,
			Want: fmt.Sprint("offset ", s.next), Got: "a log that begins later, for reading fell behind what kafka keeps"})
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trouble = fmt.Errorf("%w: topic %s, partition %d: %w", ErrUnavailable, s.topic, s.number, err)
	r.wakeNext()
	return true
}

// fail ends the stream: Next returns the error once it has delivered what it can.
func (r *Reader) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order.fail(err)
	r.wakeNext()
}

// arena copies bytes into small blocks. Without it a waiting record would hold on to the whole fetch it came with.
type arena struct{ free []byte }

const arenaBlock = 16 << 10

func (a *arena) copy(b []byte) []byte {
	switch {
	case b == nil:
		return nil
	case len(b) > arenaBlock/4:
		return append(make([]byte, 0, len(b)), b...)
	case len(b) > len(a.free):
		a.free = make([]byte, arenaBlock)
	}
	n := copy(a.free, b)
	c := a.free[:n:n]
	a.free = a.free[n:]
	return c
}
