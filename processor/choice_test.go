package processor

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A reader of some tables is held to the counts of each transaction record: see TestOrderTellsStories for the language.
func TestSomeTablesTellStories(t *testing.T) {
	for _, story := range []story{
		{"a transaction of other tables is passed over", `
			choose orders
			tx 7@100 1-2 items:2
			> 
			topic orders 1
			tx 8@200 3-3 orders:1 + 9@300 4-4 items:1
			orders/0 3@200
			> begin 8, 3, end 8`},
		{"an event is held back while one before it may be missing", `
			choose orders
			topic orders 2
			tx 7@100 1-9 orders:2 items:7
			orders/0 7@100
			> begin 7
			orders/1 4@100
			> 4, 7, end 7`},
		{"the next seq needs no such proof", `
			choose orders
			topic orders 2
			tx 7@100 1-9 orders:3 items:6
			orders/0 1@100 2@100
			> begin 7, 1, 2
			orders/0 8@100
			> 8, end 7`},
		{"a transaction wholly of what is read goes out as it comes", `
			choose orders items
			topic orders 1
			topic items 2
			tx 7@100 1-3 orders:2 items:1
			orders/0 1@100
			> begin 7, 1
			items/1 2@100
			> 2
			orders/0 3@100
			> 3, end 7`},
		{"a split transaction begins with its first part that is read, and tells of its first seq", `
			choose orders
			tx 7@100 1-2 items:2 split
			>
			topic orders 1
			tx 7@100 3-4 orders:1 items:1 rest split
			orders/0 4@100
			> begin 7, 4
			tx 7@100 5-5 items:1 rest
			> end 7`},
		{"a late partition is waited for, whatever the others show", `
			choose orders
			topic orders 2
			tx 7@100 1-5 orders:2 items:3 + 8@200 6-6 orders:1
			orders/0 3@100 6@200
			> begin 7
			orders/1 5@100
			> 3, 5, end 7, begin 8, 6, end 8`},

		{"a loss is found once every partition is past the transaction", `
			choose orders
			topic orders 2
			tx 7@100 1-5 orders:2 items:3 + 8@200 6-9 orders:2 items:2
			orders/0 3@100 6@200
			> begin 7
			orders/1 8@200
			> gap in topic orders, partition 0, offset 0: a set of 2 events of seq 1 to 5 was due and a set of 1, with later ones, is there`},
		{"a repeat in another partition is found before anything is delivered in its place", `
			choose orders
			topic orders 3
			tx 7@100 1-9 orders:3 items:6
			orders/0 3@100 7@100
			orders/1 7@100
			> begin 7, repeat in topic orders, partition 1, offset 0: another seq, for this one stands in another partition, was due and seq 7 is there`},
		{"a step back", `
			choose orders
			topic orders 1
			tx 7@100 1-9 orders:2 items:7
			orders/0 5@100 3@100
			> begin 7, disorder in topic orders, partition 0, offset 1: a seq above 5 was due and seq 3 is there`},
		{"one event too many", `
			choose orders
			topic orders 1
			tx 7@100 1-9 orders:1 items:8
			orders/0 2@100 5@100
			> begin 7, 2, end 7, repeat in topic orders, partition 0, offset 1: a seq from 10 was due and seq 5 is there`},
		{"an event in a topic that the transaction does not count", `
			choose orders items
			topic orders 1
			topic items 1
			tx 7@100 1-9 orders:2 notes:7
			items/0 2@100
			orders/0 4@100 5@100
			> begin 7, wrong count in topic items, partition 0, offset 0: no further event of its transaction was due and seq 2 is there`},
		{"an event of another transaction", `
			choose orders
			topic orders 1
			tx 7@100 1-9 orders:1 items:8
			orders/0 2@101
			> begin 7, disorder in topic orders, partition 0, offset 0: a position of 0/100 from 0/0:0 was due and 0/101:2 is there`},
		{"the order itself is checked whole", `
			choose orders
			tx 7@100 1-2 items:2
			tx 9@300 4-4 items:1
			> gap in topic p.transaction, partition 0, offset 1: seq 3 was due and seq 4 is there`},
		{"a saved place lies behind what was passed over", `
			choose orders
			start saved seq=2 commit=100 transaction=0 entry=1
			tx 7@100 1-2 items:2 + 8@200 3-3 items:1 + 9@300 4-5 items:1 orders:1
			topic orders 1
			orders/0 5@300
			> begin 9, 5, end 9`},
	} {
		t.Run(story.name, func(t *testing.T) { tell(t, story.script) })
	}
}

func TestChoice(t *testing.T) {
	chosen, err := choose("p", []string{"public.orders", "öl.fass"})
	want := choice{"p.truncate": true, "p.public.orders": true, "p._l.fass": true}
	if diff := cmp.Diff(want, chosen); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if chosen, err := choose("p", nil); !chosen.has("p.anything") || err != nil {
		t.Error(chosen, err)
	}
	for _, wrong := range []string{"orders", ".orders", "public.", "public." + strings.Repeat("x", 300)} {
		if _, err := choose("p", []string{wrong}); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
	err = sameTables([]string{"public.orders"}, nil)
	if !errors.Is(err, ErrTables) || !Broken(err) || !strings.Contains(err.Error(), "a reader of public.orders, and this one reads all tables") {
		t.Error(err)
	}
	if err := From(Saved{}).check(nil); err == nil {
		t.Error("an empty place is taken")
	}
}
