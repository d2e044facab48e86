// Package burst is the role that writes into the source: a small shop's customers, orders and items, in bursts, many rows
// to a transaction, some of them taken back.
//
// Every transaction ends with one row in burst_ledger that tells what else it changed (package ledger explains it and
// judges by it). A writer numbers its transactions 1, 2, 3… and raises the number only when it knows that the commit
// succeeded; a commit whose answer was lost is looked up. So the ledger has neither a gap nor a repeat, whatever happens
// to the connections and the server.
//
//	pacer ──rows/s──► writer ──► planner ──► statements ──► Postgres
//	                    │                       └─ count and hash sum ─┐
//	                    └── ledger row, COMMIT ◄───────────────────────┘
package burst

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/livedb/livedb/internal/burst/ledger"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
)

// DefaultSchema is where the demo's tables are.
const DefaultSchema = ledger.DefaultSchema

// Config says what to write, where and how fast. The zero value of every option means its default.
type Config struct {
	URL    string        // of the direct endpoint
	Schema string        // with the demo's tables; DefaultSchema
	For    time.Duration // ends the run; 0 is endless

	// Rate is in rows per second over all connections, committed rows, the ledger's included; 0 is as fast as possible.
	// It is an open loop: what Postgres cannot take in time is still counted as offered.
	Rate  float64
	Burst Burst // on top of the rate

	Mix             Mix   // 60, 30, 10
	TransactionRows Range // about; 1 to 40, the ledger row not counted

	Rollback  float64 // share of transactions that take all of it back; 0 is none
	Savepoint float64 // share of transactions that take a part back; 0 is none

	Connections int    // 4
	Seed        uint64 // of the dice; 0 takes a random one

	KeepOrders int // size that the tables grow to: above it old orders leave with their items, and their customers; 20,000
	KeepLedger int // ledger rows kept for each writer; 1,000

	Metrics  *metrics.Burst   // nil is none
	Status   *status.Reporter // nil is none
	Progress io.Writer        // gets a line each second; nil is none
	Log      *slog.Logger     // nil is none

	now      func() time.Time // of the tests
	patience time.Duration    // with a source that was never reached; 10 s
}

// Burst is a number of rows that become due at once, again and again.
type Burst struct {
	Size  int
	Every time.Duration
}

// Mix weighs the kinds of statements. Above KeepOrders an insert of orders becomes a delete.
type Mix struct{ Insert, Update, Delete int }

// Range is from Min to Max, both included.
type Range struct{ Min, Max int }

// withDefaults fills in and refuses what cannot be meant.
func (c Config) withDefaults() (Config, error) {
	c.Schema = cmp.Or(c.Schema, DefaultSchema)
	c.Mix = cmp.Or(c.Mix, Mix{Insert: 60, Update: 30, Delete: 10})
	c.TransactionRows = cmp.Or(c.TransactionRows, Range{Min: 1, Max: 40})
	c.Connections = cmp.Or(c.Connections, 4)
	c.KeepOrders = cmp.Or(c.KeepOrders, 20_000)
	c.KeepLedger = cmp.Or(c.KeepLedger, 1000)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	c.patience = cmp.Or(c.patience, 10*time.Second)
	if c.now == nil {
		c.now = time.Now
	}

	var wrong []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	must(c.For >= 0, "the duration %s is negative; give 0 for an endless run", c.For)
	must(c.Rate >= 0 && c.Rate <= 1e9, "the rate %g is not one; give rows per second, or 0 for as fast as possible", c.Rate)
	must(c.Burst.Size >= 0 && c.Burst.Every >= 0 && (c.Burst.Size > 0) == (c.Burst.Every > 0),
		"a burst of %d rows every %s is not one; give both, or neither", c.Burst.Size, c.Burst.Every)
	must(c.Burst.Size == 0 || c.Rate > 0, "bursts come on top of a rate, and there is none; give a rate")
	must(c.Mix.Insert >= 0 && c.Mix.Update >= 0 && c.Mix.Delete >= 0, "the mix %+v has a negative weight; give 0 for none", c.Mix)
	must(c.TransactionRows.Min > 0 && c.TransactionRows.Min <= c.TransactionRows.Max && c.TransactionRows.Max <= 1_000_000,
		"a transaction cannot have %d to %d rows; give 1 to 1000000", c.TransactionRows.Min, c.TransactionRows.Max)
	must(c.Rollback >= 0 && c.Rollback < 1, "the share %g of rollbacks would leave nothing; give less than 1", c.Rollback)
	must(c.Savepoint >= 0 && c.Savepoint <= 1, "the share %g of savepoints is not one; give 0 to 1", c.Savepoint)
	must(c.Connections > 0 && c.Connections <= 1000, "%d connections cannot be; give 1 to 1000", c.Connections)
	must(c.KeepOrders > 0 && c.KeepLedger > 0, "the tables cannot keep %d orders and %d ledger rows; give at least 1", c.KeepOrders, c.KeepLedger)
	return c, errors.Join(wrong...)
}
