package bench

import (
	"context"
	"crypto/rand"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/compose/debezium"
	"github.com/livedb/livedb/internal/devstack"
)

// Debezium, as it comes and tuned, drains a copy of a parked slot and says what that cost. Everything is there, once.
func TestDebezium(t *testing.T) {
	debezium.Require(t)
	source := devstack.TestPostgres(t).URL() // its own, for the names of slots are the server's
	brokers := devstack.TestKafka(t)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, source)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))

	for shape, party := range map[string]Party{"mixed": Debezium(false, log), "b": Debezium(true, log)} {
		t.Run(party.Name, func(t *testing.T) {
			shapes, err := ChooseShapes([]string{shape})
			if err != nil {
				t.Fatal(err)
			}
			l, err := shapes[0].write(ctx, conn, 0.02, func(ctx context.Context) error { return park(ctx, conn) })
			if err != nil {
				t.Fatal(err)
			}
			task := Task{
				Source: source, Slot: "debezium", Publication: publication, Table: table, Brokers: brokers, Prefix: "test-" + rand.Text(),
				End: l.end, Rows: l.rows, Events: l.events, Partitions: 4,
			}
			if task.Start, err = copySlot(ctx, conn, task.Slot); err != nil {
				t.Fatal(err)
			}
			f, err := party.Drain(ctx, task)
			if err != nil {
				t.Fatal(err)
			}
			if f.Rows != l.rows || f.Seconds <= 0 || f.ClientCPU == 0 || f.PeakRSS == 0 {
				t.Errorf("the figures are %+v", f)
			}
			if err := party.Verify(ctx, task); err != nil {
				t.Error(err)
			}
			for _, slot := range []string{task.Slot, parked} {
				if err := dropSlots(ctx, source, slot); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
