package envelope

import (
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
)

// measured is the table of the benchmarks: what a small application table looks like.
func measured(tb testing.TB) (*Plan, *Meta, cdc.Row) {
	tb.Helper()
	table := &cdc.Table{Schema: "public", Name: "orders", Identity: cdc.IdentityDefault, Columns: []cdc.Column{
		{Name: "id", Type: int8OID, Modifier: -1, Identity: true},
		{Name: "customer_id", Type: int4OID, Modifier: -1},
		{Name: "status", Type: 25, Modifier: -1},
		{Name: "amount", Type: float8OID, Modifier: -1},
		{Name: "detail", Type: 3802, Modifier: -1},
		{Name: "created_at", Type: timestamptzOID, Modifier: -1},
	}}
	plan, err := NewPlan(Stream{Name: "livedb", Database: "postgres", Version: "0.1.0", Epoch: 3}, table, []string{"id"}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	detail := `{"sku": "A-10293", "tags": ["new", "gift"], "quantity": 3, "address": {"city": "Zürich", "street": "Bahnhofgasse"}, "paid": true, "n": 1}`
	if len(detail) != 138 {
		tb.Fatalf("the jsonb has %d bytes", len(detail))
	}
	row := textRow("10482913", "4711", "processing", "199.99", detail, "2026-09-18 11:51:30.123456+00")
	return plan, sampleMeta(), row
}

func textRow(values ...string) cdc.Row {
	row := make(cdc.Row, len(values))
	for i, v := range values {
		row[i] = cdc.Value{State: cdc.Text, Text: []byte(v)}
	}
	return row
}

func sampleMeta() *Meta {
	return &Meta{
		Tx: cdc.Transaction{
			XID: 555, Commit: 24023200, End: 24023256,
			Time: time.UnixMicro(1559033904863123),
		},
		LSN: 24023128, LastCommit: 24023119, Seq: 1041,
		Now: time.Unix(0, 1559033904863841257),
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	plan, meta, row := measured(b)
	buf := make([]byte, 0, 1<<20)
	out, err := plan.AppendEvent(buf, meta, cdc.Insert, nil, cdc.OldNone, row)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(out)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := plan.AppendEvent(buf, meta, cdc.Insert, nil, cdc.OldNone, row); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendEventFullUpdate(b *testing.B) {
	plan, meta, row := measured(b)
	buf := make([]byte, 0, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := plan.AppendEvent(buf, meta, cdc.Update, row, cdc.OldFull, row); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendKey(b *testing.B) {
	plan, _, row := measured(b)
	buf := make([]byte, 0, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := plan.AppendKey(buf, row); err != nil {
			b.Fatal(err)
		}
	}
}
