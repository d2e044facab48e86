package cdc

import "bytes"

// Identity is a table's replica identity: what Postgres logs of a row's earlier state.
type Identity byte

// The replica identities, with the letters of pg_class.relreplident.
const (
	IdentityDefault Identity = 'd'
	IdentityNothing Identity = 'n'
	IdentityFull    Identity = 'f'
	IdentityIndex   Identity = 'i'
)

// Table is a relation as the stream described it at some point. A later description is a new Table: nobody changes one
// that has been handed out, so its address may serve as a cache key.
type Table struct {
	OID      uint32
	Schema   string
	Name     string
	Identity Identity
	Columns  []Column
}

// String returns schema.name.
func (t *Table) String() string { return t.Schema + "." + t.Name }

// Column is one column of a Table.
type Column struct {
	Name     string
	Type     uint32 // type OID
	TypeName string // schema.name as a TYPE message told it; empty for a type of pg_catalog
	Modifier int32  // atttypmod; -1 for none

	// Identity tells that pgoutput flags the column as part of the replica identity. Under REPLICA IDENTITY FULL it
	// flags every column, so the flag is not the table's key there.
	Identity bool
}

// State is what a Value holds. Unchanged is neither a value nor null: a large column that the update did not touch and
// that Postgres therefore did not log.
type State byte

// The states of a Value.
const (
	Null State = iota
	Text
	Unchanged
)

// Value is one column of a row, as text in the format of the fixed session settings.
type Value struct {
	State State
	Text  []byte
}

// Equal reports whether both are the same state and the same bytes.
func (v Value) Equal(w Value) bool { return v.State == w.State && bytes.Equal(v.Text, w.Text) }

// Row holds a Value for each of its table's columns, in order.
type Row []Value
