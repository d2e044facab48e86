//go:build failpoints

package capture_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/internal/failpoint"
)

// Points of cdc, with a later time at which a session passes each: 1 where it passes once. A session of this test passes every
// one of them, so none is left to chance.
var (
	beginning = []failpoint.Point{failpoint.PublishedNew, failpoint.CreatingSaved, failpoint.SlotsDropped, failpoint.SlotCreated, failpoint.Bootstrapped}
	running   = map[failpoint.Point]int{failpoint.Preflighted: 1, failpoint.Dialled: 1, failpoint.Leading: 1, failpoint.Fenced: 1, failpoint.Resumed: 1,
		failpoint.Witnessed: 1, failpoint.Started: 1, failpoint.AfterBegin: 6, failpoint.MidTransaction: 17, failpoint.AfterCommit: 6, failpoint.TopologyWritten: 2,
		failpoint.KafkaBegun: 3, failpoint.EventsSent: 4, failpoint.BeforeCommit: 3, failpoint.Committed: 2, failpoint.PartCommitted: 3,
		failpoint.BeforeStatus: 2, failpoint.AfterStatus: 2, failpoint.Heartbeat: 2}
)

// Whichever step a stream is killed at, the first time or a later one, what the next start delivers follows on what was delivered:
// nothing is missing and nothing comes twice. Each kill has transactions of its own before it, split ones among them and one of a
// table that is new to the stream, so a start also goes on from the middle of a transaction.
func TestAStreamSurvivesKillAtEveryPoint(t *testing.T) {
	for _, point := range failpoint.CDC {
		if running[point] == 0 && !slices.Contains(beginning, point) && point != failpoint.EpochBegun { // of a new epoch: there
			t.Errorf("%s is tried by no test", point)
		}
	}
	for _, later := range []bool{false, true} {
		t.Run(map[bool]string{false: "the first time", true: "later"}[later], func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "CREATE TABLE a (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text)", "ALTER TABLE a REPLICA IDENTITY FULL")
			b.config.Limits = splitting
			for _, point := range beginning {
				b.kill(point, "split")
			}
			stop := b.start()
			b.awaitSlot()
			b.exec("SELECT pg_copy_logical_replication_slot('" + b.config.Source.Slot + "', '" + b.config.Source.Slot + "_truth')")
			if err := stop(); err != nil {
				t.Fatal(err)
			}

			endMurmur := b.murmur()
			for i, point := range failpoint.CDC {
				if running[point] == 0 {
					continue
				}
				b.parcel(2 * i)
				b.parcel(2*i + 1)
				at := point
				if later && running[point] > 1 {
					at = failpoint.Point(fmt.Sprintf("%s:%d", point, running[point]))
				}
				b.kill(at, "split")
			}
			endMurmur()
			stop = b.start()
			b.awaitSlot()
			b.awaitConfirmed()
			b.auditedState() // while it follows the source
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			var rows int
			if err := b.conn.QueryRow(t.Context(), "SELECT count(*) FROM a").Scan(&rows); err != nil {
				t.Fatal(err)
			}
			kills := len(running)
			if stream := b.audited(); stream.Events != uint64(rows+2*kills) {
				t.Errorf("%d events of %d rows of one table and %d of others", stream.Events, rows, 2*kills)
			}
			if source := b.auditedSourceBy(b.config.Source.Slot + "_truth"); source.Events != uint64(rows+2*kills) {
				t.Errorf("the audit judged %d events", source.Events)
			}
		})
	}
}

// parcel writes four transactions: three of a row and one that is split, whose last row is of a new table.
func (b *bench) parcel(n int) {
	b.t.Helper()
	for range 3 {
		b.exec("INSERT INTO a (v) VALUES ('one')")
	}
	table := fmt.Sprintf("new_%d", n)
	b.exec("BEGIN", "INSERT INTO a (v) SELECT 'many' FROM generate_series(1, 12)", "CREATE TABLE "+table+" (id int PRIMARY KEY)",
		"INSERT INTO "+table+" VALUES (1)", "COMMIT")
}

// murmur writes WAL that holds nothing for the stream, so that an idle one has something to acknowledge.
func (b *bench) murmur() (stop func()) {
	conn, err := pgx.Connect(b.t.Context(), b.config.Source.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	var murmuring sync.WaitGroup
	murmuring.Go(func() {
		defer conn.Close(context.WithoutCancel(ctx))
		for tick := time.NewTicker(20 * time.Millisecond); ctx.Err() == nil; {
			if _, err := conn.Exec(ctx, "SELECT pg_logical_emit_message(false, 'test', 'murmur')"); err != nil && ctx.Err() == nil {
				b.t.Error(err)
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	return func() { cancel(); murmuring.Wait() }
}
