// Package oracle is a second opinion on what a stream must hold. It decodes pgoutput with pglogrepl's parser, and maps
// values from Postgres's text to JSON by the text of the wire format. It shares no code with cdc/pgoutput and with the
// encoder of cdc/envelope, so that a fault has to be made twice before it passes.
//
//	pgoutput ──► Decoder ──Event──► ChangeHash ─┐
//	table ─────────────────────────► RowHash ───┼── equal, or the stream is wrong
//	Kafka ─────────────────────────► EventHash ─┘
package oracle

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pglogrepl"

	"github.com/livedb/livedb/cdc"
)

// Table is a relation as the WAL describes it at some point.
type Table struct {
	Schema, Name string
	Full         bool // REPLICA IDENTITY FULL: every old row is whole
	Columns      []Column
	Identity     []bool // by column: an old row that is not whole has it
	Key          []int  // columns of the Kafka key; none without one
}

// String returns schema.name.
func (t *Table) String() string { return t.Schema + "." + t.Name }

// KeyColumns returns the columns of the Kafka key.
func (t *Table) KeyColumns() []Column {
	columns := make([]Column, len(t.Key))
	for i, k := range t.Key {
		columns[i] = t.Columns[k]
	}
	return columns
}

// Event is what a change yields on Kafka: one event, or two for an update that changes the key.
type Event struct {
	Position cdc.Position
	LSN      cdc.LSN // of the row's own record in the WAL
	Op       cdc.Op
	Table    *Table

	Before, After cdc.Row // nil: null. In a Before that is not whole, what is no data is null
	Key           cdc.Row // of Table.Key, nil without one
	OtherKey      cdc.Row // of a key change: the delete has the new key, the insert the old one
}

// Handler takes transactions in commit order, each as Begin, an Event for each of its events, and End. Nothing handed to
// it is used again. An error ends the decoding.
type Handler interface {
	Begin(tx cdc.Transaction) error
	Event(e Event) error
	End(tx cdc.Transaction, events uint64) error
}

// Describer tells what the WAL does not say of a relation: its types, and its key under REPLICA IDENTITY FULL.
type Describer interface {
	Describe(ctx context.Context, m *pglogrepl.RelationMessage) (*Table, error)
}

// Decoder reads messages of pgoutput, protocol 1, streaming off. It holds one message and the relations.
type Decoder struct {
	describer Describer
	handler   Handler
	relations map[uint32]*Table

	open  bool
	tx    cdc.Transaction
	index uint64
	at    cdc.LSN
}

// NewDecoder makes a decoder for a stream from its beginning.
func NewDecoder(d Describer, h Handler) *Decoder {
	return &Decoder{describer: d, handler: h, relations: map[uint32]*Table{}}
}

// Open reports whether a transaction has begun and not ended.
func (d *Decoder) Open() bool { return d.open }

// Message takes the next message; at is its WAL position. A message of an unknown type is an error.
func (d *Decoder) Message(ctx context.Context, at cdc.LSN, data []byte) (err error) {
	defer func() {
		if r := recover(); r != nil { // pglogrepl indexes past the end of a short message
			err = fmt.Errorf("pgoutput message at %s: %v", at, r)
		}
	}()
	if len(data) > 0 && data[0] == 'A' {
		return nil // a stream abort without a stream; it carries nothing
	}
	m, err := pglogrepl.Parse(data)
	if err == nil {
		d.at = at
		err = d.message(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("pgoutput message %.1q at %s: %w", data, at, err)
	}
	return nil
}

func (d *Decoder) message(ctx context.Context, m pglogrepl.Message) error {
	switch m := m.(type) {
	case *pglogrepl.BeginMessage:
		if d.open {
			return fmt.Errorf("transaction %d begins inside of %d", m.Xid, d.tx.XID)
		}
		d.open, d.index = true, 0
		d.tx = cdc.Transaction{XID: m.Xid, Commit: cdc.CommitLSN(m.FinalLSN), Time: m.CommitTime}
		return d.handler.Begin(d.tx)
	case *pglogrepl.RelationMessage:
		t, err := d.describer.Describe(ctx, m)
		d.relations[m.RelationID] = t
		return err
	case *pglogrepl.TypeMessage, *pglogrepl.OriginMessage:
		return nil
	}
	if !d.open {
		return fmt.Errorf("%s outside of a transaction", m.Type())
	}
	switch m := m.(type) {
	case *pglogrepl.CommitMessage:
		if cdc.CommitLSN(m.CommitLSN) != d.tx.Commit {
			return fmt.Errorf("a transaction that began for %s commits at %s", d.tx.Commit, m.CommitLSN)
		}
		d.open, d.tx.End = false, cdc.EndLSN(m.TransactionEndLSN)
		return d.handler.End(d.tx, d.index)
	case *pglogrepl.InsertMessage:
		return d.insert(m)
	case *pglogrepl.UpdateMessage:
		return d.update(m)
	case *pglogrepl.DeleteMessage:
		return d.delete(m)
	case *pglogrepl.TruncateMessage:
		for _, id := range m.RelationIDs {
			t, err := d.relation(id)
			if err != nil {
				return err
			}
			if err := d.emit(Event{Op: cdc.Truncate, Table: t}); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%s was not asked for", m.Type())
}

func (d *Decoder) relation(id uint32) (*Table, error) {
	t := d.relations[id]
	if t == nil {
		return nil, fmt.Errorf("relation %d was not described", id)
	}
	return t, nil
}

// emit numbers an event and hands it over.
func (d *Decoder) emit(e Event) error {
	d.index++
	e.Position, e.LSN = cdc.Position{Commit: d.tx.Commit, Index: d.index}, d.at
	return d.handler.Event(e)
}

func (d *Decoder) insert(m *pglogrepl.InsertMessage) error {
	t, err := d.relation(m.RelationID)
	if err != nil {
		return err
	}
	row, err := t.row(m.Tuple)
	if err != nil {
		return err
	}
	return d.emit(Event{Op: cdc.Insert, Table: t, After: row, Key: t.keyOf(row)})
}

func (d *Decoder) delete(m *pglogrepl.DeleteMessage) error {
	t, err := d.relation(m.RelationID)
	if err != nil {
		return err
	}
	old, err := t.row(m.OldTuple)
	if err != nil {
		return err
	}
	return d.emit(Event{Op: cdc.Delete, Table: t, Before: old, Key: t.keyOf(old)})
}

func (d *Decoder) update(m *pglogrepl.UpdateMessage) error {
	t, err := d.relation(m.RelationID)
	if err != nil {
		return err
	}
	row, err := t.row(m.NewTuple)
	if err != nil {
		return err
	}
	whole := m.OldTupleType == pglogrepl.UpdateMessageTupleTypeOld
	var old cdc.Row
	if m.OldTuple != nil {
		if old, err = t.row(m.OldTuple); err != nil {
			return err
		}
		for i := range row { // what was not logged again is in the old row, if that has the column
			if row[i].State == cdc.Unchanged && (whole || t.Identity[i]) {
				row[i] = old[i]
			}
		}
	}
	key := t.keyOf(row)
	if oldKey := t.keyOf(old); old != nil && !slices.EqualFunc(oldKey, key, cdc.Value.Equal) {
		if err := d.emit(Event{Op: cdc.Delete, Table: t, Before: old, Key: oldKey, OtherKey: key}); err != nil {
			return err
		}
		return d.emit(Event{Op: cdc.Insert, Table: t, After: row, Key: key, OtherKey: oldKey})
	}
	if !whole {
		old = nil // a key that did not change tells nothing
	}
	return d.emit(Event{Op: cdc.Update, Table: t, Before: old, After: row, Key: key})
}

// row reads a tuple.
func (t *Table) row(tuple *pglogrepl.TupleData) (cdc.Row, error) {
	if len(tuple.Columns) != len(t.Columns) {
		return nil, fmt.Errorf("a row of %s with %d values for %d columns", t, len(tuple.Columns), len(t.Columns))
	}
	row := make(cdc.Row, len(tuple.Columns))
	for i, c := range tuple.Columns {
		switch c.DataType {
		case pglogrepl.TupleDataTypeNull:
		case pglogrepl.TupleDataTypeToast:
			row[i].State = cdc.Unchanged
		case pglogrepl.TupleDataTypeText:
			row[i] = cdc.Value{State: cdc.Text, Text: c.Data}
		default:
			return nil, fmt.Errorf("a row of %s with a value of kind %q", t, c.DataType)
		}
	}
	return row, nil
}

func (t *Table) keyOf(row cdc.Row) cdc.Row {
	if len(t.Key) == 0 || row == nil {
		return nil
	}
	key := make(cdc.Row, len(t.Key))
	for i, k := range t.Key {
		key[i] = row[k]
	}
	return key
}
