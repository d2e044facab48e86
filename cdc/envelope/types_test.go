package envelope

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestEveryBuiltinArrayIsWrittenAsArray(t *testing.T) {
	for _, b := range builtins {
		text := "{NULL,NULL}"
		if b.oid == boxOID {
			text = "{NULL;NULL}"
		}
		got, err := encode(nil, b.array, "", -1, text)
		if err != nil || got != "[null,null]" {
			t.Errorf("%s[]: got %s, %v", b.name, got, err)
		}
		if name := typeName(b.array, ""); name != b.name+"[]" {
			t.Errorf("%s[] is called %s", b.name, name)
		}
	}
}

func TestTypesOutsideTheCatalog(t *testing.T) {
	types := Types{
		100: {Base: int4OID},                                // a domain
		101: {Base: 100},                                    // a domain over it
		102: {Elem: 101},                                    // an array of those
		103: {Base: 102},                                    // a domain over that array
		104: {Elem: 103},                                    // and an array of those
		105: {Base: timestamptzOID, Modifier: 3},            // timestamptz(3)
		106: {Elem: 105},                                    //
		107: {Elem: 200, Delim: ':'},                        // PostGIS: geometry[]
		108: {Base: 110},                                    // over hstore
		109: {Elem: 110},                                    // hstore[]
		110: {Name: "ext.hstore"},                           //
		111: {Base: 1115, Modifier: 0},                      // over timestamp[]
		112: {Base: 112},                                    // a catalog that contradicts itself
		113: {Elem: 114, Name: "x._ring"}, 114: {Base: 113}, // likewise
	}
	for _, v := range []struct {
		oid        uint32
		name       string
		text, want string
	}{
		{100, "public.natural", "7", `7`},
		{101, "public.natural2", "7", `7`},
		{102, "public._natural2", "{7,NULL}", `[7,null]`},
		{103, "public.naturals", "{7,NULL}", `[7,null]`},
		{104, "public._naturals", `{"{7,NULL}",NULL}`, `[[7,null],null]`},
		{105, "public.instant", "2016-11-04 11:51:30.1+00", `"2016-11-04T11:51:30.100Z"`},
		{106, "public._instant", `{"2016-11-04 11:51:30.1+00"}`, `["2016-11-04T11:51:30.100Z"]`},
		{107, "public._geometry", `{01:02}`, `["01","02"]`},
		{108, "public.attributes", `"a"=>"1"`, `"{\"a\":\"1\"}"`},
		{109, "ext._hstore", `{"\"a\"=>NULL"}`, `["{\"a\":null}"]`},
		{111, "public.times", `{"2016-11-04 11:51:30.1"}`, `["2016-11-04T11:51:30.100000"]`},
		{300, "public.mood", "so so", `"so so"`},
		{301, "public._mood", "{a,b}", `"{a,b}"`}, // an array that nobody told of
		{302, "", "{a,b}", `"{a,b}"`},
	} {
		got, err := encode(types, v.oid, v.name, -1, v.text)
		if err != nil || got != v.want {
			t.Errorf("type %d %s %q: got %s, %v, want %s", v.oid, v.name, v.text, got, err, v.want)
		}
	}
	for _, oid := range []uint32{112, 113} {
		if _, err := encode(types, oid, "", -1, "1"); err == nil {
			t.Errorf("type %d is made of itself and was not refused", oid)
		}
	}
}

func TestUnavailablePlaceholders(t *testing.T) {
	const numbers = "95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101"
	if codes := strings.Count(numbers, ",") + 1; codes != len(unavailable) {
		t.Fatalf("%d codes for %d characters", codes, len(unavailable))
	}
	for _, v := range []struct {
		oid  uint32
		name string
		want string
	}{
		{25, "", `"__debezium_unavailable_value"`},
		{3802, "", `"__debezium_unavailable_value"`},
		{numericOID, "", `"__debezium_unavailable_value"`},
		{byteaOID, "", `"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="`},
		{varbitOID, "", `"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="`},
		{1009, "", `["__debezium_unavailable_value"]`},
		{1185, "", `["__debezium_unavailable_value"]`},
		{1001, "", `["X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="]`},
		{1007, "", "[" + numbers + "]"},
		{1016, "", "[" + numbers + "]"},
		{1022, "", "[" + numbers + "]"},
		{2951, "", `["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]`},
		{500, "public.hstore", `"{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}"`},
		{500, "public.vector", "[" + numbers + "]"},
		{500, "public.mood", `"__debezium_unavailable_value"`},
		{int4OID, "", ""},
		{boolOID, "", ""},
		{timestamptzOID, "", ""},
		{pointOID, "", ""},
	} {
		e, err := flink.resolve(nil, v.oid, v.name, -1, 0)
		if err != nil || e.unavailable != v.want {
			t.Errorf("%s: got %s, %v, want %s", typeName(v.oid, v.name), e.unavailable, err, v.want)
		}
	}
	for oid := range builtinNames {
		if e, _ := flink.resolve(nil, oid, "", -1, 0); e.unavailable != "" && !json.Valid([]byte(e.unavailable)) {
			t.Errorf("%s: the placeholder %s is not JSON", typeName(oid, ""), e.unavailable)
		}
	}
}

func TestTypeNames(t *testing.T) {
	for _, c := range []struct {
		oid        uint32
		name, want string
	}{{numericOID, "", "numeric"}, {1231, "", "numeric[]"}, {90000, "public.mood", "public.mood"}, {90000, "", "type 90000"}} {
		if got := typeName(c.oid, c.name); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
