package burst

import (
	"fmt"
	"strings"

	"github.com/livedb/livedb/cdc"
)

// table is one of the demo's tables, as an index into tables.
type table int

const (
	customers table = iota
	orders
	items
	ledger
	tableCount
)

// kinds are the changes that a ledger counts, in the order of tally.rows.
var kinds = [...]cdc.Op{cdc.Insert, cdc.Update, cdc.Delete}

const (
	inserted = iota
	updated
	deleted
	kindCount
)

func kindOf(op cdc.Op) (int, bool) {
	switch op {
	case cdc.Insert:
		return inserted, true
	case cdc.Update:
		return updated, true
	case cdc.Delete:
		return deleted, true
	default:
		return 0, false
	}
}

// tables tells each table's name and the columns that its row hash covers, in order. A column that somebody adds to the
// demo's tables is simply not covered.
var tables = [tableCount]definition{
	customers: {"customers", []column{{"id", plain}, {"name", plain}, {"email", plain}, {"country", plain}, {"active", boolean},
		{"balance", plain}, {"signed_up_at", instant}, {"profile", plain}}},
	orders: {"orders", []column{{"id", plain}, {"customer_id", plain}, {"status", plain}, {"total", plain},
		{"created_at", instant}, {"note", plain}, {"details", plain}, {"reference", plain}}},
	items: {"order_items", []column{{"order_id", plain}, {"line", plain}, {"sku", plain}, {"quantity", plain}, {"price", plain}}},
	ledger: {"burst_ledger", []column{{"writer", plain}, {"n", plain}, {"counts", plain}, {"hash_sum", plain},
		{"rows_total", plain}, {"written_at", instant}}},
}

func (t table) String() string { return tables[t].name }

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

// rowHash is the SQL of a changed row's hash, a bigint: the first 8 bytes of the MD5 of
//
//	op|table|value|value…
//
// with each value quoted by quote_nullable's rules. The rows are named by their aliases: the new one for an insert, the
// old one for a delete, old and new for an update. hashRows computes the same from an event. Neither uses any of LiveDB's
// encoders: Postgres writes the values by itself.
func rowHash(kind int, t table, rows ...string) string {
	var format, values strings.Builder
	fmt.Fprintf(&format, "%s|%s", kinds[kind], t)
	for _, row := range rows {
		for _, c := range tables[t].columns {
			format.WriteString("|%L")
			values.WriteString(", " + strings.Replace(c.sql, "%s", row+"."+c.name, 1))
		}
	}
	return fmt.Sprintf("('x' || left(md5(format('%s'%s)), 16))::bit(64)::bigint", format.String(), values.String())
}
