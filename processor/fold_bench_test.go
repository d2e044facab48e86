package processor

import (
	"fmt"
	"testing"

	"github.com/livedb/livedb/cdc"
)

// BenchmarkFold is the cost of one event in the demo's view: an insert with an envelope of some 700 bytes, or an update
// with both rows, over 40 groups.
func BenchmarkFold(b *testing.B) {
	var rows []*order
	for i := range 40 {
		rows = append(rows, &order{[]string{"new", "paid", "sent", "done"}[i%4], fmt.Sprintf("10:00:%02d.123456", i/4), "1234.56"})
	}
	for name, value := range map[string]func(int) []byte{
		"insert": func(i int) []byte { return change("c", nil, rows[i]) },
		"update": func(i int) []byte { return change("u", rows[i], rows[(i+1)%40]) },
	} {
		b.Run(name, func(b *testing.B) {
			f := newFold(Orders("public"))
			var values [][]byte
			for i := range rows {
				if err := f.apply(&Item{Value: change("c", nil, rows[i])}); err != nil {
					b.Fatal(err)
				}
				values = append(values, value(i))
			}
			b.SetBytes(int64(len(values[0])))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				item := Item{Value: values[i%40], Seq: uint64(i), Position: cdc.Position{Commit: 1, Index: uint64(i)}}
				if err := f.apply(&item); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}
