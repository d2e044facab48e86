package processor

import "github.com/livedb/livedb/cdc"

// record is an event record that waits for its turn.
type record struct {
	epoch      uint32
	seq        uint64
	position   cdc.Position
	offset     int64
	key, value []byte
}

// recordOverhead is what a record costs beside its bytes.
const recordOverhead = 96

func (r *record) mark() mark { return mark{r.epoch, r.seq} }

func (r *record) size() int { return len(r.key) + len(r.value) + recordOverhead }

// ring is a queue that grows to what it once held and then allocates no more.
type ring[T any] struct {
	slots []T // a power of two
	first int
	count int
}

func (q *ring[T]) head() *T { return &q.slots[q.first] }

// at returns what waits at a place behind the head.
func (q *ring[T]) at(i int) *T { return &q.slots[(q.first+i)&(len(q.slots)-1)] }

func (q *ring[T]) push(v T) {
	if q.count == len(q.slots) {
		grown := make([]T, max(8, 2*len(q.slots)))
		n := copy(grown, q.slots[q.first:])
		copy(grown[n:], q.slots[:q.first])
		q.slots, q.first = grown, 0
	}
	q.slots[(q.first+q.count)&(len(q.slots)-1)] = v
	q.count++
}

func (q *ring[T]) pop() {
	var none T
	q.slots[q.first] = none // what it held is the receiver's now
	q.first = (q.first + 1) & (len(q.slots) - 1)
	q.count--
}

// heads is a min-heap of the partitions that hold records, by the mark of their first one.
type heads []*partition

func (h heads) less(i, j int) bool { return h[i].queue.head().mark().before(h[j].queue.head().mark()) }

func (h *heads) add(p *partition) {
	*h = append(*h, p)
	for i := len(*h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h.less(i, parent) {
			return
		}
		(*h)[i], (*h)[parent] = (*h)[parent], (*h)[i]
		i = parent
	}
}

// dropFirst forgets the first partition, which holds no record any more.
func (h *heads) dropFirst() {
	last := len(*h) - 1
	(*h)[0] = (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	h.sinkFirst()
}

// sinkFirst restores the order after the first partition's head changed.
func (h heads) sinkFirst() {
	for i := 0; ; {
		least, left, right := i, 2*i+1, 2*i+2
		if left < len(h) && h.less(left, least) {
			least = left
		}
		if right < len(h) && h.less(right, least) {
			least = right
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
