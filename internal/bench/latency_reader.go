package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// follower reads a topic from its beginning, as a plain read_committed consumer with LiveDB's settings does.
type follower struct {
	consumer   sarama.Consumer
	partitions []sarama.PartitionConsumer
	reading    sync.WaitGroup
	failed     chan error // the first error, if any
}

// follow has take called for each record, by one goroutine for each partition.
func follow(client sarama.Client, topic string, take func(partition int, m *sarama.ConsumerMessage, now time.Time) error) (*follower, error) {
	f := &follower{failed: make(chan error, 1)}
	var err error
	if f.consumer, err = sarama.NewConsumerFromClient(client); err != nil {
		return nil, fmt.Errorf("read topic %s: %w", topic, err)
	}
	numbers, err := f.consumer.Partitions(topic)
	for _, n := range numbers {
		var p sarama.PartitionConsumer
		if p, err = f.consumer.ConsumePartition(topic, n, sarama.OffsetOldest); err != nil {
			break
		}
		f.partitions = append(f.partitions, p)
	}
	if err != nil {
		f.close()
		return nil, fmt.Errorf("read topic %s: %w", topic, err)
	}
	for n, p := range f.partitions {
		f.reading.Go(func() {
			for m := range p.Messages() {
				if err := take(n, m, time.Now()); err != nil {
					f.fail(fmt.Errorf("topic %s, partition %d, offset %d: %w", topic, m.Partition, m.Offset, err))
				}
			}
		})
		f.reading.Go(func() {
			for err := range p.Errors() {
				f.fail(err)
			}
		})
	}
	return f, nil
}

func (f *follower) fail(err error) {
	select {
	case f.failed <- err:
	default: // it is not the first
	}
}

func (f *follower) close() {
	for _, p := range f.partitions {
		p.AsyncClose()
	}
	f.reading.Wait()
	_ = f.consumer.Close() // it has nothing left to do
}

// span is a stretch of commit times: from <= t < to, microseconds since 1970.
type span struct{ from, to int64 }

func (s span) has(t int64) bool { return s.from <= t && t < s.to }

// arrivals is the latency of a table's events, from their commit to their arrival.
type arrivals struct {
	span    span // set before the first event
	count   atomic.Int64
	latency []*hdrhistogram.Histogram // by partition
}

func newArrivals(partitions int32) *arrivals {
	a := &arrivals{}
	for range partitions {
		a.latency = append(a.latency, newLatencies())
	}
	return a
}

func (a *arrivals) take(partition int, m *sarama.ConsumerMessage, now time.Time) error {
	committed, err := commitMicros(m.Value)
	if err != nil {
		return err
	}
	if a.span.has(committed) {
		record(a.latency[partition], now.Sub(time.UnixMicro(committed)))
	}
	a.count.Add(1)
	return nil
}

// all sums the partitions up. Nobody may read any more.
func (a *arrivals) all() *hdrhistogram.Histogram {
	sum := newLatencies()
	for _, h := range a.latency {
		sum.Merge(h)
	}
	return sum
}

var (
	sourceMember = []byte(`,"source":{`)
	commitMember = []byte(`,"ts_us":`)
)

// commitMicros finds source.ts_us in an event of the writer's table without parsing all of it: whoever reads this fast must
// not be what is measured.
func commitMicros(value []byte) (micros int64, err error) {
	_, rest, inSource := bytes.Cut(value, sourceMember)
	_, rest, found := bytes.Cut(rest, commitMember)
	end := 0
	for ; end < len(rest) && rest[end] >= '0' && rest[end] <= '9'; end++ {
		micros = 10*micros + int64(rest[end]-'0')
	}
	if !inSource || !found || end == 0 || end > 18 {
		return 0, errors.New("the event does not tell the time of its commit")
	}
	return micros, nil
}

// reached is a place up to which a view's results were seen, and when.
type reached struct {
	seq uint64
	at  time.Time
}

// places is how far the results of a view were seen, as its records of state told. All results of one Kafka transaction
// become visible with its record of state.
type places struct {
	mu   sync.Mutex
	seen []reached
	seq  atomic.Uint64
}

func (p *places) take(_ int, m *sarama.ConsumerMessage, now time.Time) error {
	if m.Value == nil {
		return nil // a barrier of the processor's, or what stood there before
	}
	var state struct {
		Seq uint64 `json:"seq"`
	}
	if err := json.Unmarshal(m.Value, &state); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, reached{state.Seq, now})
	p.seq.Store(state.Seq)
	return nil
}

// viewLatencies counts, for each transaction that was committed in the span, the time until the view's place was seen to
// include it. Both lists are in the order of seq. It returns how many no place includes.
func viewLatencies(seen []reached, entries []envelope.TransactionEntry, in span, h *hdrhistogram.Histogram) (missing int) {
	for _, e := range entries {
		for len(seen) > 0 && seen[0].seq < e.Last {
			seen = seen[1:]
		}
		switch {
		case !e.Ends || !in.has(e.TimeUS):
		case len(seen) == 0:
			missing++
		default:
			record(h, seen[0].at.Sub(e.Time()))
		}
	}
	return missing
}

// readOrder reads <prefix>.transaction from its beginning, once the load is over.
func readOrder(ctx context.Context, client sarama.Client, prefix string) (entries []envelope.TransactionEntry, err error) {
	scan, err := kafka.OpenScan(client, envelope.Topics(prefix).Transaction(), 0, sarama.OffsetOldest)
	if err != nil {
		return nil, err
	}
	for {
		r, found, err := scan.Next(ctx)
		if err != nil || !found {
			return entries, err
		}
		t, err := envelope.ParseTransaction(r.Value)
		if err != nil {
			return nil, err
		}
		entries = append(entries, t.Entries...)
	}
}
