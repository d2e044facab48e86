package burst

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/livedb/livedb/cdc"
)

// tally counts changed rows by table and kind, and adds up their hashes. The sum does not depend on the order of the
// rows; the changes of one transaction have one, but it is the reader's numbers that prove it.
type tally struct {
	rows [tableCount][kindCount]int64
	sum  uint64 // modulo 2^64
}

func (t *tally) add(table table, kind int, rows int64, sum uint64) {
	t.rows[table][kind] += rows
	t.sum += sum
}

func (t *tally) merge(other *tally) {
	for table, byKind := range other.rows {
		for kind, rows := range byKind {
			t.rows[table][kind] += rows
		}
	}
	t.sum += other.sum
}

func (t *tally) total() int64 {
	var n int64
	for _, byKind := range t.rows {
		for _, rows := range byKind {
			n += rows
		}
	}
	return n
}

// MarshalJSON writes the counts as the ledger holds them: {"orders":{"c":3,"u":1}}.
func (t *tally) MarshalJSON() ([]byte, error) {
	counts := map[string]map[string]int64{}
	for table, byKind := range t.rows {
		for kind, rows := range byKind {
			if rows == 0 {
				continue
			}
			name := tables[table].name
			if counts[name] == nil {
				counts[name] = map[string]int64{}
			}
			counts[name][kinds[kind].String()] = rows
		}
	}
	return json.Marshal(counts)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (t *tally) UnmarshalJSON(data []byte) error {
	var counts map[string]map[string]int64
	if err := json.Unmarshal(data, &counts); err != nil {
		return err
	}
	t.rows = [tableCount][kindCount]int64{}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		table := slices.IndexFunc(tables[:], func(d definition) bool { return d.name == name })
		if table < 0 {
			return fmt.Errorf("ledger counts rows of %q, which is not the demo's", name)
		}
		for op, rows := range counts[name] {
			kind := slices.IndexFunc(kinds[:], func(k cdc.Op) bool { return k.String() == op })
			if kind < 0 || rows < 0 {
				return fmt.Errorf("ledger counts %d rows of %s of kind %q", rows, name, op)
			}
			t.rows[table][kind] = rows
		}
	}
	return nil
}
