package envelope

import (
	"strings"
	"testing"
)

// The vectors of reference/wire-format.md, section 6, and what section 5 says beside them.
func TestVectors(t *testing.T) {
	const none = -1
	for _, v := range []struct {
		oid      uint32
		modifier int32
		text     string
		want     string
	}{
		{oidOID, none, "4000000000", `4000000000`},
		{numericOID, 5<<16 | 2 + 4, "199.99", `"199.99"`},
		{numericOID, 5<<16 | 2 + 4, "-199.99", `"-199.99"`},
		{numericOID, 6<<16 | 4 + 4, "22.2200", `"22.2200"`},
		{numericOID, 5<<16 | 2 + 4, "0.00", `"0.00"`},
		{numericOID, none, "123.4500", `"123.4500"`},
		{numericOID, none, "NaN", `"NaN"`},
		{numericOID, none, "-Infinity", `"-Infinity"`},
		{float8OID, none, "NaN", `"NaN"`},
		{float8OID, none, "1e+20", `1e+20`},
		{moneyOID, none, "($1234.11)", `"-1234.11"`},
		{moneyOID, none, "-$1,234.11", `"-1234.11"`},
		{moneyOID, none, "($1,234.11)", `"-1234.11"`},
		{boolOID, none, "t", `true`},
		{bitOID, 1, "0", `false`},
		{bitOID, 2, "11", `"Aw=="`},
		{bitOID, 7, "1000000", `"QA=="`},
		{bitOID, 64, "1" + strings.Repeat("0", 63), `"AAAAAAAAAIA="`},
		{byteaOID, none, `\x010203`, `"AQID"`},
		{dateOID, none, "2016-11-04", `"2016-11-04"`},
		{dateOID, none, "1969-12-31", `"1969-12-31"`},
		{timeOID, 3, "13:51:30.123", `"13:51:30.123"`},
		{timeOID, 6, "13:51:30.123456", `"13:51:30.123456"`},
		{timeOID, none, "24:00:00", `"24:00:00"`},
		{timetzOID, none, "13:51:30.123789+02", `"11:51:30.123789Z"`},
		{timestampOID, 6, "2016-11-04 13:51:30.123456", `"2016-11-04T13:51:30.123456"`},
		{timestampOID, 3, "2016-11-04 13:51:30.123", `"2016-11-04T13:51:30.123"`},
		{timestampOID, none, "2018-06-20 15:13:16.945104", `"2018-06-20T15:13:16.945104"`},
		{timestampOID, none, "infinity", `"infinity"`},
		{timestampOID, none, "-infinity", `"-infinity"`},
		{timestamptzOID, none, "infinity", `"infinity"`},
		{timestamptzOID, none, "2016-11-04 11:51:30.123456+00", `"2016-11-04T11:51:30.123456Z"`},
		{timestamptzOID, none, "21016-11-04 06:51:30.123456+00", `"+21016-11-04T06:51:30.123456Z"`},
		{timestamptzOID, none, "4714-12-31 23:59:59.999999+00 BC", `"-4713-12-31T23:59:59.999999Z"`},
		{timestamptzOID, 0, "2016-11-04 11:51:30+00", `"2016-11-04T11:51:30Z"`},
		{intervalOID, none, "1 year 2 mons 3 days 04:05:06.78", `"P1Y2M3DT4H5M6.78S"`},
		{3908, none, `["2019-03-31 15:30:00",infinity)`, `"[\"2019-03-31 15:30:00\",infinity)"`},
		{3802, none, `{"a": 1.50}`, `"{\"a\": 1.50}"`},
		{1042, 9, "ab   ", `"ab   "`},
		{1007, none, "[2:3]={7,8}", `[7,8]`},
		{1009, none, `{{a,NULL},{"b c",""}}`, `[["a",null],["b c",""]]`},
	} {
		got, err := encode(nil, v.oid, "", v.modifier, v.text)
		if err != nil || got != v.want {
			t.Errorf("%s %q: got %s, %v, want %s", typeName(v.oid, ""), v.text, got, err, v.want)
		}
	}
}

// Other offsets than +00 come only from a session whose TimeZone is not UTC, so the recorded text has none.
func TestTimestamptzIsNormalisedToUTC(t *testing.T) {
	for text, want := range map[string]string{
		"2016-11-04 13:51:30.1+02":       "2016-11-04T11:51:30.100000Z",
		"2016-11-04 13:51:30+05:30":      "2016-11-04T08:21:30.000000Z",
		"2016-11-04 13:51:30+05:30:15":   "2016-11-04T08:21:15.000000Z",
		"2016-11-04 13:51:30-00:00:01":   "2016-11-04T13:51:31.000000Z",
		"2016-01-01 00:00:00+00:00:01":   "2015-12-31T23:59:59.000000Z",
		"2016-02-29 23:00:00-01":         "2016-03-01T00:00:00.000000Z",
		"2015-02-28 23:00:00-01":         "2015-03-01T00:00:00.000000Z",
		"1900-03-01 00:00:00+01":         "1900-02-28T23:00:00.000000Z",
		"2000-03-01 00:00:00+01":         "2000-02-29T23:00:00.000000Z",
		"9999-12-31 23:59:59-01":         "+10000-01-01T00:59:59.000000Z",
		"0001-01-01 00:00:00+01":         "0000-12-31T23:00:00.000000Z",
		"0001-12-31 23:30:00-01 BC":      "0001-01-01T00:30:00.000000Z",
		"4714-11-24 00:00:00+15:59 BC":   "-4713-11-23T08:01:00.000000Z",
		"294276-12-31 23:59:59.999-1559": "",
	} {
		got, err := encode(nil, timestamptzOID, "", -1, text)
		if want == "" {
			if err == nil {
				t.Errorf("%q was written as %s", text, got)
			}
			continue
		}
		if err != nil || got != `"`+want+`"` {
			t.Errorf("%q: got %s, %v, want %q", text, got, err, want)
		}
	}
}

// Promise G4: text that is not of its column's type stops the line.
func TestInvalidTextIsRefused(t *testing.T) {
	const none = -1
	for _, v := range []struct {
		oid      uint32
		modifier int32
		texts    []string
	}{
		{int4OID, none, []string{"", "-", "01", "+1", "1.0", "1e3", " 1", "1 ", "NaN", "0x1", "1_000", "--1", "\xff"}},
		{float8OID, none, []string{"", ".5", "5.", "1e", "1e+", "nan", "inf", "infinity", "-NaN", "1,5", "00", "- 1"}},
		{numericOID, none, []string{"", "1e3", ".5", "5.", "abc", "1.2.3", "-NaN", "1,234.5"}},
		{moneyOID, none, []string{"", "$", "1,234.11", "$1234", "$1234.1", "$12,34.11", "$1,234,56.11", "$1234,567.11", "$,234.11", "€1.00", "1.234,11 €", "($1.00", "$-1.00", "$.00", "-($1.00)"}},
		{boolOID, none, []string{"", "true", "false", "T", "1", "y"}},
		{bitOID, 1, []string{"", "2", "11", "t"}},
		{varbitOID, 1, []string{""}},
		{bitOID, 8, []string{"2", "0000000x", "B'1'"}},
		{byteaOID, none, []string{"", "abc", `\`, `\x1`, `\xzz`, `\000`, `\X00`}},
		{dateOID, none, []string{"", "2016-11-4", "16-11-04", "2016-13-01", "2016-00-01", "2016-02-30", "2015-02-29", "1900-02-29", "2016-11-00", "0000-01-01", "2016/11/04", "04.11.2016", "2016-11-04 ", "2016-11-04 AD", "20161104-01-01", "infinity BC", "Infinity", "-2016-11-04"}},
		{timeOID, none, []string{"", "24:00:01", "24:00:00.0", "25:00:00", "23:60:00", "23:59:60", "1:00:00", "13:51", "13:51:30.", "13:51:30.1234567", "13:51:30+00", "-1:00:00", "13:51:3x"}},
		{timetzOID, none, []string{"", "13:51:30", "13:51:30Z", "13:51:30+2", "13:51:30+02:", "13:51:30+02:60", "13:51:30+24", "13:51:30 +02", "13:51:30+02:00:00:00"}},
		{timestampOID, none, []string{"", "2016-11-04", "2016-11-04T13:51:30", "2016-11-04 24:00:00", "2016-11-04 13:51:30+00", "2016-11-04 13:51:30.1234567", "2016-11-04  13:51:30", "2015-02-29 00:00:00", "2016-11-04 13:51:30 BC BC", "infinity "}},
		{timestampOID, 3, []string{"2016-11-04 13:51:30.1234"}},
		{timestampOID, 0, []string{"2016-11-04 13:51:30.1"}},
		{timestamptzOID, none, []string{"", "2016-11-04 13:51:30", "2016-11-04 13:51:30 UTC", "2016-11-04 13:51:30+0", "2016-11-04 13:51:30.+00", "Fri Nov 04 13:51:30 2016 UTC"}},
		{intervalOID, none, []string{"", "1", "1 year ", " 1 year", "1 years 1 fortnight", "1 day 1 year", "1 mon 1 mon", "1.5 days", "04:05", "4:05:06", "04:60:06", "04:05:60", "04:05:06.", "04:05:06.1234567", "04:05:06 1 day", "P1Y", "@ 1 year", "1-2", "x days", "- days", "04:05:06x", "1 day ago"}},
		{pointOID, none, []string{"", "(1,2", "1,2)", "(1)", "(1,2,3)", "(a,b)", "( 1,2)", "(1e999,0)"}},
		{1009, none, []string{"", "a", "{", "}", "{a", "{a}b", "{,}", "{a,}", "{,a}", `{"a}`, `{"a"b}`, `{a"b}`, `{a\b}`, "{{a},b}", "{a,{b}}", "{{a},{b,c}}", "{{a,b},{c}}", "{{}}", "{{a},{{b}}}", "{{{a}},{b}}",
			"[1:2]={a}", "[1:1]{a}", "[1]={a}", "[2:1]={a}", "[a:b]={a}", "[1:1][1:1]={a}", "[1:1]={}", "[1:1={a}", "[1:99999999999]={a}", "{{{{{{{a}}}}}}}", "[1:1][1:1][1:1][1:1][1:1][1:1][1:1]={a}", "{\xff}", "{\"\xff\"}", `{"\`, `{"\"}`}},
		{1007, none, []string{"{a}", "{null}", "{1.5}", `{""}`, "{1;2}", "{ 1}"}},
		{1020, none, []string{"{(1,1),(0,0)"}},
		{25, none, []string{"\xff", "a\x80"}},
	} {
		for _, text := range v.texts {
			if got, err := encode(nil, v.oid, "", v.modifier, text); err == nil {
				t.Errorf("%s %q was written as %s", typeName(v.oid, ""), text, got)
			}
		}
	}
	for name, texts := range map[string][]string{
		"public.hstore":    {"a", `"a"`, `"a"=>`, `"a"=>b`, `"a"=>"b",`, `"a"=>"b" "c"=>"d"`, `"a"=>"b","c"=>"d"`, `"a"=>null`, `"a=>"b"`, "\"\xff\"=>NULL", "\"a\"=>\"\xff\"", `"a"=>NULLx`},
		"public.vector":    {"", "[]", "[1", "1]", "[1,]", "[1, 2]", "[NaN]", "1,2", "[", "]"},
		"public.sparsevec": {"", "{}", "{}/", "{1:1}/x", "{1}/5", "{1:}/5", "{:1}/5", "{1:1,}/5", "1:1/5", "{1:NaN}/5"},
	} {
		for _, text := range texts {
			if got, err := encode(nil, 99999, name, -1, text); err == nil {
				t.Errorf("%s %q was written as %s", name, text, got)
			}
		}
	}
}

// No extension but hstore was at hand when the recorded text was made.
func TestVectorTypes(t *testing.T) {
	for _, v := range []struct{ name, text, want string }{
		{"public.vector", "[1,2.5,-3e-05]", `[1,2.5,-3e-05]`},
		{"ext.halfvec", "[0]", `[0]`},
		{"public.sparsevec", "{1:1.5,3:-2}/5", `{"dimensions":5,"vector":{"1":1.5,"3":-2}}`},
		{"public.sparsevec", "{}/3", `{"dimensions":3,"vector":{}}`},
		{"public.vectors", "[x]", `"[x]"`},
	} {
		got, err := encode(nil, 99999, v.name, -1, v.text)
		if err != nil || got != v.want {
			t.Errorf("%s %q: got %s, %v, want %s", v.name, v.text, got, err, v.want)
		}
	}
}
