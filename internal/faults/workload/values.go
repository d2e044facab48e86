package workload

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
)

// special is a column of the general table with the values that it draws from, in Postgres's text. All are valid from
// Postgres 15 on; NULL is drawn beside them.
type special struct {
	name, kind string
	values     []string
}

// typesSQL makes the types of the schema that specials use.
const typesSQL = `
CREATE TYPE mood AS ENUM ('sad', 'o''k', 'very "happy", {indeed}', '');
CREATE DOMAIN price AS numeric(20,4) CHECK (VALUE IS NULL OR VALUE > -1000000);
CREATE DOMAIN discount AS price;
CREATE DOMAIN coordinates AS float8[];
CREATE TYPE address AS (street text, number int, moods mood[], at timestamptz);
CREATE TYPE span AS RANGE (subtype = float8, subtype_diff = float8mi);
`

var specials = []special{
	{"truth", "boolean", []string{"t", "f"}},
	{"small", "smallint", []string{"0", "-32768", "32767"}},
	{"whole", "integer", []string{"0", "-2147483648", "2147483647"}},
	{"large", "bigint", []string{"0", "-9223372036854775808", "9223372036854775807", "9007199254740993"}},
	{"object", "oid", []string{"0", "4294967295"}},
	{"single", "real", []string{"-0", "NaN", "Infinity", "-Infinity", "1.4e-45", "3.4028235e+38", "0.1"}},
	{"double", "double precision", []string{"-0", "NaN", "Infinity", "-Infinity", "5e-324", "1.7976931348623157e+308", "0.30000000000000004"}},
	{"exact", "numeric", []string{"0", "0.000", "NaN", "Infinity", "-Infinity", "1e-300", "123456789012345678901234567890.12345678901234567890",
		"1e400", "-1e-400", "9007199254740993", "0.1000"}},
	{"scaled", "numeric(38,10)", []string{"0", "NaN", "9999999999999999999999999999.9999999999", "-0.0000000001"}},
	{"cash", "money", []string{"0", "-92233720368547758.08", "92233720368547758.07"}},
	{"words", "text", []string{"", " ", `"`, `\`, `'`, "\u0001\u001f\u007f", "line\r\nline\ttab", "\u2028\u2029\ufeff", "žluťoučký 馬 😀 e\u0301",
		"NULL", "__debezium_unavailable_value", "</script>", `{"a":1}`}},
	{"short", "varchar(20)", []string{"", "twenty characters...", "ééé"}},
	{"padded", "char(6)", []string{"", "a", "abcdef"}},
	{"letter", `"char"`, []string{"", "x", `\200`}},
	{"label", "name", []string{"", "a name"}},
	{"bytes", "bytea", []string{`\x`, `\x00`, `\x00ff5c27`, `\xdeadbeef`}},
	{"day", "date", []string{"infinity", "-infinity", "5874897-12-31", "4714-11-24 BC", "0001-01-01 BC", "2024-02-29", "1970-01-01", "1969-12-31"}},
	{"clock", "time", []string{"00:00:00", "24:00:00", "23:59:59.999999"}},
	{"zoned_clock", "timetz", []string{"00:00:00+15:59:59", "24:00:00-15:59", "12:34:56.789-03:30"}},
	{"moment", "timestamp", []string{"infinity", "-infinity", "294276-12-31 23:59:59.999999", "4714-11-24 00:00:00 BC",
		"1969-12-31 23:59:59.999999", "0044-03-15 12:00:00 BC"}},
	{"rounded", "timestamp(3)", []string{"infinity", "2024-02-29 12:00:00.1235", "1969-12-31 23:59:59.999"}},
	{"instant", "timestamptz", []string{"infinity", "-infinity", "294276-12-31 23:59:59.999999+00", "4714-11-24 00:00:00+00 BC",
		"1970-01-01 00:00:00+00", "2024-10-27 01:30:00.000001+01"}},
	{"duration", "interval", []string{"0", "-1 year -2 mons +3 days -04:05:06.789", "178000000 years", "-178000000 years", "1 mon -1 day 00:00:00.000001"}},
	{"id128", "uuid", []string{"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"}},
	{"document", "json", []string{`{"a":1, "a" : 2}`, "  [1 ,\n2]  ", `{"n":1e400,"d":1.10,"z":-0}`, `"\u0000\u2028"`, "null", `{"":{"":[]}}`}},
	{"parsed", "jsonb", []string{`{"b":1,"a":2,"a":3}`, `1.10`, `null`, `"é😀"`, `[123456789012345678901234567890.5]`}},
	{"bits", "bit(5)", []string{"00000", "10101"}},
	{"more_bits", "bit varying", []string{"", "1", "101010101"}},
	{"host", "inet", []string{"0.0.0.0/0", "192.168.1.5/24", "::1", "2001:db8::ff00:42:8329/64"}},
	{"net", "cidr", []string{"10.0.0.0/8", "2001:db8::/32"}},
	{"mac", "macaddr", []string{"08:00:2b:01:02:03"}},
	{"spot", "point", []string{"(0,0)", "(-0,1e+300)", "(NaN,Infinity)"}},
	{"area", "box", []string{"(1,1),(0,0)"}},
	{"shape", "polygon", []string{"((0,0),(1,1),(2,0))"}},
	{"terms", "tsvector", []string{"", "'a':1A 'it''s':2"}},
	{"place", "pg_lsn", []string{"0/0", "FFFFFFFF/FFFFFFFF"}},
	{"range", "int4range", []string{"empty", "(,)", "[1,5)", "[-2147483648,)"}},
	{"ranges", "int4multirange", []string{"{}", "{[1,3),[5,7)}"}},
	{"period", "tstzrange", []string{`["0044-03-15 00:00:00+00 BC",infinity]`, `[2024-01-01,2024-01-02)`, "empty"}},
	{"stretch", "span", []string{"[-0,NaN]", "(-Infinity,1e-300)"}},
	{"feeling", "mood", []string{"sad", "o'k", `very "happy", {indeed}`, ""}},
	{"cost", "price", []string{"0", "-999999.9999", "NaN"}},
	{"less", "discount", []string{"0.5", "1234567890123456.7891"}},
	{"spots", "coordinates", []string{"{}", "{-0,NaN,Infinity}", "[2:3]={7,8}"}},
	{"home", "address", []string{"(,,,)", `("a ""street"", \\with",7,"{sad,""o'k""}","0044-03-15 00:00:00+00 BC")`}},
	{"homes", "address[]", []string{"{}", `{"(a,1,{sad},infinity)",NULL}`}},
	{"numbers", "integer[]", []string{"{}", "[2:3]={7,8}", "{1,NULL,3}", "{{1,2},{3,4}}", "[0:1][-1:0]={{1,2},{3,4}}", "[-2147483648:-2147483647]={1,2}"}},
	{"exacts", "numeric[]", []string{"{1e400,NaN,0.10}", "{}"}},
	{"texts", "text[]", []string{`{"",NULL,"NULL","a,b","{","\"","\\"}`, "{{a,b},{c,d}}"}},
	{"moods", "mood[]", []string{`{sad,"very \"happy\", {indeed}",""}`}},
	{"days", "date[]", []string{"{infinity,-infinity,0001-01-01 BC}"}},
	{"instants", "timestamptz[]", []string{`{infinity,"4714-11-24 00:00:00+00 BC"}`}},
	{"documents", "jsonb[]", []string{`{"{\"a\": 1}",NULL}`}},
	{"blobs", "bytea[]", []string{`{"\\x00ff","\\x"}`}},
	{"boxes", "box[]", []string{"{(1,1),(0,0);(2,2),(1,1)}"}},
}

// dice are a writer's source of chance, with the values that statements are made of.
type dice struct{ *rand.Rand }

// value draws one of a column's values as an SQL literal, now and then NULL.
func (d dice) value(s special) string {
	if d.IntN(8) == 0 {
		return "NULL"
	}
	return quote(s.values[d.IntN(len(s.values))])
}

// note is a short text, at times empty or NULL.
func (d dice) note() string {
	switch d.IntN(8) {
	case 0:
		return "NULL"
	case 1:
		return "''"
	default:
		return quote(fmt.Sprintf("note %x é", d.Uint32()))
	}
}

// large is an incompressible text of so many bytes.
func (d dice) large(bytes int) string {
	b := make([]byte, (bytes+1)/2)
	for i := range b {
		b[i] = byte(d.Uint32())
	}
	return hex.EncodeToString(b)[:bytes]
}

// size is a number of rows from 1 to 50, more often a small one.
func (d dice) size() int { return 1 + min(d.IntN(50), d.IntN(50)) }

// one of the choices.
func one[T any](d dice, choices ...T) T { return choices[d.IntN(len(choices))] }

// quote writes a text as an SQL literal that does not depend on standard_conforming_strings.
func quote(text string) string {
	literal := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if strings.Contains(text, `\`) {
		return " E" + strings.ReplaceAll(literal, `\`, `\\`)
	}
	return literal
}
