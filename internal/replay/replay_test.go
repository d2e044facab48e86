package replay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/faults/workload"
	"github.com/livedb/livedb/processor"
	"github.com/livedb/livedb/producer"
)

// hard is what the workload of everything hard needs of a server.
var hard = map[string]string{"max_prepared_transactions": "20", "logical_decoding_work_mem": "64kB", "deadlock_timeout": "100ms",
	"max_replication_slots": "30", "max_wal_senders": "30"}

// load has everything that is hard for a change stream written while the stream runs, until enough transactions are
// delivered, and goes on until the returned function is called.
func (r *rig) load(enough int) (stop func()) {
	r.t.Helper()
	load, err := workload.Open(r.t.Context(), r.config.Source.URL, workload.Config{Writers: 3, Rate: 300, Big: 1000})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Logf("seed %d", load.Seed())
	r.config.Source.Tables = load.Tables()
	r.start()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- load.Run(ctx) }()
	stopped := false
	stop = func() {
		if cancel(); !stopped {
			stopped = true
			if err := <-done; err != nil {
				r.t.Error(err)
			}
			if err := load.Quiesce(context.Background()); err != nil {
				r.t.Error(err)
			}
			if err := load.Close(context.Background()); err != nil {
				r.t.Error(err)
			}
		}
	}
	r.t.Cleanup(stop)
	for deadline := time.Now().Add(time.Minute); len(r.transactions()) < enough; {
		if time.Now().After(deadline) {
			r.t.Fatal("the load is not delivered")
		}
		r.await("SELECT true FROM pg_sleep(0.2)") // paces the poll
	}
	return stop
}

// Whatever was written, and however the two sides split it, a replay of any range holds the very records of the stream.
func TestAReplayHoldsTheStreamsOwnRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t, devstack.TestPostgres(t, hard))
	r.config.Limits = producer.Limits{Events: 70, Heartbeat: 100 * time.Millisecond}
	stop := r.load(250)
	seed := rand.Uint64()
	t.Logf("seed of the ranges %d", seed)
	dice := rand.New(rand.NewPCG(seed, 1))
	slid := 0
	for i := 0; i < 5; i++ {
		if i == 2 {
			stop()
			r.delivered()
		}
		all := r.inside()
		a, b := dice.IntN(len(all)), dice.IntN(len(all))
		if i == 0 {
			a, b = 0, len(all)-1
		}
		first, last := all[min(a, b)], all[max(a, b)]
		from, to := first.Commit.String(), last.Commit.String()
		wantFrom, wantTo := first.First, last.Last
		switch i % 4 {
		case 1:
			from, to = fmt.Sprint("xid:", first.XID), fmt.Sprint("xid:", last.XID)
		case 2:
			from, to = position(first, 0), position(last, last.events())
		case 3:
			from, to = text(first.Time), text(last.Time)
		}
		c := r.replay(fmt.Sprint("range-", i), from, to)
		c.Limits = producer.Limits{Events: 1 + dice.IntN(200), Linger: time.Millisecond}
		result, err := Run(t.Context(), c)
		if err != nil && result.Window != nil && first.First < result.Window.From.Seq && slid < 10 { // the window went past it
			slid++
			i--
			continue
		}
		if err != nil || result.State != Finished {
			t.Fatalf("%s to %s: %+v, %v", from, to, result, err)
		}
		if i%4 != 3 && (result.From.Seq != wantFrom || result.To.Seq != wantTo) {
			t.Errorf("%s to %s: seq %d to %d, want %d to %d", from, to, result.From.Seq, result.To.Seq, wantFrom, wantTo)
		}
		records := r.same(c.ID, result.From.Seq, result.To.Seq)
		if result.Events != result.To.Seq-result.From.Seq+1 || result.Done != result.Events || result.Written != result.Events || result.Records != uint64(records) {
			t.Errorf("%s to %s: %+v, and %d records are there", from, to, result, records)
		}
		t.Logf("%s to %s: %d transactions, %d events, %d records in %.2f s", from, to, result.Transactions, result.Events, records, result.Seconds)
	}
	r.readable("range-1")
}

// inside lists the transactions that can be replayed now.
func (r *rig) inside() []*transaction {
	r.t.Helper()
	c := r.replay("window", "", "")
	c.DryRun = true
	w := r.run(c).Window
	all := r.transactions()
	from := slices.IndexFunc(all, func(t *transaction) bool { return t.First >= w.From.Seq })
	return all[from:]
}

// readable has the ordering reader read a replay as it reads a stream.
func (r *rig) readable(id string) {
	r.t.Helper()
	all := r.transactions()
	reader, err := processor.OpenReader(r.t.Context(), processor.ReaderConfig{Client: r.client, Prefix: string(envelope.Topics(r.config.Prefix).Replay(id)), Start: processor.Oldest()})
	if err != nil {
		r.t.Fatal(err)
	}
	defer reader.Close()
	scan := r.read(envelope.Topics(r.config.Prefix).Replay(id), 0, 1<<63)
	first, last := all[len(all)-1].Last, uint64(0)
	for _, events := range scan {
		first, last = min(first, events[0].Seq), max(last, events[len(events)-1].Seq)
	}
	all = all[slices.IndexFunc(all, func(t *transaction) bool { return t.First == first }):]
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	for n := 0; ; {
		item, err := reader.Next(ctx)
		if err != nil {
			r.t.Fatalf("after %d transactions: %v", n, err)
		}
		if item.Kind != processor.End {
			continue
		}
		if want := all[n]; item.Tx.XID != want.XID || item.Tx.Commit != want.Commit || item.Tx.End != want.End || item.Seq != want.Last || item.Tx.First != want.First {
			r.t.Fatalf("the reader found %+v up to seq %d, want %+v", item.Tx, item.Seq, want)
		}
		if n++; item.Seq == last {
			return
		}
	}
}
