package audit_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// madeTypes are what the sampled values need; those of an extension that the server lacks are left out.
var madeTypes = []string{
	"CREATE EXTENSION hstore", "CREATE EXTENSION citext", "CREATE EXTENSION ltree",
	`CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy "!"')`, "CREATE TYPE pair AS (a int, b text)",
	"CREATE DOMAIN price AS numeric(10,2)", "CREATE DOMAIN net_price AS price", "CREATE DOMAIN instant AS timestamptz(3)", "CREATE DOMAIN switch AS bit(1)",
	"CREATE DOMAIN path_of_ints AS int[]", "CREATE DOMAIN attributes AS hstore", "CREATE DOMAIN feelings AS mood[]",
	"CREATE TYPE span AS RANGE (subtype = timestamptz)",
}

// moreValues are beside those that the encoder's own tests have: the mapping is not to be tested only where it was looked at.
var moreValues = map[string][]string{
	"smallint": {"0", "-1", "32767"}, "bigint": {"9223372036854775807", "9007199254740993"}, "oid": {"0", "4294967295"},
	"real": {"0", "16777216", "16777217", "1.17549435e-38", "0.1", "123456789"}, "double precision": {"1e15", "1e16", "123456789012345680", "4.9e-324", "2.2250738585072014e-308", "1e22", "1e23", "0.1", "100"},
	"numeric": {"0", "-0", "0.000", "1e1000", "1e-1000", "-1.10", "0.1e3"}, "numeric(3,5)": {"0.00123", "-0.00999"}, "numeric(4,-1)": {"99990"},
	"money": {"0.01", "-0.01", "999999.99", "1000"}, "bit(33)": {"1" + strings.Repeat("0", 32)}, "bit varying(1)": {"0"}, "bit(1)[]": {"{1,NULL}"}, "bit varying(1)[]": {"{0}"},
	"bytea": {"\\x5c", "\\x" + strings.Repeat("00ff", 500)}, "text": {"\\", "\\N", "null", "{}", "__debezium_unavailable_value", "\u007f\u0080\u2028\ufeff\uffff\U0010ffff", "e\u0301", strings.Repeat("ü", 3000)},
	"character(1)": {"", "ü"}, "character varying": {" "}, `"char"`: {"", "\\"}, "name": {strings.Repeat("n", 63)},
	"date": {"9999-12-31", "10000-01-01", "0001-12-31 BC", "0002-02-28 BC", "0005-02-29 BC", "0101-03-01 BC", "1582-10-10", "1900-02-28", "99999-01-01"},
	"time": {"23:59:59.999999", "00:00:00.000001", "12:00:00.1", "24:00"}, "time(1)": {"12:00:00.15"},
	"timetz":       {"00:00:00-12", "23:59:59.999999+15:59", "24:00:00-01", "12:00:00.100+05:45", "00:00:00.000001+00:00:01"},
	"timestamp":    {"0001-01-01 00:00:00", "1969-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999", "10000-01-01", "0001-12-31 23:59:59.999999 BC", "2016-12-31 23:59:60"},
	"timestamp(1)": {"2020-01-01 00:00:00.15"}, "timestamptz": {"0001-01-01 00:00:00+14", "10000-01-01 00:00:00+01", "9999-12-31 23:00:00-02", "0001-01-01 00:00:00.000001+00 BC"},
	"timestamptz(6)": {"2020-01-01 00:00:00.1"}, "timestamptz(2)": {"infinity"},
	"interval":           {"-1 year +1 mon -1 day +00:00:01", "1 year -1 mon", "-0.000001 s", "25:00:00", "-25:00:00.5", "1000000 days", "00:00:00.1", "-1 day -00:00:00.1", "11 mons 59:59:59.999999"},
	"interval second(0)": {"1.5 s"}, "interval month": {"13 mons"},
	"point": {"(0,0)", "(1e-320,-1e300)", "(-Infinity,NaN)", "(0.1,100000000000000000000)"}, "path": {"[(0,0),(1,1)]", "((0,0),(1,1))"}, "line": {"{1,2,3}"},
	"json": {`"a"`, " null ", "1e400", `{"\u0000":"\ud83d\ude42"}`, "[1,\n2]"}, "jsonb": {"null", `"\""`, `{"b":1,"a":1,"b":2}`, "1.000"},
	"xid": {"4294967295"}, "cid": {"1"}, "tsmultirange": {`{["2020-01-01","2020-01-02")}`}, "span": {"[2020-01-01,)"}, "regtype": {"int4"}, "oidvector": {"1 2"},
	"mood": {"sad"}, "feelings": {`{sad,"so so",NULL}`}, "span[]": {`{"[2020-01-01,2020-01-02)"}`}, "regclass[]": {"{pg_type}"}, "int2vector[]": {`{"1 2"}`},
	"text[]": {`{"\\"}`, `{{{x}}}`, "[0:0]={a}", "[-2:-1][3:3]={{a},{b}}"}, "double precision[]": {"{{1,2},{NaN,-0}}", "{}"}, "numeric[]": {"{1e100,-0.0}"}, "line[]": {`{"{1,2,3}"}`}, "path[]": {`{"((0,0),(1,1))"}`},
	"timestamptz(0)[]": {`{"2020-01-01 00:00:00.6+02",-infinity}`}, "money[]": {"{-0.5,1234567}"}, "interval[]": {"{{1 day,-1 day},{1:00,0}}"}, "polygon[]": {`{"((0,0),(1,1))"}`},
	"hstore": {`a=>""`, `"\"=>"=>"NULL", NULL=>NULL`, `"a, "=>", b"`}, "attributes": {"a=>1"}, "citext": {""}, "inet": {"::ffff:1.2.3.4/128", "10.1.2.3/32", "0.0.0.0/0"},
	"pair": {`(,"")`, "(,)", `(1,"(2,3)")`}, "pair[]": {`{"(,)"}`}, "path_of_ints": {"[5:6]={1,2}", "{}"}, "path_of_ints[]": {`{"{}","[0:0]={1}"}`}, "price[]": {"{{1,2},{3,4}}"},
}

// sampled reads the values of which the encoder's tests have recorded the text.
func sampled(t *testing.T) map[string][]string {
	t.Helper()
	file, err := os.ReadFile("../../cdc/envelope/testdata/postgres-text.txt")
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r", `\t`, "\t", `\b`, "\b", `\f`, "\f", `\v`, "\v")
	values := map[string][]string{}
	for line := range strings.Lines(string(file)) {
		if f := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); f[0] == "value" {
			values[f[1]] = append(values[f[1]], plain.Replace(f[5]))
		}
	}
	for typ, more := range moreValues {
		values[typ] = append(values[typ], more...)
	}
	return values
}

// Every type of the mapping with its special values goes through the product into Kafka, as a whole row, as an old row and
// as null, and both sides agree on it: the differential test of the two mappings.
func TestSourceAgreesOnEveryType(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	for _, statement := range madeTypes {
		if _, err := s.conn.Exec(t.Context(), statement); err != nil && s.hasExtensions() {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	values := sampled(t)
	var types, tables []string
	for typ := range values {
		types = append(types, typ)
	}
	slices.Sort(types)
	inserts := map[string][]string{}
	for i, typ := range types {
		table := fmt.Sprintf("t%d", i)
		if _, err := s.conn.Exec(t.Context(), fmt.Sprintf("CREATE TABLE %s (id serial PRIMARY KEY, v %s)", table, typ)); err != nil {
			if s.hasExtensions() {
				t.Fatalf("%s: %v", typ, err)
			}
			continue // of an extension
		}
		s.exec(fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL", table))
		tables = append(tables, table)
		for _, v := range values[typ] {
			inserts[table] = append(inserts[table], fmt.Sprintf("INSERT INTO %s (v) VALUES ('%s')", table, strings.ReplaceAll(v, "'", "''")))
		}
	}
	s.start()

	var events uint64
	for _, table := range tables {
		batch := &pgx.Batch{}
		for _, insert := range inserts[table] {
			batch.Queue(insert)
		}
		batch.Queue(fmt.Sprintf("INSERT INTO %s (v) VALUES (NULL)", table))
		batch.Queue(fmt.Sprintf("UPDATE %s SET v = NULL", table))
		batch.Queue(fmt.Sprintf("DELETE FROM %s", table))
		if err := s.conn.SendBatch(t.Context(), batch).Close(); err != nil {
			t.Fatalf("%s: %v", table, err)
		}
		events += 3 * uint64(len(inserts[table])+1)
	}
	s.proven(events)
	t.Logf("%d types, %d events", len(tables), events)
}

// hasExtensions tells a server that brings the contributed extensions along.
func (s *stream) hasExtensions() bool {
	s.t.Helper()
	var n int
	if err := s.conn.QueryRow(s.t.Context(), "SELECT count(*) FROM pg_available_extensions WHERE name IN ('hstore', 'citext', 'ltree')").Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n == 3
}

// large makes values that Postgres stores out of line, for each type that it can do so with.
var large = map[string]string{
	"text": "repeat('x', 9000)", "varchar": "repeat('x', 9000)", "char(9000)": "'x'", "json": "to_json(repeat('x', 9000))", "jsonb": "to_jsonb(repeat('x', 9000))",
	"xml": "xmlcomment(repeat('x', 9000))", "bytea": "repeat('x', 9000)::bytea", "varbit": "repeat('10', 40000)::varbit", "bit(80000)": "repeat('10', 40000)::bit(80000)", "numeric": "repeat('7', 20000)::numeric",
	"tsvector": "(SELECT string_agg('w' || i, ' ') FROM generate_series(1, 3000) i)::tsvector", "polygon": "('(' || repeat('(1,2),', 2000) || '(1,2))')::polygon",
	"int4multirange": "(SELECT range_agg(int4range(i * 3, i * 3 + 1)) FROM generate_series(1, 3000) i)",
	"text[]":         "array_fill('x'::text, '{3000}')", "varchar[]": "array_fill('x'::varchar, '{3000}')", "smallint[]": "array_fill(1::smallint, '{3000}')", "int[]": "array_fill(1, '{3000}')", "bigint[]": "array_fill(1::bigint, '{3000}')",
	"oid[]": "array_fill(1::oid, '{3000}')", "real[]": "array_fill(1::real, '{3000}')", "float8[]": "array_fill(1::float8, '{3000}')", "numeric[]": "array_fill(1::numeric, '{3000}')", "bool[]": "array_fill(true, '{9000}')",
	"uuid[]": "array_fill(gen_random_uuid(), '{3000}')", "bytea[]": "array_fill('x'::bytea, '{3000}')", "date[]": "array_fill('2020-01-01'::date, '{3000}')", "time[]": "array_fill('00:00'::time, '{3000}')",
	"timestamp[]": "array_fill('2020-01-01'::timestamp, '{3000}')", "timestamptz[]": "array_fill('2020-01-01'::timestamptz, '{3000}')", "interval[]": "array_fill('1 day'::interval, '{3000}')",
	"jsonb[]": "array_fill('1'::jsonb, '{3000}')", "money[]": "array_fill('1'::money, '{3000}')", "point[]": "array_fill('(1,2)'::point, '{3000}')", "varbit[]": "array_fill('101'::varbit, '{3000}')", "bit(1)[]": "array_fill('1'::bit(1), '{3000}')",
	"mood[]": "array_fill('sad'::mood, '{3000}')", "price[]": "array_fill('1'::price, '{3000}')", "path_of_ints": "array_fill(1, '{3000}')", "path_of_ints[]": "array_fill('{1}'::path_of_ints, '{3000}')", "feelings": "array_fill('sad'::mood, '{3000}')",
	"hstore": "hstore('k', repeat('x', 9000))", "attributes": "hstore('k', repeat('x', 9000))", "hstore[]": "array_fill(hstore('k', 'v'), '{3000}')", "citext": "repeat('x', 9000)::citext", "pair": "row(1, repeat('x', 9000))::pair",
}

// An update that does not touch a large value yields its type's placeholder, and under FULL the value.
func TestSourceAgreesOnUnchangedValues(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	for _, statement := range madeTypes {
		if _, err := s.conn.Exec(t.Context(), statement); err != nil && s.hasExtensions() {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	var types []string
	for typ := range large {
		types = append(types, typ)
	}
	slices.Sort(types)
	var tables, inserts []string
	for i, typ := range types {
		for _, identity := range []string{"DEFAULT", "FULL"} {
			table := fmt.Sprintf("t%d_%s", i, strings.ToLower(identity))
			if _, err := s.conn.Exec(t.Context(), fmt.Sprintf("CREATE TABLE %s (id serial PRIMARY KEY, n int, v %s)", table, typ)); err != nil {
				if s.hasExtensions() {
					t.Fatalf("%s: %v", typ, err)
				}
				continue // of an extension
			}
			s.exec(fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY %s", table, identity), fmt.Sprintf("ALTER TABLE %s ALTER v SET STORAGE EXTERNAL", table))
			tables, inserts = append(tables, table), append(inserts, fmt.Sprintf("INSERT INTO %s (v) SELECT %s", table, large[typ]))
		}
	}
	s.start()
	for i, table := range tables {
		s.exec(inserts[i], "UPDATE "+table+" SET n = 1", "UPDATE "+table+" SET id = 100", "DELETE FROM "+table)
	}
	s.proven(5 * uint64(len(tables)))
}
