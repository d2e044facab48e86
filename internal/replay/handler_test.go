package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/producer"
)

var users = &cdc.Table{OID: 1, Schema: "public", Name: "users", Identity: cdc.IdentityFull, Columns: []cdc.Column{{Name: "id", Type: 23, Modifier: -1, Identity: true}}}

func user(id string) cdc.Row { return cdc.Row{{State: cdc.Text, Text: []byte(id)}} }

// due is the transaction that the order tells of: three events, of a key change and an insert.
func due() *transaction {
	return &transaction{Transaction: cdc.Transaction{XID: 7, Commit: 0x500, End: 0x530, Time: time.UnixMicro(9)}, First: 11, Last: 13,
		Counts: map[string]uint64{"s.public.users": 3}, Previous: 0x400, known: true}
}

// handle returns a handler that waits for a transaction and has its events written to the buffer.
func handle(t *testing.T, p *plan, next *transaction) (*handler, *bytes.Buffer, func()) {
	t.Helper()
	out := &bytes.Buffer{}
	stream := envelope.Stream{Name: "s", Database: "db", Version: "test", Epoch: 1}
	a := producer.NewAssembler(stream, p.begin(producer.Source{}), time.Now, func(table *cdc.Table) (producer.Place, string, *envelope.Plan, *producer.Topology, error) {
		place := producer.Place{Schema: table.Schema, Table: table.Name, Partitions: 1, Key: []string{"id"}}
		plan, err := envelope.NewPlan(stream, table, place.Key, nil)
		return place, "s.public." + table.Name, plan, nil, err
	})
	a.Elsewhere("s")
	w := producer.NewSinkWriter(a, newLines("x", out).write, producer.Limits{}, metrics.NewCDC(prometheus.NewRegistry()), &producer.Progress{})
	ended := make(chan error, 1)
	go func() { ended <- w.Write(t.Context()) }()
	h := &handler{Writer: w, topics: "s", to: p.To.Position, cut: !p.Whole, next: next, counts: map[*cdc.Table]uint64{}, seen: cdc.LSN(next.Commit), pace: newPacer(0)}
	return h, out, func() {
		w.Drain()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func whole() *plan {
	tx := due()
	return &plan{Epoch: 1, From: tx.place(1), To: tx.place(3), Previous: 0x400, Whole: true}
}

func begun(tx *transaction) cdc.Transaction {
	b := tx.Transaction
	b.End = 0
	return b
}

func moved() *cdc.Change {
	return &cdc.Change{Op: cdc.Update, Table: users, OldKind: cdc.OldFull, Old: user("1"), New: user("2")}
}

func added() *cdc.Change { return &cdc.Change{Op: cdc.Insert, Table: users, New: user("3")} }

// A source that shows anything else than what was delivered stops the replay, before what differs is written.
func TestWhatDiffersFromTheOrderStopsTheReplay(t *testing.T) {
	other := func(change func(*cdc.Transaction)) func(h *handler) error {
		return func(h *handler) error {
			tx := begun(due())
			change(&tx)
			return h.Begin(tx)
		}
	}
	inside := func(do func(h *handler) error) func(h *handler) error {
		return func(h *handler) error {
			if err := h.Begin(begun(due())); err != nil {
				return err
			}
			return do(h)
		}
	}
	for story, do := range map[string]func(h *handler) error{
		"another id":            other(func(tx *cdc.Transaction) { tx.XID++ }),
		"another time":          other(func(tx *cdc.Transaction) { tx.Time = tx.Time.Add(time.Microsecond) }),
		"a later one":           other(func(tx *cdc.Transaction) { tx.Commit++ }),
		"one that nobody knows": other(func(tx *cdc.Transaction) { tx.Commit-- }),
		"none":                  func(h *handler) error { return h.Quiet(0x501, false) },
		"too many events":       inside(func(h *handler) error { return errors.Join(h.Change(moved()), h.Change(moved())) }),
		"too few events": inside(func(h *handler) error {
			return errors.Join(h.Change(moved()), h.Commit(due().Transaction))
		}),
		"events of another table": inside(func(h *handler) error {
			table := *users
			table.Name = "others"
			c := added()
			c.Table = &table
			return errors.Join(h.Change(moved()), h.Change(c), h.Commit(due().Transaction))
		}),
		"a truncate instead": inside(func(h *handler) error {
			return errors.Join(h.Change(moved()), h.Truncate(1, []*cdc.Table{users}), h.Commit(due().Transaction))
		}),
		"another end": inside(func(h *handler) error {
			tx := due().Transaction
			tx.End++
			return errors.Join(h.Change(moved()), h.Change(added()), h.Commit(tx))
		}),
	} {
		t.Run(story, func(t *testing.T) {
			h, out, end := handle(t, whole(), due())
			refused(t, do(h), "replay_differs")
			if end(); out.Len() > 0 {
				t.Errorf("written: %s", out)
			}
		})
	}
	h, _, end := handle(t, whole(), due())
	defer end()
	if err := h.Quiet(0x500, false); err != nil { // the commit record may begin at that very place
		t.Error(err)
	}
}

// line is what a line tells.
type line struct {
	Position string
	Seq      uint64
	Topic    string
	Key      map[string]int
	NewKey   map[string]int `json:"new_key"`
	OldKey   map[string]int `json:"old_key"`
	Value    struct{ Op string }
	Replay   string
}

// A replay may begin and end inside a transaction; what a change yields is not divided at the end.
func TestAReplayOfAPartOfATransaction(t *testing.T) {
	for _, c := range []struct {
		from, to uint64
		want     []uint64 // seqs
	}{
		{1, 3, []uint64{11, 12, 13}},
		{2, 3, []uint64{12, 13}},
		{3, 3, []uint64{13}},
		{1, 2, []uint64{11, 12}},
		{1, 1, []uint64{11, 12}},
		{2, 2, []uint64{12}},
	} {
		tx := due()
		p := &plan{Epoch: 1, From: tx.place(c.from), To: tx.place(c.to), Previous: 0x400, Whole: c.to == 3}
		h, out, end := handle(t, p, tx)
		err := h.Begin(begun(tx))
		for _, change := range []*cdc.Change{moved(), added()} {
			if err == nil {
				err = h.Change(change)
			}
		}
		if err == nil {
			err = h.Commit(tx.Transaction)
		}
		if !errors.Is(err, errReached) {
			t.Fatalf("%d to %d: %v", c.from, c.to, err)
		}
		end()
		var got []uint64
		for d := json.NewDecoder(out); d.More(); {
			var l line
			if err := d.Decode(&l); err != nil {
				t.Fatal(err)
			}
			if l.Position != (cdc.Position{Commit: 0x500, Index: l.Seq - 10}).String() || l.Topic != "s.public.users" || l.Replay != "x" {
				t.Errorf("got %+v", l)
			}
			got = append(got, l.Seq)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%d to %d (-want +got):\n%s", c.from, c.to, diff)
		}
	}
}

// A line has the key and the value as they stand on Kafka, and of a key change the other key too.
func TestLines(t *testing.T) {
	tx := due()
	h, out, end := handle(t, whole(), tx)
	if err := errors.Join(h.Begin(begun(tx)), h.Change(moved()), h.Change(added())); err != nil {
		t.Fatal(err)
	}
	if err := h.Commit(tx.Transaction); !errors.Is(err, errReached) {
		t.Fatal(err)
	}
	end()
	var got []line
	for d := json.NewDecoder(out); d.More(); {
		var l line
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		got = append(got, l)
	}
	id := func(n int) map[string]int { return map[string]int{"id": n} }
	want := []line{
		{Position: "0/500:1", Seq: 11, Topic: "s.public.users", Key: id(1), NewKey: id(2), Replay: "x"},
		{Position: "0/500:2", Seq: 12, Topic: "s.public.users", Key: id(2), OldKey: id(1), Replay: "x"},
		{Position: "0/500:3", Seq: 13, Topic: "s.public.users", Key: id(3), Replay: "x"},
	}
	want[0].Value.Op, want[1].Value.Op, want[2].Value.Op = "d", "c", "c"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestThePacerHoldsARate(t *testing.T) {
	p := newPacer(1000)
	p.until = time.Now()
	for range 10 * paceLook { // 640 ms worth, at once
		p.take()
	}
	if left := time.Until(p.until); !p.waits() || left < 400*time.Millisecond || left > 640*time.Millisecond {
		t.Errorf("it waits for %s", left)
	}
	p.until = time.Now().Add(-time.Second)
	if p.waits() {
		t.Error("it waits for what is over")
	}
	for range paceLook {
		p.take()
	}
	if slipped := time.Since(p.until); slipped > paceSlip+time.Second/2 {
		t.Errorf("it makes up for %s", slipped)
	}
	free := newPacer(0)
	for range 10 * paceLook {
		free.take()
	}
	if free.waits() {
		t.Error("one without a limit waits")
	}
}
