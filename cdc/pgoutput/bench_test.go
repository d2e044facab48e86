package pgoutput

import (
	"testing"

	"github.com/livedb/livedb/cdc"
)

// measured is the table of every LiveDB benchmark: one row has six columns and a document of 138 bytes.
var measured = &cdc.Table{OID: 16385, Schema: "public", Name: "events", Identity: cdc.IdentityDefault, Columns: []cdc.Column{
	{Name: "id", Type: 20, Modifier: -1, Identity: true},
	{Name: "account", Type: 23, Modifier: -1},
	{Name: "kind", Type: 25, Modifier: -1},
	{Name: "amount", Type: 701, Modifier: -1},
	{Name: "payload", Type: 3802, Modifier: -1},
	{Name: "created_at", Type: 1184, Modifier: -1},
}}

const document = `{"user": "a4f0c9e2-51d7-4b6e-9c0a-7f7d3a1b2c4d", "items": [{"sku": "X-1009", "qty": 3}, {"sku": "Y-2210", "qty": 1}], "note": "burst 123"}`

func BenchmarkDecode(b *testing.B) {
	values := row("1234567", "42", "order.created", "199.95", document, "2026-11-22 11:05:01.123456+00")
	key := row("1234566", nil, nil, nil, nil, nil)

	for _, c := range []struct {
		name string
		data []byte
	}{
		{"insert", insertBytes(measured.OID, values)},
		{"update", updateBytes(measured.OID, cdc.OldNone, nil, values)},
		{"update-key", updateBytes(measured.OID, cdc.OldKey, key, values)},
		{"update-full", updateBytes(measured.OID, cdc.OldFull, values, values)},
		{"delete", deleteBytes(measured.OID, cdc.OldKey, key)},
	} {
		b.Run(c.name, func(b *testing.B) {
			d := NewDecoder()
			var m Message
			for _, data := range [][]byte{beginBytes(tx), relationBytes(measured), c.data} {
				if err := d.Decode(1, data, &m); err != nil {
					b.Fatal(err)
				}
			}

			b.SetBytes(int64(len(c.data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(1, c.data, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}

	// The least that a transaction costs.
	b.Run("begin+commit", func(b *testing.B) {
		d := NewDecoder()
		var m Message
		begin, commit := beginBytes(tx), commitBytes(tx)

		b.ReportAllocs()
		for b.Loop() {
			if d.Decode(1, begin, &m) != nil || d.Decode(1, commit, &m) != nil {
				b.Fatal("refused")
			}
		}
	})
}
