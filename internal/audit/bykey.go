package audit

import (
	"context"
	"fmt"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/audit/oracle"
)

// byKeyRows bounds the rows of a table that is looked at by key, about 100 bytes each.
const byKeyRows = 2_000_000

// byKey is what the events of one table leave behind, row by row. A sum cannot follow an ALTER TABLE that rewrites values,
// for it has no events: the next update takes a row away that no event brought. Keys can, once each row was updated.
type byKey struct {
	table *tableFold
	rows  map[string]oracle.Hash
	last  cdc.CommitLSN
	lame  bool // the events cannot be told apart by key, or are too many
}

// event takes the next event of the stream.
func (k *byKey) event(e *event) error {
	s := &e.payload.Source
	if s.Schema+"."+s.Table != k.table.name || k.lame {
		return nil
	}
	k.last = max(k.last, e.position.Commit)
	switch op := e.payload.Kind(); {
	case op == cdc.Truncate:
		clear(k.rows)
	case e.key == nil || len(k.rows) > byKeyRows:
		k.lame = true
	case op == cdc.Delete:
		delete(k.rows, string(e.key))
	default:
		h, err := oracle.EventHash(k.table.name, k.table.columns, e.payload.After)
		if err != nil {
			h = oracle.Hash{} // of other columns: a later event of the row must stand for it
		}
		k.rows[string(e.key)] = h
	}
	return nil
}

// sameByKey reads the stream once more and compares a table with its events by key. It reports false where that cannot be
// done either.
func (s *stateAudit) sameByKey(ctx context.Context, t *tableFold, got rowSum) (bool, error) {
	if t.rows != got.rows {
		return false, nil // no rewrite adds or takes a row
	}
	k := &byKey{table: t, rows: map[string]oracle.Hash{}}
	again := NewAuditor(StreamConfig{Client: s.config.Client, Prefix: s.config.Prefix, OpenLimit: s.config.OpenLimit})
	again.judge.visit = k.event
	if err := again.Round(ctx); err != nil {
		return false, fmt.Errorf("look at table %s by key: %w", t.name, err)
	}
	if k.lame || k.last != t.last || int64(len(k.rows)) != got.rows {
		return false, nil
	}
	var sum oracle.Hash
	for _, h := range k.rows {
		sum = sum.Add(h)
	}
	if sum != got.sum {
		return false, nil
	}
	t.sum, t.rows = sum, got.rows
	return true, nil
}
