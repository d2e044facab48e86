package postgres_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
)

// drainer counts rows, and is done with the last one.
type drainer struct {
	from       cdc.LSN
	rows, want int
	end        context.CancelFunc
}

func (d *drainer) Begin(cdc.Transaction) error { return nil }
func (d *drainer) Change(*cdc.Change) error    { d.rows++; return nil }
func (d *drainer) Commit(cdc.Transaction) error {
	if d.rows >= d.want {
		d.end()
	}
	return nil
}
func (d *drainer) Truncate(cdc.LSN, []*cdc.Table) error { return nil }
func (d *drainer) Quiet(cdc.LSN, bool) error            { return nil }
func (d *drainer) Tick(time.Time) error                 { return nil }
func (d *drainer) Alarm() time.Time                     { return time.Now().Add(time.Second) }
func (d *drainer) Full() <-chan struct{}                { return nil }
func (d *drainer) Durable() cdc.LSN                     { return d.from }

// backlog makes a database with a parked slot and one-row transactions behind it.
func backlog(tb testing.TB, rows int) (postgres.Config, func() (reads, bytes int64)) {
	tb.Helper()
	url, conn := database(tb, "CREATE TABLE t (id int PRIMARY KEY, note text)", "CREATE PUBLICATION livedb FOR TABLE t")
	c := config(url)
	if _, err := conn.Exec(tb.Context(), "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", c.Slot); err != nil {
		tb.Fatal(err)
	}
	fill := fmt.Sprintf(`DO $$ BEGIN FOR i IN 1..%d LOOP INSERT INTO t VALUES (i, repeat('x', 200)); COMMIT; END LOOP; END $$`, rows)
	for _, s := range []string{"SET synchronous_commit = off", fill} {
		if _, err := conn.Exec(tb.Context(), s); err != nil {
			tb.Fatal(err)
		}
	}
	return c, func() (reads, bytes int64) {
		copied := c
		copied.Slot += "_copy"
		var from cdc.LSN
		if err := conn.QueryRow(tb.Context(), "SELECT lsn::text FROM pg_copy_logical_replication_slot($1, $2)", c.Slot, copied.Slot).Scan(&from); err != nil {
			tb.Fatal(err)
		}
		defer func() {
			if err := postgres.DropSlots(context.Background(), copied); err != nil {
				tb.Error(err)
			}
		}()
		source, err := postgres.Dial(tb.Context(), copied)
		if err != nil {
			tb.Fatal(err)
		}
		defer source.Close()
		var n, sum atomic.Int64
		stream, err := source.Start(tb.Context(), cdc.EndLSN(from), postgres.StreamOptions{Read: func(bytes int) { n.Add(1); sum.Add(int64(bytes)) }})
		if err != nil {
			tb.Fatal(err)
		}
		ctx, end := context.WithTimeout(tb.Context(), 60*time.Second)
		defer end()
		d := &drainer{from: from, want: rows, end: end}
		if err := stream.Run(ctx, d); err != nil || d.rows != rows {
			tb.Fatalf("%d of %d rows, %v", d.rows, rows, err)
		}
		return n.Load(), sum.Load()
	}
}

// Without gathering, each of the walsender's three messages of a transaction is a read of its own.
func TestABacklogIsReadInLargePieces(t *testing.T) {
	const rows = 20_000
	_, drain := backlog(t, rows)
	reads, bytes := drain()
	t.Logf("%d reads of %d bytes each", reads, bytes/reads)
	if reads > rows/4 {
		t.Errorf("%d rows took %d reads", rows, reads)
	}
}

func BenchmarkDrain(b *testing.B) {
	const rows = 100_000
	_, drain := backlog(b, rows)
	for b.Loop() {
		reads, bytes := drain()
		b.ReportMetric(float64(bytes)/float64(reads), "B/read")
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
