package workload

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
)

// folded is what a slot's changes come to when they are applied in their order. It is what the workload promises to whoever
// audits a stream of it: the changes alone tell what the tables hold, over DDL and TRUNCATE too.
type folded struct {
	relations map[uint32]*pglogrepl.RelationMessage
	keys      map[string][]string         // of each table, none for one without
	rows      map[string]map[string]image // by table and key, or place for a table without a key
	end       pglogrepl.LSN
	adjacent  int // transactions that commit where the one before ends
	fixed     int // rows of the fixed case
	aborts    int // STREAM ABORT without a stream, which carries nothing
	places    int
}

// image is a row by the names of its columns: each value's text, nil for NULL.
type image map[string]*string

// fold applies all changes of the slot live and holds the outcome against the tables.
func fold(t *testing.T, w *Workload) (*folded, error) {
	t.Helper()
	conn, err := w.connect(t.Context(), w.source.Database)
	if err != nil {
		return nil, err
	}
	defer closeConn(t.Context(), conn)
	f := &folded{relations: map[uint32]*pglogrepl.RelationMessage{}, keys: map[string][]string{},
		rows: map[string]map[string]image{}}
	for _, table := range published {
		rows, err := conn.Query(t.Context(), `SELECT a.attname::text
			FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
			WHERE i.indrelid = $1::regclass AND i.indisunique`, table)
		if err != nil {
			return nil, err
		}
		if f.keys[table], err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return nil, err
		}
		f.rows[table] = map[string]image{}
	}

	rows, err := conn.Query(t.Context(), `SELECT data
		FROM pg_logical_slot_peek_binary_changes('live', NULL, NULL, 'proto_version', '1', 'publication_names', 'live')`)
	if err != nil {
		return nil, err
	}
	var data []byte
	if _, err := pgx.ForEachRow(rows, []any{&data}, func() error { return f.apply(data) }); err != nil {
		return nil, err
	}
	for _, table := range published {
		want, err := contents(t, conn, table)
		if err != nil {
			return nil, err
		}
		var got []string
		for _, row := range f.rows[table] {
			got = append(got, row.String())
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the changes come to %d rows, the table has %d%s", table, len(got), len(want), firstDifference(got, want))
		}
	}
	return f, nil
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("\ngot  %.500s\nwant %.500s", got[i], want[i])
		}
	}
	return ""
}

// contents are a table's rows, sorted.
func contents(t *testing.T, conn *pgx.Conn, table string) ([]string, error) {
	rows, err := conn.Query(t.Context(), "SELECT * FROM "+table)
	if err != nil {
		return nil, err
	}
	var all []string
	for rows.Next() {
		row := image{}
		for i, field := range rows.FieldDescriptions() {
			row[field.Name] = nil
			if value := rows.RawValues()[i]; value != nil {
				row[field.Name] = new(string(value))
			}
		}
		all = append(all, row.String())
	}
	slices.Sort(all)
	return all, rows.Err()
}

func (f *folded) apply(data []byte) error {
	if data[0] == 'A' {
		f.aborts++
		return nil
	}
	message, err := pglogrepl.Parse(data)
	if err != nil {
		return err
	}
	switch m := message.(type) {
	case *pglogrepl.BeginMessage:
		if m.FinalLSN == f.end {
			f.adjacent++
		}
	case *pglogrepl.CommitMessage:
		f.end = m.TransactionEndLSN
	case *pglogrepl.RelationMessage:
		f.relations[m.RelationID] = m
	case *pglogrepl.InsertMessage:
		if f.relations[m.RelationID].RelationName == "fixed" {
			f.fixed++
		}
		return f.change(m.RelationID, nil, m.Tuple)
	case *pglogrepl.UpdateMessage:
		if m.OldTuple == nil { // the key is as it was, and so in the new tuple
			return f.change(m.RelationID, m.NewTuple, m.NewTuple)
		}
		return f.change(m.RelationID, m.OldTuple, m.NewTuple)
	case *pglogrepl.DeleteMessage:
		return f.change(m.RelationID, m.OldTuple, nil)
	case *pglogrepl.TruncateMessage:
		for _, id := range m.RelationIDs {
			clear(f.rows[f.relations[id].RelationName])
		}
	}
	return nil
}

// change replaces a row. A value that an update did not touch is that of the row before.
func (f *folded) change(relation uint32, old, new *pglogrepl.TupleData) error {
	r := f.relations[relation]
	table := r.RelationName
	var before image
	if old != nil {
		at, known := f.find(table, tuple(r, old, nil))
		if !known {
			return fmt.Errorf("a change of a row of %s that is not there: %s", table, tuple(r, old, nil))
		}
		before = f.rows[table][at]
		delete(f.rows[table], at)
	}
	if new == nil {
		return nil
	}
	after := tuple(r, new, before)
	at, taken := f.find(table, after)
	if len(f.keys[table]) == 0 {
		f.places++
		at, taken = fmt.Sprint(f.places), false
	}
	if taken {
		return fmt.Errorf("a second row of %s with the key %s", table, at)
	}
	f.rows[table][at] = after
	return nil
}

// find looks for the row with the same key or, in a table without a key, for any equal row.
func (f *folded) find(table string, row image) (string, bool) {
	if key := f.keys[table]; len(key) > 0 {
		var b strings.Builder
		for _, name := range key {
			if row[name] != nil {
				fmt.Fprintf(&b, "%s=%q ", name, *row[name])
			}
		}
		_, found := f.rows[table][b.String()]
		return b.String(), found
	}
	text := row.String()
	for at, other := range f.rows[table] {
		if other.String() == text {
			return at, true
		}
	}
	return "", false
}

func tuple(r *pglogrepl.RelationMessage, data *pglogrepl.TupleData, before image) image {
	row := image{}
	for i, c := range data.Columns {
		name := r.Columns[i].Name
		switch c.DataType {
		case pglogrepl.TupleDataTypeNull:
			row[name] = nil
		case pglogrepl.TupleDataTypeToast:
			row[name] = before[name]
		default:
			row[name] = new(string(c.Data))
		}
	}
	return row
}

func (row image) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(row)) {
		if row[name] == nil {
			fmt.Fprintf(&b, "%s NULL, ", name)
		} else {
			fmt.Fprintf(&b, "%s %q, ", name, *row[name])
		}
	}
	return b.String()
}
