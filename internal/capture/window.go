package capture

import (
	"fmt"
	"slices"
	"time"

	"github.com/livedb/livedb/cdc"
)

// Window is how far the replay slot stays behind the stream: so long, or, where much is written, so many bytes of WAL. The
// zero value is DefaultWindow.
type Window struct {
	Off   bool // no replay slot
	Time  time.Duration
	Bytes int64
}

// DefaultWindow is an hour. What it costs at a start, where the last commit is decoded again from its beginning, is in
// docs/slots.md.
var DefaultWindow = Window{Time: time.Hour, Bytes: 512 << 20}

// Bounds of a window. Less would be moved all the time; Neon removes a slot whose restart_lsn is about 40 hours of activity old.
const (
	minWindowTime  = time.Second
	minWindowBytes = 1 << 20
	neonWindowTime = 12 * time.Hour
)

// Check refuses a window that cannot be kept.
func (w Window) Check() error {
	if w.Off || w == (Window{}) {
		return nil
	}
	if w.Time < minWindowTime {
		return &cdc.Refusal{Name: "replay_window_malformed", Problem: fmt.Sprintf("the replay window of %s is shorter than %s", w.Time, minWindowTime),
			Remedy: "give a longer --replay-window, or 0 for none"}
	}
	if w.Bytes < minWindowBytes {
		return &cdc.Refusal{Name: "replay_window_malformed", Problem: fmt.Sprintf("the replay window of %d bytes is less than 1MB", w.Bytes),
			Remedy: "give a larger --replay-window-bytes, or 0 for none"}
	}
	return nil
}

func (w Window) orDefault() Window {
	if w == (Window{}) {
		return DefaultWindow
	}
	return w
}

// within bounds the window by what the source allows: half of max_slot_wal_keep_size (keep, below 0 without a limit), and
// 12 hours on Neon. The other half is the stream's, for the time when it cannot go on.
func (w Window) within(keep int64, neon bool) Window {
	if keep >= 0 {
		w.Bytes = min(w.Bytes, keep/2)
	}
	if neon {
		w.Time = min(w.Time, neonWindowTime)
	}
	return w
}

// memory is how many places a window remembers at most. There are half as many for the window's own time, and the rest for
// as long as the slot cannot be moved.
const memory = 512

// places remembers when the stream had delivered what, for the time before: so the replay slot can follow at a distance in
// time. However long that is, the memory is bounded.
type places struct {
	known []place // in their order, of time and of LSN
}

type place struct {
	at     time.Time // when it committed, by the source's clock
	commit cdc.CommitLSN
}

// begin forgets what is not true of a stream that goes on at a commit, and remembers that one.
func (p *places) begin(at time.Time, commit cdc.CommitLSN) {
	p.known = slices.DeleteFunc(p.known, func(known place) bool { return known.commit >= commit })
	if commit > 0 {
		p.known = append(p.known, place{at, commit})
	}
}

// note remembers a commit that Kafka holds for good, unless the last one that is remembered is as good, to a 256th of the
// window's time.
func (p *places) note(at time.Time, commit cdc.CommitLSN, window time.Duration) {
	if n := len(p.known); commit == 0 || n > 0 && (commit <= p.known[n-1].commit || at.Sub(p.known[n-1].at) < window/(memory/2)) {
		return
	}
	if len(p.known) == memory { // the slot has not been moved for long: every other place will do
		n := 0
		for i := 0; i < memory; i += 2 {
			p.known[n] = p.known[i]
			n++
		}
		p.known = p.known[:n]
	}
	p.known = append(p.known, place{at, commit})
}

// seed adds places from before the first one that is known.
func (p *places) seed(older []place) {
	kept := []place{}
	for _, o := range older {
		first := len(p.known) == 0 || o.commit < p.known[0].commit && o.at.Before(p.known[0].at)
		if n := len(kept); first && o.commit > 0 && (n == 0 || o.commit > kept[n-1].commit && o.at.After(kept[n-1].at)) {
			kept = append(kept, o)
		}
	}
	p.known = append(kept, p.known...)
}

// before returns the last known commit at or before a time; 0 if there is none.
func (p *places) before(t time.Time) (commit cdc.CommitLSN) {
	for _, k := range p.known {
		if k.at.After(t) {
			break
		}
		commit = k.commit
	}
	return commit
}

// time returns when about an LSN was the end of what was delivered; false if nothing so old is remembered.
func (p *places) time(lsn cdc.LSN) (at time.Time, known bool) {
	for _, k := range p.known {
		if cdc.LSN(k.commit) > lsn {
			break
		}
		at, known = k.at, true
	}
	return at, known
}

// forget drops what lies before the place that the slot has reached.
func (p *places) forget(confirmed cdc.LSN) {
	n := 0
	for n+1 < len(p.known) && cdc.LSN(p.known[n+1].commit) <= confirmed {
		n++
	}
	p.known = slices.Delete(p.known, 0, n)
}

// reach is what decides where the replay slot may be.
type reach struct {
	now       time.Time
	current   cdc.LSN // the end of the source's WAL
	confirmed cdc.LSN // of the replay slot: the window begins there
	restart   cdc.LSN // of the replay slot: WAL is kept from there
	keep      int64   // max_slot_wal_keep_size, below 0 without a limit

	last  cdc.CommitLSN // the last commit that Kafka holds for good
	acked cdc.LSN       // what was acknowledged to the source; beyond the last commit, nothing of ours lies before it
}

// idle is how much WAL without a change of ours makes the slot go on beyond the last commit, which then cannot witness.
const idle = 16 << 20

// target says where the replay slot should be, 0 if it may stay. urgent says that bytes ask for it, not time alone.
//
// By time it goes to the last commit that is older than the window. By bytes it goes to wherever three quarters of the
// window are left, so that it need not move all the time. It stays at the last commit that Kafka holds, which the witness of
// the next start must still find; only where much WAL without a change of ours lies behind that one, it goes on.
func (p *places) target(w Window, r reach) (to cdc.LSN, urgent bool) {
	to = cdc.LSN(min(p.before(r.now.Add(-w.Time)), r.last))
	allowed := w.Bytes
	if r.keep >= 0 { // what counts there is the WAL that is kept, and that is more than the window
		allowed = max(0, min(allowed, r.keep/2-(int64(r.confirmed)-int64(r.restart))))
	}
	if int64(r.current)-int64(r.confirmed) > allowed {
		far := r.current - cdc.LSN(min(allowed/4*3, int64(r.current)))
		if far > cdc.LSN(r.last) && (r.last == 0 || int64(r.acked)-int64(r.last) > idle) {
			far = min(far, r.acked)
		} else {
			far = min(far, cdc.LSN(r.last))
		}
		if far > to {
			to, urgent = far, true
		}
	}
	if to <= r.confirmed {
		return 0, false
	}
	return to, urgent
}
