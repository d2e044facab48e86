package pgoutput

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pglogrepl"

	"github.com/livedb/livedb/cdc"
)

// A fixture is what a real server sent: testdata/<case>/stream.txt, one message per line as "LSN hex", "#" for comments.
// Beside it stand script.sql, of which record_test.go made it, and golden.txt, which tells what the decoder makes of it.
// A folder without script.sql was damaged by hand; its first line says how.
type fixture struct {
	name     string
	messages []wal
}

// wal is one message and where it stood.
type wal struct {
	lsn  cdc.LSN
	data []byte
}

func (f fixture) path(file string) string { return filepath.Join("testdata", f.name, file) }

// fixtures reads all of testdata, but for what fuzzing found.
func fixtures(tb testing.TB) []fixture {
	tb.Helper()
	files, err := filepath.Glob("testdata/*/stream.txt")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no fixtures: %v", err)
	}

	var all []fixture
	for _, file := range files {
		all = append(all, readFixture(tb, filepath.Base(filepath.Dir(file))))
	}
	return all
}

func readFixture(tb testing.TB, name string) fixture {
	tb.Helper()
	f := fixture{name: name}
	file, err := os.Open(f.path("stream.txt"))
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()

	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if line := lines.Text(); !strings.HasPrefix(line, "#") {
			f.messages = append(f.messages, parseWAL(tb, line))
		}
	}
	if err := lines.Err(); err != nil {
		tb.Fatal(err)
	}
	return f
}

func parseWAL(tb testing.TB, line string) wal {
	tb.Helper()
	lsn, digits, _ := strings.Cut(line, " ")
	at, err := pglogrepl.ParseLSN(lsn)
	if err != nil {
		tb.Fatal(err)
	}
	data, err := hex.DecodeString(digits)
	if err != nil {
		tb.Fatal(err)
	}
	return wal{at, data}
}

// tell decodes the messages and writes what they say. The last line is the error, if there is one.
func tell(messages []wal) string {
	var b strings.Builder
	var m Message
	d := NewDecoder()
	for _, w := range messages {
		if err := d.Decode(w.lsn, w.data, &m); err != nil {
			fmt.Fprintf(&b, "%s error: %v\n", w.lsn, err)
			break
		}
		fmt.Fprintf(&b, "%s ", w.lsn)
		tellMessage(&b, &m)
	}
	return b.String()
}

func tellMessage(b *strings.Builder, m *Message) {
	const layout = "2006-01-02T15:04:05.000000Z07:00"
	switch m.Kind {
	case Begin:
		fmt.Fprintf(b, "BEGIN xid %d commit %s time %s\n", m.Tx.XID, m.Tx.Commit, m.Tx.Time.Format(layout))
	case Commit:
		fmt.Fprintf(b, "COMMIT xid %d commit %s end %s time %s\n", m.Tx.XID, m.Tx.Commit, m.Tx.End, m.Tx.Time.Format(layout))
	case Relation:
		fmt.Fprintf(b, "RELATION %s oid %d identity %c\n", m.Table, m.Table.OID, m.Table.Identity)
		for _, c := range m.Table.Columns {
			fmt.Fprintf(b, "    %q type %d", c.Name, c.Type)
			if c.TypeName != "" {
				fmt.Fprintf(b, " %s", c.TypeName)
			}
			if c.Modifier != -1 {
				fmt.Fprintf(b, " modifier %d", c.Modifier)
			}
			if c.Identity {
				b.WriteString(" identity")
			}
			b.WriteByte('\n')
		}
	case Truncate:
		fmt.Fprintf(b, "TRUNCATE %v cascade %v restart identity %v\n", m.Truncated, m.Cascade, m.RestartIdentity)
	case Logical:
		l := &m.Logical
		fmt.Fprintf(b, "MESSAGE transactional %v lsn %s prefix %q content %q\n", l.Transactional, l.LSN, l.Prefix, l.Content)
	case Row:
		tellChange(b, &m.Change)
	default:
		fmt.Fprintf(b, "%s\n", m.Kind)
	}
}

func tellChange(b *strings.Builder, c *cdc.Change) {
	op := map[cdc.Op]string{cdc.Insert: "INSERT", cdc.Update: "UPDATE", cdc.Delete: "DELETE"}[c.Op]
	fmt.Fprintf(b, "%s %s\n", op, c.Table)
	switch c.OldKind {
	case cdc.OldKey:
		tellRow(b, "key", c, c.Old)
	case cdc.OldFull:
		tellRow(b, "old", c, c.Old)
	}
	if c.New != nil {
		tellRow(b, "new", c, c.New)
	}
}

func tellRow(b *strings.Builder, what string, c *cdc.Change, row cdc.Row) {
	fmt.Fprintf(b, "    %s", what)
	for i, v := range row {
		column := c.Table.Columns[i]
		if what == "key" && !column.Identity {
			continue // not data
		}
		fmt.Fprintf(b, " %s=", column.Name)
		switch {
		case v.State == cdc.Null:
			b.WriteString("null")
		case v.State == cdc.Unchanged:
			b.WriteString("unchanged")
		case len(v.Text) > 100:
			fmt.Fprintf(b, "%.10q… (%d bytes)", v.Text, len(v.Text))
		default:
			fmt.Fprintf(b, "%q", v.Text)
		}
	}
	b.WriteByte('\n')
}
