package workload

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// Stats is what a workload did so far. Its numbers are the clients' view: a commit without an answer is in Unknown and
// may have happened.
type Stats struct {
	Transactions int64 // committed, prepared ones when they are resolved by a commit
	Rows         int64 // inserted, updated and deleted by them
	Rollbacks    int64 // on purpose, prepared ones included
	Unknown      int64 // commits that were not answered
	Reconnects   int64 // sessions that were lost, and opened anew or tried to

	ByKind      map[Kind]int64   // committed, or rolled back on purpose, or sent
	Errors      map[string]int64 // by SQLSTATE, "connection" for those without
	Unavailable map[Kind]string  // kinds that this server cannot do, and why
	FixedRows   int64            // committed by the fixed case, 505 each time
	Adjacent    int64            // pairs that ForceAdjacent has seen
}

// String is a table for people.
func (s Stats) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d transactions with %d rows, %d rolled back, %d of unknown outcome, %d reconnects, %d adjacent pairs\n",
		s.Transactions, s.Rows, s.Rollbacks, s.Unknown, s.Reconnects, s.Adjacent)
	for _, k := range Kinds() {
		if why := s.Unavailable[k]; why != "" {
			fmt.Fprintf(&b, "  %-20s %s\n", k, why)
		} else {
			fmt.Fprintf(&b, "  %-20s %8d\n", k, s.ByKind[k])
		}
	}
	for _, code := range slices.Sorted(maps.Keys(s.Errors)) {
		fmt.Fprintf(&b, "  error %-14s %8d\n", code, s.Errors[code])
	}
	return b.String()
}

// counters are Stats that all writers add to.
type counters struct {
	mu sync.Mutex
	s  Stats
}

func newCounters() *counters {
	return &counters{s: Stats{ByKind: map[Kind]int64{}, Errors: map[string]int64{}, Unavailable: map[Kind]string{}}}
}

// add lets f change the numbers.
func (c *counters) add(f func(s *Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.s)
}

// snapshot is a copy that nobody changes.
func (c *counters) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.s
	s.ByKind, s.Errors, s.Unavailable = maps.Clone(s.ByKind), maps.Clone(s.Errors), maps.Clone(s.Unavailable)
	return s
}

// ended counts the answer to the last word of a transaction. None at all leaves its outcome unknown.
func (c *counters) ended(err error, count func(*Stats)) {
	c.add(func(s *Stats) {
		if err == nil {
			count(s)
		} else if _, answered := errors.AsType[*pgconn.PgError](err); !answered {
			s.Unknown++
		}
	})
}

// resolved counts the end of a prepared transaction.
func (c *counters) resolved(byCommit bool) {
	c.add(func(s *Stats) {
		s.ByKind[Resolve]++
		if byCommit {
			s.Transactions++
		} else {
			s.Rollbacks++
		}
	})
}
