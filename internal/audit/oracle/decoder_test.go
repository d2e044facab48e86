package oracle

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pglogrepl"

	"github.com/livedb/livedb/cdc"
)

// teller writes what it is handed, a line each.
type teller struct{ lines []string }

// Begin implements Handler.
func (h *teller) Begin(tx cdc.Transaction) error {
	h.lines = append(h.lines, fmt.Sprintf("begin %d %s", tx.XID, tx.Commit))
	return nil
}

// Event implements Handler.
func (h *teller) Event(e Event) error {
	h.lines = append(h.lines, fmt.Sprintf("%s %s %s %s key %s%s: %s -> %s", e.Position, e.LSN, e.Op, e.Table, told(e.Key), other(e.OtherKey), told(e.Before), told(e.After)))
	return nil
}

// End implements Handler.
func (h *teller) End(tx cdc.Transaction, events uint64) error {
	h.lines = append(h.lines, fmt.Sprintf("end %s, %d events", tx.End, events))
	return nil
}

func told(row cdc.Row) string {
	if row == nil {
		return "-"
	}
	var values []string
	for _, v := range row {
		values = append(values, describe(v))
	}
	return "(" + strings.Join(values, " ") + ")"
}

func other(key cdc.Row) string {
	if key == nil {
		return ""
	}
	return " other " + told(key)
}

// message builds a pgoutput message of parts: numbers of their size, and texts with a zero behind.
func message(kind byte, parts ...any) []byte {
	m := []byte{kind}
	for _, p := range parts {
		switch v := p.(type) {
		case string:
			m = append(append(m, v...), 0)
		case []byte:
			m = append(m, v...)
		default:
			m, _ = binary.Append(m, binary.BigEndian, v)
		}
	}
	return m
}

// tuple builds a row: nil is null, "?" unchanged.
func tuple(kind byte, values ...any) []byte {
	m := binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(values)))
	for _, v := range values {
		switch text := v.(type) {
		case nil:
			m = append(m, 'n')
		case string:
			if text == "?" {
				m = append(m, 'u')
				continue
			}
			m = append(binary.BigEndian.AppendUint32(append(m, 't'), uint32(len(text))), text...)
		}
	}
	return m
}

func relation(id uint32, name string, identity byte, keys ...byte) []byte {
	parts := []any{id, "s", name, identity, uint16(len(keys))}
	for i, key := range keys {
		parts = append(parts, key, fmt.Sprintf("c%d", i), named["text"], int32(-1))
	}
	return message('R', parts...)
}

func begin(commit uint64, xid uint32) []byte { return message('B', commit, int64(0), xid) }
func end(commit uint64) []byte               { return message('C', byte(0), commit, commit+8, int64(0)) }

func change(kind byte, id uint32, tuples ...[]byte) []byte {
	parts := []any{id}
	for _, t := range tuples {
		parts = append(parts, t)
	}
	return message(kind, parts...)
}

// decode tells what messages say; the n-th one stands at LSN n.
func decode(t *testing.T, messages ...[]byte) ([]string, error) {
	t.Helper()
	h := &teller{}
	d := NewDecoder(&Catalog{types: catalog(), keys: func(string, string) []string { return []string{"c0"} }}, h)
	for i, m := range messages {
		if err := d.Message(t.Context(), pglogrepl.LSN(i), m); err != nil {
			return h.lines, err
		}
	}
	return h.lines, nil
}

// The decoder counts each event that a transaction yields, two for a key change and one for each table of a TRUNCATE.
func TestDecoderNumbersEvents(t *testing.T) {
	got, err := decode(t,
		begin(0x100, 7), relation(1, "a", 'd', 1, 0), message('Y', uint32(9), "s", "mood"), message('O', uint64(1), "origin"),
		change('I', 1, tuple('N', "1", nil)), change('U', 1, tuple('N', "1", "?")), change('U', 1, tuple('K', "1", nil), tuple('N', "2", "?")),
		change('U', 1, tuple('K', "2", nil), tuple('N', "?", "x")), change('D', 1, tuple('K', "2", nil)),
		relation(2, "b", 'i', 0, 1), message('A', uint32(7), uint32(8)), message('T', uint32(2), byte(0), uint32(1), uint32(2)), end(0x100),
		begin(0x108, 8), change('U', 2, tuple('K', nil, "k"), tuple('N', "v", "l")), end(0x108))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`begin 7 0/100`,
		`0/100:1 0/4 c s.a key ("1"): - -> ("1" null)`,
		`0/100:2 0/5 u s.a key ("1"): - -> ("1" unchanged)`,
		`0/100:3 0/6 d s.a key ("1") other ("2"): ("1" null) -> -`,
		`0/100:4 0/6 c s.a key ("2") other ("1"): - -> ("2" unchanged)`,
		`0/100:5 0/7 u s.a key ("2"): - -> ("2" "x")`,
		`0/100:6 0/8 d s.a key ("2"): ("2" null) -> -`,
		`0/100:7 0/B t s.a key -: - -> -`,
		`0/100:8 0/B t s.b key -: - -> -`,
		`end 0/108, 8 events`,
		`begin 8 0/108`,
		`0/108:1 0/E d s.b key ("k") other ("l"): (null "k") -> -`,
		`0/108:2 0/E c s.b key ("l") other ("k"): - -> ("v" "l")`,
		`end 0/110, 2 events`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What the decoder does not know, or what contradicts itself, is an error: an oracle that guesses is none.
func TestDecoderRefuses(t *testing.T) {
	open, known := begin(0x100, 7), relation(1, "a", 'd', 1, 0)
	for name, messages := range map[string][][]byte{
		"nothing":                 {{}},
		"an unknown type":         {message('P', uint64(1))},
		"a stream":                {open, message('S', uint32(1), byte(1))},
		"a logical message":       {open, message('M', byte(1), uint64(1), "p", uint32(0))},
		"a change outside":        {known, change('I', 1, tuple('N', "1", nil))},
		"a commit outside":        {end(0x100)},
		"a begin inside":          {open, begin(0x200, 8)},
		"another commit":          {open, end(0x200)},
		"an undescribed relation": {open, change('I', 1, tuple('N', "1", nil))},
		"a truncate of one":       {open, message('T', uint32(1), byte(0), uint32(5))},
		"a short message":         {open, known, change('I', 1, tuple('N', "1", nil))[:9]},
		"a short row":             {open, known, change('I', 1, tuple('N', "1"))},
		"binary":                  {open, known, change('I', 1, []byte{'N', 0, 2, 'b', 0, 0, 0, 1, 'x', 'n'})},
	} {
		if got, err := decode(t, messages...); err == nil {
			t.Errorf("%s was taken: %q", name, got)
		}
	}
}
