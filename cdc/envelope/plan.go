// Package envelope turns changes into what LiveDB writes to Kafka and names it: events in the Debezium envelope, keys,
// headers, topics and the transaction record. Pure: bytes in, bytes out.
//
// A Plan writes the events and keys of one table. It is made once per table description and works row by row: each
// column has its name as prepared JSON and a writer for its type, which appends the value straight from the server's
// text. Nothing is allocated per event.
//
// ParseEvent, ParseTransaction and Topics are for the readers.
package envelope

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/livedb/livedb/cdc"
)

// Stream is what all events of a stream have in common.
type Stream struct {
	Name     string // the prefix
	Database string
	Version  string // of LiveDB
	Epoch    uint32
}

// Meta is what one event says beside its rows.
type Meta struct {
	Tx         cdc.Transaction
	LSN        cdc.LSN       // of the row
	LastCommit cdc.CommitLSN // of the transaction before this one; 0 if there is none
	Seq        uint64
	Now        time.Time // processing time, which is LiveDB's
}

// Plan is how the rows of one table are written. Nothing in it changes, so goroutines may share it.
type Plan struct {
	table   *cdc.Table
	columns []column
	key     []keyColumn
	source  source
}

// column is a column, prepared.
type column struct {
	*cdc.Column
	prefix   []byte // {"name": or ,"name":
	encoding        // of its values
	isKey    bool   // is part of the Kafka key
}

// keyColumn is a column of the Kafka key.
type keyColumn struct {
	index  int // into Plan.columns
	prefix []byte
}

// NewPlan prepares how the rows of one table are written. key names the columns of the Kafka key in order; it may be
// empty. types describes the types outside pg_catalog.
//
// A key column must be part of the table's replica identity where the table has one: otherwise Postgres does not log it
// for a deleted row, and the delete would have no key.
func NewPlan(s Stream, t *cdc.Table, key []string, types Types) (*Plan, error) {
	for _, name := range []string{s.Name, s.Database, s.Version, t.Schema, t.Name} {
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("table %q of stream %q: the name %q is not valid UTF-8", t, s.Name, name)
		}
	}

	p := &Plan{table: t, columns: make([]column, len(t.Columns)), source: newSource(s, t)}
	for i := range t.Columns {
		c := &t.Columns[i]
		if !utf8.ValidString(c.Name) {
			return nil, fmt.Errorf("table %s: the name of column %q is not valid UTF-8", t, c.Name)
		}
		e, err := flink.resolve(types, c.Type, c.TypeName, c.Modifier, 0)
		if err != nil {
			return nil, fmt.Errorf("table %s, column %s: %w", t, c.Name, err)
		}
		p.columns[i] = column{Column: c, prefix: namePrefix(i, c.Name), encoding: e}
	}

	hasIdentity := slices.ContainsFunc(t.Columns, func(c cdc.Column) bool { return c.Identity })
	for i, name := range key {
		at := slices.IndexFunc(t.Columns, func(c cdc.Column) bool { return c.Name == name })
		switch {
		case at < 0:
			return nil, fmt.Errorf("table %s: key column %s does not exist", t, name)
		case p.columns[at].isKey:
			return nil, fmt.Errorf("table %s: key column %s is named twice", t, name)
		case hasIdentity && !t.Columns[at].Identity:
			return nil, fmt.Errorf("table %s: key column %s is not part of the replica identity, so a delete would have no key", t, name)
		}
		p.columns[at].isKey = true
		p.key = append(p.key, keyColumn{index: at, prefix: namePrefix(i, name)})
	}
	return p, nil
}

// namePrefix is what stands before the i-th value of an object.
func namePrefix(i int, name string) []byte {
	prefix := []byte{','}
	if i == 0 {
		prefix[0] = '{'
	}
	prefix = append(prefix, '"')
	prefix = appendEscaped(prefix, []byte(name))
	return append(prefix, '"', ':')
}

// Table returns the table's description that the plan was made for.
func (p *Plan) Table() *cdc.Table { return p.table }

// HasKey reports whether the table's events have a Kafka key.
func (p *Plan) HasKey() bool { return len(p.key) > 0 }
