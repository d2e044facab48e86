package capture

import (
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
)

const mb = 1 << 20

var noon = time.Unix(1_700_000_000, 0)

func after(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

// On a quiet source the replay slot follows at the window's time, and stays where it is until then.
func TestTheWindowMovesByTime(t *testing.T) {
	w := Window{Time: 2 * time.Minute, Bytes: 64 * mb}
	p := &places{}
	for i := range 200 {
		p.note(after(i), cdc.CommitLSN(1000+i), w.Time)
	}
	at := reach{current: 1200, confirmed: 1000, restart: 1000, keep: -1, last: 1199, acked: 1200}
	for _, c := range []struct {
		now       int
		confirmed cdc.LSN
		want      cdc.LSN
	}{{119, 1000, 0}, {150, 1000, 1030}, {150, 1040, 0}} {
		at.now, at.confirmed = after(c.now), c.confirmed
		if to, urgent := p.target(w, at); to != c.want || urgent {
			t.Errorf("after %d s, from %s, it moves to %s (urgent: %v), not to %s", c.now, c.confirmed, to, urgent, c.want)
		}
	}
}

// On a busy one it follows by bytes, and leaves three quarters of what it may hold, so that it need not move all the time.
func TestTheWindowMovesByBytes(t *testing.T) {
	w := Window{Time: time.Hour, Bytes: 64 * mb}
	p := &places{}
	at := reach{now: noon, confirmed: 0, restart: 0, keep: -1, last: 1000 * mb, acked: 1000 * mb}
	at.current = 64 * mb
	if to, _ := p.target(w, at); to != 0 {
		t.Errorf("it moves to %s although there is room", to)
	}
	at.current = 80 * mb
	if to, urgent := p.target(w, at); to != 32*mb || !urgent {
		t.Errorf("it moves to %s (urgent: %v)", to, urgent)
	}
}

// Postgres counts the WAL from restart_lsn on against its limit, which is more than the window: the window gives way.
func TestTheWindowLeavesHalfOfWhatTheSourceKeeps(t *testing.T) {
	w := Window{Time: time.Hour, Bytes: 512 * mb}.within(200*mb, false)
	if w.Bytes != 100*mb {
		t.Errorf("the window is %d bytes", w.Bytes)
	}
	at := reach{now: noon, current: 90 * mb, confirmed: 40 * mb, restart: 0, keep: 200 * mb, last: 90 * mb, acked: 90 * mb}
	if to, _ := (&places{}).target(w, at); to != 0 {
		t.Errorf("90 MB of 100 are kept, and it moves to %s", to)
	}
	at.current, at.confirmed = 110*mb, 40*mb
	if to, _ := (&places{}).target(w, at); to != 65*mb {
		t.Errorf("110 MB are kept, and it moves to %s, not to where 45 of 60 MB are left", to)
	}
	if w := (Window{Time: 48 * time.Hour, Bytes: 1}).within(-1, true); w.Time != 12*time.Hour {
		t.Errorf("on Neon the window is %s", w.Time)
	}
}

// The slot stays at the last commit that Kafka holds, for the witness of the next start, whatever asks it to go on; where much
// WAL of others lies behind that commit, or there is none yet, it goes on to what was acknowledged.
func TestTheSlotWaitsAtTheLastCommit(t *testing.T) {
	p := &places{}
	p.begin(noon, 7000)
	at := reach{now: after(7200), current: 300 * mb, confirmed: 100, restart: 50, keep: -1, last: 7000, acked: 8000}
	for _, s := range []step{whole, half, quarter, follow} {
		if to, _ := p.target(s.shrink(Window{Time: time.Hour, Bytes: 64 * mb}), at); to != 7000 {
			t.Errorf("with the %s window it moves to %s", s, to)
		}
	}
	at.acked = 200 * mb
	if to, _ := p.target(Window{Time: time.Hour, Bytes: 64 * mb}, at); to != 200*mb {
		t.Errorf("over 200 MB of others it moves to %s", to)
	}
	at.last, at.acked = 0, 4000
	if to, _ := (&places{}).target(Window{Time: time.Hour, Bytes: 64 * mb}, at); to != 4000 {
		t.Errorf("before the first commit it moves to %s", to)
	}
}

// However long the window is, and however long the slot cannot be moved, the memory is bounded, and the times stay right to a
// small share of what is remembered.
func TestTheMemoryOfPlacesIsBounded(t *testing.T) {
	p := &places{}
	const window = 12 * time.Hour
	for i := range 7 * 24 * 3600 { // a week, a commit each second
		p.note(after(i), cdc.CommitLSN(i+1), window)
	}
	if len(p.known) > memory {
		t.Errorf("%d places are remembered", len(p.known))
	}
	now := after(7 * 24 * 3600)
	was := p.before(now.Add(-window))
	if off := now.Add(-window).Sub(after(int(was) - 1)); off < 0 || off > time.Hour {
		t.Errorf("twelve hours ago is %s off", off)
	}
	p.forget(cdc.LSN(was))
	if at, known := p.time(cdc.LSN(was)); !known || !at.Equal(after(int(was)-1)) || p.known[0].commit != was {
		t.Errorf("the place that the slot has reached is forgotten")
	}
}

// A role that starts knows the commit that it goes on after, and what it looked up of the time before. It forgets what is not
// true any more.
func TestTheWindowAfterAStart(t *testing.T) {
	p := &places{}
	p.note(after(10), 900, time.Hour)
	p.begin(after(5), 500)
	if p.before(after(100)) != 500 {
		t.Errorf("it remembers %v", p.known)
	}
	p.seed([]place{{after(-3600), 100}, {after(-1800), 300}, {after(-1700), 250}, {after(4), 700}, {after(6), 400}})
	for seconds, want := range map[int]cdc.CommitLSN{-4000: 0, -3600: 100, -1000: 300, 4: 300, 5: 500} {
		if got := p.before(after(seconds)); got != want {
			t.Errorf("at %d s it was at %s, want %s", seconds, got, want)
		}
	}
}

func TestWindowsThatCannotBeKeptAreRefused(t *testing.T) {
	for w, ok := range map[Window]bool{
		{}: true, DefaultWindow: true, {Off: true}: true, {Time: time.Second, Bytes: mb}: true,
		{Time: time.Millisecond, Bytes: mb}: false, {Time: time.Hour, Bytes: 1}: false, {Time: -time.Hour, Bytes: mb}: false,
	} {
		if err := w.Check(); (err == nil) != ok {
			t.Errorf("%+v: %v", w, err)
		}
	}
}
