// Package cdc holds the words of change data capture that every room of LiveDB shares: LSN, Position, Table, Row,
// Change and Transaction. It knows no network, no format and no clock.
//
// A change is one row's move. A transaction is the changes that committed together. An event is a change as it travels
// on Kafka. An update is what a view tells the page.
package cdc

import "time"

// Op is what happened to a row. The letters are Debezium's.
type Op byte

// The operations. Read is a row that existed before the stream began.
const (
	Insert   Op = 'c'
	Update   Op = 'u'
	Delete   Op = 'd'
	Read     Op = 'r'
	Truncate Op = 't'
	Message  Op = 'm'
)

// String returns the operation's letter.
func (o Op) String() string { return string(rune(o)) }

// Old says how much of a row's earlier state a change carries.
type Old byte

const (
	// OldNone: the change carries nothing of the earlier state.
	OldNone Old = iota
	// OldKey: only the columns of the replica identity are data; every other column is meaningless, not null.
	OldKey
	// OldFull: the whole earlier row (REPLICA IDENTITY FULL).
	OldFull
)

// Change is one row's move. Its rows are views into the decoder's buffer, valid until the next message is read.
type Change struct {
	Op    Op
	Table *Table

	// LSN is where the row's own WAL record stands. Rows of concurrent transactions interleave, so it runs backwards
	// from one transaction to the next: it is information, never an order.
	LSN LSN

	Old     Row
	OldKind Old
	New     Row
}

// Transaction is what is known of a set of changes that committed together.
type Transaction struct {
	XID    uint32
	Commit CommitLSN
	End    EndLSN    // zero until the COMMIT message was read
	Time   time.Time // of the commit, by the source's clock, microseconds
}
