package envelope

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files; read the diff before you commit it")

// golden compares got with a file below testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (make it with go test -update)", err)
	}
	if bytes.Equal(got, want) {
		return
	}
	gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		g, w := at(gotLines, i), at(wantLines, i)
		if g != w {
			t.Fatalf("%s, line %d:\n got %s\nwant %s", path, i+1, g, w)
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(no such line)"
}

// A recorded value is a line of testdata/postgres-text.txt: what a real server prints.
type recorded struct {
	declared string // type as declared
	oid      uint32
	modifier int32
	name     string // schema.name, empty for pg_catalog, as in cdc.Column
	literal  string
	text     string
	json     string // what the server's own functions make of it; empty if it has none
}

// readRecorded reads testdata/postgres-text.txt.
func readRecorded(t testing.TB) ([]recorded, Types) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", "postgres-text.txt"))
	if err != nil {
		t.Fatal(err)
	}

	var values []recorded
	types := make(Types)
	for line := range strings.Lines(string(file)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		for i := range f {
			f[i] = copyText(f[i])
		}
		switch f[0] {
		case "type":
			types[number32(t, f[1])] = Type{
				Name: f[2], Base: number32(t, f[3]), Elem: number32(t, f[4]),
				Modifier: int32(number32(t, f[5])), Delim: f[6][0],
			}
		case "value":
			r := recorded{declared: f[1], oid: number32(t, f[2]), modifier: int32(number32(t, f[3])), literal: f[5], text: f[6], json: f[7]}
			if !strings.HasPrefix(f[4], "pg_catalog.") {
				r.name = f[4]
			}
			values = append(values, r)
		}
	}
	if len(values) == 0 || len(types) == 0 {
		t.Fatalf("postgres-text.txt holds %d values and %d types", len(values), len(types))
	}
	return values, types
}

// copyText undoes the escapes of COPY's text format. \N becomes the empty string.
func copyText(field string) string {
	if field == `\N` {
		return ""
	}
	return strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r", `\t`, "\t", `\b`, "\b", `\f`, "\f", `\v`, "\v").Replace(field)
}

func number32(t testing.TB, text string) uint32 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

// encode writes one value as a column of the type would be written.
func encode(types Types, oid uint32, name string, modifier int32, text string) (string, error) {
	e, err := flink.resolve(types, oid, name, modifier, 0)
	if err != nil {
		return "", err
	}
	out, err := e.write([]byte("before"), []byte(text))
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(string(out), "before"), nil
}

// TestPostgresText encodes what a real server printed. The golden file is for eyes; where the server can make the JSON
// itself, that has to say the same.
func TestPostgresText(t *testing.T) {
	values, types := readRecorded(t)
	var got bytes.Buffer
	for _, v := range values {
		out, err := encode(types, v.oid, v.name, v.modifier, v.text)
		if err != nil {
			t.Errorf("%s %q: %v", v.declared, v.literal, err)
			continue
		}
		if !json.Valid([]byte(out)) {
			t.Errorf("%s %q: %s is not JSON", v.declared, v.literal, out)
		}
		if v.json != "" && compact(t, out) != compact(t, v.json) {
			t.Errorf("%s %q: got %s, the server says %s", v.declared, v.literal, out, v.json)
		}
		got.WriteString(v.declared + "\t" + strconv.Quote(v.text) + "\t" + out + "\n")
	}
	golden(t, "postgres-text.golden", got.Bytes())
}

// compact takes the freedom out of two JSON texts that say the same. Numbers stay as they are written.
func compact(t *testing.T, text string) string {
	t.Helper()
	var value any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if inner, isText := value.(string); isText && strings.HasPrefix(inner, "{") {
		var b bytes.Buffer
		if json.Compact(&b, []byte(inner)) == nil { // JSON in a string: jsonb, hstore
			value = b.String()
		}
	}
	out, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
