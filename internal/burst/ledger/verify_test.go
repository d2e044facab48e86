package ledger

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/livedb/livedb/cdc"
)

// A stream is what a reader would hand to a Verifier. The tests make a good one, spoil it, and look at the figures.
type stream struct {
	transactions []transaction
	writers      map[string]*Writer
}

type transaction struct {
	xid    uint32
	commit cdc.CommitLSN
	events []event
}

type event struct {
	op            cdc.Op
	table         string
	before, after string
}

func order(id int, note string) string {
	return fmt.Sprintf(`{"id":%d,"customer_id":7,"status":"new","total":"19.90","created_at":"2026-11-22T10:00:00.000001Z","note":%s,"details":"{\"a\": 1}","reference":"6f1c"}`, id, note)
}

func item(order, line int) string {
	return fmt.Sprintf(`{"order_id":%d,"line":%d,"sku":"MUG","quantity":2,"price":"9.95","added_by_hand":[1,{"x":"}"}]}`, order, line)
}

func insertEvent(table, row string) event { return event{cdc.Insert, "demo." + table, "null", row} }

// add appends a transaction of a writer with its ledger row, whose numbers come from the events.
func (s *stream) add(writer string, events ...event) {
	if s.writers == nil {
		s.writers = map[string]*Writer{}
	}
	w := s.writers[writer]
	if w == nil {
		w = &Writer{ID: writer}
		s.writers[writer] = w
	}
	judge := NewVerifier(Config{Schema: "demo"})
	judge.Begin(0, 0)
	for _, e := range events {
		if err := judge.Event(e.op, e.table, json.RawMessage(e.before), json.RawMessage(e.after)); err != nil {
			panic(err)
		}
	}
	w.N++
	w.Rows += judge.seen.tally.Total() + 1
	counts, err := json.Marshal(string(judge.seen.tally.Counts()))
	if err != nil {
		panic(err)
	}
	entry := fmt.Sprintf(`{"writer":"%s","n":%d,"counts":%s,"hash_sum":"%d","rows_total":%d,"written_at":"2026-11-22T10:00:00.000002Z"}`,
		writer, w.N, counts, judge.seen.tally.Sum, w.Rows)
	s.foreign(append(events, insertEvent("burst_ledger", entry))...)
}

// foreign appends a transaction without a ledger row.
func (s *stream) foreign(events ...event) {
	n := len(s.transactions)
	s.transactions = append(s.transactions, transaction{xid: uint32(700 + n), commit: cdc.CommitLSN(1000 + 10*n), events: slices.Clone(events)})
}

func (s *stream) truth() Truth {
	truth := Truth{}
	for id, w := range s.writers {
		truth[id] = *w
	}
	return truth
}

func (s *stream) read(t interface{ Fatal(...any) }, v *Verifier) {
	for _, tx := range s.transactions {
		v.Begin(tx.xid, tx.commit)
		for _, e := range tx.events {
			if err := v.Event(e.op, e.table, json.RawMessage(e.before), json.RawMessage(e.after)); err != nil {
				t.Fatal(err)
			}
		}
		v.End()
	}
}

// example is a good stream: transactions of 4, 4, 3, 3, 1 and 3 events of two writers, the fifth made by hand.
func example() *stream {
	s := &stream{}
	s.add("A", insertEvent("orders", order(1, "null")), insertEvent("order_items", item(1, 1)), insertEvent("order_items", item(1, 2)))
	s.add("B", insertEvent("orders", order(2, `"C:\\x 'é'"`)), insertEvent("order_items", item(2, 1)), insertEvent("other", `{}`),
		event{cdc.Truncate, "demo.orders", "null", "null"}, event{cdc.Update, "demo.orders", order(2, `"C:\\x 'é'"`), order(2, `""`)})
	s.add("A", event{cdc.Update, "demo.orders", order(1, "null"), order(1, `"gift"`)}, insertEvent("orders", order(3, "null")))
	s.add("B", event{cdc.Delete, "demo.order_items", item(2, 1), "null"}, event{cdc.Delete, "demo.orders", order(2, `""`), ""})
	s.foreign(insertEvent("orders", order(99, `"by hand"`)))
	old := s.transactions[0].events[3].after
	s.add("A", insertEvent("orders", order(4, "null")), event{cdc.Delete, "demo.burst_ledger", old, "null"})
	return s
}

func TestGoodStream(t *testing.T) {
	s := example()
	v := NewVerifier(Config{Schema: "demo"})
	if v.CaughtUp(s.truth()) {
		t.Error("caught up before anything was read")
	}
	s.read(t, v)
	if !v.CaughtUp(s.truth()) {
		t.Error("not caught up after everything was read")
	}
	got := v.Finish(s.truth())
	if diff := cmp.Diff(Report{Events: 18, Transactions: 5}, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if !got.OK() {
		t.Error("a clean report is not OK")
	}
}

func remove(tx, event int) func(*stream) {
	return func(s *stream) {
		s.transactions[tx].events = slices.Delete(s.transactions[tx].events, event, event+1)
	}
}

func change(tx, event int, old, new string) func(*stream) {
	return func(s *stream) {
		e := &s.transactions[tx].events[event]
		changed := *e
		changed.before, changed.after = strings.Replace(e.before, old, new, 1), strings.Replace(e.after, old, new, 1)
		if changed == *e {
			panic("nothing to change")
		}
		*e = changed
	}
}

func drop(from, to int) func(*stream) {
	return func(s *stream) { s.transactions = slices.Delete(s.transactions, from, to) }
}

func swap(a, b int) func(*stream) {
	return func(s *stream) { s.transactions[a], s.transactions[b] = s.transactions[b], s.transactions[a] }
}

// Each case spoils the example in one way. The figures are exact, so that a fault counted in the wrong figure fails.
var spoils = []struct {
	name  string
	spoil func(*stream)
	want  Report // without Events and Transactions
	says  string
}{
	{"an event is missing", remove(0, 1), Report{Missing: 1}, "1 events of kind c of order_items instead of 2"},
	{"a delete of a ledger row is missing", remove(5, 1), Report{Missing: 1}, "0 events of kind d of burst_ledger instead of 1"},
	{"an event comes twice", func(s *stream) {
		s.transactions[1].events = slices.Insert(s.transactions[1].events, 1, s.transactions[1].events[1])
	}, Report{Duplicated: 1}, "2 events of kind c of order_items instead of 1"},
	{"an event went to another transaction", func(s *stream) {
		s.transactions[2].events = slices.Insert(s.transactions[2].events, 0, s.transactions[0].events[1])
		s.transactions[0].events = slices.Delete(s.transactions[0].events, 1, 2)
	}, Report{Missing: 1, Duplicated: 1}, "kind c of order_items"},
	{"an inserted value is altered", change(0, 0, `"19.90"`, `"19.9"`), Report{Altered: 1}, "have the hash sum"},
	{"a null became empty", change(5, 0, `"note":null`, `"note":""`), Report{Altered: 1}, "have the hash sum"},
	{"a value before an update is altered", change(2, 0, `"note":null`, `"note":"x"`), Report{Altered: 1}, "have the hash sum"},
	{"a deleted row is altered", change(3, 0, `"MUG"`, `"CUP"`), Report{Altered: 1}, "have the hash sum"},
	{"a before is missing", func(s *stream) { s.transactions[2].events[0].before = "null" }, Report{Altered: 1}, "cannot be read: before"},
	{"a column is missing", change(0, 2, `"sku":"MUG",`, ``), Report{Altered: 1}, "4 of the 5 columns"},
	{"a ledger row's total is altered", change(2, 2, `"rows_total":7`, `"rows_total":8`), Report{Altered: 2}, "says 8 rows in total"},
	{"a ledger row cannot be read", change(5, 2, `"n":3`, `"n":"three"`), Report{Altered: 1, Missing: 3}, "parsing \"three\""},
	{"a transaction is missing", drop(2, 3), Report{Missing: 3}, "missing: 3 events before number 3 of writer A"},
	{"the last transaction is missing", drop(5, 6), Report{Missing: 3}, "numbers 3 to 3 of writer A, 3 events"},
	{"a writer is missing", func(s *stream) {
		s.transactions = slices.Delete(slices.Delete(s.transactions, 3, 4), 1, 2)
	}, Report{Missing: 7}, "numbers 1 to 2 of writer B, 7 events"},
	{"a ledger row is missing", remove(2, 2), Report{Missing: 3}, "missing: 3 events before number 3 of writer A"},
	{"a transaction comes twice", func(s *stream) {
		s.transactions = slices.Insert(s.transactions, 3, s.transactions[2])
	}, Report{Duplicated: 3}, "doubled: number 2 of writer A"},
	{"a transaction comes again later", func(s *stream) {
		s.transactions = append(s.transactions, s.transactions[1])
	}, Report{Duplicated: 4}, "doubled: number 1 of writer B"},
	{"a foreign transaction comes twice", func(s *stream) {
		s.transactions = slices.Insert(s.transactions, 5, s.transactions[4])
	}, Report{Duplicated: 1}, "doubled: transaction 704"},
	{"two transactions of one writer are swapped", func(s *stream) {
		s.transactions = slices.Delete(s.transactions, 3, 5) // now A1 B1 A2 A3
		s.transactions[2], s.transactions[3] = s.transactions[3], s.transactions[2]
		s.writers["B"].N, s.writers["B"].Rows = 1, 4
	}, Report{Disordered: 3}, "out of order: number 2 of writer A"},
	{"two transactions of different writers are swapped", swap(2, 3), Report{Disordered: 3}, "out of order: number 2 of writer A"},
	{"a foreign transaction is swapped", swap(4, 5), Report{Disordered: 1}, "out of order: transaction 704"},
	{"a transaction comes late", func(s *stream) {
		first := s.transactions[0]
		s.transactions = append(s.transactions[1:], first)
	}, Report{Disordered: 4}, "out of order: number 1 of writer A"},
	{"a ledger row comes before its end", func(s *stream) {
		e := s.transactions[0].events
		e[2], e[3] = e[3], e[2]
	}, Report{Disordered: 1}, "1 events stand behind the ledger row"},
	{"a ledger row comes twice", func(s *stream) {
		s.transactions[0].events = append(s.transactions[0].events, s.transactions[0].events[3])
	}, Report{Duplicated: 1}, "doubled: the ledger row of number 1"},
	{"two transactions run together", func(s *stream) {
		s.transactions[0].events = append(s.transactions[0].events, s.transactions[1].events...)
		s.transactions = slices.Delete(s.transactions, 1, 2)
	}, Report{Disordered: 1}, "two transactions in one"},
}

func TestSpoiledStream(t *testing.T) {
	for _, c := range spoils {
		t.Run(c.name, func(t *testing.T) {
			s := example()
			c.spoil(s)
			v := NewVerifier(Config{Schema: "demo"})
			s.read(t, v)
			got := v.Finish(s.truth())
			if got.OK() {
				t.Error("a spoiled stream is OK")
			}
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(Report{}, "Events", "Transactions", "Findings")); diff != "" {
				t.Errorf("report (-want +got):\n%s\n%s", diff, strings.Join(got.Findings, "\n"))
			}
			if !strings.Contains(strings.Join(got.Findings, "\n"), c.says) {
				t.Errorf("findings %q say nothing of %q", got.Findings, c.says)
			}
		})
	}
}

// Any one fault in any stream is found and counted in its figure, in events.
func TestAnyFaultCountsInItsFigure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &stream{}
		id := 0
		for range rapid.IntRange(2, 20).Draw(t, "transactions") {
			var events []event
			for range rapid.IntRange(1, 6).Draw(t, "events") {
				id++
				events = append(events, insertEvent("orders", order(id, rapid.SampledFrom([]string{"null", `""`, `"\\"`}).Draw(t, "note"))))
			}
			s.add(rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "writer"), events...)
		}
		truth, at := s.truth(), rapid.IntRange(0, len(s.transactions)-1).Draw(t, "at")
		tx := &s.transactions[at]
		size := uint64(len(tx.events))
		i := rapid.IntRange(0, len(tx.events)-2).Draw(t, "event") // never the ledger row
		var want Report
		switch fault := rapid.SampledFrom([]string{"none", "lose event", "lose transaction", "repeat event", "repeat transaction", "move back", "alter"}).Draw(t, "fault"); fault {
		case "lose event":
			tx.events = slices.Delete(tx.events, i, i+1)
			want.Missing = 1
		case "lose transaction":
			s.transactions = slices.Delete(s.transactions, at, at+1)
			want.Missing = size
		case "repeat event":
			tx.events = slices.Insert(tx.events, i, tx.events[i])
			want.Duplicated = 1
		case "repeat transaction":
			to := rapid.IntRange(at, len(s.transactions)-1).Draw(t, "to")
			s.transactions = slices.Insert(s.transactions, to+1, *tx)
			want.Duplicated = size
		case "move back":
			to := rapid.IntRange(at, len(s.transactions)-1).Draw(t, "to")
			moved := *tx
			s.transactions = slices.Insert(slices.Delete(s.transactions, at, at+1), to, moved)
			if to > at {
				want.Disordered = size
			}
		case "alter":
			tx.events[i].after = strings.Replace(tx.events[i].after, `"customer_id":7`, `"customer_id":8`, 1)
			want.Altered = 1
		}
		v := NewVerifier(Config{Schema: "demo"})
		s.read(t, v)
		got := v.Finish(truth)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Report{}, "Events", "Transactions", "Findings")); diff != "" {
			t.Fatalf("report (-want +got):\n%s\n%s", diff, strings.Join(got.Findings, "\n"))
		}
	})
}

func TestSnapshotIsTheBaseline(t *testing.T) {
	s := example()
	v := NewVerifier(Config{Schema: "demo"})

	// The first four transactions are only seen as the rows that a snapshot read, in chunks of one commit LSN.
	for _, tx := range s.transactions[:4] {
		v.Begin(0, 0)
		for _, e := range tx.events {
			if e.op == cdc.Insert {
				if err := v.Event(cdc.Read, e.table, nil, json.RawMessage(e.after)); err != nil {
					t.Fatal(err)
				}
			}
		}
		v.End()
	}
	rest := &stream{transactions: s.transactions[4:]}
	rest.read(t, v)
	got := v.Finish(s.truth())
	if !got.OK() || got.Transactions != 1 || !v.CaughtUp(s.truth()) {
		t.Errorf("report %+v, want a clean one of 1 transaction", got)
	}
}

func TestWhileASnapshotRunsNothingIsJudged(t *testing.T) {
	s := example()
	s.transactions[1].events = s.transactions[1].events[2:] // left out: a later chunk holds them
	s.transactions = slices.Delete(s.transactions, 2, 3)    // its ledger row too

	v := NewVerifier(Config{Schema: "demo"})
	v.Snapshot(true)
	(&stream{transactions: s.transactions[:3]}).read(t, v)
	v.Begin(0, s.transactions[2].commit)
	if err := v.Event(cdc.Read, "demo.burst_ledger", nil, json.RawMessage(example().transactions[2].events[2].after)); err != nil {
		t.Fatal(err)
	}
	v.End()
	v.Snapshot(false)
	(&stream{transactions: s.transactions[3:]}).read(t, v)
	got := v.Finish(s.truth())
	if !got.OK() || got.Unchecked != 3 || got.Transactions != 4 {
		t.Errorf("report %+v, want a clean one with 3 of 4 transactions unchecked", got)
	}

	v = NewVerifier(Config{Schema: "demo"})
	s.read(t, v)
	if got := v.Report(); got.OK() {
		t.Error("the same stream is OK without the snapshot")
	}
}

func TestMidwayTakesTheFirstNumberAsItComes(t *testing.T) {
	s := example()
	tail := &stream{transactions: s.transactions[2:]}
	for _, midway := range []bool{false, true} {
		v := NewVerifier(Config{Schema: "demo", Midway: midway})
		tail.read(t, v)
		want := uint64(8)
		if midway {
			want = 0
		}
		if got := v.Finish(s.truth()); got.Missing != want || got.Altered != 0 {
			t.Errorf("midway %t: report %+v, want %d missing", midway, got, want)
		}
	}

	v := NewVerifier(Config{Schema: "demo", Midway: true})
	tail.transactions = slices.Delete(slices.Clone(tail.transactions), 2, 4)
	tail.read(t, v)
	if got := v.Finish(s.truth()); got.Missing != 3 || v.CaughtUp(s.truth()) {
		t.Errorf("report %+v, want the last transaction of A missing", got)
	}
}

func TestEventOutsideOfATransaction(t *testing.T) {
	v := NewVerifier(Config{})
	if err := v.Event(cdc.Insert, DefaultSchema+".orders", nil, nil); err == nil {
		t.Error("no error for an event without Begin")
	}
}

func BenchmarkEvent(b *testing.B) {
	v := NewVerifier(Config{Schema: "demo"})
	v.Begin(1, 1)
	before, after := json.RawMessage(order(1, "null")), json.RawMessage(order(1, `"gift"`))
	b.ReportAllocs()
	for b.Loop() {
		if err := v.Event(cdc.Update, "demo.orders", before, after); err != nil {
			b.Fatal(err)
		}
	}
}
