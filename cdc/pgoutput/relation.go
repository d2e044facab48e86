package pgoutput

import (
	"fmt"
	"slices"

	"github.com/livedb/livedb/cdc"
)

// minColumn is the least that a column takes in a RELATION message: flags, the NUL of its name, type, modifier.
const minColumn = 1 + 1 + 4 + 4

// RELATION: Int32 OID, String schema, String name, Int8 replica identity, Int16 number of columns, then the columns.
//
// It comes before the first change of a table on a connection, and again, within a transaction too, after whatever
// touched its description. The one gap known: of a table that is published as its partitions' root, neither a rename
// nor a change of identity is told before one of its partitions changes as well (seen with 15 and 18).
func (d *Decoder) relation(body []byte, m *Message) error {
	r := reader{rest: body}
	table := cdc.Table{OID: r.uint32(), Schema: r.namespace(), Name: r.text(), Identity: cdc.Identity(r.uint8())}
	count := int(int16(r.uint16()))
	switch {
	case r.short:
		return ErrShort
	case count < 0:
		return fmt.Errorf("%w: %d columns", ErrNegative, count)
	case count > len(r.rest)/minColumn:
		return fmt.Errorf("%w: %d columns in %d bytes", ErrCount, count, len(r.rest))
	}
	switch table.Identity {
	case cdc.IdentityDefault, cdc.IdentityNothing, cdc.IdentityFull, cdc.IdentityIndex:
	default:
		return fmt.Errorf("%w: replica identity %q", ErrUnknownByte, byte(table.Identity))
	}

	table.Columns = make([]cdc.Column, count)
	for i := range table.Columns {
		if err := d.column(&r, &table.Columns[i]); err != nil {
			return err
		}
	}
	if err := r.end(); err != nil {
		return err
	}

	m.Kind, m.Table = Relation, d.remember(table)
	return nil
}

// A column: Int8 flags, String name, Int32 type OID, Int32 modifier.
func (d *Decoder) column(r *reader, c *cdc.Column) error {
	flags := r.uint8()
	c.Name, c.Type, c.Modifier = r.text(), r.uint32(), int32(r.uint32())
	if r.short {
		return ErrShort
	}
	if flags > 1 {
		return fmt.Errorf("%w: flags %#02x of column %q", ErrUnknownByte, flags, c.Name)
	}
	// Flagged is what the replica identity holds: no column under NOTHING, every column under FULL.
	c.Identity = flags == 1
	c.TypeName = d.types[c.Type]
	return nil
}

// remember makes table the current description of its OID and returns it, or the one there is if it says the same.
func (d *Decoder) remember(table cdc.Table) *cdc.Table {
	if known := d.tables[table.OID]; known != nil && known.Schema == table.Schema && known.Name == table.Name &&
		known.Identity == table.Identity && slices.Equal(known.Columns, table.Columns) {
		return known
	}
	d.tables[table.OID] = &table
	return &table
}

// TYPE: Int32 OID, String schema, String name. It precedes the RELATION messages that use a type which is not built in.
// For a domain the name is that of its base type, while the OID, here and in RELATION, is the domain's own.
func (d *Decoder) typeName(body []byte, m *Message) error {
	r := reader{rest: body}
	oid, schema, name := r.uint32(), r.namespace(), r.text()
	if err := r.end(); err != nil {
		return err
	}
	d.types[oid] = schema + "." + name
	m.Kind = Type
	return nil
}
