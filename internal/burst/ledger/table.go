// Package ledger is what the burst writer's transactions say of themselves, and the judge of what a stream made of them.
//
// Every transaction of the burst writer ends with one row in burst_ledger that tells what else it changed: how many rows of
// each table, and the sum of the rows' hashes, computed by Postgres. Each writer numbers its rows 1, 2, 3…. So the history
// of the demo's tables can be checked from the events alone, without a look at the source, and Verifier does.
package ledger

import (
	"fmt"
	"strings"

	"github.com/livedb/livedb/cdc"
)

// Table is one of the demo's tables.
type Table int

// The demo's tables. Entries is the ledger itself, burst_ledger.
const (
	Customers Table = iota
	Orders
	Items
	Entries
	tableCount
)

// String returns the table's name, without schema.
func (t Table) String() string { return tables[t].name }

// Kind is a kind of change that an entry counts.
type Kind int

// The kinds.
const (
	Inserted Kind = iota
	Updated
	Deleted
	kindCount
)

var operations = [kindCount]cdc.Op{cdc.Insert, cdc.Update, cdc.Delete}

// String returns the operation's letter.
func (k Kind) String() string { return operations[k].String() }

func kindOf(op cdc.Op) (Kind, bool) {
	for kind, known := range operations {
		if op == known {
			return Kind(kind), true
		}
	}
	return 0, false
}

// tables tells each table's name and the columns that its row hash covers, in order. A column that somebody adds to the
// demo's tables is simply not covered.
var tables = [tableCount]definition{
	Customers: {"customers", []column{{"id", plain}, {"name", plain}, {"email", plain}, {"country", plain}, {"active", boolean},
		{"balance", plain}, {"signed_up_at", instant}, {"profile", plain}}},
	Orders: {"orders", []column{{"id", plain}, {"customer_id", plain}, {"status", plain}, {"total", plain},
		{"created_at", instant}, {"note", plain}, {"details", plain}, {"reference", plain}}},
	Items: {"order_items", []column{{"order_id", plain}, {"line", plain}, {"sku", plain}, {"quantity", plain}, {"price", plain}}},
	Entries: {"burst_ledger", []column{{"writer", plain}, {"n", plain}, {"counts", plain}, {"hash_sum", plain},
		{"rows_total", plain}, {"written_at", instant}}},
}

type definition struct {
	name    string
	columns []column
}

// column is one column of a row hash and how SQL writes it; %s is the row's alias and name. The text is what the column's
// value is in the event's JSON, read as text.
type column struct{ name, sql string }

const (
	plain   = "%s"
	boolean = "%s::text"
	instant = `to_char(%s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
)

// RowHash is the SQL of a changed row's hash, a bigint: the first 8 bytes of the MD5 of
//
//	op|table|value|value…
//
// with each value quoted by quote_nullable's rules. The rows are named by their aliases: the new one of an insert, the old
// one of a delete, old and new of an update. The Verifier computes the same from an event. Neither side uses any of
// LiveDB's encoders: Postgres writes the values by itself.
func RowHash(kind Kind, t Table, rows ...string) string {
	var format, values strings.Builder
	fmt.Fprintf(&format, "%s|%s", kind, t)
	for _, row := range rows {
		for _, c := range tables[t].columns {
			format.WriteString("|%L")
			values.WriteString(", " + strings.Replace(c.sql, "%s", row+"."+c.name, 1))
		}
	}
	return fmt.Sprintf("('x' || left(md5(format('%s'%s)), 16))::bit(64)::bigint", format.String(), values.String())
}

// DefaultSchema is where the demo's tables are.
const DefaultSchema = "livedb_demo"
