package envelope

import (
	"fmt"

	"github.com/livedb/livedb/cdc"
)

// KeyChanged reports whether c is an update whose old row has another key than the new one. Such an update becomes a
// delete of the old key and an insert of the new one.
func (p *Plan) KeyChanged(c *cdc.Change) bool {
	if c.Op != cdc.Update || c.OldKind == cdc.OldNone || len(c.Old) != len(p.columns) || len(c.New) != len(p.columns) {
		return false
	}
	for _, k := range p.key {
		if differ(&c.Old[k.index], &c.New[k.index]) {
			return true
		}
	}
	return false
}

// AppendKey appends the key of a row, such as {"id":1}. A row that an update left has the key that AppendNewKey appends.
// On an error dst is returned as it was.
func (p *Plan) AppendKey(dst []byte, row cdc.Row) ([]byte, error) {
	return p.appendKey(dst, row, earlier{})
}

// AppendNewKey appends the key of the row as c leaves it. It differs from AppendKey of c.New for a key column so large
// that Postgres stored it out of line and did not log it again: that one is taken from the old row.
func (p *Plan) AppendNewKey(dst []byte, c *cdc.Change) ([]byte, error) {
	return p.appendKey(dst, c.New, earlier{c.Old, c.OldKind})
}

func (p *Plan) appendKey(dst []byte, row cdc.Row, old earlier) ([]byte, error) {
	if len(p.key) == 0 {
		return dst, fmt.Errorf("table %s has no key", p.table)
	}
	if len(row) != len(p.columns) || (old.kind != cdc.OldNone && len(old.row) != len(p.columns)) {
		return dst, fmt.Errorf("table %s: a key from rows with %d and %d columns for %d", p.table, len(row), len(old.row), len(p.columns))
	}

	out := dst
	for i := range p.key {
		k := &p.key[i]
		c, v := &p.columns[k.index], &row[k.index]
		if v.State == cdc.Unchanged && old.has(c) {
			v = &old.row[k.index]
		}
		out = append(out, k.prefix...)
		var err error
		if out, err = c.append(out, v); err != nil {
			return dst, fmt.Errorf("table %s, key: %w", p.table, err)
		}
	}
	return append(out, '}'), nil
}
