package pgoutput

import (
	"fmt"

	"github.com/livedb/livedb/cdc"
)

// INSERT: Int32 table, 'N' new row.
func (d *Decoder) insert(walStart cdc.LSN, body []byte, m *Message) error {
	r := reader{rest: body}
	table, marker, err := d.rowHead(&r)
	if err != nil {
		return err
	}
	if marker != 'N' {
		return unknownMarker(marker)
	}
	// An update that moves a row into a publication's row filter is sent as an insert, without the large values that it did not
	// touch (seen with 15 to 18).
	if d.newRow, err = readRow(&r, table, d.newRow, true); err != nil {
		return err
	}

	m.Kind = Row
	m.Change = cdc.Change{Op: cdc.Insert, Table: table, LSN: walStart, New: d.newRow}
	return r.end()
}

// UPDATE: Int32 table, then 'K' old key, 'O' old row or neither, then 'N' new row.
func (d *Decoder) update(walStart cdc.LSN, body []byte, m *Message) error {
	r := reader{rest: body}
	table, marker, err := d.rowHead(&r)
	if err != nil {
		return err
	}

	change := cdc.Change{Op: cdc.Update, Table: table, LSN: walStart}
	if marker != 'N' {
		if err := d.readOld(&r, marker, &change); err != nil {
			return err
		}
		marker = r.uint8()
	}
	if r.short {
		return ErrShort
	}
	if marker != 'N' {
		return unknownMarker(marker)
	}
	if d.newRow, err = readRow(&r, table, d.newRow, true); err != nil {
		return err
	}

	change.New = d.newRow
	m.Kind, m.Change = Row, change
	return r.end()
}

// DELETE: Int32 table, then 'K' old key or 'O' old row.
func (d *Decoder) delete(walStart cdc.LSN, body []byte, m *Message) error {
	r := reader{rest: body}
	table, marker, err := d.rowHead(&r)
	if err != nil {
		return err
	}

	m.Kind = Row
	m.Change = cdc.Change{Op: cdc.Delete, Table: table, LSN: walStart}
	if err := d.readOld(&r, marker, &m.Change); err != nil {
		return err
	}
	return r.end()
}

// rowHead reads what every change of a row begins with: its table and the marker of its first row.
func (d *Decoder) rowHead(r *reader) (*cdc.Table, byte, error) {
	oid, marker := r.uint32(), r.uint8()
	if r.short {
		return nil, 0, ErrShort
	}
	if !d.open {
		return nil, 0, ErrOutsideTransaction
	}
	table := d.tables[oid]
	if table == nil {
		return nil, 0, fmt.Errorf("%w: OID %d", ErrUnknownRelation, oid)
	}
	return table, marker, nil
}

// readOld reads the earlier state of a row. The marker, not the table's identity, says how much of it there is: the
// server does not describe a partition root again when only the root's identity changes.
func (d *Decoder) readOld(r *reader, marker byte, change *cdc.Change) error {
	switch marker {
	case 'K':
		change.OldKind = cdc.OldKey
	case 'O':
		change.OldKind = cdc.OldFull
	default:
		return unknownMarker(marker)
	}

	// Old rows are logged with their large values in full (ExtractReplicaIdentity in heapam.c).
	old, err := readRow(r, change.Table, d.oldRow, false)
	if err != nil {
		return err
	}
	d.oldRow, change.Old = old, old
	return nil
}

func unknownMarker(marker byte) error {
	return fmt.Errorf("%w: %q where a row should begin", ErrUnknownByte, marker)
}
