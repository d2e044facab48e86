package envelope

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/livedb/livedb/cdc"
)

// fuzzed are the types that the fuzz targets choose from: every built-in type and its array, and those known by name.
var fuzzed = func() (columns []cdc.Column) {
	for _, b := range builtins {
		columns = append(columns, cdc.Column{Type: b.oid}, cdc.Column{Type: b.array})
	}
	for _, name := range []string{"hstore", "vector", "halfvec", "sparsevec", "mood"} {
		columns = append(columns, cdc.Column{Type: 90000, TypeName: "public." + name}, cdc.Column{Type: 90001, TypeName: "public._" + name})
	}
	return columns
}()

var fuzzedTypes = Types{90001: {Elem: 90000}}

// Whatever text meets whatever type: the value is an error or valid JSON, stands behind what the buffer held, and the
// text, which belongs to the decoder, is as it was.
func FuzzValue(f *testing.F) {
	values, _ := readRecorded(f)
	for _, v := range values {
		i := slices.IndexFunc(fuzzed, func(c cdc.Column) bool {
			return c.Type == v.oid || v.name != "" && c.TypeName == v.name
		})
		if i >= 0 {
			f.Add(uint16(i), v.modifier, []byte(v.text))
		}
	}
	f.Fuzz(func(t *testing.T, index uint16, modifier int32, text []byte) {
		c := fuzzed[int(index)%len(fuzzed)]
		e, err := flink.resolve(fuzzedTypes, c.Type, c.TypeName, modifier, 0)
		if err != nil {
			t.Fatal(err)
		}
		given := slices.Clone(text)
		out, err := e.write([]byte("before"), text)
		if !bytes.Equal(text, given) {
			t.Fatalf("the text %q became %q", given, text)
		}
		if err != nil {
			return
		}
		value, found := bytes.CutPrefix(out, []byte("before"))
		if !found || !json.Valid(value) || !utf8.Valid(value) {
			t.Fatalf("%s modifier %d: %q was written as %q", typeName(c.Type, c.TypeName), modifier, text, out)
		}

		// The same into a buffer that grows at other places.
		again, err := e.write(make([]byte, 0, 8192), text)
		if err != nil || !bytes.Equal(again, value) {
			t.Fatalf("%q was written as %q, then as %q, %v", text, value, again, err)
		}
	})
}

// The escaper agrees with the standard library.
func FuzzEscape(f *testing.F) {
	for _, text := range []string{"", "plain", "\"\\/\b\f\n\r\t\x00\x7f", "ü世🙂\u2028\u2029\ufffd", "1234567\"", "12345678\"", "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			if got, err := writeText(nil, []byte(text)); err == nil {
				t.Fatalf("%q was written as %s", text, got)
			}
			return
		}
		checkEscaper(t, text)
	})
}

// Whatever rows meet a plan: an error that leaves the buffer alone, or an event that can be read back.
func FuzzEvent(f *testing.F) {
	f.Add([]byte("c"), byte(0), []byte{1, 1, 1, 1, 1, 1}, []byte("1"))
	f.Add([]byte("u"), byte(1), []byte{1, 2, 2, 2, 2, 0}, []byte("7"))
	f.Add([]byte("d"), byte(2), []byte{1, 1, 0, 0, 0, 0}, []byte("7"))
	f.Fuzz(func(t *testing.T, ops []byte, kind byte, states, text []byte) {
		plan := newPlan(t, orders('d'), "id")
		row := func(states []byte) cdc.Row {
			row := make(cdc.Row, len(states))
			for i, s := range states {
				row[i] = cdc.Value{State: cdc.State(s % 4), Text: text}
			}
			return row
		}
		backwards := slices.Clone(states)
		slices.Reverse(backwards)
		old := row(backwards)
		for _, op := range ops {
			c := &cdc.Change{Op: cdc.Op(op), OldKind: cdc.Old(kind % 4), Old: old, New: row(states)}
			plan.KeyChanged(c)
			plan.AppendNewKey(nil, c)
			out, err := plan.AppendEvent([]byte("before"), sampleMeta(), c.Op, c.Old, c.OldKind, c.New)
			value, found := bytes.CutPrefix(out, []byte("before"))
			if !found || err != nil && len(value) > 0 {
				t.Fatalf("the buffer became %q, %v", out, err)
			}
			if err != nil {
				continue
			}
			if event, err := ParseEvent(value); err != nil || event.Kind() != c.Op {
				t.Fatalf("%s: %v", value, err)
			}
		}
	})
}
