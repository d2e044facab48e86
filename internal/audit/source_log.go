package audit

import (
	"container/heap"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// The read-ahead of a partition, which finds what stands out of its place. The first record is held whatever its size.
const (
	aheadRecords = 256
	aheadBytes   = 1 << 20
)

// logged is an event as it stands on Kafka.
type logged struct {
	from     *logPartition
	position cdc.Position
	record   kafka.Record
}

func (l *logged) finding(kind Kind, format string, args ...any) Finding {
	seq, _ := envelope.ParseSeq(header(&l.record, envelope.HeaderSeq)) // 0: not known
	return Finding{Kind: kind, Position: l.position, Seq: seq, Topic: l.from.topic, Partition: l.from.number, Offset: l.record.Offset,
		Key: string(l.record.Key), Text: fmt.Sprintf(format, args...)}
}

// logPartition reads one partition in the order of positions, as far as the read-ahead goes.
type logPartition struct {
	topic   string
	number  int32
	trimmed cdc.CommitLSN // retention removed what came before it; 0: nothing
	epoch   uint32        // of the events to read: LSNs of others must not be compared with theirs

	scan   *kafka.Scan
	client sarama.Client
	target int64 // the end of the log when the audit began
	ahead  aheadHeap
	bytes  int
	last   cdc.Position // of the last event read
	ended  bool
}

// eventLog merges the partitions of a stream by position. It needs neither seqs nor transaction records.
type eventLog struct {
	partitions logHeap
	from, upto cdc.CommitLSN // of the transactions to yield, both included
	found      *Verdict
	all        []*logPartition
}

// openEventLog opens the partitions of topics, for the events of an epoch. What is committed on them up to now will be read.
func openEventLog(ctx context.Context, client sarama.Client, topics []string, epoch uint32, from, upto cdc.CommitLSN, found *Verdict) (*eventLog, error) {
	l := &eventLog{from: from, upto: upto, found: found}
	for _, topic := range topics {
		numbers, err := client.Partitions(topic)
		if err != nil {
			return nil, fmt.Errorf("read topic %s: %w", topic, err)
		}
		for _, n := range numbers {
			p := &logPartition{topic: topic, number: n, epoch: epoch, client: client}
			if p.scan, err = kafka.OpenScan(client, topic, n, sarama.OffsetOldest); err != nil {
				return nil, err
			}
			p.target = p.scan.HighWater()
			if p.scan.Start() > 0 {
				p.trimmed = math.MaxUint64 // until its first record is seen
			}
			l.all = append(l.all, p)
		}
	}
	for _, p := range l.all {
		if err := l.fill(ctx, p); err != nil {
			return nil, err
		}
		if len(p.ahead) > 0 {
			l.partitions = append(l.partitions, p)
		}
	}
	heap.Init(&l.partitions)
	return l, nil
}

// head returns the next event, nil at the end.
func (l *eventLog) head() *logged {
	if len(l.partitions) == 0 {
		return nil
	}
	return l.partitions[0].ahead[0]
}

// pop takes the next event.
func (l *eventLog) pop(ctx context.Context) (*logged, error) {
	p := l.partitions[0]
	e := heap.Pop(&p.ahead).(*logged)
	p.bytes -= len(e.record.Value)
	if err := l.fill(ctx, p); err != nil {
		return nil, err
	}
	if len(p.ahead) == 0 {
		heap.Pop(&l.partitions)
	} else {
		heap.Fix(&l.partitions, 0)
	}
	return e, nil
}

// fill reads ahead, and reports an event that stands behind one of a later position.
func (l *eventLog) fill(ctx context.Context, p *logPartition) error {
	for !p.ended && (len(p.ahead) == 0 || len(p.ahead) < aheadRecords && p.bytes < aheadBytes) {
		r, more, err := p.next(ctx)
		if err != nil {
			return err
		}
		if !more {
			p.ended = true
			return nil
		}
		if of := epochOf(&r); of != p.epoch {
			if p.trimmed == math.MaxUint64 && of < p.epoch {
				p.trimmed = 0 // of what was removed nothing was of this epoch
			}
			continue
		}
		e := &logged{from: p, record: r}
		e.position, err = cdc.ParsePosition(string(header(&r, envelope.HeaderPosition)))
		if p.trimmed == math.MaxUint64 {
			p.trimmed = e.position.Commit
		}
		switch {
		case r.Value == nil: // a tombstone says what its delete says; the audit of the stream looks after them
			continue
		case err != nil:
			l.found.Find(e.finding(Altered, "%v", err))
			continue
		case e.position.Commit < l.from || e.position.Commit > l.upto:
			continue
		}
		if e.position.Compare(p.last) < 0 {
			l.found.Find(e.finding(Disordered, "it stands behind %s in its partition", p.last))
		}
		p.last = e.position
		p.bytes += len(r.Value)
		heap.Push(&p.ahead, e)
	}
	return nil
}

// openPatience is how long a transaction that was open when the audit began may stay so.
const openPatience = 10 * time.Minute

// next reads on, and waits for the transactions that were open when the audit began to end: their markers reach one
// partition before another.
func (p *logPartition) next(ctx context.Context) (kafka.Record, bool, error) {
	since := time.Time{}
	for {
		r, more, err := p.scan.Next(ctx)
		if err != nil || more && r.Offset < p.target {
			return r, more, err
		}
		if more || p.scan.End() >= p.target {
			return kafka.Record{}, false, nil
		}
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) > openPatience {
			return kafka.Record{}, false, fmt.Errorf("partition %d of topic %s is held up at offset %d by an open transaction; end it (kafka-transactions.sh find-hanging), then audit again",
				p.number, p.topic, p.scan.End())
		}
		select {
		case <-ctx.Done():
			return kafka.Record{}, false, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		if p.scan, err = kafka.OpenScan(p.client, p.topic, p.number, p.scan.End()); err != nil {
			return kafka.Record{}, false, err
		}
	}
}

// expired reports whether retention may have removed an event from one of a topic's partitions.
func (l *eventLog) expired(topic string, p cdc.Position) bool {
	return slices.ContainsFunc(l.all, func(q *logPartition) bool { return q.topic == topic && p.Commit <= q.trimmed && q.trimmed > 0 })
}

// aheadHeap is a heap by position; of two at one, by offset.
type aheadHeap []*logged

func (h aheadHeap) Len() int      { return len(h) }
func (h aheadHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h aheadHeap) Less(i, j int) bool {
	c := h[i].position.Compare(h[j].position)
	return c < 0 || c == 0 && h[i].record.Offset < h[j].record.Offset
}

// Push implements heap.Interface.
func (h *aheadHeap) Push(x any) { *h = append(*h, x.(*logged)) }

// Pop implements heap.Interface.
func (h *aheadHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// logHeap is a heap of partitions by their next event.
type logHeap []*logPartition

func (h logHeap) Len() int      { return len(h) }
func (h logHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h logHeap) Less(i, j int) bool {
	return h[i].ahead[0].position.Compare(h[j].ahead[0].position) < 0
}

// Push implements heap.Interface.
func (h *logHeap) Push(x any) { *h = append(*h, x.(*logPartition)) }

// Pop implements heap.Interface.
func (h *logHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
