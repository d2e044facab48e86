package burst

import (
	"math/rand/v2"
	"time"
)

// transaction is what a writer is about to do: its steps, whether it takes all of it back, and what its commit changes in
// the shop.
type transaction struct {
	steps    []step
	rollback bool
	effect   effect
}

// step is one statement, or a word such as SAVEPOINT.
type step struct {
	word      string // if there is no statement
	statement *statement
	args      []any
	dropped   bool // taken back by a ROLLBACK TO SAVEPOINT
}

// planner makes transactions. It is pure but for its dice: the same dice, shop, ids and time make the same transactions.
type planner struct {
	cfg           *Config
	dice          *rand.Rand
	shop          *shop
	keepOrders    int // above it orders leave
	keepCustomers int // those who order; the older ones leave when their orders have

	orderIDs, customerIDs []int64 // not used yet

	// While one is made:
	t       *transaction
	at      time.Time
	dropped bool
}

const (
	ordersPerCustomer = 10   // when the tables have reached their size
	largest           = 1000 // rows of one statement, about
)

// plan makes the next transaction, whose rows are written at the given time.
func (p *planner) plan(at time.Time) *transaction {
	p.t, p.at, p.dropped = &transaction{effect: effect{moved: map[int]stage{}}}, at, false
	size := p.cfg.TransactionRows
	room := size.Min + p.dice.IntN(size.Max-size.Min+1)
	p.t.rollback = p.dice.Float64() < p.cfg.Rollback
	detour := p.dice.Float64() < p.cfg.Savepoint
	for room > 0 {
		if detour && p.dice.IntN(2) == 0 {
			p.detour(room)
			detour = false
		}
		room -= p.change(room)
	}
	if detour {
		p.detour(size.Min)
	}
	return p.t
}

// ids is how many ids of each table one transaction may use: with two statements that a savepoint takes back, each as
// large as the rest. In a shop without customers each statement makes at least 4, whatever the size.
func (p *planner) ids() int { return 3*p.cfg.TransactionRows.Max + 3*4 }

// detour makes changes that a savepoint takes back.
func (p *planner) detour(room int) {
	p.t.steps = append(p.t.steps, step{word: savepoint})
	p.dropped = true
	for range 1 + p.dice.IntN(2) {
		p.change(room)
	}
	p.dropped = false
	p.t.steps = append(p.t.steps, step{word: rollbackTo})
}

// change adds one statement of about so many rows at most, and returns how many it should change: at least 1.
func (p *planner) change(room int) int {
	size := 1 + p.dice.IntN(min(room, largest))
	if p.shop.customers.len() == 0 {
		return p.insertCustomers(max(size, 4))
	}
	mix := p.cfg.Mix
	roll := p.dice.IntN(mix.Insert + mix.Update + mix.Delete)
	insert, update := roll < mix.Insert, roll >= mix.Insert && roll < mix.Insert+mix.Update
	minor := p.dice.IntN(10)
	living := p.shop.orders.len() - p.t.effect.gone
	switch {
	case insert && minor == 0:
		return p.insertCustomers(1 + size/8)
	case insert && living+len(p.t.effect.orders) <= p.keepOrders, living == 0:
		return p.insertOrders(size)
	case update && minor < 2:
		return p.changeCustomers(size)
	case update && minor < 4:
		return p.changeItems(size)
	case update:
		return p.moveOrders(size)
	case minor < 3 && p.idleCustomers(size) > 0:
		return p.deleteCustomers(size)
	default: // a delete, or an insert into a full shop
		return p.deleteOrders(size)
	}
}

func (p *planner) add(s *statement, args ...any) {
	p.t.steps = append(p.t.steps, step{statement: s, args: args, dropped: p.dropped})
}

func (p *planner) insertCustomers(size int) int {
	ids := take(&p.customerIDs, size)
	names, emails, countries := make([]string, size), make([]string, size), make([]*string, size)
	cents, profiles := make([]int64, size), make([]string, size)
	for i, id := range ids {
		names[i], emails[i] = p.person(id)
		countries[i] = p.maybe(0.9, pick(p.dice, nations))
		cents[i] = p.dice.Int64N(100_00)
		profiles[i] = p.profile()
	}
	p.add(insertCustomers, ids, names, emails, countries, cents, profiles, p.at)
	if !p.dropped {
		p.t.effect.customers = append(p.t.effect.customers, ids...)
	}
	return size
}

// insertOrders spends about a third of the rows on orders and the rest on their items, 1 to 3 each while there is room.
func (p *planner) insertOrders(size int) int {
	n := max(1, size/3)
	ids, rest := take(&p.orderIDs, n), size-n
	owners, totals := make([]int64, n), make([]int64, n)
	notes, details, references := make([]*string, n), make([]string, n), make([][16]byte, n)
	var itemOrders, prices []int64
	var lines []int16
	var skus []string
	var quantities []int32
	for i, id := range ids {
		owners[i] = p.customer()
		notes[i], details[i], references[i] = p.note(), p.details(), p.uuid()
		count := min(1+p.dice.IntN(3), rest)
		rest -= count
		for line := range count {
			quantity, price := 1+p.dice.Int32N(4), 1_00+p.dice.Int64N(199_00)
			totals[i] += int64(quantity) * price
			itemOrders, lines, skus = append(itemOrders, id), append(lines, int16(line+1)), append(skus, p.sku())
			quantities, prices = append(quantities, quantity), append(prices, price)
		}
		if !p.dropped {
			p.t.effect.orders = append(p.t.effect.orders, order{id: id, customer: owners[i], items: count})
		}
	}
	p.add(insertOrders, ids, owners, totals, notes, details, references, p.at, itemOrders, lines, skus, quantities, prices)
	return n + len(itemOrders)
}

// moveOrders takes orders a step further. Some are cancelled; the finished ones get a note.
func (p *planner) moveOrders(size int) int {
	places := p.places(size)
	ids, names := make([]int64, len(places)), make([]string, len(places))
	notes, patches := make([]*string, len(places)), make([]*string, len(places))
	for i, place := range places {
		o := *p.shop.orders.at(place)
		from, planned := p.t.effect.moved[place]
		if !planned {
			from = o.stage
		}
		to := from.next()
		if from < stageShipped && p.dice.IntN(20) == 0 {
			to = stageCancelled
		}
		ids[i], names[i] = o.id, to.String()
		if from.final() {
			notes[i] = p.note()
		}
		patches[i] = p.maybe(0.3, p.patch())
		if !p.dropped {
			p.t.effect.moved[place] = to
		}
	}
	p.add(moveOrders, ids, names, notes, patches)
	return len(places)
}

// changeItems changes a quantity and the order's total with it: two rows each.
func (p *planner) changeItems(size int) int {
	places := p.places(max(1, size/2))
	ids, more := make([]int64, len(places)), make([]int32, len(places))
	rows := 0
	for i, place := range places {
		o := p.shop.orders.at(place)
		ids[i], more[i] = o.id, p.dice.Int32N(6)-2
		rows += 2 * min(o.items, 1)
	}
	p.add(changeItems, ids, more)
	return max(rows, 1)
}

func (p *planner) changeCustomers(size int) int {
	chosen := map[int64]bool{}
	var ids, cents []int64
	var patches []string
	for range size {
		id := p.customer()
		if chosen[id] {
			continue
		}
		chosen[id] = true
		ids, cents, patches = append(ids, id), append(cents, p.dice.Int64N(60_00)-10_00), append(patches, p.patch())
	}
	p.add(changeCustomers, ids, cents, patches)
	return len(ids)
}

// deleteOrders deletes the oldest orders with their items.
func (p *planner) deleteOrders(size int) int {
	var ids []int64
	rows := 0
	for i := p.t.effect.gone; i < p.shop.orders.len() && rows < size; i++ {
		o := p.shop.orders.at(i)
		ids = append(ids, o.id)
		rows += 1 + o.items
	}
	p.add(deleteOrders, ids)
	if !p.dropped {
		p.t.effect.gone += len(ids)
	}
	return rows
}

func (p *planner) deleteCustomers(size int) int {
	n := p.idleCustomers(size)
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = *p.shop.customers.at(p.t.effect.goneCustomers + i)
	}
	p.add(deleteCustomers, ids)
	if !p.dropped {
		p.t.effect.goneCustomers += n
	}
	return n
}

// idleCustomers counts the oldest customers who order no more and whose orders are gone, up to a limit.
func (p *planner) idleCustomers(limit int) int {
	n := 0
	for i := p.t.effect.goneCustomers; n < limit && i < p.shop.customers.len()-p.keepCustomers; i++ {
		if p.shop.open[*p.shop.customers.at(i)] > 0 {
			break
		}
		n++
	}
	return n
}

// customer chooses one of those who order.
func (p *planner) customer() int64 {
	n := p.shop.customers.len()
	return *p.shop.customers.at(n - 1 - p.dice.IntN(min(n, p.keepCustomers)))
}

// places chooses different orders that this transaction has neither made nor deleted; younger ones more often, and
// seldom a finished one.
func (p *planner) places(size int) []int {
	first, n := p.t.effect.gone, p.shop.orders.len()
	chosen := make(map[int]bool, size)
	places := make([]int, 0, size)
	for range size {
		place := 0
		for range 3 {
			u := p.dice.Float64()
			place = n - 1 - int(u*u*float64(n-first))
			if !p.shop.orders.at(place).stage.final() {
				break
			}
		}
		if !chosen[place] {
			chosen[place] = true
			places = append(places, place)
		}
	}
	return places
}

// take cuts the first n off a list of ids.
func take(ids *[]int64, n int) []int64 {
	taken := (*ids)[:n:n]
	*ids = (*ids)[n:]
	return taken
}
