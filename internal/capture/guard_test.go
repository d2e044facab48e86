package capture

import (
	"strings"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc/postgres"
)

// watched is a source with a limit of 1000 MB whose guard is looked at.
type watched struct {
	t     *testing.T
	guard guard
	now   time.Time
	sight sight
}

func newWatched(t *testing.T) *watched {
	w := &watched{t: t, now: noon, sight: sight{keep: 1000 * mb, segment: 16 * mb, live: held{there: true}, replay: held{there: true}}}
	w.hold(5, 100)
	return w
}

// hold sets what the slots hold, in MB. The replay slot is gone where the guard has dropped it.
func (w *watched) hold(live, replay int64) {
	w.sight.live.retained, w.sight.replay.retained = live*mb, replay*mb
}

func (w *watched) look(later time.Duration, want step) {
	w.t.Helper()
	w.now = w.now.Add(later)
	next, why := w.guard.look(w.now, w.sight)
	if (why != "") != (next.step != w.guard.step) {
		w.t.Errorf("from %s to %s because of %q", w.guard.step, next.step, why)
	}
	if w.guard = next; next.step != want {
		w.t.Errorf("the slots hold %d and %d MB, and the step is %s, not %s", w.sight.live.retained/mb, w.sight.replay.retained/mb, next.step, want)
	}
}

// Kafka is away, and the stream's slot stands still while the source is written to: step by step the guard gives back what
// the replay slot holds. When Kafka is back, the window comes back too, a step a minute.
func TestTheGuardInAnOutage(t *testing.T) {
	w := newWatched(t)
	w.look(0, whole)
	for _, s := range []struct {
		live, replay int64
		want         step
	}{{450, 550, whole}, {500, 600, half}, {620, 700, quarter}, {750, 800, follow}, {880, 900, dropped}} {
		w.hold(s.live, s.replay)
		w.look(2*time.Second, s.want)
	}
	w.sight.replay = held{}
	w.hold(950, 0)
	w.look(2*time.Second, dropped)

	w.hold(5, 0)
	w.look(2*time.Second, dropped) // it may be over, or not
	w.look(50*time.Second, dropped)
	w.look(10*time.Second, follow)
	w.sight.replay.there = true
	w.hold(5, 5)
	w.look(59*time.Second, follow)
	w.look(time.Second, quarter)
	w.look(time.Minute, half)
	w.look(time.Minute, whole)
	w.look(time.Hour, whole)
}

// A leap over several thresholds takes all steps at once.
func TestTheGuardLeaps(t *testing.T) {
	w := newWatched(t)
	w.hold(5, 850)
	w.look(0, follow)
	w.hold(5, 950)
	w.look(0, dropped)
}

// Near a threshold the step does not go to and fro: it is taken back only well below it, and after a calm minute.
func TestTheGuardDoesNotFlutter(t *testing.T) {
	w := newWatched(t)
	w.hold(5, 610)
	w.look(0, half)
	for range 100 {
		w.hold(5, 460)
		w.look(time.Minute, half)
	}
	w.hold(5, 440)
	w.look(time.Minute, half)
	w.hold(5, 460) // not calm
	w.look(30*time.Second, half)
	w.hold(5, 440)
	w.look(30*time.Second, half)
	w.look(time.Minute, whole)
}

// A replay slot that holds no more than the live one gains nothing by going, and would cost the witness of the next start.
func TestTheGuardKeepsASlotThatCostsNothing(t *testing.T) {
	w := newWatched(t)
	w.hold(940, 945)
	w.look(0, follow)
	w.sight.replay.status = "unreserved"
	w.look(0, follow)
	w.hold(900, 945)
	w.look(0, dropped)
}

// One that has lost its WAL is good for nothing.
func TestTheGuardDropsALostSlot(t *testing.T) {
	w := newWatched(t)
	w.hold(5, 0)
	w.sight.replay.status = "lost"
	w.look(0, dropped)
}

// Without a limit nothing of it can be used up: the window itself is the bound.
func TestTheGuardOfASourceWithoutALimit(t *testing.T) {
	w := newWatched(t)
	w.sight.keep = -1
	w.hold(1<<20, 1<<20)
	w.look(0, whole)
}

// Neon removes a slot, even one in use, once 10,000 snapshot files are newer: the replay slot goes first.
func TestTheGuardCountsSnapshotFiles(t *testing.T) {
	w := newWatched(t)
	w.sight.keep, w.sight.snapLimit = -1, 10_000
	for _, s := range []struct {
		live, replay int
		want         step
	}{{10, 5900, whole}, {10, 6000, half}, {10, 7000, quarter}, {10, 8000, follow}, {9500, 9500, follow}, {9500, 9501, dropped}} {
		w.sight.live.snaps, w.sight.replay.snaps = s.live, s.replay
		w.look(time.Second, s.want)
	}
	if _, why := (guard{}).look(noon, w.sight); !strings.Contains(why, "snapshot files") {
		t.Errorf("it says %q", why)
	}
}

// The runway is what is left, at the rate of the last minutes; nobody can tell of one where nothing is written or nothing
// limits the slot.
func TestTheRunway(t *testing.T) {
	safe := int64(120 * mb)
	slot := &postgres.SlotState{Safe: &safe}
	m := meter{}.look(noon, 1000*mb)
	if _, told := m.runway(slot, 0); told {
		t.Error("a rate is told after one look")
	}
	m = m.look(after(2), 1004*mb)
	if left, told := m.runway(slot, 0); !told || left != time.Minute {
		t.Errorf("120 MB at 2 MB/s last %s", left)
	}
	slot.Snaps = 9_998
	if left, _ := m.runway(slot, 10_000); left != 30*time.Second {
		t.Errorf("two files last %s", left)
	}
	if _, told := m.runway(&postgres.SlotState{}, 0); told {
		t.Error("a slot without a limit has a runway")
	}
	for i := range 60 { // nothing is written any more
		m = m.look(after(4+30*i), 1004*mb)
	}
	if left, told := m.runway(slot, 0); told {
		t.Errorf("nothing is written, and the runway is %s", left)
	}
	if m = m.look(after(4000), 10*mb); m.told {
		t.Error("a source that went back is not measured anew")
	}
}
