package pgoutput

import (
	"encoding/binary"
	"testing"

	"github.com/livedb/livedb/cdc"
)

// A fuzzed stream is a sequence of messages, each behind its length in two bytes. The last may be cut.

func packed(messages []wal) []byte {
	var stream []byte
	for _, w := range messages {
		stream = binary.BigEndian.AppendUint16(stream, uint16(len(w.data)))
		stream = append(stream, w.data...)
	}
	return stream
}

func unpacked(stream []byte) []wal {
	var messages []wal
	for len(stream) >= 2 {
		n := min(int(binary.BigEndian.Uint16(stream)), len(stream)-2)
		messages = append(messages, wal{cdc.LSN(len(messages)), stream[2 : 2+n : 2+n]})
		stream = stream[2+n:]
	}
	return messages
}

func seed(f *testing.F) {
	for _, fixture := range fixtures(f) {
		f.Add(packed(fixture.messages[:min(len(fixture.messages), 40)]))
	}
	for _, c := range refused {
		messages := []wal{{data: relationBytes(orders)}, {data: beginBytes(tx)}, {data: c.data}}
		if c.outside {
			messages = []wal{messages[0], messages[2]}
		}
		f.Add(packed(messages))
	}
	f.Add(packed([]wal{{data: beginBytes(tx)}, {data: []byte{'A'}}, {data: logicalBytes(LogicalMessage{Prefix: "app"})}, {data: commitBytes(tx)}}))
}

// Whatever comes: no panic, nothing larger than the input justifies, the transactions nest as they must, and what was
// taken is what was sent.
func FuzzDecode(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, stream []byte) {
		d := NewDecoder()
		var m Message
		open := false
		for _, w := range unpacked(stream) {
			if err := d.Decode(w.lsn, w.data, &m); err != nil {
				if d.Decode(w.lsn, beginBytes(tx), &m) != err {
					t.Fatal("it went on after an error")
				}
				break
			}

			switch inside := m.Kind == Row || m.Kind == Truncate || m.Kind == Commit || m.Kind == Origin; {
			case inside && !open || m.Kind == Begin && open:
				t.Fatalf("%v where it may not stand", m.Kind)
			case m.Kind == Row && !fits(&m.Change):
				t.Fatalf("rows that do not fit their table: %+v", m.Change)
			}
			open = (open || m.Kind == Begin) && m.Kind != Commit
			if !survives(w.data, &m) {
				t.Fatalf("read\n%x and wrote\n%x", w.data, encode(&m))
			}
		}

		if held := footprint(d); held > 8*len(stream) {
			t.Fatalf("%d bytes of messages left %d values, columns and tables", len(stream), held)
		}
	})
}

// Both readers, see agree.
func FuzzAgainstPglogrepl(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, stream []byte) {
		agree(t, unpacked(stream))
	})
}

func fits(c *cdc.Change) bool {
	width := len(c.Table.Columns)
	switch c.Op {
	case cdc.Insert:
		return len(c.New) == width && c.Old == nil && c.OldKind == cdc.OldNone
	case cdc.Update:
		return len(c.New) == width && (c.OldKind == cdc.OldNone && c.Old == nil || c.OldKind != cdc.OldNone && len(c.Old) == width)
	case cdc.Delete:
		return c.New == nil && c.OldKind != cdc.OldNone && len(c.Old) == width
	}
	return false
}

// footprint counts what a decoder holds.
func footprint(d *Decoder) int {
	held := len(d.types) + cap(d.oldRow) + cap(d.newRow) + cap(d.truncated)
	for _, table := range d.tables {
		held += 1 + cap(table.Columns)
	}
	return held
}
