package processor

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// What encoding/json calls an object, the scanner takes apart alike.
func TestScanAgreesWithEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var drawValue func(depth int) any
		drawValue = func(depth int) any {
			kind := rapid.IntRange(0, 6).Draw(t, "kind")
			switch {
			case kind == 0:
				return nil
			case kind == 1:
				return rapid.Bool().Draw(t, "bool")
			case kind == 2:
				return rapid.Float64Range(-1e9, 1e9).Draw(t, "number")
			case kind == 3 && depth > 0:
				return []any{drawValue(depth - 1), drawValue(depth - 1)}
			case kind == 4 && depth > 0:
				return map[string]any{rapid.String().Draw(t, "key"): drawValue(depth - 1)}
			}
			return rapid.OneOf(rapid.String(), rapid.StringMatching(`["\\{}\[\],: ]{0,8}`)).Draw(t, "string")
		}
		members := map[string]any{}
		for range rapid.IntRange(0, 5).Draw(t, "members") {
			members[rapid.OneOf(rapid.String(), rapid.StringMatching(`["\\{}\[\],: ]{0,4}`)).Draw(t, "name")] = drawValue(3)
		}
		text, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "indent") {
			var b bytes.Buffer
			json.Indent(&b, text, " ", "\t")
			text = b.Bytes()
		}
		want, got := map[string]json.RawMessage{}, map[string]json.RawMessage{}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		for o := (object{data: text}); ; {
			key, value, more, err := o.next()
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if !more {
				break
			}
			got[string(key)] = value
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", text, diff)
		}
	})
}

func FuzzScan(f *testing.F) {
	for _, text := range []string{``, `{}`, `{"a":1}`, `{"a":"\\\""}`, `{"a":{"b":[1,"]"]},"c":null}`, `{"a"`, `{"a":}`, `{"a":1,}`, `{"a":]`, `[1]`, `{"a":"`, `{a:1}`, `{"a":"\`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		members := 0
		for o := (object{data: text}); ; members++ {
			if _, _, more, err := o.next(); err != nil || !more {
				if err == nil && members > len(text) {
					t.Fatal("more members than bytes")
				}
				return
			}
		}
	})
}

func TestScanRefusesDamage(t *testing.T) {
	for _, text := range []string{``, `[1]`, `7`, `{"a"`, `{"a":`, `{"a":}`, `{"a":1`, `{"a":1,}`, `{"a":]}`, `{"a":"}`, `{a:1}`, `{"a" 1}`, `{"a":[1}`, `{,}`} {
		o, err := object{data: []byte(text)}, error(nil)
		for more := true; more && err == nil; {
			_, _, more, err = o.next()
		}
		if err == nil {
			t.Errorf("%s passes", text)
		}
	}
}
