package processor

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/livedb/livedb/cdc"
)

// order is a row of the demo's table. An empty string is null.
type order struct{ status, created, total string }

func (o order) json() string {
	quote := func(s string) string {
		if s == "" {
			return "null"
		}
		return `"` + s + `"`
	}
	created := o.created
	if created != "" {
		created = "2026-11-22T" + created + "Z"
	}
	return fmt.Sprintf(`{"id":1,"status":%s,"note":"a \"quoted\" {note}, with \\","created_at":%s,"total":%s,"items":[{"x":1},[]]}`,
		quote(o.status), quote(created), quote(o.total))
}

// change is an event's value: nil is no row.
func change(op string, before, after *order) []byte {
	row := func(o *order) string {
		if o == nil {
			return "null"
		}
		return o.json()
	}
	return fmt.Appendf(nil, `{"before":%s,"after":%s,"source":{"version":"1","connector":"postgresql","name":"p","ts_ms":1559033904863,"snapshot":"false","db":"postgres",`+
		`"sequence":"[\"24023119\",\"24023128\"]","ts_us":1559033904863123,"ts_ns":1559033904863123000,"schema":"public","table":"orders","txId":555,"lsn":24023128,"xmin":null,`+
		`"origin":null,"origin_lsn":null,"commit_lsn":24023200,"seq":1041,"epoch":3},"transaction":null,"op":"%s","ts_ms":1559033904863,"ts_us":1559033904863841,"ts_ns":1559033904863841257}`,
		row(before), row(after), op)
}

// A story is told in lines:
//
//   - paid 10:00:00.5 12.50        an insert: status, created_at, total; a dash is null
//     = paid … to shipped …          an update
//   - paid 10:00:00.5 12.50        a delete
//     truncate
//     late 2                         so many late changes were counted
//     > paid 10:00:00 = 1 12.50      the results since the last such line; "gone" is a removed one
func TestViewTellsStories(t *testing.T) {
	for _, story := range []struct{ name, script string }{
		{"rows are counted and added up by group", `
			+ paid 10:00:00.1 12.50
			+ paid 10:00:00.9 0.50
			+ open 10:00:00.2 1
			+ paid 10:00:01 7.00
			> paid 10:00:00 = 2 13.00, open 10:00:00 = 1 1, paid 10:00:01 = 1 7.00`},
		{"a delete takes its row back, the last one its group", `
			+ paid 10:00:00 12.50
			+ paid 10:00:00 1.00
			> paid 10:00:00 = 2 13.50
			- paid 10:00:00 12.50
			> paid 10:00:00 = 1 1.00
			- paid 10:00:00 1.00
			> paid 10:00:00 gone`},
		{"an update moves a row from group to group", `
			+ open 10:00:00 12.50
			> open 10:00:00 = 1 12.50
			= open 10:00:00 12.50 to paid 10:00:00 12.50
			> open 10:00:00 gone, paid 10:00:00 = 1 12.50
			= paid 10:00:00 12.50 to paid 10:00:05 13.00
			> paid 10:00:00 gone, paid 10:00:05 = 1 13.00`},
		{"an update within a group changes its sum", `
			+ open 10:00:00 12.50
			= open 10:00:00 12.50 to open 10:00:00 2.25
			> open 10:00:00 = 1 2.25`},
		{"a group that came and went leaves nothing", `
			+ open 10:00:00 12.50
			- open 10:00:00 12.50
			>`},
		{"sums are exact, and null without a value", `
			+ open 10:00:00 0.1
			+ open 10:00:00 0.2
			+ open 10:00:00 -
			> open 10:00:00 = 3 0.3 (1 null)
			- open 10:00:00 0.1
			- open 10:00:00 0.2
			> open 10:00:00 = 1 null (1 null)
			+ open 10:00:00 99999999999999999999999999.000000001
			> open 10:00:00 = 2 99999999999999999999999999.000000001 (1 null)`},
		{"null is a group of its own", `
			+ - 10:00:00 1
			+ - - 2
			> - 10:00:00 = 1 1, - - = 1 2`},
		{"truncate clears", `
			+ open 10:00:00 1
			+ paid 10:00:00 2
			+ paid 10:00:01 2
			> open 10:00:00 = 1 1, paid 10:00:00 = 1 2, paid 10:00:01 = 1 2
			- paid 10:00:01 2
			truncate
			> paid 10:00:01 gone, open 10:00:00 gone, paid 10:00:00 gone
			+ open 10:00:00 3
			> open 10:00:00 = 1 3`},
		{"retention drops groups by the event time, and later changes of them are late", `
			+ open 10:00:00 1
			+ open 10:00:01 1
			> open 10:00:00 = 1 1, open 10:00:01 = 1 1
			+ open 10:10:00.999999 1
			> open 10:10:00 = 1 1, open 10:00:00 gone
			- open 10:00:00 1
			+ open 10:00:00 1
			late 2
			>
			= open 10:00:01 1 to open 10:00:00 1
			late 3
			> open 10:00:01 gone
			+ open 10:20:00 1
			> open 10:20:00 = 1 1
			+ open 10:20:01 1
			> open 10:20:01 = 1 1, open 10:10:00 gone`},
		{"a row that was never counted cannot be taken back", `
			+ open 10:00:00 1
			- paid 10:00:00 1
			error uncounted row`},
		{"a group cannot lose more than it has", `
			+ open 10:00:00 1
			- open 10:00:00 1
			- open 10:00:00 1
			error uncounted row`},
		{"a value that is no number", `
			+ open 10:00:00 NaN
			error unusable value`},
		{"a time that is no time", `
			+ open infinity 1
			error unusable value`},
	} {
		t.Run(story.name, func(t *testing.T) { tellView(t, story.script) })
	}
}

func tellView(t *testing.T, script string) {
	t.Helper()
	f, item := newFold(Orders("public")), Item{Tx: Transaction{Epoch: 1}}
	var err error
	for line := range strings.Lines(strings.TrimSpace(script)) {
		line = strings.TrimSpace(line)
		words := append(strings.Fields(line), "", "", "")
		item.Seq++
		item.Position = cdc.Position{Commit: 100, Index: item.Seq}
		switch words[0] {
		case "+":
			item.Value = change("c", nil, parseOrder(words[1:]))
		case "-":
			item.Value = change("d", parseOrder(words[1:]), nil)
		case "=":
			item.Value = change("u", parseOrder(words[1:]), parseOrder(words[5:]))
		case "truncate":
			item.Value = change("t", nil, nil)
			err = errors.Join(err, f.truncate(&item))
			continue
		case "late":
			if got := fmt.Sprint(f.late); got != words[1] {
				t.Fatalf("%s changes were late, want %s", got, words[1])
			}
			continue
		case "error":
			if err == nil || !strings.HasPrefix(err.Error(), strings.TrimPrefix(line, "error ")) || !Broken(err) {
				t.Fatalf("error %v, want %s", err, line)
			}
			err = nil
			continue
		case ">":
			if diff := cmp.Diff(strings.TrimSpace(line[1:]), results(t, f)); diff != "" {
				t.Fatalf("at %q (-want +got):\n%s", line, diff)
			}
			continue
		}
		err = errors.Join(err, f.apply(&item))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func parseOrder(words []string) *order {
	words = slices.Clone(words[:3])
	for i, w := range words {
		if w == "-" {
			words[i] = ""
		}
	}
	return &order{words[0], words[1], words[2]}
}

// results tells the fold's results shortly.
func results(t fataler, f *fold) string {
	var told []string
	f.results(func(key string, value []byte) { told = append(told, short(t, key, value)) })
	return strings.Join(told, ", ")
}

// fataler is what *testing.T and *rapid.T have in common.
type fataler interface {
	Fatal(...any)
	Fatalf(string, ...any)
}

func short(t fataler, key string, value []byte) string {
	var k struct{ Status, Second *string }
	if err := json.Unmarshal([]byte(key), &k); err != nil {
		t.Fatal(err)
	}
	text := "- -"
	if k.Status != nil {
		text = *k.Status + " -"
	}
	if k.Second != nil {
		text = text[:len(text)-1] + strings.TrimSuffix(strings.TrimPrefix(*k.Second, "2026-11-22T"), "Z")
	}
	if value == nil {
		return text + " gone"
	}
	var v struct {
		Orders       int
		Revenue      *string
		RevenueNulls int `json:"revenue_nulls"`
		Position     cdc.Position
		Seq          uint64
		Epoch        uint32
	}
	if err := json.Unmarshal(value, &v); err != nil || v.Epoch == 0 || v.Seq == 0 {
		t.Fatalf("%s: %v", value, err)
	}
	text += fmt.Sprint(" = ", v.Orders, " ")
	if v.Revenue == nil {
		text += "null"
	} else {
		text += *v.Revenue
	}
	if v.RevenueNulls > 0 {
		text += fmt.Sprintf(" (%d null)", v.RevenueNulls)
	}
	return text
}

func TestViewNeedsTheWholeEarlierRow(t *testing.T) {
	for name, value := range map[string]string{
		"no before":      `{"before":null,"after":{"status":"a","created_at":null,"total":null},"op":"u"}`,
		"key only":       `{"before":{"id":1},"after":null,"op":"d"}`,
		"toast":          `{"before":{"status":"__debezium_unavailable_value","created_at":null,"total":null},"after":null,"op":"d"}`,
		"column missing": `{"before":{"status":"a","created_at":null},"after":null,"op":"d"}`,
	} {
		f := newFold(Orders("shop"))
		err := f.apply(&Item{Value: []byte(value), Topic: "p.shop.orders", Partition: 2, Offset: 7})
		if !errors.Is(err, ErrIdentity) || !strings.Contains(err.Error(), "ALTER TABLE shop.orders REPLICA IDENTITY FULL") || !strings.Contains(err.Error(), "offset 7") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A stream without a snapshot tells of rows that it never brought: their windows began before it and are left out whole.
func TestWindowsFromBeforeTheStreamAreLeftOut(t *testing.T) {
	f := newFold(Orders("shop"))
	f.begin = time.Date(2026, 11, 22, 10, 0, 0, 500_000_000, time.UTC).UnixMicro()
	for i, value := range [][]byte{
		change("u", &order{"new", "09:59:59", "1"}, &order{"paid", "09:59:59", "1"}), // of a row from before
		change("d", &order{"new", "10:00:00.2", "1"}, nil),                           // likewise
		change("c", nil, &order{"new", "10:00:00.7", "1"}),                           // in a window that is not whole
		change("c", nil, &order{"new", "10:00:01", "1"}),
		change("u", &order{"new", "10:00:01", "1"}, &order{"paid", "10:00:01", "2.50"}),
	} {
		if err := f.apply(&Item{Value: value, Seq: uint64(i + 1), Tx: Transaction{Epoch: 1}}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := results(t, f), "paid 10:00:01 = 1 2.50"; got != want || f.late != 3 {
		t.Errorf("results %q and %d late, want %q and 3", got, f.late, want)
	}
}

func TestTruncateOfAnotherTableIsPassedOver(t *testing.T) {
	f := newFold(Orders("shop"))
	if err := f.apply(&Item{Value: change("c", nil, &order{"open", "10:00:00", "1"})}); err != nil {
		t.Fatal(err)
	}
	if err := f.truncate(&Item{Value: change("t", nil, nil)}); err != nil || f.live != 1 { // of public.orders
		t.Fatal(err, f.live)
	}
}

func TestViewCheck(t *testing.T) {
	good := Orders("public")
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*View){
		"no group":       func(v *View) { v.GroupBy = nil },
		"no count":       func(v *View) { v.Aggregates = v.Aggregates[1:] },
		"same name":      func(v *View) { v.Aggregates[0].As = "status" },
		"reserved name":  func(v *View) { v.Aggregates[0].As = "seq" },
		"no name":        func(v *View) { v.GroupBy[0].As = "" },
		"sum of nothing": func(v *View) { v.Aggregates[1].Column = "" },
		"two windows":    func(v *View) { v.GroupBy[0].Tumble = time.Second },
		"no window":      func(v *View) { v.GroupBy[1].Tumble = 0 },
		"topic":          func(v *View) { v.Name = "a b" },
		"table":          func(v *View) { v.Table = "" },
		"function":       func(v *View) { v.Aggregates[0].Func = "avg" },
	} {
		v := Orders("public")
		spoil(&v)
		if err := v.Check(); !errors.Is(err, ErrView) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]string{
		`"2026-11-22T10:00:00.123456Z"`: "2026-11-22T10:00:00.123456Z",
		`"2026-11-22T10:00:00.1Z"`:      "2026-11-22T10:00:00.1Z",
		`"2026-11-22T10:00:00"`:         "2026-11-22T10:00:00Z",
		`"2026-11-22"`:                  "2026-11-22T00:00:00Z",
		`"1969-12-31T23:59:59.5Z"`:      "1969-12-31T23:59:59.5Z",
		`"0001-01-01T00:00:00Z"`:        "0001-01-01T00:00:00Z",
	} {
		at, zoned, err := parseTime([]byte(text))
		if got := time.UnixMicro(at).UTC().Format(time.RFC3339Nano); err != nil || got != want || zoned != strings.HasSuffix(text, `Z"`) {
			t.Errorf("%s: %s %v", text, got, err)
		}
	}
	for _, text := range []string{`"infinity"`, `"-4713-01-01T00:00:00Z"`, `"+21016-01-01T00:00:00Z"`, `17`, `""`, `"2026-02-30"`, `"2026-11-22T24:00:00Z"`,
		`"2026-11-22T10:00:00.Z"`, `"2026-11-22T10:00:00.1234567Z"`, `"2026-11-22 10:00:00"`, `"2026-11-22T10:00:00+01"`, `"2026-13-01T00:00:00Z"`} {
		if at, _, err := parseTime([]byte(text)); err == nil {
			t.Errorf("%s: %d", text, at)
		}
	}
	if floor(-1, 1000) != -1000 || floor(1999, 1000) != 1000 || floor(-1000, 1000) != -1000 {
		t.Error("floor")
	}
}
