package replay

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/livedb/livedb/cdc"
)

// kind says by what a bound names a place in the stream.
type kind byte

const (
	byNothing  kind = iota // the oldest there is, or the newest
	byLSN                  // the transactions that commit there or after it; or before it or there
	byPosition             // that event
	byTime                 // the transactions that commit then or after it; or before it or then
	byXID                  // that transaction
)

// bound is one end of what is to be replayed, as it was asked for.
type bound struct {
	kind kind
	text string

	lsn   cdc.CommitLSN
	index uint64 // of a Position; 0: the whole transaction
	time  time.Time
	xid   uint32
}

// parseBound reads an LSN, a Position, a transaction id as xid:1234, a time of RFC 3339, now, how long ago, or, for where
// to begin, oldest.
func parseBound(flag, text string, now time.Time) (bound, error) {
	b := bound{text: text}
	if text == "" || text == "oldest" && flag == "from" {
		return b, nil
	}
	var err error
	switch xid, isXID := strings.CutPrefix(text, "xid:"); {
	case isXID:
		var n uint64
		if n, err = strconv.ParseUint(xid, 10, 32); err == nil && n == 0 {
			err = fmt.Errorf("no transaction has the id 0")
		}
		b.kind, b.xid = byXID, uint32(n)
	case strings.Contains(text, "/") && strings.Contains(text, ":"):
		var p cdc.Position
		p, err = cdc.ParsePosition(text)
		if err == nil && p.Index == 0 && flag == "to" {
			err = fmt.Errorf("the index 0 stands before a transaction's first event")
		}
		b.kind, b.lsn, b.index = byPosition, p.Commit, p.Index
	case strings.Contains(text, "/"):
		var lsn cdc.LSN
		lsn, err = cdc.ParseLSN(text)
		b.kind, b.lsn = byLSN, cdc.CommitLSN(lsn)
	default:
		b.kind = byTime
		b.time, err = parseTime(text, now)
	}
	if err != nil {
		return bound{}, &cdc.Refusal{Name: "replay_bound_malformed", Problem: fmt.Sprintf("--%s %q names no place in the stream (%v)", flag, text, err), Err: err,
			Remedy: "write an LSN (16/B374D848), a Position (16/B374D848:7), a time (2024-05-06T07:08:09Z, or 10m for ten minutes ago) or a transaction id (xid:1234)"}
	}
	return b, nil
}

// parseTime reads a time of RFC 3339, now, or a duration that lies back.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	ago := strings.TrimSpace(strings.TrimSuffix(text, "ago"))
	if back, err := time.ParseDuration(ago); err == nil {
		if back < 0 {
			return time.Time{}, fmt.Errorf("it lies in the future")
		}
		return now.Add(-back), nil
	}
	return time.Parse(time.RFC3339, text)
}

// begins reports whether a transaction stands at a lower bound or behind it.
func (b *bound) begins(t *transaction) bool {
	switch b.kind {
	case byLSN, byPosition:
		return t.Commit >= b.lsn
	case byTime:
		return !t.Time.Before(b.time)
	}
	return true
}

// holds reports whether a transaction stands before an upper bound or at it.
func (b *bound) holds(t *transaction) bool {
	switch b.kind {
	case byLSN, byPosition:
		return t.Commit <= b.lsn
	case byTime:
		return !t.Time.After(b.time)
	}
	return true
}

// before reports whether a bound certainly stands before another; where they are of different kinds nobody knows.
func (b *bound) before(other *bound) bool {
	at := cdc.Position{Commit: b.lsn, Index: b.index}
	from := cdc.Position{Commit: other.lsn, Index: other.index}
	switch {
	case b.kind == byTime && other.kind == byTime:
		return b.time.Before(other.time)
	case b.kind == byPosition && other.kind == byPosition && b.index > 0:
		return at.Compare(from) < 0
	case (b.kind == byLSN || b.kind == byPosition) && (other.kind == byLSN || other.kind == byPosition):
		return b.lsn < other.lsn
	}
	return false
}
