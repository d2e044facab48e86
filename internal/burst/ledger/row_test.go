package ledger

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// The walk over JSON must agree with encoding/json: on what is an object, on its members, and on their texts.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		`{"order_id":1,"line":2,"sku":"a\"\\b","quantity":-3,"price":"1.00"}`, `{}`, ` { "a" : [ 1 , {"b":[]} ] , "c":null } `, `{"a":1,}`, `{"a" 1}`,
		`[1]`, `null`, `"x"`, ``, `{"order_id":{"a":1},"line":[2],"sku":true,"quantity":null,"price":1e5}`, `{"a":"\u0041\`, `{"a":1}x`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		values := make([]value, len(tables[Items].columns))
		if parseRow(Items, data, values) != nil {
			return // refused: what is refused is counted as altered, so it need not be wrong
		}
		if !json.Valid(data) {
			return // taken though it is not JSON: its hash decides
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("%s was taken as an object: %v", data, err)
		}
		for i, c := range tables[Items].columns {
			var text string
			raw := bytes.TrimSpace(want[c.name])
			switch {
			case string(raw) == "null":
				if values[i].set {
					t.Errorf("%s: column %s is %q, want null", data, c.name, values[i].text)
				}
				continue
			case raw[0] == '"':
				if err := json.Unmarshal(raw, &text); err != nil {
					t.Fatal(err)
				}
				if !bytes.ContainsRune(raw, '\\') {
					text = string(raw[1 : len(raw)-1]) // json.Unmarshal replaces invalid UTF-8
				}
			default:
				text = string(raw)
			}
			if !values[i].set || string(values[i].text) != text {
				t.Errorf("%s: column %s is %q, want %q", data, c.name, values[i].text, text)
			}
		}
	})
}

func TestParseRowTakesWhatAnEncoderWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sku := rapid.String().Draw(t, "sku")
		row := map[string]any{"order_id": rapid.Int64().Draw(t, "order"), "line": 1, "sku": sku, "quantity": nil, "price": "1.00",
			"more": map[string]any{rapid.String().Draw(t, "name"): []any{rapid.String().Draw(t, "text"), 1.5, false, nil}}}
		data, err := json.MarshalIndent(row, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		values := make([]value, 5)
		if err := parseRow(Items, data, values); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if string(values[2].text) != sku || values[3].set || string(values[4].text) != "1.00" {
			t.Errorf("%s was read as %+v", data, values)
		}
	})
}

func TestAppendLiteral(t *testing.T) {
	for text, want := range map[string]string{"": `''`, "NULL": `'NULL'`, "d'Arc": `'d''Arc'`, `C:\x`: `E'C:\\x'`, `'\'`: `E'''\\'''`} {
		if got := string(appendLiteral(nil, value{text: []byte(text), set: true})); got != want {
			t.Errorf("%q is written %s, want %s", text, got, want)
		}
	}
	if got := string(appendLiteral(nil, value{})); got != "NULL" {
		t.Errorf("null is written %s", got)
	}
}
