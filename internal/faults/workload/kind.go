package workload

import "slices"

// Kind names what a transaction of the mix does.
type Kind string

// The kinds of the mix.
const (
	Fixed         Kind = "fixed"          // 500 rows, a savepoint with 500 rows rolled back, 5 rows: once at the start of each Run
	Insert        Kind = "insert"         // 1 to 50 rows
	Update        Kind = "update"         // 1 to 50 rows
	Delete        Kind = "delete"         // 1 to 50 rows
	KeyChange     Kind = "key-change"     // of a primary key, of one with two columns, of an identity index, of a key stored out of line
	ToastKept     Kind = "toast-kept"     // update of rows with a large value that stays as it is
	ToastChanged  Kind = "toast-changed"  // update of the large value too
	Savepoint     Kind = "savepoint"      // part of the rows rolled back, nested
	Rollback      Kind = "rollback"       // of everything
	Big           Kind = "big"            // Config.Big rows
	Prepare       Kind = "prepare"        // PREPARE TRANSACTION
	Resolve       Kind = "resolve"        // COMMIT PREPARED or ROLLBACK PREPARED of anybody's
	CrossTable    Kind = "cross-table"    // changes of several tables
	Partition     Kind = "partition"      // changes of a partitioned table
	PartitionMove Kind = "partition-move" // a row from one partition to another
	NoKey         Kind = "no-key"         // changes of a table without a key, equal rows among them
	Copy          Kind = "copy"           // COPY, whose rows share one WAL record and so one LSN
	AddColumn     Kind = "ddl-add"        // with a default, and rows before and after; so the next three
	DropColumn    Kind = "ddl-drop"       // of a column that the same transaction or an earlier one added
	RenameColumn  Kind = "ddl-rename"     // to and, the next time, back
	ChangeType    Kind = "ddl-type"       // with a rewrite of the table
	RolledBackDDL Kind = "ddl-rolled"     // taken back by a savepoint, with rows before, in and after it
	Truncate      Kind = "truncate"       // of one table
	TruncateMany  Kind = "truncate-many"  // of several tables in one statement, a partitioned one among them
	Message       Kind = "message"        // pg_logical_emit_message(false, …)
	MessageInTx   Kind = "message-tx"     // pg_logical_emit_message(true, …), alone and with rows
	BackToBack    Kind = "back-to-back"   // two connections with rows, then both COMMIT
	Noise         Kind = "noise"          // in an unpublished table
	NoiseDatabase Kind = "noise-database" // in another database of the server
)

// deal is how often each kind comes in the deck that a writer draws from; a new deck is shuffled when it is empty. So
// every kind comes, and in bounded time.
var deal = []struct {
	kind  Kind
	cards int
}{
	{Insert, 40}, {Update, 30}, {Delete, 20}, {KeyChange, 12}, {ToastKept, 8}, {ToastChanged, 8}, {Savepoint, 10}, {Rollback, 8},
	{Prepare, 4}, {Resolve, 5}, {CrossTable, 16}, {Partition, 8}, {PartitionMove, 6}, {NoKey, 6}, {Copy, 6}, {AddColumn, 1}, {DropColumn, 1},
	{RenameColumn, 1}, {ChangeType, 1}, {RolledBackDDL, 1}, {Truncate, 2}, {TruncateMany, 1}, {Message, 3}, {MessageInTx, 4},
	{BackToBack, 8}, {Noise, 6}, {NoiseDatabase, 3},
	{Big, 1}, // of the first writer only
}

// Kinds are all kinds in the order of a report.
func Kinds() []Kind {
	kinds := []Kind{Fixed}
	for _, d := range deal {
		kinds = append(kinds, d.kind)
	}
	return slices.Clip(kinds)
}
