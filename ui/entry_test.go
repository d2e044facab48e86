package ui

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/livedb/livedb/cdc"
)

func TestRowAsPagesGetIt(t *testing.T) {
	i := item(7, "u", "orders")
	i.Value = []byte(`{"before":{"id":9007199254740993,"note":null},"after":{"id":9007199254740993,"note":"<b>\"op\":\"d\"</b>"},"source":{"version":"0","schema":"public","table":"orders","txId":107,"seq":7,"epoch":1},"transaction":null,"op":"u","ts_ms":1,"ts_us":1,"ts_ns":1}`)
	e := newEntry("livedb", i)
	if e.op != cdc.Update {
		t.Errorf("op is %q: one that stands in the data was taken for the envelope's", e.op)
	}
	want := `{"op":"u","table":"public.orders","key":"{\"id\":7}","before":"{\"id\":9007199254740993,\"note\":null}","after":"{\"id\":9007199254740993,\"note\":\"<b>\\\"op\\\":\\\"d\\\"</b>\"}","pos":"0/1007:1","seq":7,"epoch":1,"xid":107,"ts_us":1795348800000000,"topic":"livedb.public.orders","partition":3,"offset":7}`
	if diff := cmp.Diff(want, string(e.json())); diff != "" {
		t.Error(diff)
	}
	if first, second := e.json(), e.json(); &first[0] != &second[0] {
		t.Error("the row is encoded anew for each page")
	}
}

func TestTableOfASharedTopic(t *testing.T) {
	value := []byte(`{"before":null,"after":null,"source":{"version":"0","schema":"shop","table":"orders","seq":1,"epoch":1},"op":"t","ts_ms":1}`)
	if got := tableOf("livedb", "livedb.truncate", value); got != "shop.orders" {
		t.Errorf("the table of a truncate is %q", got)
	}
	if got := tableOf("livedb", "livedb.shop.orders", nil); got != "shop.orders" {
		t.Errorf("the table of a topic is %q", got)
	}
}

func TestCut(t *testing.T) {
	long := strings.Repeat("ä", 5000)
	object := func(columns ...any) string {
		var parts []string
		for i := 0; i < len(columns); i += 2 {
			value, _ := json.Marshal(columns[i+1])
			parts = append(parts, `"`+columns[i].(string)+`":`+string(value))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	var was bool
	if got := cut([]byte(object("id", 1, "note", "short")), &was); was || string(got) != `{"id":1,"note":"short"}` {
		t.Errorf("a short row became %s", got)
	}

	got := cut([]byte(object("id", 1, "body", long, "z", "last")), &was)
	var row struct {
		ID   int
		Z    string
		Body struct {
			Cut struct {
				Head, Sum string
				Bytes     int
			} `json:"$cut"`
		}
	}
	if err := json.Unmarshal(got, &row); err != nil || !was {
		t.Fatalf("the cut row does not parse: %v\n%s", err, got)
	}
	if row.ID != 1 || row.Z != "last" || row.Body.Cut.Bytes != 10000 || row.Body.Cut.Head != strings.Repeat("ä", cutValue/2) {
		t.Errorf("the cut row is %+v", row)
	}
	other := cut([]byte(object("id", 1, "body", long[:9998]+"ö", "z", "last")), &was)
	if string(other) == string(got) {
		t.Error("a change beyond the cut cannot be seen")
	}

	var many []any
	for i := range 400 {
		many = append(many, "column"+string(rune('a'+i%26))+strings.Repeat("x", i/26), strings.Repeat("v", 200))
	}
	if got := cut([]byte(object(many...)), &was); len(got) > cutRow+1024 || !strings.Contains(string(got), `"$more":`) || !json.Valid(got) {
		t.Errorf("a row of many columns takes %d bytes, valid: %v", len(got), json.Valid(got))
	}
	if got := cut([]byte(strings.Repeat("not json ", 1000)), &was); !json.Valid(got) || len(got) > cutRow {
		t.Errorf("what is not JSON became %d bytes, valid: %v", len(got), json.Valid(got))
	}
}

func TestFilter(t *testing.T) {
	e := newEntry("livedb", item(7, "u", "orders"))
	g := &entry{gap: &gap{Missed: 3, Why: whyReader}}
	tests := []struct {
		query string
		match bool
	}{
		{"", true}, {"table=public.orders", true}, {"table=public.order", false}, {"op=u", true}, {"op=cd", false}, {"op=cu", true},
		{"q=ada+7", true}, {"q=ADA", true}, {"q=adb", false}, {"q=" + "%22id%22:7", true}, {"q=0/1007", true}, {"q=0/1007:1", true},
		{"q=xid:107", true}, {"q=xid:108", false}, {"table=public.orders&op=u&q=ada", true},
		{"q=version", false}, {"q=ts_ms", false}, // the envelope's own words are not the row's
	}
	for _, test := range tests {
		f, err := parseFilter(query(t, test.query))
		if err != nil {
			t.Errorf("%s: %v", test.query, err)
			continue
		}
		if got := f.match(e); got != test.match {
			t.Errorf("%s: match is %v, want %v", test.query, got, test.match)
		}
		if !f.match(g) {
			t.Errorf("%s hides a gap", test.query)
		}
	}
	for _, bad := range []string{"op=x", "q=xid:", "q=xid:4a", "q=" + strings.Repeat("a", 201)} {
		if _, err := parseFilter(query(t, bad)); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func FuzzContainsFold(f *testing.F) {
	f.Add([]byte("Hello World"), "lo w")
	f.Add([]byte("aAaAb"), "aab")
	f.Add([]byte("[["), "[")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		for i := range data {
			data[i] &= 0x7f
		}
		ascii := []byte(text)
		for i := range ascii {
			ascii[i] &= 0x7f
		}
		text = strings.ToLower(string(ascii))
		if text == "" {
			return
		}
		if got, want := containsFold(data, text), strings.Contains(strings.ToLower(string(data)), text); got != want {
			t.Errorf("containsFold(%q, %q) is %v", data, text, got)
		}
	})
}

func FuzzCut(f *testing.F) {
	f.Add([]byte(`{"a":1}`), 10)
	f.Fuzz(func(t *testing.T, part []byte, times int) {
		value, _ := json.Marshal(strings.Repeat(string(part), max(1, min(times, 2000))))
		row := []byte(`{"id":1,"v":` + string(value) + `}`)
		var was bool
		if got := cut(row, &was); !json.Valid(got) || len(got) > len(row)+64 {
			t.Errorf("cut made %d bytes of %d, valid: %v", len(got), len(row), json.Valid(got))
		}
	})
}
