package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/processor"
)

// ingested is an event as the ordering reader delivers it, with a row of about size bytes.
func ingested(i, size int) *processor.Item {
	row := fmt.Sprintf(`{"id":%d,"status":"paid","note":"%s"}`, i, strings.Repeat("x", size))
	value := fmt.Sprintf(`{"before":null,"after":%s,"source":{"version":"1","connector":"postgresql","name":"p","ts_ms":1559033904863,"snapshot":"false","db":"postgres",`+
		`"sequence":"[\"24023119\",\"24023128\"]","ts_us":1559033904863123,"ts_ns":1559033904863123000,"schema":"public","table":"orders","txId":555,"lsn":24023128,"xmin":null,`+
		`"origin":null,"origin_lsn":null,"commit_lsn":24023200,"seq":1041,"epoch":3},"transaction":null,"op":"c","ts_ms":1559033904863,"ts_us":1559033904863841,"ts_ns":1559033904863841257}`, row)
	return &processor.Item{Kind: processor.Event, Tx: processor.Transaction{Epoch: 1, XID: uint32(i), Commit: cdc.CommitLSN(i), Time: time.UnixMicro(1559033904863123)},
		Seq: uint64(i), Position: cdc.Position{Commit: cdc.CommitLSN(i), Index: 1}, Topic: "livedb.public.table_" + fmt.Sprint(i%8), Partition: int32(i % 4),
		Offset: int64(i), Key: fmt.Appendf(nil, `{"id":%d}`, i), Value: []byte(value)}
}

// BenchmarkIngest is what an event costs the dashboard that nobody looks at: into the ring, counted, its latency noted.
func BenchmarkIngest(b *testing.B) {
	for _, size := range []int{100, 100 << 10} {
		b.Run(fmt.Sprint("row of ", size), func(b *testing.B) {
			m := newModel("livedb", nil)
			var items []*processor.Item
			for i := range 64 {
				items = append(items, ingested(i+1, size))
			}
			now := time.Now()
			b.SetBytes(int64(len(items[0].Value)))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				item := items[i%len(items)]
				m.event(item, false, now)
				m.transaction(&item.Tx, false, now)
				i++
			}
		})
	}
}

// An event that nobody looks at costs the dashboard one allocation: the ring's entry.
func TestIngestAllocatesOnce(t *testing.T) {
	m := newModel("livedb", nil)
	items := []*processor.Item{ingested(1, 100), ingested(2, 100)}
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() {
		for _, item := range items {
			m.event(item, false, now)
			m.transaction(&item.Tx, false, now)
		}
	}); n > float64(len(items)) {
		t.Errorf("%d events: %v allocations", len(items), n)
	}
}
