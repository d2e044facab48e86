package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

// Record is a committed record of a partition.
type Record struct {
	Offset     int64
	Time       time.Time
	Key, Value []byte // a nil Value is a tombstone
	Headers    []*sarama.RecordHeader
}

// Scan reads the committed records of a partition from an offset up to the last stable offset as of its opening. sarama's
// consumer cannot tell where that is: it hides control and aborted records, and so the end of what is committed. One
// goroutine uses a Scan. It holds one fetch: 512 KiB, or one batch if that is larger.
type Scan struct {
	client     sarama.Client
	topic      string
	partition  int32
	at         int64
	start, end int64
	highWater  int64
	buffered   []Record
}

// Limits of a scan's requests.
const (
	scanBytes   = 512 << 10
	scanTries   = 20
	scanBackoff = 200 * time.Millisecond
)

// OpenScan opens a scan from an offset, or from sarama.OffsetOldest. An offset that retention has removed is
// sarama.ErrOffsetOutOfRange.
func OpenScan(client sarama.Client, topic string, partition int32, from int64) (*Scan, error) {
	s := &Scan{client: client, topic: topic, partition: partition, at: from}
	var err error
	if s.start, err = s.offset(sarama.OffsetOldest, sarama.ReadUncommitted); err != nil {
		return nil, s.failed(err)
	}
	if s.end, err = s.offset(sarama.OffsetNewest, sarama.ReadCommitted); err != nil {
		return nil, s.failed(err)
	}
	if s.highWater, err = s.offset(sarama.OffsetNewest, sarama.ReadUncommitted); err != nil {
		return nil, s.failed(err)
	}
	if from == sarama.OffsetOldest {
		s.at = s.start
	}
	return s, nil
}

// Start returns the first offset of the log when the scan was opened.
func (s *Scan) Start() int64 { return s.start }

// End returns the last stable offset when the scan was opened: the scan ends before it.
func (s *Scan) End() int64 { return s.end }

// HighWater returns the end of the log when the scan was opened. Beyond End lies what an open transaction holds up.
func (s *Scan) HighWater() int64 { return s.highWater }

// Next returns the next record, or false at the end. A change of the partition's leader is waited for, for some seconds.
func (s *Scan) Next(ctx context.Context) (Record, bool, error) {
	for len(s.buffered) == 0 {
		if s.at >= s.end {
			return Record{}, false, nil
		}
		block, err := s.fetch(ctx, s.at)
		if err != nil {
			return Record{}, false, s.failed(err)
		}
		records, _, next := committed(block)
		if next <= s.at {
			return Record{}, false, s.failed(fmt.Errorf("nothing came from offset %d, and the log goes on to %d", s.at, s.end))
		}
		for _, r := range records {
			if r.Offset >= s.at && r.Offset < s.end {
				s.buffered = append(s.buffered, r)
			}
		}
		s.at = next
	}
	r := s.buffered[0]
	s.buffered = s.buffered[1:]
	return r, true, nil
}

// Tail returns the last committed record of a partition, or false if the log holds none. It walks back from the last
// stable offset, past control records and aborted ones.
func Tail(ctx context.Context, client sarama.Client, topic string, partition int32) (Record, bool, error) {
	s, err := OpenScan(client, topic, partition, sarama.OffsetOldest)
	if err != nil {
		return Record{}, false, err
	}
	for at := s.end - 1; at >= s.start; {
		block, err := s.fetch(ctx, at)
		if err != nil {
			return Record{}, false, s.failed(err)
		}
		records, first, _ := committed(block)
		for _, r := range slices.Backward(records) {
			if r.Offset < s.end {
				return r, true, nil
			}
		}
		at = min(at, first) - 1
	}
	return Record{}, false, nil
}

// committed returns the committed records of a fetched block, the offset of the first batch and the offset to read next.
// Batches come whole: the first records may lie before the offset that was asked for.
func committed(block *sarama.FetchResponseBlock) (records []Record, first, next int64) {
	aborted := slices.Clone(block.AbortedTransactions)
	slices.SortFunc(aborted, func(a, b *sarama.AbortedTransaction) int { return int(a.FirstOffset - b.FirstOffset) })
	open := map[int64]bool{} // producers inside an aborted transaction
	first = -1
	for _, set := range block.RecordsSet {
		b := set.RecordBatch
		if b == nil || b.PartialTrailingRecord {
			continue
		}
		if first < 0 {
			first = b.FirstOffset
		}
		next = b.LastOffset() + 1
		for len(aborted) > 0 && aborted[0].FirstOffset <= b.LastOffset() {
			open[aborted[0].ProducerID] = true
			aborted = aborted[1:]
		}
		switch {
		case b.Control:
			if aborts(b) {
				delete(open, b.ProducerID)
			}
		case b.IsTransactional && open[b.ProducerID]:
		default:
			for _, r := range b.Records {
				records = append(records, Record{Offset: b.FirstOffset + r.OffsetDelta, Time: b.FirstTimestamp.Add(r.TimestampDelta),
					Key: r.Key, Value: r.Value, Headers: r.Headers})
			}
		}
	}
	return records, first, next
}

// aborts reports whether a control batch is an abort marker: its key is a version and a type, 0 for abort
// (org.apache.kafka.common.record.ControlRecordType).
func aborts(b *sarama.RecordBatch) bool {
	return len(b.Records) > 0 && len(b.Records[0].Key) >= 4 && binary.BigEndian.Uint16(b.Records[0].Key[2:]) == 0
}

// fetch reads from an offset with read_committed.
func (s *Scan) fetch(ctx context.Context, at int64) (block *sarama.FetchResponseBlock, err error) {
	size := int32(scanBytes)
	err = s.onLeader(ctx, func(leader *sarama.Broker) error {
		// Only the partition's limit binds: kfake (v0.0.0-20260918) lists no aborted transaction in an answer that the request's cuts.
		request := &sarama.FetchRequest{Version: 11, MaxWaitTime: 500, MinBytes: 1, MaxBytes: sarama.MaxResponseSize, Isolation: sarama.ReadCommitted, SessionEpoch: -1}
		request.AddBlock(s.topic, s.partition, at, size, -1)
		response, err := leader.Fetch(request)
		if err != nil {
			return err
		}
		block = response.GetBlock(s.topic, s.partition)
		if block == nil {
			return sarama.ErrIncompleteResponse
		}
		if block.Err != sarama.ErrNoError {
			return block.Err
		}
		return nil
	})
	return block, err
}

// offset asks the partition's leader for an offset; the client's own question always means the high watermark.
func (s *Scan) offset(which int64, isolation sarama.IsolationLevel) (offset int64, err error) {
	err = s.onLeader(context.Background(), func(leader *sarama.Broker) error {
		request := sarama.NewOffsetRequest(s.client.Config().Version)
		request.IsolationLevel = isolation
		request.AddBlock(s.topic, s.partition, which, 1)
		response, err := leader.GetAvailableOffsets(request)
		if err != nil {
			return err
		}
		block := response.GetBlock(s.topic, s.partition)
		if block == nil {
			return sarama.ErrIncompleteResponse
		}
		if block.Err != sarama.ErrNoError {
			return block.Err
		}
		offset = block.Offset
		return nil
	})
	return offset, err
}

// onLeader asks the partition's leader, and asks again where another one may know the answer.
func (s *Scan) onLeader(ctx context.Context, ask func(*sarama.Broker) error) error {
	for try := 1; ; try++ {
		leader, err := s.client.Leader(s.topic, s.partition)
		if err == nil {
			err = ask(leader)
		}
		var code sarama.KError
		switch {
		case err == nil:
			return nil
		case try == scanTries:
			return err
		case errors.As(err, &code) && !movable(code):
			return err
		case !errors.As(err, &code) && leader != nil:
			leader.Close() // the client opens it anew; closed already is as good
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(scanBackoff):
		}
		s.client.RefreshMetadata(s.topic) // the next try tells whether it helped
	}
}

// movable tells the errors of a leader that has moved, or is about to.
func movable(code sarama.KError) bool {
	switch code {
	case sarama.ErrNotLeaderForPartition, sarama.ErrLeaderNotAvailable, sarama.ErrReplicaNotAvailable, sarama.ErrFencedLeaderEpoch,
		sarama.ErrUnknownLeaderEpoch, sarama.ErrOffsetNotAvailable, sarama.ErrRequestTimedOut, sarama.ErrKafkaStorageError, sarama.ErrBrokerNotAvailable:
		return true
	}
	return false
}

func (s *Scan) failed(err error) error {
	return fmt.Errorf("read partition %d of topic %s: %w", s.partition, s.topic, err)
}
