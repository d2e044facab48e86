package pgoutput

import "fmt"

// The flags of TRUNCATE.
const (
	truncateCascade         = 1 << 0
	truncateRestartIdentity = 1 << 1
)

// TRUNCATE: Int32 number of tables, Int8 flags, then Int32 OID of each.
func (d *Decoder) truncate(body []byte, m *Message) error {
	r := reader{rest: body}
	count, flags := int(int32(r.uint32())), r.uint8()
	switch {
	case r.short:
		return ErrShort
	case !d.open:
		return ErrOutsideTransaction
	case count < 0:
		return fmt.Errorf("%w: %d tables", ErrNegative, count)
	case count == 0 || count > len(r.rest)/4:
		return fmt.Errorf("%w: %d tables in %d bytes", ErrCount, count, len(r.rest))
	case flags&^(truncateCascade|truncateRestartIdentity) != 0:
		return fmt.Errorf("%w: flags %#02x", ErrUnknownByte, flags)
	}

	d.truncated = d.truncated[:0]
	for range count {
		oid := r.uint32()
		table := d.tables[oid]
		if table == nil {
			return fmt.Errorf("%w: OID %d", ErrUnknownRelation, oid)
		}
		d.truncated = append(d.truncated, table)
	}

	m.Kind, m.Truncated = Truncate, d.truncated
	m.Cascade, m.RestartIdentity = flags&truncateCascade != 0, flags&truncateRestartIdentity != 0
	return r.end()
}
