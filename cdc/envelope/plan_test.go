package envelope

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
)

var stream = Stream{Name: "livedb", Database: "postgres", Version: "0.1.0", Epoch: 3}

// orders is the table of the golden files.
func orders(identity cdc.Identity) *cdc.Table {
	full := identity == cdc.IdentityFull
	return &cdc.Table{OID: 16384, Schema: "public", Name: "orders", Identity: identity, Columns: []cdc.Column{
		{Name: "id", Type: int8OID, Modifier: -1, Identity: true},
		{Name: "amount", Type: numericOID, Modifier: 10<<16 | 2 + 4, Identity: full},
		{Name: "note", Type: 25, Modifier: -1, Identity: full},
		{Name: "image", Type: byteaOID, Modifier: -1, Identity: full},
		{Name: "tags", Type: 1009, Modifier: -1, Identity: full},
		{Name: "at", Type: timestamptzOID, Modifier: 3, Identity: full},
	}}
}

var (
	before = textRow("1", "199.99", "a \"note\"", `\x010203`, "{new,gift}", "2016-11-04 11:51:30.12+00")
	after  = textRow("1", "0.50", "another", `\x010203`, "{}", "2016-11-04 11:51:30+00")
	moved  = textRow("2", "0.50", "another", `\x010203`, "{}", "2016-11-04 11:51:30+00")
)

// keyOnly is a row as pgoutput's K tuple brings it: what is not the key is null and means nothing.
func keyOnly(row cdc.Row) cdc.Row {
	out := make(cdc.Row, len(row))
	out[0] = row[0]
	return out
}

// with returns a copy of the row with some columns in another state.
func with(row cdc.Row, state cdc.State, columns ...int) cdc.Row {
	out := append(cdc.Row(nil), row...)
	for _, c := range columns {
		out[c] = cdc.Value{State: state}
	}
	return out
}

func newPlan(t testing.TB, table *cdc.Table, key ...string) *Plan {
	t.Helper()
	plan, err := NewPlan(stream, table, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// One golden file per kind of event. A file shows the keys beside the values, in the order of Kafka's records.
func TestGoldenEvents(t *testing.T) {
	for _, c := range []struct {
		name     string
		identity cdc.Identity
		change   cdc.Change
	}{
		{"insert", 'd', cdc.Change{Op: cdc.Insert, New: with(before, cdc.Null, 2)}},
		{"update-default", 'd', cdc.Change{Op: cdc.Update, New: after}},
		{"update-default-key-sent-unchanged", 'd', cdc.Change{Op: cdc.Update, OldKind: cdc.OldKey, Old: keyOnly(before), New: after}},
		{"update-default-toast", 'd', cdc.Change{Op: cdc.Update, New: with(after, cdc.Unchanged, 2, 3, 4)}},
		{"update-full", 'f', cdc.Change{Op: cdc.Update, OldKind: cdc.OldFull, Old: before, New: after}},
		{"update-full-toast", 'f', cdc.Change{Op: cdc.Update, OldKind: cdc.OldFull, Old: before, New: with(after, cdc.Unchanged, 2, 3, 4)}},
		{"delete-default", 'd', cdc.Change{Op: cdc.Delete, OldKind: cdc.OldKey, Old: keyOnly(before)}},
		{"delete-full", 'f', cdc.Change{Op: cdc.Delete, OldKind: cdc.OldFull, Old: before}},
		{"key-change-default", 'd', cdc.Change{Op: cdc.Update, OldKind: cdc.OldKey, Old: keyOnly(before), New: with(moved, cdc.Unchanged, 2)}},
		{"key-change-full", 'f', cdc.Change{Op: cdc.Update, OldKind: cdc.OldFull, Old: before, New: with(moved, cdc.Unchanged, 2)}},
		{"snapshot", 'd', cdc.Change{Op: cdc.Read, New: before}},
		{"truncate", 'd', cdc.Change{Op: cdc.Truncate}},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan := newPlan(t, orders(c.identity), "id")
			meta := sampleMeta()
			if c.change.Op == cdc.Read {
				meta.LastCommit = 0
			}
			golden(t, "events/"+c.name+".golden", story(t, plan, meta, &c.change))
		})
	}
}

// story writes a change's records as the producer would, for eyes.
func story(t *testing.T, plan *Plan, meta *Meta, c *cdc.Change) []byte {
	t.Helper()
	var out bytes.Buffer
	add := func(key, value []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if compacted := new(bytes.Buffer); json.Compact(compacted, value) != nil || !bytes.Equal(compacted.Bytes(), value) {
			t.Fatalf("the value holds white space or is not JSON: %s", value)
		}
		out.WriteString("key " + string(key) + "\nvalue ")
		json.Indent(&out, value, "", "  ")
		out.WriteString("\n")
		if event, err := ParseEvent(value); err != nil || event.Source.Seq != meta.Seq {
			t.Fatalf("read back as %+v, %v", event, err)
		}
	}
	key := func(dst []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return dst
	}
	event := func(op cdc.Op) ([]byte, error) {
		return plan.AppendEvent(nil, meta, op, c.Old, c.OldKind, c.New)
	}

	switch {
	case c.Op == cdc.Truncate:
		value, err := plan.AppendTruncate(nil, meta)
		add([]byte("null"), value, err)
	case plan.KeyChanged(c):
		value, err := event(cdc.Delete)
		add(key(plan.AppendKey(nil, c.Old)), value, err)
		meta.Seq++
		value, err = event(cdc.Insert)
		add(key(plan.AppendNewKey(nil, c)), value, err)
	case c.Op == cdc.Delete:
		value, err := event(cdc.Delete)
		add(key(plan.AppendKey(nil, c.Old)), value, err)
	default:
		value, err := event(c.Op)
		add(key(plan.AppendNewKey(nil, c)), value, err)
	}
	return out.Bytes()
}

// The whole of an event, byte by byte: the order of the fields is Debezium's.
func TestEventBytes(t *testing.T) {
	plan := newPlan(t, &cdc.Table{Schema: "public", Name: "orders", Columns: []cdc.Column{
		{Name: "id", Type: int4OID, Modifier: -1, Identity: true},
		{Name: "amount", Type: numericOID, Modifier: -1},
	}}, "id")
	got, err := plan.AppendEvent([]byte("before "), sampleMeta(), cdc.Insert, nil, cdc.OldNone, textRow("1", "199.99"))
	want := `before {"before":null,"after":{"id":1,"amount":"199.99"},` +
		`"source":{"version":"0.1.0","connector":"postgresql","name":"livedb",` +
		`"ts_ms":1559033904863,"snapshot":"false","db":"postgres",` +
		`"sequence":"[\"24023119\",\"24023128\"]","ts_us":1559033904863123,"ts_ns":1559033904863123000,` +
		`"schema":"public","table":"orders","txId":555,"lsn":24023128,"xmin":null,` +
		`"origin":null,"origin_lsn":null,"commit_lsn":24023200,"seq":1041,"epoch":3},` +
		`"transaction":null,"op":"c","ts_ms":1559033904863,"ts_us":1559033904863841,"ts_ns":1559033904863841257}`
	if err != nil || string(got) != want {
		t.Errorf("\n got %s, %v\nwant %s", got, err, want)
	}

	meta := sampleMeta()
	meta.LastCommit = 0
	got, err = plan.AppendTruncate(nil, meta)
	if err != nil || !strings.Contains(string(got), `"sequence":"[null,\"24023128\"]"`) {
		t.Errorf("first transaction: got %s, %v", got, err)
	}
}

func TestNamesAreEscaped(t *testing.T) {
	table := &cdc.Table{Schema: `a"b`, Name: "ü\n", Columns: []cdc.Column{{Name: `c"\`, Type: 25, Modifier: -1}, {Name: `c`, Type: 25}}}
	plan, err := NewPlan(Stream{Name: `n"`, Database: `d"`, Version: `v"`}, table, []string{`c"\`, "c"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	value, err := plan.AppendEvent(nil, sampleMeta(), cdc.Insert, nil, cdc.OldNone, textRow("x", "y"))
	if err != nil {
		t.Fatal(err)
	}
	event, err := ParseEvent(value)
	if err != nil || event.Source.Schema != `a"b` || event.Source.Table != "ü\n" || string(event.After) != `{"c\"\\":"x","c":"y"}` {
		t.Errorf("got %+v, %v", event, err)
	}
	key, err := plan.AppendKey(nil, textRow("x", "y"))
	if err != nil || string(key) != `{"c\"\\":"x","c":"y"}` {
		t.Errorf("key %s, %v", key, err)
	}
}

func TestNewPlanRefuses(t *testing.T) {
	latin1 := orders('d')
	latin1.Columns[2].Name = "gr\xfc\xdfe"
	schema := orders('d')
	schema.Schema = "\xff"
	for _, c := range []struct {
		name  string
		table *cdc.Table
		key   []string
		types Types
		want  []string
	}{
		{"missing key column", orders('d'), []string{"id", "nr"}, nil, []string{"public.orders", "nr", "does not exist"}},
		{"key column named twice", orders('d'), []string{"id", "id"}, nil, []string{"public.orders", "id", "twice"}},
		{"key outside the identity", orders('d'), []string{"note"}, nil, []string{"public.orders", "note", "replica identity"}},
		{"column name", latin1, nil, nil, []string{"public.orders", "UTF-8"}},
		{"schema name", schema, nil, nil, []string{"orders", "UTF-8"}},
		{"endless type", orders('d'), nil, Types{25: {Base: 25}}, []string{"public.orders", "note", "nested"}},
	} {
		plan, err := NewPlan(stream, c.table, c.key, c.types)
		if err == nil {
			t.Errorf("%s: got a plan for %v", c.name, plan.Table())
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error %q does not name %q", c.name, err, want)
			}
		}
	}
}

func TestPlanOfTableWithoutKey(t *testing.T) {
	plan := newPlan(t, orders('f'))
	if plan.HasKey() || plan.Table().Name != "orders" {
		t.Errorf("HasKey %v, table %v", plan.HasKey(), plan.Table())
	}
	if key, err := plan.AppendKey([]byte("x"), before); err == nil || string(key) != "x" {
		t.Errorf("key %s, %v", key, err)
	}
	if plan.KeyChanged(&cdc.Change{Op: cdc.Update, OldKind: cdc.OldFull, Old: before, New: moved}) {
		t.Error("a key that does not exist has changed")
	}
	if _, err := plan.AppendEvent(nil, sampleMeta(), cdc.Update, before, cdc.OldFull, moved); err != nil {
		t.Error(err)
	}
}

func TestTableWithoutColumns(t *testing.T) {
	plan := newPlan(t, &cdc.Table{Schema: "public", Name: "nothing", Identity: 'f'})
	value, err := plan.AppendEvent(nil, sampleMeta(), cdc.Delete, cdc.Row{}, cdc.OldFull, nil)
	if err != nil || !strings.HasPrefix(string(value), `{"before":{},"after":null,`) {
		t.Errorf("got %s, %v", value, err)
	}
}

func TestClockThatWasNeverSet(t *testing.T) {
	meta := &Meta{Seq: 1, Tx: cdc.Transaction{Time: time.UnixMicro(-1)}}
	value, err := newPlan(t, orders('d'), "id").AppendTruncate(nil, meta)
	if err != nil || strings.Count(string(value), `":0,`) == 0 || !json.Valid(value) {
		t.Errorf("got %s, %v", value, err)
	}
}
