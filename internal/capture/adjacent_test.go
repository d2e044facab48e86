package capture_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/faults/network"
	"github.com/livedb/livedb/internal/faults/workload"
	"github.com/livedb/livedb/processor"
	"github.com/livedb/livedb/producer"
)

// Of two commits with nothing between them, the end of the first is the commit LSN of the second. The stream ends exactly
// between the two, once by a stop and once by a cut, and goes on there: neither is missing, and neither comes twice.
func TestAdjacentCommitsOverAStopBetweenThem(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	load, err := workload.Open(t.Context(), b.config.Source.URL, workload.Config{Writers: 1, Big: 100})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := load.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	b.config.Source.Tables = load.Tables()
	b.config.Limits = producer.Limits{Events: 1, Linger: time.Nanosecond} // a Kafka transaction for each of Postgres
	source := network.NewPostgres(1)
	t.Cleanup(source.Close)
	b.config.Source.Dial = source.Dial
	stop := b.start()
	r := b.reader()
	b.awaitSlot()
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	b.await("SELECT NOT active FROM pg_replication_slots WHERE slot_name = '" + b.config.Source.Slot + "'")
	pairs, err := load.ForceAdjacent(t.Context(), b.config.Source.Slot, b.config.Source.Publication)
	if err != nil {
		t.Fatal(err)
	}
	want := b.xids()
	var got []processor.Transaction
	for i, pair := range pairs[:min(len(pairs), 4)] {
		after := slices.Index(want, pair.Second) - len(got)
		hold := source.Inject(network.Fault{Match: network.Of(b.config.Source.Slot, network.Type(network.Begin)), Action: network.Hold, Skip: after})
		stop := b.start()
		for range after {
			got = append(got, b.transaction(r))
		}
		<-hold.Fired()
		if i%2 == 1 {
			source.Cut()
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		source.Withdraw(hold)
		if first := got[len(got)-1]; first.XID != pair.First || cdc.LSN(first.End) != cdc.LSN(pair.At) {
			t.Fatalf("stopped after %+v, not between the two of %+v", first, pair)
		}
	}
	stop = b.start()
	for len(got) < len(want) {
		got = append(got, b.transaction(r))
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	var read []uint32
	for _, tx := range got {
		read = append(read, tx.XID)
	}
	if diff := cmp.Diff(want, read); diff != "" {
		t.Errorf("transactions, by xid (-want +got):\n%s", diff)
	}
	t.Logf("%d transactions, %d adjacent pairs", len(want), len(pairs))
}

// xids lists the transactions that wait in the slot, in the order of their commits.
func (b *bench) xids() []uint32 {
	b.t.Helper()
	rows, err := b.conn.Query(b.t.Context(), `SELECT xid FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', $2)
		WHERE get_byte(data, 0) = ascii('B')`, b.config.Source.Slot, b.config.Source.Publication)
	if err != nil {
		b.t.Fatal(err)
	}
	xids, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		b.t.Fatal(err)
	}
	return xids
}

// transaction reads the next transaction, and gives it as its end tells of it.
func (b *bench) transaction(r *processor.Reader) processor.Transaction {
	b.t.Helper()
	for {
		item, err := r.Next(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if item.Kind == processor.End {
			return item.Tx
		}
	}
}
