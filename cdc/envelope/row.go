package envelope

import (
	"errors"
	"fmt"

	"github.com/livedb/livedb/cdc"
)

// AppendEvent appends the value of one event. The caller decides op: an update for which KeyChanged holds is a Delete
// event and an Insert event.
//
// old and oldKind are those of the change, also for the Insert event of a key change: a large value that the update did
// not touch stands nowhere else. new is not used for a Delete. On an error dst is returned as it was.
func (p *Plan) AppendEvent(dst []byte, m *Meta, op cdc.Op, old cdc.Row, oldKind cdc.Old, new cdc.Row) ([]byte, error) {
	out, err := p.appendRows(dst, op, earlier{old, oldKind}, new)
	if err != nil {
		return dst, fmt.Errorf("table %s, op %s: %w", p.table, op, err)
	}
	return p.source.append(out, m, op), nil
}

// AppendTruncate appends the value of the event that says the table was emptied. It has no rows and no key.
func (p *Plan) AppendTruncate(dst []byte, m *Meta) ([]byte, error) {
	return p.source.append(append(dst, noRows...), m, cdc.Truncate), nil
}

const noRows = `{"before":null,"after":null`

// earlier is what a change carries of the row's earlier state.
type earlier struct {
	row  cdc.Row
	kind cdc.Old
}

// has reports whether the earlier state of the column is known.
func (e *earlier) has(c *column) bool {
	return e.kind == cdc.OldFull || e.kind == cdc.OldKey && c.Identity
}

var (
	errUnchanged = errors.New("the value is marked unchanged, and nothing tells what it was")
	errState     = errors.New("the value is neither null, text nor unchanged")
)

// appendRows appends before and after.
func (p *Plan) appendRows(dst []byte, op cdc.Op, old earlier, new cdc.Row) ([]byte, error) {
	if old.kind > cdc.OldFull || (old.kind != cdc.OldNone && len(old.row) != len(p.columns)) {
		return nil, fmt.Errorf("an old row of kind %d with %d columns for %d", old.kind, len(old.row), len(p.columns))
	}
	if op != cdc.Delete && len(new) != len(p.columns) {
		return nil, fmt.Errorf("a row with %d columns for %d", len(new), len(p.columns))
	}

	var err error
	dst = append(dst, `{"before":`...)
	switch {
	case op == cdc.Insert, op == cdc.Read, op == cdc.Update && !p.tellsBefore(&old, new):
		dst = append(dst, "null"...)
	case op == cdc.Update, op == cdc.Delete && old.kind != cdc.OldNone:
		dst, err = p.appendBefore(dst, &old)
	case op == cdc.Delete:
		err = errors.New("a delete without the old row has no key: the table needs a replica identity")
	default:
		err = errors.New("not an event with rows")
	}
	if err != nil {
		return nil, err
	}

	dst = append(dst, `,"after":`...)
	if op == cdc.Delete {
		return append(dst, "null"...), nil
	}
	return p.appendAfter(dst, op, &old, new)
}

// tellsBefore reports whether an update's event shows the old row: the whole of it always, its key only if that changed.
// Postgres sends an unchanged key too, where it was stored out of line.
func (p *Plan) tellsBefore(old *earlier, new cdc.Row) bool {
	if old.kind != cdc.OldKey {
		return old.kind == cdc.OldFull
	}
	for i := range p.columns {
		if p.columns[i].Identity && differ(&old.row[i], &new[i]) {
			return true
		}
	}
	return false
}

// differ reports whether a value was changed.
func differ(old, new *cdc.Value) bool { return new.State != cdc.Unchanged && !new.Equal(*old) }

// appendBefore appends the old row. Columns that are not known are null: of a key-only row the rest is not data.
func (p *Plan) appendBefore(dst []byte, old *earlier) ([]byte, error) {
	for i := range p.columns {
		c := &p.columns[i]
		dst = append(dst, c.prefix...)
		if !old.has(c) {
			dst = append(dst, "null"...)
			continue
		}
		var err error
		if dst, err = c.append(dst, &old.row[i]); err != nil {
			return nil, err
		}
	}
	return p.closeRow(dst), nil
}

// appendAfter appends the new row. A value that the update did not touch comes from the old row if that is known;
// otherwise a placeholder stands for it.
func (p *Plan) appendAfter(dst []byte, op cdc.Op, old *earlier, new cdc.Row) ([]byte, error) {
	for i := range p.columns {
		c, v := &p.columns[i], &new[i]
		dst = append(dst, c.prefix...)
		if v.State == cdc.Unchanged {
			switch {
			case old.has(c):
				v = &old.row[i]
			case op != cdc.Read && !c.isKey && c.unavailable != "":
				dst = append(dst, c.unavailable...)
				continue
			}
		}
		var err error
		if dst, err = c.append(dst, v); err != nil {
			return nil, err
		}
	}
	return p.closeRow(dst), nil
}

// closeRow ends a row, which for a table without columns has not begun yet.
func (p *Plan) closeRow(dst []byte) []byte {
	if len(p.columns) == 0 {
		dst = append(dst, '{')
	}
	return append(dst, '}')
}

// append appends one value.
func (c *column) append(dst []byte, v *cdc.Value) (out []byte, err error) {
	switch v.State {
	case cdc.Text:
		out, err = c.write(dst, v.Text)
	case cdc.Null:
		return append(dst, "null"...), nil
	case cdc.Unchanged:
		err = errUnchanged
	default:
		err = errState
	}
	if err != nil {
		return nil, fmt.Errorf("column %s (%s): %w", c.Name, typeName(c.Type, c.TypeName), err)
	}
	return out, nil
}
