package capture_test

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/processor"
)

// followed is what a reader saw of the load: each row is one more than the one before, but for one gap.
type followed struct {
	*bench
	reader *processor.Reader
	last   int // row
	seq    uint64
	gap    *envelope.Gap
	counts map[string]int // of the rows since the gap, by v
}

func newFollowed(b *bench, r *processor.Reader) *followed {
	return &followed{bench: b, reader: r, counts: map[string]int{}}
}

// transaction reads on to the end of a transaction, or to the gap.
func (f *followed) transaction() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	for {
		item, err := f.reader.Next(ctx)
		if err != nil {
			f.t.Fatal(err)
		}
		switch item.Kind {
		case processor.Epoch:
			f.gap, f.seq = item.Gap, 0
			return
		case processor.End:
			return
		case processor.Event:
			var event struct {
				After struct {
					ID int
					V  string
				}
			}
			if err := json.Unmarshal(item.Value, &event); err != nil {
				f.t.Fatal(err)
			}
			row := event.After
			f.seq++
			if item.Seq != f.seq || row.ID != f.last+1 && (f.gap == nil || f.seq > 1 || row.ID <= f.last) {
				f.t.Fatalf("seq %d is row %d, after seq %d and row %d", item.Seq, row.ID, f.seq-1, f.last)
			}
			f.last = row.ID
			f.counts[row.V]++
			if f.gap == nil {
				clear(f.counts)
			}
		}
	}
}

// hasView waits until a view has come to where the reader is, and compares them.
func (b *bench) hasView(name string, want *followed) {
	b.t.Helper()
	client, err := kafka.Connect(b.t.Context(), b.config.Kafka)
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	topics := envelope.Topics(b.config.Prefix)
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	for {
		latest, err := kafka.Latest(ctx, client, topics.State(name), "position")
		var state struct {
			Epoch uint32
			Seq   uint64
		}
		if err == nil {
			err = json.Unmarshal(latest["position"].Value, &state)
		}
		if err != nil {
			b.t.Fatal(err)
		}
		if state.Epoch == 2 && state.Seq == want.seq {
			break
		}
		select {
		case <-ctx.Done():
			b.t.Fatalf("the view stays at seq %d of epoch %d, before %d", state.Seq, state.Epoch, want.seq)
		case <-time.After(20 * time.Millisecond):
		}
	}
	keys := []string{}
	for v := range want.counts {
		keys = append(keys, `{"v":`+strconv.Quote(v)+`}`)
	}
	results, err := kafka.Latest(ctx, client, topics.View(name), keys...)
	if err != nil {
		b.t.Fatal(err)
	}
	for v, n := range want.counts {
		var result struct {
			N     int
			Epoch uint32
		}
		if err := json.Unmarshal(results[`{"v":`+strconv.Quote(v)+`}`].Value, &result); err != nil || result.N != n || result.Epoch != 2 {
			b.t.Errorf("the view has %d of %s in epoch %d, and the reader %d (%v)", result.N, v, result.Epoch, n, err)
		}
	}
}
