package oracle

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/livedb/livedb/cdc"
)

// named is a catalog as far as these tests need one: the OIDs are Postgres's own, but for those above 16384.
var named = map[string]uint32{"bool": 16, "bytea": 17, "int8": 20, "int4": 23, "text": 25, "oid": 26, "json": 114, "point": 600, "float4": 700, "float8": 701,
	"money": 790, "_bytea": 1001, "_int4": 1007, "_text": 1009, "_int8": 1016, "bpchar": 1042, "date": 1082, "time": 1083, "timestamp": 1114, "timestamptz": 1184,
	"_uuid": 2951, "interval": 1186, "timetz": 1266, "bit": 1560, "varbit": 1562, "numeric": 1700, "uuid": 2950, "jsonb": 3802, "tsrange": 3908,
	"hstore": 20000, "_hstore": 20001, "price": 20002, "_price": 20003, "mood": 20004, "vector": 20005, "sparsevec": 20006, "path": 20007, "_path": 20008, "_float4": 1021}

func catalog() Types {
	types := Types{}
	for name, oid := range named {
		t := Type{Schema: "pg_catalog", Name: name, Mod: -1, Delim: ','}
		if element, isArray := strings.CutPrefix(name, "_"); isArray {
			t.Elem = named[element]
		}
		if oid > 16384 {
			t.Schema = "public"
		}
		types[oid] = t
	}
	types[named["price"]] = Type{Schema: "public", Name: "price", Base: named["numeric"], Mod: 10<<16 | 2 + 4}
	types[named["path"]] = Type{Schema: "public", Name: "path", Base: named["_int4"], Mod: -1}
	return types
}

func column(t testing.TB, typ string, mod int32) []Column {
	t.Helper()
	c, err := catalog().Column("v", named[typ], mod)
	if err != nil {
		t.Fatal(err)
	}
	return []Column{c}
}

func rowHash(t testing.TB, c []Column, text string) (Hash, error) {
	t.Helper()
	return RowHash("t", c, [][]byte{[]byte(text)})
}

// The vectors of the wire format, section 6, and what its section 5 says beside them.
func TestVectors(t *testing.T) {
	for _, v := range []struct {
		typ        string
		mod        int32
		text, json string
	}{
		{"oid", -1, "4000000000", `4000000000`},
		{"int8", -1, "-9223372036854775808", `-9223372036854775808`},
		{"numeric", 5<<16 | 2 + 4, "199.99", `"199.99"`},
		{"numeric", 6<<16 | 4 + 4, "22.2200", `"22.2200"`},
		{"numeric", -1, "123.4500", `"123.4500"`},
		{"numeric", -1, "-Infinity", `"-Infinity"`},
		{"price", -1, "12.50", `"12.50"`},
		{"float8", -1, "NaN", `"NaN"`},
		{"float8", -1, "1e+20", `100000000000000000000`},
		{"float8", -1, "-0", `-0`},
		{"float4", -1, "1.1", `1.1`},
		{"money", -1, "-$1,234.11", `"-1234.11"`},
		{"bool", -1, "f", `false`},
		{"bit", 1, "1", `true`},
		{"varbit", 1, "0", `false`},
		{"bit", 2, "11", `"Aw=="`},
		{"bit", 7, "1000000", `"QA=="`},
		{"bit", 64, "1" + strings.Repeat("0", 63), `"AAAAAAAAAIA="`},
		{"bytea", -1, `\x010203`, `"AQID"`},
		{"bytea", -1, `\x`, `""`},
		{"text", -1, "a \"b\" \\ \n grüß 🙂", `"a \"b\" \\ \n gr\u00fc\u00df \ud83d\ude42"`},
		{"bpchar", 9, "ab   ", `"ab   "`},
		{"uuid", -1, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", `"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"`},
		{"json", -1, `{"b":1,  "b": 2}`, `"{\"b\":1,  \"b\": 2}"`},
		{"date", -1, "2016-11-04", `"2016-11-04"`},
		{"date", -1, "0001-12-31 BC", `"0000-12-31"`},
		{"date", -1, "4714-11-24 BC", `"-4713-11-24"`},
		{"date", -1, "5874897-12-31", `"+5874897-12-31"`},
		{"date", -1, "-infinity", `"-infinity"`},
		{"time", -1, "24:00:00", `"24:00:00"`},
		{"time", -1, "13:51:30.123456", `"13:51:30.123456"`},
		{"timetz", -1, "13:51:30.123789+02", `"11:51:30.123789Z"`},
		{"timetz", -1, "00:15:00+05:30:15", `"18:44:45Z"`},
		{"timetz", -1, "13:51:00.1-00:30", `"14:21:00.1Z"`},
		{"timestamp", -1, "2016-11-04 13:51:30.123456", `"2016-11-04T13:51:30.123456"`},
		{"timestamp", 3, "2016-11-04 13:51:30.123", `"2016-11-04T13:51:30.123"`},
		{"timestamp", 3, "2016-11-04 13:51:30", `"2016-11-04T13:51:30.000"`},
		{"timestamp", 0, "2016-11-04 13:51:30", `"2016-11-04T13:51:30"`},
		{"timestamp", -1, "infinity", `"infinity"`},
		{"timestamptz", -1, "21016-11-04 06:51:30.123456+00", `"+21016-11-04T06:51:30.123456Z"`},
		{"timestamptz", -1, "4714-12-31 23:59:59.999999+00 BC", `"-4713-12-31T23:59:59.999999Z"`},
		{"timestamptz", -1, "2015-02-28 23:00:00-01", `"2015-03-01T00:00:00.000000Z"`},
		{"interval", -1, "1 year 2 mons 3 days 04:05:06.78", `"P1Y2M3DT4H5M6.78S"`},
		{"interval", -1, "-1 years -2 mons +3 days -04:05:06", `"P-1Y-2M3DT-4H-5M-6S"`},
		{"interval", -1, "00:00:00", `"PT0S"`},
		{"interval", -1, "1 mon -1 days +00:00:00.000001", `"P1M-1DT0.000001S"`},
		{"tsrange", -1, `["2019-03-31 15:30:00",infinity)`, `"[\"2019-03-31 15:30:00\",infinity)"`},
		{"_int4", -1, "[2:3]={7,8}", `[7,8]`},
		{"_int4", -1, "{}", `[]`},
		{"_int4", -1, "{{{1},{2}},{{3},{NULL}}}", `[[[1],[2]],[[3],[null]]]`},
		{"_float4", -1, "{1.5,NaN,-0}", `[1.50,"NaN",-0.0]`},
		{"_text", -1, `{{a,NULL},{"NULL",""},{"q \" \\ , { }",ü}}`, `[["a",null],["NULL",""],["q \" \\ , { }","ü"]]`},
		{"_path", -1, `{"{1,2}","{3,NULL}",NULL}`, `[[1,2],[3,null],null]`},
		{"_price", -1, "{1.00,2.50}", `["1.00","2.50"]`},
		{"mood", -1, "so so", `"so so"`},
		{"point", -1, "(1.5,-2)", `{"srid":null,"x":1.5,"y":-2.0,"wkb":"AQEAAAAAAAAAAAD4PwAAAAAAAADA"}`},
		{"hstore", -1, `"a"=>"1", "b"=>NULL, "q \"\\"=>""`, `"{\"b\":null, \"a\":\"1\",\"q \\\"\\\\\":\"\"}"`},
		{"_hstore", -1, `{"\"a\"=>\"1\"","",NULL}`, `["{\"a\":\"1\"}","{}",null]`},
		{"vector", -1, "[1,2.5,-3e-05]", `[1,2.5,-0.00003]`},
		{"sparsevec", -1, "{1:1.5,3:-2}/5", `{"dimensions":5,"vector":{"1":1.5,"3":-2}}`},
	} {
		c := column(t, v.typ, v.mod)
		want, err := rowHash(t, c, v.text)
		if err != nil {
			t.Errorf("%s %q: %v", v.typ, v.text, err)
		}
		got, err := EventHash("t", c, json.RawMessage(`{"v":`+v.json+`}`))
		if err != nil || got != want {
			t.Errorf("%s %q is not %s: %v", v.typ, v.text, v.json, err)
		}
	}
}

// What looks alike and is not the same.
func TestDifferencesThatCount(t *testing.T) {
	for _, v := range []struct {
		typ        string
		mod        int32
		text, json string
	}{
		{"int4", -1, "1", `"1"`},
		{"int8", -1, "9007199254740993", `9007199254740992`},
		{"numeric", -1, "1.50", `"1.5"`},
		{"numeric", -1, "1.5", `1.5`},
		{"float8", -1, "0", `-0`},
		{"float8", -1, "0.3", `0.30000000000000004`},
		{"text", -1, "", `null`},
		{"text", -1, "NULL", `null`},
		{"text", -1, "ab", `"ab "`},
		{"json", -1, `{"a": 1}`, `"{\"a\":1}"`},
		{"timestamp", -1, "2016-11-04 13:51:30", `"2016-11-04T13:51:30"`},
		{"timestamp", -1, "2016-11-04 13:51:30", `"2016-11-04T13:51:30.000000Z"`},
		{"_int4", -1, "{1,2}", `[2,1]`},
		{"_int4", -1, "{{1,2}}", `[1,2]`},
		{"_text", -1, "{NULL}", `["NULL"]`},
		{"_text", -1, "{}", `[null]`},
		{"bit", 2, "01", `"Ag=="`},
		{"hstore", -1, `"a"=>"NULL"`, `"{\"a\":null}"`},
	} {
		c := column(t, v.typ, v.mod)
		want, err := rowHash(t, c, v.text)
		if err != nil {
			t.Errorf("%s %q: %v", v.typ, v.text, err)
		}
		if got, err := EventHash("t", c, json.RawMessage(`{"v":`+v.json+`}`)); err == nil && got == want {
			t.Errorf("%s %q passes for %s", v.typ, v.text, v.json)
		}
	}
}

// The placeholders of section 5.
func TestUnavailable(t *testing.T) {
	const codes = "[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101]"
	for typ, want := range map[string]string{
		"text": `"__debezium_unavailable_value"`, "jsonb": `"__debezium_unavailable_value"`, "numeric": `"__debezium_unavailable_value"`,
		"bytea": `"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="`, "_text": `["__debezium_unavailable_value"]`, "_int4": codes, "_int8": codes,
		"_uuid": `["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]`, "hstore": `"{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}"`,
	} {
		c := column(t, typ, -1)
		hash, err := ChangeHash("t", c, cdc.Row{{State: cdc.Unchanged}})
		if err != nil {
			t.Error(err)
		}
		if got, err := EventHash("t", c, json.RawMessage(`{"v":`+want+`}`)); err != nil || got != hash {
			t.Errorf("%s: the placeholder is not %s: %v", typ, want, err)
		}
	}
}
