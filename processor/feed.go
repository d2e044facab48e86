package processor

import (
	"errors"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
)

// Feeding in bursts keeps the lock, and Next, from being taken once per record.
const (
	burstRecords = 256
	burstBytes   = 64 << 10
)

// source is a partition as it is read. Its state is guarded by Reader.mu.
type source struct {
	topic    string
	number   int32
	consumer sarama.PartitionConsumer
	room     chan struct{} // told when there is room again
	next     int64         // the offset after the last record read; the feeder's own
	most     int           // bytes of a burst; likewise
	burst    []record      // room for one; likewise
	bytes    arena         // likewise

	paused bool
}

// filled is called after records arrived and reports whether the feeder must wait for room. A queue half full stops the
// fetching; what was fetched already still finds room, so that sarama, which feeds the partitions of a broker in turn,
// is seldom held up for all of them.
func (s *source) filled(bytes, limit int) (full bool) {
	if bytes >= limit/2 && !s.paused {
		s.paused = true
		s.consumer.Pause()
		select {
		case <-s.room: // of an earlier time
		default:
		}
	}
	return bytes >= limit-limit/4 // a burst fits into the rest
}

// drained is called after a record left.
func (s *source) drained(bytes, limit int) {
	if bytes <= limit/4 {
		s.resume()
	}
}

// resume lets a partition fill again.
func (s *source) resume() {
	if s.paused {
		s.paused = false
		s.consumer.Resume()
		select {
		case s.room <- struct{}{}:
		default:
		}
	}
}

// feed passes a partition's records on, in bursts, until the Reader is closed or an error ends the stream.
func (r *Reader) feed(s *source, pass func([]*sarama.ConsumerMessage) (full bool, err error)) {
	defer func() {
		s.consumer.AsyncClose()
		for range s.consumer.Messages() { // until sarama has let go of the partition
		}
	}()
	var burst []*sarama.ConsumerMessage // few partitions ever fill one
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
				r.stopped(s)
				return
			}
			burst = gather(append(burst[:0], m), s.consumer.Messages(), s.most)
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

// stopped tells why sarama gave a partition up.
func (r *Reader) stopped(s *source) {
	for err := range s.consumer.Errors() {
		if !r.consumerError(s, err.Err) {
			return
		}
	}
	if r.ctx.Err() == nil {
		r.fail(fmt.Errorf("read topic %s, partition %d: sarama gave it up: close the reader and open another", s.topic, s.number))
	}
}

// gather adds what is there already.
func gather(burst []*sarama.ConsumerMessage, from <-chan *sarama.ConsumerMessage, most int) []*sarama.ConsumerMessage {
	for bytes := sizeOf(burst[0]); len(burst) < burstRecords && bytes < most; {
		select {
		case m, open := <-from:
			if !open {
				return burst
			}
			burst = append(burst, m)
			bytes += sizeOf(m)
		default:
			return burst
		}
	}
	return burst
}

func sizeOf(m *sarama.ConsumerMessage) int { return len(m.Key) + len(m.Value) + recordOverhead }

// push passes event records on.
func (r *Reader) push(s *source, p *partition, burst []*sarama.ConsumerMessage) (full bool, err error) {
	records := s.burst[:0]
	for _, m := range burst {
		at, position, unread := readHeaders(m.Headers)
		if unread != nil {
			err = p.violation(ErrRecord, m.Offset, "an event of LiveDB", "another record: "+unread.Error())
			break
		}
		records = append(records, record{at.epoch, at.seq, position, m.Offset, s.bytes.copy(m.Key), s.bytes.copy(m.Value)})
	}
	s.burst = records
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
	limit := r.limit()
	s.most = min(burstBytes, limit/4)
	return !r.order.wants(p) && s.filled(p.bytes, limit), err
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
				r.fail(err)
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
		err = foreignTransaction(m.Topic, m.Offset, err)
		r.order.breakOff(err)
		return nil, err
	}
	return r.order.announce(parsed, m.Offset, len(m.Value))
}

func foreignTransaction(topic string, offset int64, err error) error {
	return &Violation{Err: ErrRecord, Topic: topic, Offset: offset, Want: "a transaction record", Got: "another record: " + err.Error()}
}

// consumerError takes an error of sarama's and reports whether the partition is read on.
func (r *Reader) consumerError(s *source, err error) bool {
	if errors.Is(err, sarama.ErrOffsetOutOfRange) {
		violation := &Violation{Err: ErrRetention, Topic: s.topic, Partition: s.number, Offset: s.next,
			Want: fmt.Sprint("offset ", s.next), Got: "a log that begins later, for reading fell behind what kafka keeps"}
		var reset *Violation
		if _, err := beginAt(r.config.Client, s.topic, s.number, s.next); errors.As(err, &reset) {
			violation = reset
		}
		r.fail(violation)
		return false
	}
	r.tell(fmt.Errorf("topic %s, partition %d: %w", s.topic, s.number, err))
	return true
}

// tell has Next say that Kafka did not answer.
func (r *Reader) tell(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trouble = asUnavailable(err)
	r.wakeNext()
}

// fail ends the stream: Next returns the error once it has delivered what it can.
func (r *Reader) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order.fail(err)
	r.wakeNext()
}

// arena copies bytes into small blocks. Without it a waiting record would hold on to the whole fetch it came with. The
// first blocks are smaller still, for there may be thousands of partitions with a record now and then.
type arena struct {
	free  []byte
	block int // size of the last one
}

const (
	firstBlock = 1 << 10
	arenaBlock = 16 << 10
)

func (a *arena) copy(b []byte) []byte {
	switch {
	case b == nil:
		return nil
	case len(b) > arenaBlock/4:
		return append(make([]byte, 0, len(b)), b...)
	case len(b) > len(a.free):
		a.block = min(max(2*a.block, firstBlock, len(b)), arenaBlock)
		a.free = make([]byte, a.block)
	}
	n := copy(a.free, b)
	c := a.free[:n:n]
	a.free = a.free[n:]
	return c
}
