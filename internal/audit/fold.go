package audit

import (
	"errors"
	"fmt"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/audit/oracle"
)

// fold sums up, table by table, the rows that the events leave behind: it holds no row. Pure.
type fold struct {
	tables map[string]*tableFold
	oldest uint32 // the oldest transaction of an event; 0: none yet
}

// tableFold is the multiset of a table's rows as a sum of their hashes, which stands for it whatever the order.
type tableFold struct {
	name    string
	columns []oracle.Column // nil: the source does not publish the table
	full    bool            // REPLICA IDENTITY FULL
	sum     oracle.Hash
	rows    int64
	last    cdc.CommitLSN // of its last event
	at      cdc.Position
	reason  string // why it cannot be judged; empty if it can
}

// table finds a table, or makes one that the source does not publish.
func (f *fold) table(name string) *tableFold {
	t := f.tables[name]
	if t == nil {
		t = &tableFold{name: name, reason: "the source does not publish it"}
		f.tables[name] = t
	}
	return t
}

// renew takes note that an epoch begins: the LSNs and transactions before it must not be compared with what follows. The
// rows stay, for a table that lost nothing in between is still what its events make of it.
func (f *fold) renew() {
	f.oldest = 0
	for _, t := range f.tables {
		t.last, t.at = 0, cdc.Position{}
	}
}

// event takes the next event in commit order. What it cannot take makes the table one that cannot be judged.
func (f *fold) event(e *event) {
	s := &e.payload.Source
	if s.Table == "" {
		return // it has been found unreadable
	}
	if f.oldest == 0 || int32(s.TxID-f.oldest) < 0 { // transaction ids go round
		f.oldest = s.TxID
	}
	t := f.table(s.Schema + "." + s.Table)
	t.last, t.at = max(t.last, e.position.Commit), e.position
	if t.columns == nil {
		return
	}
	op := e.payload.Kind()
	if op == cdc.Truncate {
		t.sum, t.rows, t.reason = oracle.Hash{}, 0, ""
		return
	}
	if t.reason != "" {
		return
	}
	if (op == cdc.Update || op == cdc.Delete) && !t.full {
		t.reason = "rows of it were updated or deleted, and without REPLICA IDENTITY FULL those events do not hold the old row"
		return
	}
	if err := t.move(op, e); errors.Is(err, oracle.ErrColumns) {
		t.reason = fmt.Sprintf("its columns or its replica identity were others at seq %d", e.seq)
	} else if err != nil {
		t.reason = fmt.Sprintf("the row of seq %d does not fit its columns' types (%v)", e.seq, err)
	}
}

// move takes the old row away and adds the new one.
func (t *tableFold) move(op cdc.Op, e *event) error {
	if op == cdc.Update || op == cdc.Delete {
		h, err := oracle.EventHash(t.name, t.columns, e.payload.Before)
		if err != nil {
			return err
		}
		t.sum, t.rows = t.sum.Sub(h), t.rows-1
	}
	if op != cdc.Delete {
		h, err := oracle.EventHash(t.name, t.columns, e.payload.After)
		if err != nil {
			return err
		}
		t.sum, t.rows = t.sum.Add(h), t.rows+1
	}
	return nil
}
