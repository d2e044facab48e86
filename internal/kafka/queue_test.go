package kafka

import (
	"math"
	"testing"

	"github.com/IBM/sarama"
)

// A batch ends before the record that would make it too large, and a record that is too large alone is one.
func TestABatchEndsBeforeItIsTooLarge(t *testing.T) {
	p := &Producer{queues: map[partition]*Queue{}, round: 1}
	q := p.To("t", 0)
	q.sequence = math.MaxInt32 - 1 // two more, and it begins at 0 again
	for _, size := range []int{10, 10, batchBytes, 10, batchBytes / 2, batchBytes / 2, 10} {
		q.Add(nil, make([]byte, size), sarama.RecordHeader{Key: []byte("seq")})
	}
	var b batch
	for i, want := range []struct {
		count    int
		sequence int32
	}{{2, math.MaxInt32 - 1}, {1, 0}, {2, 1}, {2, 3}} {
		if !q.next(&b, sarama.CompressionNone, 0) || b.count != want.count || b.records.FirstSequence != want.sequence {
			t.Fatalf("batch %d holds %d records from sequence %d, want %d from %d", i, b.count, b.records.FirstSequence, want.count, want.sequence)
		}
		for n, r := range b.records.Records {
			if r.OffsetDelta != int64(n) {
				t.Errorf("batch %d: record %d says that it is the %dth", i, n, r.OffsetDelta)
			}
		}
		b.acknowledged()
	}
	if q.next(&b, sarama.CompressionNone, 0) {
		t.Errorf("%d records are left over", b.count)
	}
}

// What a slab has lent stays where it is while it lends more, and is lent again after a reset.
func TestASlabDoesNotMoveWhatItLent(t *testing.T) {
	var s slab[int]
	for range 2 {
		var lent [][]int
		for i := range 3 * slabBlock {
			piece := s.take(1 + i%3)
			for n := range piece {
				piece[n] = i
			}
			lent = append(lent, piece)
		}
		for i, piece := range lent {
			for _, v := range piece {
				if v != i {
					t.Fatalf("piece %d holds %d", i, v)
				}
			}
		}
		if len(s.blocks) > 7 {
			t.Fatalf("%d blocks", len(s.blocks))
		}
		s.reset()
	}
}
