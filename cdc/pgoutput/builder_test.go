package pgoutput

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
)

// builder writes a message as the server does, field by field. It knows nothing of the decoder.
type builder []byte

func (b builder) i8(v byte) builder      { return append(b, v) }
func (b builder) i16(v uint16) builder   { return binary.BigEndian.AppendUint16(b, v) }
func (b builder) i32(v uint32) builder   { return binary.BigEndian.AppendUint32(b, v) }
func (b builder) i64(v uint64) builder   { return binary.BigEndian.AppendUint64(b, v) }
func (b builder) text(s string) builder  { return append(append(b, s...), 0) }
func (b builder) bytes(v []byte) builder { return append(b, v...) }

func (b builder) time(t time.Time) builder {
	seconds := t.Unix() - time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	return b.i64(uint64(seconds*1e6 + int64(t.Nanosecond()/1e3)))
}

func (b builder) row(marker byte, row cdc.Row) builder {
	b = b.i8(marker).i16(uint16(len(row)))
	for _, v := range row {
		switch v.State {
		case cdc.Null:
			b = b.i8('n')
		case cdc.Unchanged:
			b = b.i8('u')
		case cdc.Text:
			b = b.i8('t').i32(uint32(len(v.Text))).bytes(v.Text)
		}
	}
	return b
}

func beginBytes(tx cdc.Transaction) []byte {
	return builder{'B'}.i64(uint64(tx.Commit)).time(tx.Time).i32(tx.XID)
}

func commitBytes(tx cdc.Transaction) []byte {
	return builder{'C'}.i8(0).i64(uint64(tx.Commit)).i64(uint64(tx.End)).time(tx.Time)
}

func originBytes(lsn cdc.LSN, name string) []byte { return builder{'O'}.i64(uint64(lsn)).text(name) }

func typeBytes(oid uint32, schema, name string) []byte {
	return builder{'Y'}.i32(oid).text(schema).text(name)
}

func relationBytes(t *cdc.Table) []byte {
	schema := t.Schema
	if schema == "pg_catalog" {
		schema = ""
	}
	b := builder{'R'}.i32(t.OID).text(schema).text(t.Name).i8(byte(t.Identity)).i16(uint16(len(t.Columns)))
	for _, c := range t.Columns {
		flags := byte(0)
		if c.Identity {
			flags = 1
		}
		b = b.i8(flags).text(c.Name).i32(c.Type).i32(uint32(c.Modifier))
	}
	return b
}

func insertBytes(oid uint32, row cdc.Row) []byte { return builder{'I'}.i32(oid).row('N', row) }

func updateBytes(oid uint32, kind cdc.Old, before, after cdc.Row) []byte {
	b := builder{'U'}.i32(oid)
	if kind != cdc.OldNone {
		b = b.row(oldMarker(kind), before)
	}
	return b.row('N', after)
}

func deleteBytes(oid uint32, kind cdc.Old, before cdc.Row) []byte {
	return builder{'D'}.i32(oid).row(oldMarker(kind), before)
}

func oldMarker(kind cdc.Old) byte { return map[cdc.Old]byte{cdc.OldKey: 'K', cdc.OldFull: 'O'}[kind] }

func truncateBytes(flags byte, oids ...uint32) []byte {
	b := builder{'T'}.i32(uint32(len(oids))).i8(flags)
	for _, oid := range oids {
		b = b.i32(oid)
	}
	return b
}

func logicalBytes(m LogicalMessage) []byte {
	flags := byte(0)
	if m.Transactional {
		flags = 1
	}
	return builder{'M'}.i8(flags).i64(uint64(m.LSN)).text(m.Prefix).i32(uint32(len(m.Content))).bytes(m.Content)
}

// encode writes a decoded message again. A Message keeps nothing of TYPE, ORIGIN and STREAM ABORT: these give nil.
func encode(m *Message) []byte {
	switch m.Kind {
	case Begin:
		return beginBytes(m.Tx)
	case Commit:
		return commitBytes(m.Tx)
	case Relation:
		return relationBytes(m.Table)
	case Logical:
		return logicalBytes(m.Logical)
	case Truncate:
		var flags byte
		if m.Cascade {
			flags |= 1
		}
		if m.RestartIdentity {
			flags |= 2
		}
		var oids []uint32
		for _, table := range m.Truncated {
			oids = append(oids, table.OID)
		}
		return truncateBytes(flags, oids...)
	case Row:
		c := &m.Change
		switch c.Op {
		case cdc.Insert:
			return insertBytes(c.Table.OID, c.New)
		case cdc.Update:
			return updateBytes(c.Table.OID, c.OldKind, c.Old, c.New)
		case cdc.Delete:
			return deleteBytes(c.Table.OID, c.OldKind, c.Old)
		}
	}
	return nil
}

type unchanged struct{}

// row makes a row of strings, nil for null and unchanged{}.
func row(values ...any) cdc.Row {
	var row cdc.Row
	for _, value := range values {
		switch v := value.(type) {
		case nil:
			row = append(row, cdc.Value{State: cdc.Null})
		case unchanged:
			row = append(row, cdc.Value{State: cdc.Unchanged})
		case string:
			row = append(row, cdc.Value{State: cdc.Text, Text: []byte(v)})
		default:
			panic(fmt.Sprintf("a row of %T", v))
		}
	}
	return row
}

// What most stories are about: one table and one transaction.
var (
	orders = &cdc.Table{OID: 16384, Schema: "public", Name: "orders", Identity: cdc.IdentityDefault, Columns: []cdc.Column{
		{Name: "id", Type: 20, Modifier: -1, Identity: true},
		{Name: "note", Type: 25, Modifier: -1},
		{Name: "price", Type: 1700, Modifier: 655366},
	}}
	tx = cdc.Transaction{XID: 733, Commit: 0x16_B374D848, End: 0x16_B374D878, Time: time.Date(2026, 11, 22, 11, 5, 1, 123456000, time.UTC)}
)

// story feeds messages to a decoder.
type story struct {
	*testing.T
	decoder *Decoder
	m       Message
}

func newStory(t *testing.T) *story { return &story{T: t, decoder: NewDecoder()} }

// inOrders is a story that has begun: the table is known and a transaction is open.
func inOrders(t *testing.T) *story {
	s := newStory(t)
	s.read(beginBytes(tx))
	s.read(relationBytes(orders))
	return s
}

// read returns the decoded message.
func (s *story) read(data []byte) *Message {
	s.Helper()
	if err := s.decoder.Decode(0x10, data, &s.m); err != nil {
		s.Fatal(err)
	}
	return &s.m
}
