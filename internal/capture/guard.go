package capture

import (
	"fmt"
	"time"
)

// step is how much of the replay window the guard of the source's disk leaves. Each step leaves less.
type step int

const (
	whole   step = iota
	half         // of the window, in time and bytes
	quarter      //
	follow       // nothing but the last commit, for the witness of the next start
	dropped      // there is no replay slot
)

// steps are the names of the steps, in the log, the status and the metrics.
var steps = [...]string{whole: "whole", half: "half", quarter: "quarter", follow: "follow", dropped: "dropped"}

func (s step) String() string { return steps[s] }

// shrink is what a step leaves of a window.
func (s step) shrink(w Window) Window {
	switch s {
	case whole:
		return w
	case half:
		w.Time, w.Bytes = w.Time/2, w.Bytes/2
	case quarter:
		w.Time, w.Bytes = w.Time/4, w.Bytes/4
	default:
		w.Time, w.Bytes = 0, 0
	}
	return w
}

// Where the guard begins to act, as shares of what the source allows: of max_slot_wal_keep_size, or of the snapshot files
// after which Neon removes a slot. A step is taken back where it is less by relief, and has been for calm.
var begins = [...]float64{half: 0.6, quarter: 0.7, follow: 0.8, dropped: 0.9}

const (
	relief = 0.15
	calm   = time.Minute
)

// sight is what the guard judges by.
type sight struct {
	keep         int64 // max_slot_wal_keep_size in bytes; below 0 there is no limit
	segment      int64
	snapLimit    int // 0 where no number of snapshot files removes a slot
	live, replay held
}

// held is what a slot holds of the source.
type held struct {
	there    bool
	status   string // wal_status
	retained int64  // bytes of WAL, from restart_lsn on: Postgres counts these, not those of the window
	snaps    int    // snapshot files that are newer than it
}

// guard decides how much of the replay window the source can bear. Pure: each look gives the next guard. Nothing that it
// decides touches the live slot.
type guard struct {
	step step
	easy time.Time // since when the step could be taken back; zero if it could not
}

// look takes the next look, and says why the step changed; nothing if it did not.
func (g guard) look(now time.Time, s sight) (guard, string) {
	wal, snaps := s.wal(), s.snaps()
	most := wal
	if snaps.share > wal.share {
		most = snaps
	}
	if wanted := max(wal.wants(), snaps.wants()); wanted > g.step {
		return guard{step: wanted}, fmt.Sprintf("the slots hold %s", most)
	}
	if g.step == whole || most.share >= begins[g.step]-relief {
		g.easy = time.Time{}
		return g, ""
	}
	if g.easy.IsZero() {
		g.easy = now
	}
	if now.Sub(g.easy) < calm {
		return g, ""
	}
	return guard{step: g.step - 1, easy: now}, fmt.Sprintf("the slots hold %s again", most)
}

// use is how much of something that the source allows is used up by the slot of ours that uses most.
type use struct {
	share float64
	of    string
	gains bool // without the replay slot it would be less
	lost  bool // the replay slot is lost, or about to be
}

func (u use) String() string { return fmt.Sprintf("%.0f%% of %s", 100*u.share, u.of) }

func (s sight) wal() use {
	u := use{of: "max_slot_wal_keep_size", gains: s.replay.there && s.replay.retained-s.live.retained >= s.segment}
	if s.keep >= 0 {
		u.share = float64(max(s.live.retained, s.replay.retained)) / float64(max(s.keep, 1))
	}
	u.lost = s.replay.status == "lost" || s.replay.status == "unreserved" && u.gains
	return u
}

func (s sight) snaps() use {
	u := use{of: "the snapshot files after which a slot is removed", gains: s.replay.there && s.replay.snaps > s.live.snaps}
	if s.snapLimit > 0 {
		u.share = float64(max(s.live.snaps, s.replay.snaps)) / float64(s.snapLimit)
	}
	return u
}

// wants is the step that a use asks for. The slot is dropped only if it holds more than the live one does: else that would
// gain nothing, and cost the witness.
func (u use) wants() step {
	switch {
	case u.lost, u.share >= begins[dropped] && u.gains:
		return dropped
	case u.share >= begins[follow]:
		return follow
	case u.share >= begins[quarter]:
		return quarter
	case u.share >= begins[half]:
		return half
	}
	return whole
}
