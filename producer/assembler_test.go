package producer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

var (
	orders = &cdc.Table{OID: 1, Schema: "shop", Name: "orders", Identity: cdc.IdentityFull, Columns: []cdc.Column{
		{Name: "id", Type: 20, Modifier: -1, Identity: true}, {Name: "note", Type: 25, Modifier: -1, Identity: true}}}
	logs = &cdc.Table{OID: 2, Schema: "shop", Name: "logs", Identity: cdc.IdentityFull, Columns: []cdc.Column{
		{Name: "line", Type: 25, Modifier: -1, Identity: true}}}
)

// assemble returns an assembler of the stream "s", with three partitions for orders, which have a key, and one for logs,
// which have none. Its clock stands still.
func assemble(from Checkpoint) *Assembler {
	stream := envelope.Stream{Name: "s", Database: "db", Version: "test", Epoch: 1}
	stands := func() time.Time { return time.UnixMicro(1) }
	return NewAssembler(stream, from, stands, func(t *cdc.Table) (Place, string, *envelope.Plan, *Topology, error) {
		place := Place{Schema: t.Schema, Table: t.Name, Partitions: 1}
		if t.OID == orders.OID {
			place.Partitions, place.Key = 3, []string{"id"}
		}
		plan, err := envelope.NewPlan(stream, t, place.Key, nil)
		return place, "s.shop." + t.Name, plan, nil, err
	})
}

func start() Checkpoint {
	return Checkpoint{Version: 1, Epoch: 1, State: Streaming, End: 0x100, AckedUpto: 0x100}
}

func row(values ...string) cdc.Row {
	r := make(cdc.Row, len(values))
	for i, v := range values {
		r[i] = cdc.Value{State: cdc.Text, Text: []byte(v)}
	}
	return r
}

func insert(t *cdc.Table, values ...string) *cdc.Change {
	return &cdc.Change{Op: cdc.Insert, Table: t, New: row(values...)}
}

func remove(t *cdc.Table, values ...string) *cdc.Change {
	return &cdc.Change{Op: cdc.Delete, Table: t, Old: row(values...), OldKind: cdc.OldFull}
}

func update(t *cdc.Table, old, new cdc.Row) *cdc.Change {
	return &cdc.Change{Op: cdc.Update, Table: t, Old: old, OldKind: cdc.OldFull, New: new}
}

// transaction is a transaction as the source sends it.
type transaction struct {
	cdc.Transaction
	changes []*cdc.Change
}

func tx(xid uint32, commit cdc.CommitLSN, changes ...*cdc.Change) transaction {
	return transaction{cdc.Transaction{XID: xid, Commit: commit, End: cdc.EndLSN(commit + 0x10), Time: time.UnixMicro(int64(xid))}, changes}
}

func (x transaction) feed(t testing.TB, a *Assembler) {
	t.Helper()
	begin := x.Transaction
	begin.End = 0
	must(t, a.Begin(begin))
	for _, c := range x.changes {
		must(t, a.Change(c))
	}
	must(t, a.Commit(x.Transaction))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lines tells a batch's records, then its entries, then the checkpoint's progress.
func lines(t testing.TB, b *Batch) []string {
	t.Helper()
	var told []string
	for i := range b.records {
		r := &b.records[i]
		p := b.places[r.place]
		headers := b.headers(r, b.epoch(), nil)
		line := fmt.Sprintf("%s/%d seq=%s at %s", p.topic, p.partition, headers[0].Value, headers[1].Value)
		if !r.key.none() {
			line += fmt.Sprintf(" key=%s", b.bytes(r.key))
		}
		if r.value.none() {
			line += " tombstone"
		} else {
			e, err := envelope.ParseEvent(b.bytes(r.value))
			must(t, err)
			line += fmt.Sprintf(" %s %s -> %s", e.Op, e.Before, e.After)
		}
		for _, h := range headers[2:] {
			line += fmt.Sprintf(" %s=%s", strings.TrimPrefix(string(h.Key), "__debezium."), h.Value)
		}
		told = append(told, line)
	}
	return told
}

func order(t testing.TB, b *Batch) []string {
	t.Helper()
	r, err := envelope.ParseTransaction(b.order())
	must(t, err)
	var told []string
	for _, e := range r.Entries {
		line := fmt.Sprintf("tx %d at %s: seq %d to %d", e.XID, e.Commit, e.First, e.Last)
		for _, c := range e.Counts {
			line += fmt.Sprintf(", %d in %s", c.Events, r.Topics[c.Topic])
		}
		if !e.Starts {
			line += ", goes on"
		}
		if e.Ends {
			line += ", ends at " + e.End.String()
		}
		told = append(told, line)
	}
	return told
}

func TestAssemblerNumbersEventsOverAllTables(t *testing.T) {
	a, b := assemble(start()), &Batch{}
	a.Use(b)
	tx(7, 0x200, insert(orders, "1", "a"), insert(logs, "x"), insert(orders, "2", "b")).feed(t, a)
	tx(8, 0x210, remove(orders, "1", "a")).feed(t, a)
	a.Seal(time.UnixMicro(2))

	want := []string{
		`s.shop.orders/0 seq=1 at 0/200:1 key={"id":1} c null -> {"id":1,"note":"a"}`,
		`s.shop.logs/0 seq=2 at 0/200:2 c null -> {"line":"x"}`,
		`s.shop.orders/1 seq=3 at 0/200:3 key={"id":2} c null -> {"id":2,"note":"b"}`,
		`s.shop.orders/0 seq=4 at 0/210:1 key={"id":1} d {"id":1,"note":"a"} -> null`,
		`s.shop.orders/0 seq=4 at 0/210:1 key={"id":1} tombstone`,
	}
	if diff := cmp.Diff(want, lines(t, b)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	want = []string{
		"tx 7 at 0/200: seq 1 to 3, 2 in s.shop.orders, 1 in s.shop.logs, ends at 0/210",
		"tx 8 at 0/210: seq 4 to 4, 1 in s.shop.orders, ends at 0/220",
	}
	if diff := cmp.Diff(want, order(t, b)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	c := b.checkpoint
	if c.Seq != 4 || c.Commit != 0x210 || c.End != 0x220 || c.AckedUpto != 0x220 || c.Index != 1 || c.Partial != nil {
		t.Errorf("checkpoint %+v", c)
	}
	touched := map[string]map[int32]uint64{"s.shop.orders": {0: 4, 1: 3}, "s.shop.logs": {0: 2}}
	if diff := cmp.Diff(touched, c.Touched); diff != "" {
		t.Errorf("touched (-want +got):\n%s", diff)
	}
}

// The end of one transaction may be the commit LSN of the next: it is delivered all the same.
func TestAssemblerKeepsTheTransactionWhoseCommitIsTheEndOfTheLast(t *testing.T) {
	from := start()
	from.Commit, from.End, from.Seq = 0x200, 0x210, 5
	a, b := assemble(from), &Batch{}
	a.Use(b)
	tx(7, 0x200, insert(logs, "again")).feed(t, a) // the source sends it once more
	tx(8, 0x210, insert(logs, "new")).feed(t, a)
	a.Seal(time.UnixMicro(2))
	want := []string{`s.shop.logs/0 seq=6 at 0/210:1 c null -> {"line":"new"}`}
	if diff := cmp.Diff(want, lines(t, b)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if a.skipped != 1 {
		t.Errorf("%d transactions skipped, want 1", a.skipped)
	}
}

func TestAssemblerMovesARowToAnotherKey(t *testing.T) {
	a, b := assemble(start()), &Batch{}
	a.Use(b)
	tx(7, 0x200, update(orders, row("1", "a"), row("2", "b")), update(orders, row("2", "b"), row("2", "c"))).feed(t, a)
	a.Seal(time.UnixMicro(2))
	want := []string{
		`s.shop.orders/0 seq=1 at 0/200:1 key={"id":1} d {"id":1,"note":"a"} -> null newkey={"id":2}`,
		`s.shop.orders/0 seq=1 at 0/200:1 key={"id":1} tombstone`,
		`s.shop.orders/1 seq=2 at 0/200:2 key={"id":2} c null -> {"id":2,"note":"b"} oldkey={"id":1}`,
		`s.shop.orders/1 seq=3 at 0/200:3 key={"id":2} u {"id":2,"note":"b"} -> {"id":2,"note":"c"}`,
	}
	if diff := cmp.Diff(want, lines(t, b)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestAssemblerPutsTruncatesAside(t *testing.T) {
	a, b := assemble(start()), &Batch{}
	a.Use(b)
	x := tx(7, 0x200)
	must(t, a.Begin(x.Transaction))
	must(t, a.Truncate(0x1f0, []*cdc.Table{orders, logs}))
	must(t, a.Change(insert(logs, "after")))
	must(t, a.Commit(x.Transaction))
	a.Seal(time.UnixMicro(2))
	want := []string{
		`s.truncate/0 seq=1 at 0/200:1 t null -> null`,
		`s.truncate/0 seq=2 at 0/200:2 t null -> null`,
		`s.shop.logs/0 seq=3 at 0/200:3 c null -> {"line":"after"}`,
	}
	if diff := cmp.Diff(want, lines(t, b)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// A table whose description changes within a batch, or that is dropped and made anew there, still has one topic.
func TestAssemblerNamesATopicOnceThoughItsTableChanges(t *testing.T) {
	a, b := assemble(start()), &Batch{}
	a.Use(b)
	altered, anew := *logs, *logs
	altered.Columns = []cdc.Column{{Name: "text", Type: 25, Modifier: -1, Identity: true}}
	anew.OID = 99
	tx(7, 0x200, insert(logs, "a"), insert(&altered, "b"), insert(&anew, "c")).feed(t, a)
	a.Seal(time.UnixMicro(2))
	if diff := cmp.Diff([]string{"tx 7 at 0/200: seq 1 to 3, 3 in s.shop.logs, ends at 0/210"}, order(t, b)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	want := map[string]map[int32]uint64{"s.shop.logs": {0: 3}}
	if diff := cmp.Diff(want, b.checkpoint.Touched); diff != "" {
		t.Errorf("touched (-want +got):\n%s", diff)
	}
}

func TestAssemblerRefusesARowThatKafkaWouldNotTake(t *testing.T) {
	a := assemble(start())
	a.Use(&Batch{})
	must(t, a.Begin(tx(7, 0x200).Transaction))
	var refusal *cdc.Refusal
	err := a.Change(insert(orders, "12", strings.Repeat("x", kafka.MaxRecordBytes)))
	if !errors.As(err, &refusal) || refusal.Name != "row_too_large" || !strings.Contains(err.Error(), `shop.orders with the key {"id":12}`) {
		t.Fatalf("got %v", err)
	}
	_, words, _ := strings.Cut(refusal.Problem, "would be a record of ")
	var size, limit int
	if _, err := fmt.Sscanf(words, "%d bytes and %d is the limit", &size, &limit); err != nil || limit != maxRecord ||
		size < kafka.MaxRecordBytes || size > kafka.MaxRecordBytes+1<<10 {
		t.Errorf("the problem is %q", refusal.Problem)
	}
}

func TestAssemblerRefusesAnotherTransactionThanTheOneLeftHalfDone(t *testing.T) {
	from := start()
	from.Partial = &Partial{Commit: 0x300, XID: 9, EventsDone: 2}
	a := assemble(from)
	a.Use(&Batch{})
	var refusal *cdc.Refusal
	if err := a.Begin(tx(10, 0x310).Transaction); !errors.As(err, &refusal) || refusal.Name != "partial_transaction_missing" || !refusal.Unsafe {
		t.Errorf("begin: %v", err)
	}
	must(t, a.Begin(tx(9, 0x300).Transaction))
	must(t, a.Change(insert(logs, "one")))
	must(t, a.Change(insert(logs, "two")))
	if err := a.Commit(tx(9, 0x300).Transaction); !errors.As(err, &refusal) || refusal.Name != "partial_transaction_shorter" {
		t.Errorf("commit: %v", err)
	}
}

// However the stream is cut into Kafka transactions, and wherever it is killed and resumed, the records are the same.
func TestAssemblerGivesTheSameRecordsHoweverItIsCutAndKilled(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		history := drawHistory(rt)
		whole, _ := replay(t, history, start(), func() bool { return false })

		var cut []string
		from := start()
		for from.Commit < history[len(history)-1].Commit {
			limit := rapid.IntRange(1, 20).Draw(rt, "records before the kill")
			part, last := replay(t, history, from, func() bool { limit--; return limit >= 0 && rapid.Bool().Draw(rt, "cut") })
			// Killed after a committed Kafka transaction: what was in the batch after it is lost with the process.
			survived := rapid.IntRange(1, len(last)).Draw(rt, "committed")
			for _, b := range part[:survived] {
				cut = append(cut, b...)
			}
			text, err := json.Marshal(last[survived-1])
			must(t, err)
			from = Checkpoint{}
			must(t, json.Unmarshal(text, &from))
		}
		var want []string
		for _, b := range whole {
			want = append(want, b...)
		}
		if diff := cmp.Diff(want, cut); diff != "" {
			rt.Fatalf("records (-whole +cut):\n%s", diff)
		}
	})
}

// replay feeds what the source sends from a checkpoint, and returns the records and the checkpoint of each batch. cut is
// asked before each event.
func replay(t *testing.T, history []transaction, from Checkpoint, cut func() bool) (records [][]string, checkpoints []Checkpoint) {
	a := assemble(from)
	b := &Batch{}
	a.Use(b)
	seal := func() {
		a.Seal(time.UnixMicro(2))
		records = append(records, lines(t, b))
		checkpoints = append(checkpoints, b.checkpoint)
		b = &Batch{}
		a.Use(b)
	}
	for _, x := range history {
		if cdc.LSN(x.Commit) < cdc.LSN(from.End) {
			continue // SnapBuildCommitTxn's rule: sent if the commit record starts at or after the start
		}
		must(t, a.Begin(x.Transaction))
		for _, c := range x.changes {
			if cut() && !b.empty() {
				seal()
			}
			must(t, a.Change(c))
		}
		must(t, a.Commit(x.Transaction))
	}
	seal()
	return records, checkpoints
}

func drawHistory(rt *rapid.T) []transaction {
	var history []transaction
	commit := cdc.CommitLSN(0x100)
	for xid := range rapid.IntRange(1, 6).Draw(rt, "transactions") {
		var changes []*cdc.Change
		for range rapid.IntRange(1, 6).Draw(rt, "changes") {
			id := fmt.Sprint(rapid.IntRange(1, 9).Draw(rt, "id"))
			switch rapid.IntRange(0, 4).Draw(rt, "kind") {
			case 0:
				changes = append(changes, insert(orders, id, "a"))
			case 1:
				changes = append(changes, remove(orders, id, "a"))
			case 2:
				changes = append(changes, update(orders, row(id, "a"), row(id, "b")))
			case 3:
				changes = append(changes, update(orders, row(id, "a"), row(id+"0", "b")))
			case 4:
				changes = append(changes, insert(logs, id))
			}
		}
		history = append(history, tx(uint32(xid+1), commit, changes...))
		commit += 0x10 // the next commit record starts where this one ends
	}
	return history
}
