package processor

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/livedb/livedb/cdc"
)

// readWant is what encoding/json finds in an envelope.
func readWant(t *rapid.T, f *fold, value []byte) (op cdc.Op, before, after row) {
	var e struct {
		Before, After map[string]json.RawMessage
		Op            string
	}
	if err := json.Unmarshal(value, &e); err != nil {
		t.Fatalf("%s: %v", value, err)
	}
	pick := func(members map[string]json.RawMessage) row {
		r := make(row, len(f.columns))
		for i, name := range f.columns {
			if v, found := members[name]; found && string(v) != unavailable {
				r[i] = v
			}
		}
		return r
	}
	return cdc.Op(e.Op[0]), pick(e.Before), pick(e.After)
}

// Whatever stands in an envelope's rows, and in whatever order its members come, the fold finds what encoding/json finds.
func TestFoldReadsWhatEncodingJSONReads(t *testing.T) {
	traps := []string{`,"source":{"version":"`, `"},"source":{"version":"1"},"op":"d"`, `,"op":"d","ts_ms":1,"ts_us":1,"ts_ns":1}`, `\`, `"`, `{`, `null`, "__debezium_unavailable_value"}
	text := rapid.OneOf(rapid.SampledFrom(traps), rapid.String(), rapid.StringMatching(`[a-z]{0,60}`))
	row := rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
			return "null"
		}
		members := []string{}
		for i, name := range []string{"id", "status", "created_at", "total", "note", "after", "op", "source"} {
			if rapid.IntRange(0, 5).Draw(t, "missing") > 0 {
				var value any = text.Draw(t, name)
				if i%3 == 2 {
					value = map[string]any{"after": text.Draw(t, "inner"), "op": []int{1}}
				}
				b, _ := json.Marshal(value)
				members = append(members, fmt.Sprintf("%q:%s", name, b))
			}
		}
		return "{" + strings.Join(members, ",") + "}"
	})
	rapid.Check(t, func(t *rapid.T) {
		f := newFold(Orders("public"))
		name, _ := json.Marshal(text.Draw(t, "name"))
		members := []string{`"before":` + row.Draw(t, "before"), `"after":` + row.Draw(t, "after"),
			`"source":{"version":"1","name":` + string(name) + `,"seq":7}`, `"transaction":null`,
			fmt.Sprintf(`"op":"%s","ts_ms":1,"ts_us":1234,"ts_ns":1234567`, rapid.SampledFrom([]string{"c", "u", "d", "r", "t"}).Draw(t, "op"))}
		if rapid.Bool().Draw(t, "shuffled") {
			members = rapid.Permutation(members).Draw(t, "members")
		}
		value := []byte("{" + strings.Join(members, rapid.SampledFrom([]string{",", ",", " , "}).Draw(t, "comma")) + "}")
		op, before, after := readWant(t, f, value)
		got, err := f.read(value)
		if err != nil || got != op {
			t.Fatalf("%s: op %c, %v, want %c", value, got, err, op)
		}
		for i, name := range f.columns {
			if string(f.before[i]) != string(before[i]) || string(f.after[i]) != string(after[i]) {
				t.Fatalf("%s: column %s is %s → %s, want %s → %s", value, name, f.before[i], f.after[i], before[i], after[i])
			}
		}
	})
}

// Times are written as the standard library would.
func TestAppendTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.OneOf(rapid.Int64Range(-62167219200000000-1e9, 253402300799999999+1e9), rapid.Int64Range(0, math.MaxInt32)).Draw(t, "at")
		at -= at % rapid.SampledFrom([]int64{1, 10, 1000, 1e6, 3600e6}).Draw(t, "round")
		zoned := rapid.Bool().Draw(t, "zoned")
		want := time.UnixMicro(at).UTC().Format("2006-01-02T15:04:05.999999")
		if zoned {
			want += "Z"
		}
		if got := string(appendTime(nil, at, zoned)); got != `"`+want+`"` {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}

// An event that changes a group that is there costs no allocation.
func TestFoldAllocatesNothing(t *testing.T) {
	f := newFold(Orders("public"))
	first, second := &order{"open", "10:00:00.123456", "1234.56"}, &order{"paid", "10:00:01", "0.1"}
	events := [][]byte{change("c", nil, first), change("c", nil, second), change("u", first, second), change("u", second, first), change("d", second, nil)}
	item := Item{Position: cdc.Position{Commit: 1}}
	take := func() {
		for _, value := range events {
			item.Seq++
			item.Value = value
			if err := f.apply(&item); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 10 {
		take()
	}
	if n := testing.AllocsPerRun(100, take); n > 0 {
		t.Errorf("%v allocations in %d events", n, len(events))
	}
}
