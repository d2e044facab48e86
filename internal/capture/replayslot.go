package capture

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/kafka"
)

// How the source is spared: a move by time, which may be small, is made at most so often; after a move, which reads all WAL
// on its way, it rests for three times as long as that took. And how soon a slot is made again, and after a failure.
const (
	moveInterval  = 5 * time.Second
	movesInWindow = 32
	longestMove   = 5 * time.Minute
	restFactor    = 3
	shortestRest  = time.Second
	makeAgain     = 5 * time.Second
	makeLater     = time.Minute
)

// duty is what is to be done with the replay slot.
type duty int

const (
	leaveIt duty = iota
	makeIt
	moveIt
	dropIt
	followIt // have standbys keep it
)

// keep keeps the replay slot until the context ends. Without it the stream goes on: there is then no replay, and a source that
// was restored from an older copy and written to again is not noticed.
func (w *warden) keep(ctx context.Context) {
	var keeper *postgres.ReplayKeeper
	defer func() { closeKeeper(keeper) }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.looked:
		}
		if err := w.act(ctx, &keeper); err != nil {
			closeKeeper(keeper)
			keeper = nil
		}
	}
}

func closeKeeper(k *postgres.ReplayKeeper) {
	if k == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	k.Close(ctx)
}

// act does what is to be done now, connecting first if need be, and logs what failed.
func (w *warden) act(ctx context.Context, keeper **postgres.ReplayKeeper) error {
	began := time.Now()
	do, to := w.duty(began)
	if do == leaveIt {
		return nil
	}
	var err error
	if *keeper == nil {
		*keeper, err = postgres.OpenReplayKeeper(ctx, w.role.Source)
	}
	if err == nil {
		switch do {
		case makeIt:
			err = (*keeper).Create(ctx)
		case moveIt:
			err = (*keeper).Advance(ctx, to)
		case dropIt:
			err = (*keeper).Drop(ctx)
		case followIt:
			err = (*keeper).FollowStandbys(ctx)
		}
	}
	now := time.Now()
	w.mu.Lock()
	w.rest = now.Add(max(restFactor*now.Sub(began), shortestRest))
	w.make = now.Add(makeAgain)
	if err != nil {
		if refused(err) {
			w.make = now.Add(makeLater)
		}
		w.rest = now.Add(moveInterval)
	} else if do == moveIt {
		w.moved = began
	}
	w.mu.Unlock()

	log := w.role.Log.With("slot", postgres.ReplaySlot(w.role.Source.Slot))
	switch {
	case err != nil && ctx.Err() != nil:
	case err != nil && do == makeIt:
		log.Warn("there is no replay slot, so a restored source could not be noticed", "error", err)
	case err != nil:
		log.Warn("the replay slot could not be kept", "error", err)
	case do == makeIt:
		log.Info("the replay slot was made")
	case do == dropIt:
		log.Warn("the replay slot was dropped, so there is no replay and a restored source could not be noticed", "window", w)
	case do == followIt:
		log.Info("standbys keep the replay slot from now on")
	default:
		log.Debug("the replay slot was moved", "to", to, "took", now.Sub(began))
	}
	return err
}

// refused tells an error by which the server says no, as it does when it has no slot left, from a connection that broke or a
// server that shuts down.
func refused(err error) bool {
	var said interface{ SQLState() string }
	return errors.As(err, &said) && !strings.HasPrefix(said.SQLState(), "57")
}

// duty decides what is to be done. Only the last one that had the lead does anything, as far as it knows.
func (w *warden) duty(now time.Time) (duty, cdc.LSN) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen == nil || !w.leads {
		return leaveIt, 0
	}
	slot := w.seen.Find(postgres.ReplaySlot(w.role.Source.Slot))
	switch {
	case w.window.Off || w.guard.step == dropped:
		if slot != nil && !slot.Active && !now.Before(w.rest) {
			return dropIt, 0
		}
		return leaveIt, 0
	case slot == nil || slot.WALStatus == "lost":
		if w.streams && !now.Before(w.make) {
			return makeIt, 0
		}
		return leaveIt, 0
	case now.Before(w.rest):
		return leaveIt, 0
	case !slot.Failover && !slot.Active && w.leads && !now.Before(w.follow):
		if live := w.seen.Find(w.role.Source.Slot); live != nil && live.Failover {
			w.follow = now.Add(makeLater)
			return followIt, 0
		}
	}
	window := w.guard.step.shrink(w.window.within(w.seen.Keep, w.seen.Neon))
	w.places.forget(slot.Confirmed)
	to, urgent := w.places.target(window, reach{now: w.seen.Time, current: w.seen.Current, confirmed: slot.Confirmed, restart: slot.Restart, keep: w.seen.Keep,
		last: cdc.CommitLSN(w.role.progress.Commit.Load()), acked: cdc.LSN(w.role.progress.Acked.Load())})
	if to == 0 && int64(w.seen.Current)-int64(slot.Confirmed) > window.Bytes && int64(slot.Confirmed)-int64(slot.Restart) > w.seen.Segment && w.settled != slot.Confirmed {
		w.settled = slot.Confirmed // it can go no further, but a move to where it is frees the WAL that the move before could not
		return moveIt, slot.Confirmed
	}
	if to == 0 && w.seen.Idle > 0 && now.Sub(w.moved) > w.seen.Idle/4 {
		return moveIt, slot.Confirmed // to where it is, which counts as use: a quiet night must not end the window
	}
	if to == 0 || !urgent && now.Sub(w.moved) < min(max(window.Time/movesInWindow, moveInterval), longestMove) {
		return leaveIt, 0
	}
	return moveIt, to
}

// once does at once all that there is to do, from a look of its own: for a role that does not stay.
func (w *warden) once(ctx context.Context) error {
	var watch *postgres.Watch
	var keeper *postgres.ReplayKeeper
	defer func() { w.close(watch); closeKeeper(keeper) }()
	if err := w.look(ctx, &watch); err != nil {
		return err
	}
	return w.act(ctx, &keeper)
}

// seeds is how many places of the time before a start are looked up.
const seeds = 8

// seed looks up, in the topic of transactions, when what was delivered before this role began. Without it the slot would
// stay where it is until the window's time had passed since the start, and a role that starts often would never move it.
func (w *warden) seed(ctx context.Context, client sarama.Client) {
	w.mu.Lock()
	epoch := w.epoch
	w.mu.Unlock()
	var older []place
	topic := w.role.topics.Transaction()
	for k := seeds + 1; k > 0; k-- { // the oldest from before the window: there the slot may go at once
		p, found, err := deliveredAt(ctx, client, topic, epoch, time.Now().Add(-w.window.Time*time.Duration(k)/seeds))
		if err != nil {
			w.role.Log.Debug("what was delivered before could not be looked up", "topic", topic, "error", err)
			return
		}
		if found {
			older = append(older, p)
		}
	}
	w.mu.Lock()
	w.places.seed(older)
	w.mu.Unlock()
}

// deliveredAt returns a commit that an epoch delivered at about a time; false if nothing was delivered after it.
func deliveredAt(ctx context.Context, client sarama.Client, topic string, epoch uint32, at time.Time) (p place, found bool, err error) {
	offset, err := client.GetOffset(topic, 0, at.UnixMilli())
	if err != nil || offset < 0 {
		return p, false, err
	}
	scan, err := kafka.OpenScan(client, topic, 0, offset)
	if err != nil {
		return p, false, err
	}
	record, found, err := scan.Next(ctx)
	if err != nil || !found {
		return p, false, err
	}
	order, err := envelope.ParseTransaction(record.Value)
	if err != nil || len(order.Entries) == 0 || order.Epoch != epoch { // LSNs of two epochs may be of two histories
		return p, false, err
	}
	first := &order.Entries[0]
	return place{at: first.Time(), commit: first.Commit}, true, nil
}
