package ledger

import (
	"encoding/json"
	"fmt"
)

// Tally counts changed rows by table and kind, and adds up their hashes. The sum does not depend on the order of the rows.
type Tally struct {
	Rows [tableCount][kindCount]int64
	Sum  uint64 // modulo 2^64
}

// Add counts rows of one table and kind, whose hashes have that sum.
func (t *Tally) Add(table Table, kind Kind, rows int64, sum uint64) {
	t.Rows[table][kind] += rows
	t.Sum += sum
}

// Merge adds another tally.
func (t *Tally) Merge(other *Tally) {
	for table := range Table(tableCount) {
		for kind := range Kind(kindCount) {
			t.Rows[table][kind] += other.Rows[table][kind]
		}
	}
	t.Sum += other.Sum
}

// Total is how many rows were counted.
func (t *Tally) Total() int64 {
	var n int64
	for _, byKind := range t.Rows {
		for _, rows := range byKind {
			n += rows
		}
	}
	return n
}

// Counts writes the counts as an entry holds them: {"orders":{"c":3,"u":1}}.
func (t *Tally) Counts() []byte {
	counts := map[string]map[string]int64{}
	for table := range Table(tableCount) {
		for kind := range Kind(kindCount) {
			rows := t.Rows[table][kind]
			if rows == 0 {
				continue
			}
			if counts[table.String()] == nil {
				counts[table.String()] = map[string]int64{}
			}
			counts[table.String()][kind.String()] = rows
		}
	}
	data, _ := json.Marshal(counts) // maps of numbers: cannot fail
	return data
}

// parseCounts reads what Counts wrote.
func (t *Tally) parseCounts(data []byte) error {
	var counts map[string]map[string]int64
	if err := json.Unmarshal(data, &counts); err != nil {
		return fmt.Errorf("counts: %w", err)
	}
	known := 0
	for table := range Table(tableCount) {
		for kind := range Kind(kindCount) {
			rows, named := counts[table.String()][kind.String()]
			if named {
				known++
			}
			if rows < 0 {
				return fmt.Errorf("counts: %d rows of %s", rows, table)
			}
			t.Rows[table][kind] = rows
		}
	}
	for _, byKind := range counts {
		known -= len(byKind)
	}
	if known != 0 {
		return fmt.Errorf("counts: %s name what the ledger does not count", data)
	}
	return nil
}
