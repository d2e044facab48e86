package burst

// shop is what one writer knows of its share of the tables: enough to choose what to change next. It is a memory, not the
// truth: another program may change the same rows, and the ledger counts what Postgres says was changed.
type shop struct {
	orders    queue[order]
	customers queue[int64]
	open      map[int64]int // orders per customer
}

type order struct {
	id, customer int64
	stage        stage
	items        int
}

// stage is a step of an order's life: its status.
type stage byte

const (
	stageNew stage = iota
	stagePaid
	stageShipped
	stageDelivered
	stageCancelled
)

var stageNames = [...]string{"new", "paid", "shipped", "delivered", "cancelled"}

func (s stage) String() string { return stageNames[s] }

// next is where an order goes from here; the last two stay what they are.
func (s stage) next() stage {
	if s < stageDelivered {
		return s + 1
	}
	return s
}

func (s stage) final() bool { return s >= stageDelivered }

// effect is what a transaction does to the shop once it has committed.
type effect struct {
	moved         map[int]stage // by place in the queue as it was before
	gone          int           // orders, the oldest
	goneCustomers int           // the oldest
	orders        []order
	customers     []int64
}

func (s *shop) apply(e *effect) {
	for i, stage := range e.moved {
		s.orders.at(i).stage = stage
	}
	for range e.gone {
		s.leave(s.orders.pop().customer)
	}
	for range e.goneCustomers {
		delete(s.open, s.customers.pop())
	}
	for _, id := range e.customers {
		s.customers.push(id)
	}
	for _, o := range e.orders {
		s.orders.push(o)
		s.open[o.customer]++
	}
}

func (s *shop) leave(customer int64) {
	if s.open[customer]--; s.open[customer] <= 0 {
		delete(s.open, customer)
	}
}

// queue is first in, first out, with a look at any place. Its memory is twice what it held at most.
type queue[T any] struct {
	list []T
	head int
}

func (q *queue[T]) len() int { return len(q.list) - q.head }

func (q *queue[T]) at(i int) *T { return &q.list[q.head+i] }

func (q *queue[T]) push(v T) { q.list = append(q.list, v) }

func (q *queue[T]) pop() T {
	v := q.list[q.head]
	q.head++
	if q.head > len(q.list)/2 {
		q.list = q.list[:copy(q.list, q.list[q.head:])]
		q.head = 0
	}
	return v
}
