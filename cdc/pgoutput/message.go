package pgoutput

import "github.com/livedb/livedb/cdc"

// Kind says what a Message is.
type Kind byte

// The kinds of message.
const (
	// Begin opens a transaction. Only committed ones are sent, each whole, in the order of their commit records.
	Begin Kind = iota + 1
	// Commit ends it.
	Commit
	// Row is an insert, an update or a delete: see Message.Change.
	Row
	// Truncate empties the tables in Message.Truncated.
	Truncate
	// Relation describes a table, ahead of its first change and again after each change of its description.
	Relation
	// Type names a type that later relations use. The decoder remembers it.
	Type
	// Origin says that the transaction was replicated from elsewhere; its commit time is then by that server's clock.
	// LiveDB has no use for more of it.
	Origin
	// Logical is a message of pg_logical_emit_message. Only a transactional one belongs to a transaction.
	Logical
	// StreamAbort is a stray one: it has no place in proto_version 1, but servers were reported to send it. It carries
	// no data; count it and go on.
	StreamAbort
)

var kindNames = [...]string{"?", "BEGIN", "COMMIT", "ROW", "TRUNCATE", "RELATION", "TYPE", "ORIGIN", "MESSAGE", "STREAM ABORT"}

// String returns the kind as the Postgres manual writes it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[0]
}

// Message is one decoded message. Only the fields of its kind are set. Its slices and rows are valid until the next
// Decode; values and contents are views into the decoded bytes.
type Message struct {
	Kind Kind

	// Tx is set by Begin (XID, Commit, Time) and by Commit (the same and End; the XID is the Begin's).
	Tx cdc.Transaction

	// Change is set by Row. In an old row of kind cdc.OldKey only the columns whose Identity is set are data: the
	// server writes null for all others, and that null means nothing.
	//
	// Old rows of a partition that is published as its root carry the kind by the *root's* identity, but the columns by
	// the partition's own. Where the two differ a cdc.OldFull holds meaningless nulls; nothing in the stream tells.
	Change cdc.Change

	// Truncated, Cascade and RestartIdentity are set by Truncate, which names all published tables of one statement.
	Truncated       []*cdc.Table
	Cascade         bool
	RestartIdentity bool

	// Table is set by Relation. It is the same pointer as before if the description is the same, else a new one, so the
	// pointer is a key for whatever is derived from a description.
	Table *cdc.Table

	// Logical is set by Logical.
	Logical LogicalMessage
}

// LogicalMessage is what pg_logical_emit_message wrote.
type LogicalMessage struct {
	Prefix  string
	Content []byte

	// Transactional ones stand within their transaction. The others stand outside any, come from transactions that
	// rolled back too, and come again after a restart: they have no place in the order.
	Transactional bool

	// LSN is where the message's WAL record ends; it may equal the next transaction's CommitLSN.
	LSN cdc.LSN
}
