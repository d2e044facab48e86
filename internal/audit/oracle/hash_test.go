package oracle

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// wide is a table with a column of several kinds.
func wide(t testing.TB) []Column {
	t.Helper()
	types := catalog()
	var columns []Column
	for _, c := range []string{"text", "bytea", "_text", "int8", "float8", "timestamp"} {
		column, err := types.Column("c_"+c, named[c], -1)
		if err != nil {
			t.Fatal(err)
		}
		columns = append(columns, column)
	}
	return columns
}

// quoteElements writes an array as Postgres would if it quoted every element.
func quoteElements(elements []*string) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	var written []string
	for _, e := range elements {
		if e == nil {
			written = append(written, "NULL")
			continue
		}
		written = append(written, `"`+escape.Replace(*e)+`"`)
	}
	return "{" + strings.Join(written, ",") + "}"
}

// A row and its event have one hash, in whatever order the event's members stand; and another row has another.
func TestHashesOfARowAndItsEventAgree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		columns := wide(t)
		text := rapid.String().Draw(rt, "text")
		raw := rapid.SliceOf(rapid.Byte()).Draw(rt, "bytes")
		elements := rapid.SliceOf(rapid.Ptr(rapid.String(), true)).Draw(rt, "elements")
		number := rapid.Int64().Draw(rt, "int")
		float := rapid.Float64().Draw(rt, "float")
		at := time.UnixMicro(rapid.Int64Range(-62135596800e6, 253402300799e6).Draw(rt, "time")).UTC() // years 1 to 9999
		if elements == nil {
			elements = []*string{}
		}

		fields := []any{text, raw, elements, number, float, at.Format("2006-01-02T15:04:05.000000")}
		if raw == nil {
			fields[1] = ""
		}
		values := [][]byte{[]byte(text), []byte(`\x` + hex.EncodeToString(raw)), []byte(quoteElements(elements)), fmt.Append(nil, number), fmt.Append(nil, float),
			[]byte(at.Format("2006-01-02 15:04:05.999999"))}
		var members []string
		for i, c := range columns {
			written, err := json.Marshal(fields[i])
			if err != nil {
				rt.Fatal(err)
			}
			members = append(members, fmt.Sprintf("%q: %s", c.Name, written))
		}
		rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		event := json.RawMessage("{" + strings.Join(members, " ,") + "}")

		want, err := RowHash("t", columns, values)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := EventHash("t", columns, event)
		if err != nil || got != want {
			rt.Fatalf("%s has another hash than %q: %v", event, values, err)
		}
		i := rapid.IntRange(0, len(values)-1).Draw(rt, "nulled")
		values[i] = nil
		if other, err := RowHash("t", columns, values); err != nil || other == want {
			rt.Fatalf("a null in column %d changes nothing: %v", i, err)
		}
		if other, err := EventHash("u", columns, event); err != nil || other == want {
			rt.Fatalf("another table changes nothing: %v", err)
		}
	})
}

// What moves from one column into the next is another row, though the bytes in a line would be the same.
func TestHashKeepsColumnsApart(t *testing.T) {
	c := []Column{column(t, "text", -1)[0], column(t, "text", -1)[0]}
	c[1].Name = "w"
	seen := map[Hash]string{}
	for _, row := range [][][]byte{{[]byte("ab"), []byte("")}, {[]byte("a"), []byte("b")}, {[]byte(""), []byte("ab")}, {nil, []byte("ab")}, {[]byte("ab"), nil}, {nil, nil}, {[]byte("n"), nil}} {
		h, err := RowHash("t", c, row)
		if err != nil || seen[h] != "" {
			t.Errorf("%q has the hash of %s: %v", row, seen[h], err)
		}
		seen[h] = fmt.Sprintf("%q", row)
	}
}

// Sums of hashes stand for multisets: what is added and taken away leaves nothing, across the carry.
func TestHashSums(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		draw := rapid.Custom(func(rt *rapid.T) Hash { return Hash{rapid.Uint64().Draw(rt, "high"), rapid.Uint64().Draw(rt, "low")} })
		a, b := draw.Draw(rt, "a"), draw.Draw(rt, "b")
		if a.Add(b) != b.Add(a) || a.Add(b).Sub(b) != a || a.Sub(b).Add(b) != a {
			rt.Fatalf("%s and %s", a, b)
		}
	})
	if got := (Hash{0, 1<<64 - 1}).Add(Hash{0, 1}); got != (Hash{1, 0}) {
		t.Errorf("the carry is lost: %s", got)
	}
}

func TestEventHashRefusesOtherColumns(t *testing.T) {
	c := column(t, "text", -1)
	for _, row := range []string{``, `null`, `[]`, `"v"`, `{}`, `{"w":"x"}`, `{"v":"x","w":"y"}`, `{"v":"x","v":"x"}`, `{"v":"x"`, `{"v"}`} {
		if h, err := EventHash("t", c, json.RawMessage(row)); err == nil {
			t.Errorf("%s has the hash %s", row, h)
		}
	}
	if _, err := EventHash("t", c, json.RawMessage(`{}`)); !errors.Is(err, ErrColumns) {
		t.Errorf("a missing column is %v", err)
	}
}

// Whatever a text column holds, its event has the row's hash; and no JSON makes the hash panic.
func FuzzHash(f *testing.F) {
	for _, seed := range []string{"", "plain", `"{\`, "\x00", "ü\u2028", `{"v":[1,{"a":null}]}`, `{"v":1e999999999}`, `{"v":"\ud800"}`, "\xff", "[1,2]", `"a"=>"b"`, "2020-01-01 00:00:00 BC", "{{a},{b}}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := column(t, "text", -1)
		want, err := rowHash(t, c, text)
		if utf8.ValidString(text) {
			written, _ := json.Marshal(map[string]string{"v": text})
			if got, eventErr := EventHash("t", c, written); err != nil || eventErr != nil || got != want {
				t.Fatalf("%q: %v, %v", text, err, eventErr)
			}
		} else if err == nil {
			t.Fatalf("%q is not UTF-8 and was taken", text)
		}
		for typ := range named {
			c := column(t, typ, -1)
			_, _ = rowHash(t, c, text)                                  // an error, or none
			_, _ = EventHash("t", c, json.RawMessage(text))             // likewise
			_, _ = EventHash("t", c, json.RawMessage(`{"v":`+text+`}`)) // likewise
		}
	})
}
