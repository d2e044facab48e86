package burst

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// paperShop runs a planner without a database: every transaction that is not rolled back commits.
type paperShop struct {
	planner planner
	nextID  int64
}

func newPaperShop(cfg Config, keep int) *paperShop {
	cfg, err := cfg.withDefaults()
	if err != nil {
		panic(err)
	}
	return &paperShop{planner: planner{cfg: &cfg, dice: rand.New(rand.NewPCG(cfg.Seed, 0)), shop: &shop{open: map[int64]int{}},
		keepOrders: keep, keepCustomers: max(1, keep/ordersPerCustomer)}}
}

func (p *paperShop) step() *transaction {
	for need := p.planner.ids(); len(p.planner.orderIDs) < need || len(p.planner.customerIDs) < need; {
		p.nextID++
		p.planner.orderIDs = append(p.planner.orderIDs, p.nextID)
		p.planner.customerIDs = append(p.planner.customerIDs, p.nextID)
	}
	t := p.planner.plan(time.Unix(int64(p.nextID), 0).UTC())
	if !t.rollback {
		p.planner.shop.apply(&t.effect)
	}
	return t
}

func TestTheSameDiceMakeTheSamePlans(t *testing.T) {
	one, two := newPaperShop(Config{Seed: 1, Rollback: .1, Savepoint: .5}, 100), newPaperShop(Config{Seed: 1, Rollback: .1, Savepoint: .5}, 100)
	for i := range 100 {
		a, b := one.step(), two.step()
		if diff := cmp.Diff(words(a), words(b)); diff != "" || a.rollback != b.rollback {
			t.Fatalf("transaction %d differs:\n%s", i, diff)
		}
	}
}

// words are a transaction's steps in a form that can be compared.
func words(t *transaction) (list []any) {
	for _, s := range t.steps {
		if s.statement != nil {
			list = append(list, s.statement.name)
		}
		list = append(list, s.word, s.dropped, s.args)
	}
	return list
}

// Whatever the configuration: the shop grows to its size and not far beyond, orders are deleted oldest first and only
// once, what a savepoint takes back leaves no trace, and no transaction is without a change.
func TestPlansKeepTheShopInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 200).Draw(t, "largest transaction")
		keep := rapid.IntRange(1, 300).Draw(t, "keep")
		p := newPaperShop(Config{Seed: rapid.Uint64().Draw(t, "seed"), TransactionRows: Range{rapid.IntRange(1, size).Draw(t, "smallest"), size},
			Mix:      Mix{rapid.IntRange(1, 10).Draw(t, "insert"), rapid.IntRange(0, 10).Draw(t, "update"), rapid.IntRange(0, 10).Draw(t, "delete")},
			Rollback: .1, Savepoint: .5}, keep)
		orders, dropped := map[int64]bool{}, map[int64]bool{}
		for range 60 {
			tx := p.step()
			inside := false
			for _, s := range tx.steps {
				switch {
				case s.word == savepoint || s.word == rollbackTo:
					inside = s.word == savepoint
				case s.dropped != inside:
					t.Fatalf("a step of %s is dropped: %t, within a savepoint: %t", s.statement.name, s.dropped, inside)
				case s.dropped || tx.rollback:
					if s.statement == insertOrders {
						for _, id := range s.args[0].([]int64) {
							dropped[id] = true
						}
					}
				case s.statement == insertOrders:
					for _, id := range s.args[0].([]int64) {
						orders[id] = true
					}
				case s.statement == deleteOrders:
					for _, id := range s.args[0].([]int64) {
						if !orders[id] {
							t.Fatalf("order %d is deleted, but it is not there", id)
						}
						delete(orders, id)
					}
				case s.statement == moveOrders || s.statement == changeItems:
					for _, id := range s.args[0].([]int64) {
						if !orders[id] || dropped[id] {
							t.Fatalf("order %d is changed, but it is not there", id)
						}
					}
				}
			}
			if inside || len(tx.steps) == 0 {
				t.Fatalf("transaction of %d steps ends within a savepoint: %t", len(tx.steps), inside)
			}
			if n := p.planner.shop.orders.len(); n != len(orders) || n > keep+size {
				t.Fatalf("the shop has %d orders, the statements made %d; want at most %d", n, len(orders), keep+size)
			}
		}
	})
}

func TestTransactionsHaveTheSizeAskedFor(t *testing.T) {
	p := newPaperShop(Config{Seed: 3, TransactionRows: Range{50_000, 50_000}, Mix: Mix{Insert: 1}}, 1_000_000)
	p.step() // customers
	rows := 0
	for _, s := range p.step().steps {
		switch s.statement {
		case insertOrders:
			rows += len(s.args[0].([]int64)) + len(s.args[7].([]int64))
		case insertCustomers:
			rows += len(s.args[0].([]int64))
		}
	}
	if rows != 50_000 {
		t.Errorf("the transaction has %d rows, want 50000", rows)
	}
}
