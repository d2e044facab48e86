package capture

import (
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
)

// On a quiet source the replay slot follows two minutes behind, and stays where it is until then.
func TestTheWindowMovesByTime(t *testing.T) {
	w := &window{}
	start := time.Unix(1_700_000_000, 0)
	for i := range 200 {
		w.delivered(start.Add(time.Duration(i)*time.Second), cdc.CommitLSN(1000+i))
	}
	if to := w.target(start.Add(windowTime-time.Second), 1000, 1200); to != 0 {
		t.Errorf("it moves to %s before its time", to)
	}
	if to := w.target(start.Add(windowTime+30*time.Second), 1000, 1200); to != 1030 {
		t.Errorf("it moves to %s, not to what is two minutes old", to)
	}
	if to := w.target(start.Add(windowTime+30*time.Second), 1040, 1200); to != 0 {
		t.Errorf("it moves back to %s", to)
	}
}

// On a busy one it follows by bytes, and leaves half of what it may hold.
func TestTheWindowMovesByBytes(t *testing.T) {
	w := &window{}
	start := time.Unix(1_700_000_000, 0)
	const step = 4 << 20
	for i := range 20 {
		w.delivered(start.Add(time.Duration(i)*time.Second), cdc.CommitLSN(i*step))
	}
	if to := w.target(start.Add(20*time.Second), 0, windowBytes); to != 0 {
		t.Errorf("it moves to %s although there is room", to)
	}
	if to := w.target(start.Add(20*time.Second), 0, 20*step); to != 12*step {
		t.Errorf("it moves to %s of %s", to, cdc.LSN(20*step))
	}
}

// After a restart all that is known is where the stream went on: that is as far as it may go, and it goes there if the slot
// would hold too much otherwise. It never goes beyond what was delivered.
func TestTheWindowKnowsTheResumedCommitAlone(t *testing.T) {
	w := &window{}
	now := time.Unix(1_700_000_000, 0)
	w.delivered(now, 0)
	if to := w.target(now, 0, 2*windowBytes); to != 0 {
		t.Errorf("it moves to %s before anything was delivered", to)
	}
	w.delivered(now, 7000)
	if to := w.target(now, 100, 2*windowBytes); to != 7000 {
		t.Errorf("it moves to %s", to)
	}
}
