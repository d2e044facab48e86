package envelope

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/livedb/livedb/cdc"
)

// tenants has an identity of two columns beside others, the first of them large.
func tenants() *cdc.Table {
	return &cdc.Table{Schema: "s", Name: "tenants", Identity: cdc.IdentityIndex, Columns: []cdc.Column{
		{Name: "body", Type: 25, Modifier: -1},
		{Name: "tenant", Type: 25, Modifier: -1, Identity: true},
		{Name: "nr", Type: int4OID, Modifier: -1, Identity: true},
		{Name: "on", Type: boolOID, Modifier: -1},
	}}
}

func event(t *testing.T, plan *Plan, op cdc.Op, c *cdc.Change) (before, after string) {
	t.Helper()
	value, err := plan.AppendEvent(nil, sampleMeta(), op, c.Old, c.OldKind, c.New)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ParseEvent(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(e.Before), string(e.After)
}

// Postgres sends the old key too when a key column was stored out of line, and does not log that column again: the key
// of the event comes from the old row, and nothing was changed.
func TestKeyColumnOutOfLine(t *testing.T) {
	plan := newPlan(t, tenants(), "nr", "tenant")
	c := &cdc.Change{
		Op: cdc.Update, OldKind: cdc.OldKey,
		Old: with(textRow("", "long", "7", ""), cdc.Null, 0, 3),
		New: with(textRow("b", "", "7", "t"), cdc.Unchanged, 1),
	}
	if plan.KeyChanged(c) {
		t.Error("the key has not changed")
	}
	key, err := plan.AppendNewKey([]byte("k"), c)
	if err != nil || string(key) != `k{"nr":7,"tenant":"long"}` {
		t.Errorf("key %s, %v", key, err)
	}
	if before, after := event(t, plan, cdc.Update, c); before != "null" || after != `{"body":"b","tenant":"long","nr":7,"on":true}` {
		t.Errorf("before %s, after %s", before, after)
	}

	// The other key column changes: the new key is made of both rows.
	c.New[2].Text = []byte("8")
	if !plan.KeyChanged(c) {
		t.Error("the key has changed")
	}
	key, err = plan.AppendNewKey(nil, c)
	if err != nil || string(key) != `{"nr":8,"tenant":"long"}` {
		t.Errorf("new key %s, %v", key, err)
	}
	key, err = plan.AppendKey(nil, c.Old)
	if err != nil || string(key) != `{"nr":7,"tenant":"long"}` {
		t.Errorf("old key %s, %v", key, err)
	}
	if before, _ := event(t, plan, cdc.Delete, c); before != `{"body":null,"tenant":"long","nr":7,"on":null}` {
		t.Errorf("before %s", before)
	}
	if _, after := event(t, plan, cdc.Insert, c); after != `{"body":"b","tenant":"long","nr":8,"on":true}` {
		t.Errorf("after %s", after)
	}
}

// The Kafka key may be a part of the identity. An identity that changes beside it is told in before.
func TestIdentityChangesBesideTheKey(t *testing.T) {
	plan := newPlan(t, tenants(), "tenant")
	c := &cdc.Change{
		Op: cdc.Update, OldKind: cdc.OldKey,
		Old: with(textRow("", "a", "7", ""), cdc.Null, 0, 3),
		New: with(textRow("", "a", "8", "f"), cdc.Unchanged, 0),
	}
	if plan.KeyChanged(c) {
		t.Error("the key has not changed")
	}
	before, after := event(t, plan, cdc.Update, c)
	if before != `{"body":null,"tenant":"a","nr":7,"on":null}` || after != `{"body":"__debezium_unavailable_value","tenant":"a","nr":8,"on":false}` {
		t.Errorf("before %s, after %s", before, after)
	}
}

func TestKeyChanged(t *testing.T) {
	plan := newPlan(t, orders('d'), "id")
	for _, c := range []struct {
		name   string
		change cdc.Change
		want   bool
	}{
		{"insert", cdc.Change{Op: cdc.Insert, New: before}, false},
		{"delete", cdc.Change{Op: cdc.Delete, OldKind: cdc.OldKey, Old: keyOnly(before)}, false},
		{"update without old row", cdc.Change{Op: cdc.Update, New: after}, false},
		{"update with the same key", cdc.Change{Op: cdc.Update, OldKind: cdc.OldKey, Old: keyOnly(before), New: after}, false},
		{"update with the same key, full", cdc.Change{Op: cdc.Update, OldKind: cdc.OldFull, Old: before, New: after}, false},
		{"update of the key", cdc.Change{Op: cdc.Update, OldKind: cdc.OldKey, Old: keyOnly(before), New: moved}, true},
		{"update of the key, full", cdc.Change{Op: cdc.Update, OldKind: cdc.OldFull, Old: before, New: moved}, true},
		{"from null", cdc.Change{Op: cdc.Update, OldKind: cdc.OldFull, Old: with(before, cdc.Null, 0), New: before}, true},
		{"rows of another table", cdc.Change{Op: cdc.Update, OldKind: cdc.OldFull, Old: before[:2], New: moved}, false},
	} {
		if got := plan.KeyChanged(&c.change); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

// Promise G4: an error names table, column and type, and leaves the buffer as it was.
func TestAppendEventRefuses(t *testing.T) {
	broken := append(cdc.Row(nil), after...)
	broken[1] = cdc.Value{State: cdc.Text, Text: []byte("12,5")}
	for _, c := range []struct {
		name    string
		op      cdc.Op
		old     cdc.Row
		oldKind cdc.Old
		new     cdc.Row
		want    []string
	}{
		{"invalid value", cdc.Insert, nil, cdc.OldNone, broken, []string{"public.orders", "amount", "numeric", "12,5"}},
		{"invalid old value", cdc.Update, broken, cdc.OldFull, after, []string{"public.orders", "amount", "numeric"}},
		{"unchanged key in an insert", cdc.Insert, nil, cdc.OldNone, with(after, cdc.Unchanged, 0), []string{"public.orders", "id", "unchanged"}},
		{"unchanged in a snapshot", cdc.Read, nil, cdc.OldNone, with(after, cdc.Unchanged, 2), []string{"public.orders", "note", "unchanged"}},
		{"unchanged key", cdc.Update, nil, cdc.OldNone, with(after, cdc.Unchanged, 0), []string{"public.orders", "id", "unchanged"}},
		{"unchanged value of fixed size", cdc.Update, nil, cdc.OldNone, with(after, cdc.Unchanged, 5), []string{"public.orders", "at", "timestamp with time zone", "unchanged"}},
		{"unchanged in the old row", cdc.Update, with(before, cdc.Unchanged, 2), cdc.OldFull, after, []string{"public.orders", "note", "unchanged"}},
		{"unchanged in both rows", cdc.Insert, with(before, cdc.Unchanged, 2), cdc.OldFull, with(after, cdc.Unchanged, 2), []string{"public.orders", "note", "unchanged"}},
		{"unchanged old key", cdc.Delete, with(before, cdc.Unchanged, 0), cdc.OldKey, nil, []string{"public.orders", "id", "unchanged"}},
		{"unknown state", cdc.Insert, nil, cdc.OldNone, with(after, 9, 2), []string{"public.orders", "note"}},
		{"delete without old row", cdc.Delete, nil, cdc.OldNone, nil, []string{"public.orders", "replica identity"}},
		{"short row", cdc.Insert, nil, cdc.OldNone, after[:3], []string{"public.orders", "3"}},
		{"short old row", cdc.Delete, before[:3], cdc.OldKey, nil, []string{"public.orders", "3"}},
		{"unknown kind of old row", cdc.Delete, before, 9, nil, []string{"public.orders", "9"}},
		{"truncate", cdc.Truncate, nil, cdc.OldNone, after, []string{"public.orders", "op t"}},
		{"message", cdc.Message, nil, cdc.OldNone, after, []string{"public.orders", "op m"}},
	} {
		plan := newPlan(t, orders('d'), "id")
		got, err := plan.AppendEvent([]byte("as it was"), sampleMeta(), c.op, c.old, c.oldKind, c.new)
		if err == nil || string(got) != "as it was" {
			t.Errorf("%s: got %s, %v", c.name, got, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error %q does not name %q", c.name, err, want)
			}
		}
	}
}

func TestAppendKeyRefuses(t *testing.T) {
	plan := newPlan(t, orders('d'), "id")
	for name, row := range map[string]cdc.Row{
		"unchanged": with(after, cdc.Unchanged, 0),
		"invalid":   textRow("one", "0", "", "", "{}", "infinity"),
		"short":     after[:3],
	} {
		key, err := plan.AppendKey([]byte("as it was"), row)
		if err == nil || string(key) != "as it was" || !strings.Contains(err.Error(), "public.orders") {
			t.Errorf("%s: got %s, %v", name, key, err)
		}
	}
	if key, err := plan.AppendNewKey(nil, &cdc.Change{Op: cdc.Update, OldKind: cdc.OldFull, Old: before[:1], New: after}); err == nil {
		t.Errorf("short old row: got %s", key)
	}
}

// Errors reach logs: they show the beginning of a value, not the whole of it.
func TestErrorsAreShort(t *testing.T) {
	row := append(cdc.Row(nil), after...)
	row[1] = cdc.Value{State: cdc.Text, Text: []byte(strings.Repeat("12,", 10000))}
	_, err := newPlan(t, orders('d'), "id").AppendEvent(nil, sampleMeta(), cdc.Insert, nil, cdc.OldNone, row)
	if err == nil || len(err.Error()) > 200 {
		t.Errorf("got %v", err)
	}
}

// The hot path allocates nothing once the buffer has its size, whatever the types.
func TestNothingIsAllocatedPerEvent(t *testing.T) {
	values, types := readRecorded(t)
	table := &cdc.Table{Schema: "public", Name: "all", Identity: cdc.IdentityFull}
	var row cdc.Row
	for i, v := range values {
		table.Columns = append(table.Columns, cdc.Column{Name: strings.Repeat("c", i+1), Type: v.oid, TypeName: v.name, Modifier: v.modifier, Identity: true})
		row = append(row, cdc.Value{State: cdc.Text, Text: []byte(v.text)})
	}
	key := []string{"c", "cc", "ccc"}
	plan, err := NewPlan(stream, table, key, types)
	if err != nil {
		t.Fatal(err)
	}

	buf := make([]byte, 0, 1<<20)
	meta := sampleMeta()
	change := &cdc.Change{Op: cdc.Update, OldKind: cdc.OldFull, Old: row, New: row}
	got := testing.AllocsPerRun(100, func() {
		out, err := plan.AppendEvent(buf, meta, cdc.Update, row, cdc.OldFull, row)
		if err == nil {
			out, err = plan.AppendEvent(out, meta, cdc.Insert, nil, cdc.OldNone, row)
		}
		if err == nil {
			out, err = plan.AppendTruncate(out, meta)
		}
		if err == nil && !plan.KeyChanged(change) {
			out, err = plan.AppendNewKey(out, change)
		}
		if err != nil || cap(out) != cap(buf) {
			t.Fatal(err, cap(out))
		}
	})
	if got != 0 {
		t.Errorf("%v allocations per event", got)
	}

	value, err := plan.AppendEvent(nil, meta, cdc.Insert, nil, cdc.OldNone, row)
	if err != nil || !json.Valid(value) {
		t.Errorf("not JSON: %v", err)
	}
}
