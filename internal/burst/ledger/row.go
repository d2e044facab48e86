package ledger

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// value is one column of an event's row, as text: a JSON string's content, or a number, true or false as it stands.
type value struct {
	text []byte
	set  bool // false is null
}

var errNotRow = errors.New("it is not a JSON object of plain columns")

// parseRow reads the columns of a row out of an event's before or after into values, in the table's order. Columns that
// the table's hash does not cover may hold anything.
func parseRow(t Table, row json.RawMessage, values []value) error {
	columns := tables[t].columns
	missing := len(columns)
	r := reader{data: row}
	more := r.open('{', '}')
	for more {
		name := r.text()
		r.expect(':')
		raw := r.value()
		for i := range columns {
			if columns[i].name == string(name) {
				if err := values[i].parse(raw); err != nil {
					return fmt.Errorf("column %s: %w", name, err)
				}
				missing--
				break
			}
		}
		more = r.more('}')
	}
	if r.failed || len(r.rest()) > 0 {
		return errNotRow
	}
	if missing != 0 {
		return fmt.Errorf("it has %d of the %d columns", len(columns)-missing, len(columns))
	}
	return nil
}

func (v *value) parse(raw []byte) error {
	switch {
	case len(raw) == 0 || raw[0] == '{' || raw[0] == '[':
		return errNotRow
	case string(raw) == "null":
		*v = value{}
	case raw[0] == '"':
		text, err := unquote(raw)
		if err != nil {
			return err
		}
		*v = value{text: text, set: true}
	default:
		*v = value{text: raw, set: true}
	}
	return nil
}

func unquote(raw []byte) ([]byte, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, errNotRow
	}
	return []byte(text), nil
}

// hashRows is rowHash for rows out of events. The buffer is scratch space.
func hashRows(buffer []byte, kind Kind, t Table, rows ...[]value) (uint64, []byte) {
	b := append(buffer[:0], byte(operations[kind]), '|')
	b = append(b, tables[t].name...)
	for _, row := range rows {
		for _, v := range row {
			b = appendLiteral(append(b, '|'), v)
		}
	}
	sum := md5.Sum(b)
	return binary.BigEndian.Uint64(sum[:]), b
}

// appendLiteral quotes as Postgres's quote_nullable does.
func appendLiteral(b []byte, v value) []byte {
	if !v.set {
		return append(b, "NULL"...)
	}
	if bytes.IndexByte(v.text, '\\') >= 0 {
		b = append(b, 'E')
	}
	b = append(b, '\'')
	for _, c := range v.text {
		if c == '\'' || c == '\\' {
			b = append(b, c)
		}
		b = append(b, c)
	}
	return append(b, '\'')
}

// reader walks over JSON without decoding it. After a failure it yields nothing.
type reader struct {
	data   []byte
	at     int
	failed bool
}

func (r *reader) rest() []byte {
	for r.at < len(r.data) {
		switch r.data[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return r.data[r.at:]
		}
	}
	return nil
}

func (r *reader) is(c byte) bool {
	if rest := r.rest(); !r.failed && len(rest) > 0 && rest[0] == c {
		r.at++
		return true
	}
	return false
}

func (r *reader) expect(c byte) {
	if !r.is(c) {
		r.failed = true
	}
}

// open enters an object or array and tells whether it has a member.
func (r *reader) open(begin, end byte) bool {
	r.expect(begin)
	return !r.failed && !r.is(end)
}

// more tells whether another member follows.
func (r *reader) more(end byte) bool {
	if r.is(',') {
		return true
	}
	r.expect(end)
	return false
}

// text takes a string's content, with its escapes as they are.
func (r *reader) text() []byte {
	raw := r.quoted()
	if len(raw) < 2 {
		return nil
	}
	return raw[1 : len(raw)-1]
}

func (r *reader) quoted() []byte {
	r.expect('"')
	if r.failed {
		return nil
	}
	start := r.at - 1
	for ; r.at < len(r.data); r.at++ {
		switch r.data[r.at] {
		case '\\':
			r.at++
		case '"':
			r.at++
			return r.data[start:r.at]
		}
	}
	r.failed = true
	return nil
}

// value takes any value whole.
func (r *reader) value() []byte {
	rest := r.rest()
	if r.failed || len(rest) == 0 {
		r.failed = true
		return nil
	}
	start := r.at
	switch rest[0] {
	case '"':
		return r.quoted()
	case '{':
		for more := r.open('{', '}'); more; more = r.more('}') {
			r.quoted()
			r.expect(':')
			r.value()
		}
	case '[':
		for more := r.open('[', ']'); more; more = r.more(']') {
			r.value()
		}
	default:
		for r.at < len(r.data) && bytes.IndexByte([]byte(",}] \t\r\n"), r.data[r.at]) < 0 {
			r.at++
		}
		r.failed = r.failed || r.at == start
	}
	return r.data[start:min(r.at, len(r.data))]
}
