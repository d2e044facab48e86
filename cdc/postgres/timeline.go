package postgres

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/cdc"
)

// Fork is where a timeline was left for the next one, by a promotion or by a recovery to a point in time.
type Fork struct {
	Timeline int32
	At       cdc.LSN // the first byte that the next timeline does not share with this one
}

// ParseHistory reads a timeline's history as Postgres keeps it: a line for each timeline that it comes from, the oldest
// first, with its number, where it was left, and why. Pure.
func ParseHistory(content string) ([]Fork, error) {
	var forks []Fork
	for line := range strings.Lines(content) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Fields(line) // the reason is any text, and may be missing
		if len(fields) < 2 {
			return nil, fmt.Errorf("the timeline history has the line %q, which names no LSN", line)
		}
		timeline, err := strconv.ParseInt(fields[0], 10, 32)
		if err != nil || timeline < 1 {
			return nil, fmt.Errorf("the timeline history has the line %q, which begins with no timeline", line)
		}
		high, low, _ := strings.Cut(fields[1], "/") // with leading zeros or without, as the version writes it
		upper, errHigh := strconv.ParseUint(high, 16, 32)
		lower, errLow := strconv.ParseUint(low, 16, 32)
		if err := cmp.Or(errHigh, errLow); err != nil {
			return nil, fmt.Errorf("the timeline history has the line %q, whose LSN cannot be read: %w", line, err)
		}
		if n := len(forks); n > 0 && int64(forks[n-1].Timeline) >= timeline {
			return nil, fmt.Errorf("the timeline history has %d after %d", timeline, forks[n-1].Timeline)
		}
		forks = append(forks, Fork{int32(timeline), cdc.LSN(upper<<32 | lower)})
	}
	return forks, nil
}

// LeftAt finds where a history left a timeline; false if it does not come from that one. Pure.
func LeftAt(history []Fork, timeline int32) (cdc.LSN, bool) {
	for _, f := range history {
		if f.Timeline == timeline {
			return f.At, true
		}
	}
	return 0, false
}

// History asks which timelines the given one comes from: none for the first, and none where the server has lost the file
// that tells it.
func (c *Conn) History(ctx context.Context, timeline int32) ([]Fork, error) {
	if timeline <= 1 {
		return nil, nil
	}
	r, err := pglogrepl.TimelineHistory(ctx, c.pg, timeline)
	if _, answered := errorAs[*pgconn.PgError](err); answered {
		return nil, nil
	}
	if err != nil {
		return nil, streamError(err, c.config)
	}
	return ParseHistory(string(r.Content))
}
