package oracle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"

	"github.com/livedb/livedb/cdc"
)

// ErrColumns says that an event's row does not have the columns of the table.
var ErrColumns = errors.New("the event's row has other columns than the table")

// Hash is 128 bits of SHA-256 over the canonical form of a row. Hashes add up modulo 2^128, so that a sum stands for a
// multiset of rows, whatever the order they come in. It finds accidents; it is no proof against an adversary.
type Hash [2]uint64 // high, low

// Add returns h + o.
func (h Hash) Add(o Hash) Hash {
	low, carry := bits.Add64(h[1], o[1], 0)
	high, _ := bits.Add64(h[0], o[0], carry)
	return Hash{high, low}
}

// Sub returns h - o.
func (h Hash) Sub(o Hash) Hash {
	low, borrow := bits.Sub64(h[1], o[1], 0)
	high, _ := bits.Sub64(h[0], o[0], borrow)
	return Hash{high, low}
}

// String writes 32 hexadecimal digits.
func (h Hash) String() string { return fmt.Sprintf("%016x%016x", h[0], h[1]) }

// RowHash hashes a row as Postgres prints it. values are in the order of columns; nil is null.
// It equals EventHash of the row's event if and only if both hold the same values in the same columns.
func RowHash(table string, columns []Column, values [][]byte) (Hash, error) {
	row := make(cdc.Row, len(values))
	for i, v := range values {
		if v != nil {
			row[i] = cdc.Value{State: cdc.Text, Text: v}
		}
	}
	return ChangeHash(table, columns, row)
}

// ChangeHash is RowHash of a row that may hold unchanged values: for them stands the placeholder of their type.
func ChangeHash(table string, columns []Column, row cdc.Row) (Hash, error) {
	if len(row) != len(columns) {
		return Hash{}, fmt.Errorf("table %s: %d values for %d columns", table, len(row), len(columns))
	}
	w := newWriter(table)
	for i := range columns {
		w.name(columns[i].Name)
		if err := columns[i].form.value(w, row[i]); err != nil {
			return Hash{}, fmt.Errorf("table %s, column %s: %w", table, columns[i].Name, err)
		}
	}
	return w.sum(), nil
}

func (f *form) value(w *writer, v cdc.Value) error {
	switch v.State {
	case cdc.Null:
		w.null()
	case cdc.Unchanged:
		f.unavailable(w)
	default:
		return f.text(w, v.Text)
	}
	return nil
}

// Differences tells the columns in which an event's row is not the given one, each with the beginning of both values.
func Differences(columns []Column, row cdc.Row, event json.RawMessage) ([]string, error) {
	values, err := members(columns, event)
	if err != nil || len(row) != len(columns) {
		return nil, err
	}
	var told []string
	for i := range columns {
		want, got := &writer{}, &writer{}
		err := columns[i].form.value(want, row[i])
		if err = errors.Join(err, columns[i].form.json(got, values[i])); err != nil || !bytes.Equal(want.form, got.form) {
			written, _ := json.Marshal(values[i]) // it was read from JSON
			told = append(told, fmt.Sprintf("%s (%s, %.60s)", columns[i].Name, describe(row[i]), written))
		}
	}
	return told, nil
}

// EventHash hashes a row of an event: its "before" or "after". The members may stand in any order, columns give the
// hash's. A row with other columns is ErrColumns.
func EventHash(table string, columns []Column, row json.RawMessage) (Hash, error) {
	values, err := members(columns, row)
	if err != nil {
		return Hash{}, fmt.Errorf("table %s: %w", table, err)
	}
	w := newWriter(table)
	for i := range columns {
		w.name(columns[i].Name)
		if err := columns[i].form.json(w, values[i]); err != nil {
			return Hash{}, fmt.Errorf("table %s, column %s: %w", table, columns[i].Name, err)
		}
	}
	return w.sum(), nil
}

// members finds each column's value in a JSON object.
func members(columns []Column, row json.RawMessage) ([]any, error) {
	d := json.NewDecoder(bytes.NewReader(row))
	d.UseNumber()
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, fmt.Errorf("%.100s is not a row: %w", row, errors.Join(err, ErrColumns))
	}
	values, found := make([]any, len(columns)), make([]bool, len(columns))
	next := 0
	for ; d.More(); next++ {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		i := indexOf(columns, name.(string), next)
		if i < 0 || found[i] {
			return nil, fmt.Errorf("%w: %s", ErrColumns, name)
		}
		found[i] = true
		if err := d.Decode(&values[i]); err != nil {
			return nil, err
		}
	}
	if next != len(columns) {
		return nil, fmt.Errorf("%w: %d for %d", ErrColumns, next, len(columns))
	}
	_, err := d.Token()
	return values, err
}

// indexOf finds a column by name, likely at a place; -1 if there is none.
func indexOf(columns []Column, name string, likely int) int {
	if likely < len(columns) && columns[likely].Name == name {
		return likely
	}
	for i := range columns {
		if columns[i].Name == name {
			return i
		}
	}
	return -1
}

// writer takes a canonical form. Everything in it has its length or its count before it, so that no two values share one.
type writer struct{ form []byte }

func newWriter(table string) *writer {
	w := &writer{form: make([]byte, 0, 512)}
	w.text(table)
	return w
}

func (w *writer) sum() Hash {
	sum := sha256.Sum256(w.form)
	return Hash{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])}
}

func (w *writer) name(column string) { w.tagged('c', column) }
func (w *writer) text(s string)      { w.tagged('s', s) }
func (w *writer) number(s string)    { w.tagged('d', s) }
func (w *writer) null()              { w.form = append(w.form, 'n') }
func (w *writer) array(count int)    { w.count('[', count) }
func (w *writer) object(count int)   { w.count('{', count) }

func (w *writer) bool(b bool) {
	if b {
		w.form = append(w.form, 't')
	} else {
		w.form = append(w.form, 'f')
	}
}

func (w *writer) tagged(tag byte, s string) {
	w.count(tag, len(s))
	w.form = append(w.form, s...)
}

func (w *writer) count(tag byte, n int) {
	w.form = append(w.form, tag)
	w.form = binary.AppendUvarint(w.form, uint64(n))
}

// describe writes the beginning of a value for people.
func describe(v cdc.Value) string {
	switch v.State {
	case cdc.Null:
		return "null"
	case cdc.Unchanged:
		return "unchanged"
	}
	return fmt.Sprintf("%.60q", v.Text)
}
