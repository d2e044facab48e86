package capture

import (
	"context"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
)

// How often the replay slot is looked at, and how soon again after it could not be made.
const (
	replayInterval = 5 * time.Second
	replayRetry    = time.Minute
)

// keepReplaySlot makes the replay slot if there is none and has it follow the stream at a distance, until the context ends.
// Without it the stream goes on: there is then no replay, and a source that was restored from an older copy and written to
// again is not noticed.
func (r *role) keepReplaySlot(ctx context.Context, from cdc.CommitLSN) error {
	r.window.delivered(time.Now(), from)
	keeper, err := postgres.OpenReplayKeeper(ctx, r.Source)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	defer keeper.Close(context.WithoutCancel(ctx))
	tick := time.NewTicker(windowStep)
	defer tick.Stop()
	next := time.Now()
	for {
		now := time.Now()
		r.window.delivered(now, cdc.CommitLSN(r.progress.Commit.Load()))
		if !now.Before(next) {
			next = now.Add(replayInterval)
			made, err := r.moveReplaySlot(ctx, keeper, now)
			if err != nil {
				return unlessEnded(ctx, err)
			}
			if !made {
				next = now.Add(replayRetry)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// moveReplaySlot looks at the replay slot once. It reports false if there is none and none could be made.
func (r *role) moveReplaySlot(ctx context.Context, keeper *postgres.ReplayKeeper, now time.Time) (made bool, err error) {
	slot, current, err := keeper.Slot(ctx)
	if err != nil {
		return false, err
	}
	if slot == nil || slot.WALStatus == "lost" {
		if err := keeper.Create(ctx); ctx.Err() != nil {
			return false, nil
		} else if err != nil {
			r.Log.Warn("there is no replay slot, so a restored source could not be noticed", "slot", postgres.ReplaySlot(r.Source.Slot), "error", err)
			return false, nil
		}
		r.Log.Info("the replay slot was made", "slot", postgres.ReplaySlot(r.Source.Slot))
		return true, nil
	}
	if to := r.window.target(now, slot.Confirmed, current); to != 0 {
		return true, keeper.Advance(ctx, to)
	}
	return true, nil
}

// unlessEnded hides what the end of a context causes.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
