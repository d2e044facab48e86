package capture

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
	"github.com/livedb/livedb/producer"
)

// warden watches over what LiveDB costs the source, as long as the role lives. It looks at the slots whether the stream runs
// or not, for it is when Kafka is away that they hold more and more; it shows what it sees, has the guard judge it, and
// keeps the replay slot where both allow it to be.
type warden struct {
	role   *role
	window Window // as asked for
	looked chan struct{}

	retained, replayRetained, reaches atomic.Int64 // bytes, of the last look; the status asks for them under a lock of its own

	heard atomic.Int64 // when the source last said something on the replication connection, Unix nanoseconds

	mu      sync.Mutex
	seen    *postgres.Look // nil before the first
	guard   guard
	why     string // of the guard's step
	meter   meter
	places  places
	spilled map[string][2]int64
	epoch   uint32 // of the places
	leads   bool   // this role was the last to have the lead, as far as it knows
	streams bool

	settled cdc.LSN // where the slot was moved to once more
	// When the slot was moved by time; until when the source is spared; when the slot may be made, and given to standbys.
	moved, rest, make, follow time.Time
}

// How often the slots are looked at, for how long at most, and how soon again after that failed.
const (
	lookInterval = 2 * time.Second
	lookLimit    = 15 * time.Second
	lookAgain    = 5 * time.Second
)

func newWarden(r *role) *warden {
	w := &warden{role: r, window: r.Window.orDefault(), looked: make(chan struct{}, 1), spilled: map[string][2]int64{}}
	for name, number := range map[string]*atomic.Int64{status.RetainedWALBytes: &w.retained, "replay_retained_wal_bytes": &w.replayRetained, "replay_window_bytes": &w.reaches} {
		r.Status.Number(name, func() float64 { return float64(number.Load()) })
	}
	return w
}

// start watches until the returned function is called, which waits for the end.
func (w *warden) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { w.watch(ctx) })
	running.Go(func() { w.keep(ctx) })
	return func() { cancel(); running.Wait() }
}

// watch looks again and again. A source that cannot be reached is asked again soon: that it cannot is the stream's to tell.
func (w *warden) watch(ctx context.Context) {
	var watch *postgres.Watch
	defer func() { w.close(watch) }()
	for {
		err := w.look(ctx, &watch)
		interval := lookInterval
		if err != nil {
			w.role.Log.Debug("the slots could not be looked at", "error", err)
			w.close(watch)
			watch, interval = nil, lookAgain
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval):
		}
	}
}

func (w *warden) close(watch *postgres.Watch) {
	if watch == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	watch.Close(ctx)
}

// look looks once, connecting first if need be.
func (w *warden) look(ctx context.Context, watch **postgres.Watch) (err error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	if *watch == nil {
		if *watch, err = postgres.OpenWatch(ctx, w.role.Source); err != nil {
			return err
		}
	}
	seen, err := (*watch).Look(ctx)
	if err != nil {
		return err
	}
	w.take(seen)
	return nil
}

// take judges a look and shows it.
func (w *warden) take(seen *postgres.Look) {
	w.mu.Lock()
	w.seen = seen
	w.meter = w.meter.look(seen.Time, seen.Current)
	if p := w.role.progress; p.LastCommitNanos.Load() > 0 { // the commit first: its time is then no older than it
		commit := cdc.CommitLSN(p.Commit.Load())
		w.places.note(time.Unix(0, p.LastCommitNanos.Load()), commit, w.window.Time)
	}
	was := w.guard.step
	guard, why := w.guard.look(seen.Time, w.sight())
	w.guard = guard
	if why != "" {
		w.why = why
	}
	w.show()
	w.mu.Unlock()

	if guard.step != was {
		w.role.Metrics.WindowSteps.WithLabelValues(guard.step.String()).Inc()
		log := w.role.Log.Info
		if guard.step > was {
			log = w.role.Log.Warn
		}
		log("the guard of the source's disk changed what is left of the replay window", "from", was, "to", guard.step, "why", why)
	}
	w.wake()
}

// wake has the replay slot be kept.
func (w *warden) wake() {
	select {
	case w.looked <- struct{}{}:
	default:
	}
}

// sight is what the guard judges by. The caller holds mu.
func (w *warden) sight() sight {
	hold := func(name string) held {
		s := w.seen.Find(name)
		if s == nil {
			return held{}
		}
		return held{there: true, status: s.WALStatus, retained: s.Retained, snaps: s.Snaps}
	}
	return sight{keep: w.seen.Keep, segment: w.seen.Segment, snapLimit: w.seen.SnapLimit,
		live: hold(w.role.Source.Slot), replay: hold(postgres.ReplaySlot(w.role.Source.Slot))}
}

// lead notes whether this role has the lead: only then may it touch the replay slot.
func (w *warden) lead(has bool) {
	w.mu.Lock()
	w.leads = has
	w.mu.Unlock()
}

// begin notes where the stream goes on. What is known of later commits belongs to another life of it.
func (w *warden) begin(from producer.Checkpoint) {
	if d := w.role.Drain; d != nil && d.From == 0 {
		d.From = from.AckedUpto
	}
	w.role.progress.Commit.Store(uint64(from.Commit))
	w.role.progress.Seq.Store(int64(from.Seq))
	w.role.progress.Acked.Store(uint64(from.AckedUpto))
	w.mu.Lock()
	w.places.begin(from.CommitTime, from.Commit)
	w.epoch = from.Epoch
	w.streams = true
	w.mu.Unlock()
	w.wake()
}

// end notes that the stream does not run.
func (w *warden) end() {
	w.mu.Lock()
	w.streams = false
	w.mu.Unlock()
}

// hear notes that the source said something.
func (w *warden) hear() { w.heard.Store(time.Now().UnixNano()) }

// show tells the metrics and the status of the last look. The caller holds mu.
func (w *warden) show() {
	m, st := w.role.Metrics, w.role.Status
	live, replay := w.role.Source.Slot, postgres.ReplaySlot(w.role.Source.Slot)
	m.WALCurrent.Set(float64(w.seen.Current))
	m.WALRate.Set(w.meter.rate)
	m.SnapshotFilesLimit.Set(float64(w.seen.SnapLimit))
	m.WindowStep.Set(float64(w.guard.step))
	if heard := w.heard.Load(); heard > 0 {
		m.HeartbeatAge.Set(time.Since(time.Unix(0, heard)).Seconds())
	}
	w.showSlot(live)
	w.showSlot(replay)
	st.Text("current_lsn", w.seen.Current.String())
	step := w.guard.step.String()
	if w.why != "" {
		step += ": " + w.why
	}
	st.Text("replay_window", step)
	runway := "unlimited"
	w.retained.Store(0)
	if s := w.seen.Find(live); s != nil {
		w.retained.Store(s.Retained)
		st.Text("confirmed_lsn", s.Confirmed.String())
		st.Text("restart_lsn", s.Restart.String())
		st.Text("wal_status", s.WALStatus)
		if left, limited := w.meter.runway(s, w.seen.SnapLimit); limited {
			runway = left.Round(time.Second).String()
		}
	}
	st.Text("runway", runway)
	m.WindowSeconds.Set(0)
	w.replayRetained.Store(0)
	w.reaches.Store(0)
	if s := w.seen.Find(replay); s != nil && s.HasRestart {
		st.Text("replay_from", s.Confirmed.String())
		w.replayRetained.Store(s.Retained)
		w.reaches.Store(max(0, int64(w.seen.Current)-int64(s.Confirmed)))
		if at, known := w.places.time(s.Confirmed); known {
			m.WindowSeconds.Set(max(0, w.seen.Time.Sub(at).Seconds()))
		}
	}
	m.WindowBytes.Set(float64(w.reaches.Load()))
}

// showSlot tells the metrics of a slot. What a slot does not have, or nobody can tell, has no series.
func (w *warden) showSlot(name string) {
	m := w.role.Metrics
	s := w.seen.Find(name)
	if s == nil {
		for _, gauge := range []interface{ DeleteLabelValues(...string) bool }{m.SlotLag, m.SlotRetained, m.SlotConfirmed, m.SlotRestart, m.SlotSafe, m.SlotRunway, m.SlotInactive, m.SlotSnapshotFiles} {
			gauge.DeleteLabelValues(name)
		}
		m.SlotStatus.DeletePartialMatch(map[string]string{"slot": name})
		m.SlotActive.WithLabelValues(name).Set(0)
		return
	}
	m.SlotActive.WithLabelValues(name).Set(map[bool]float64{true: 1}[s.Active])
	m.SlotLag.WithLabelValues(name).Set(float64(w.seen.Current) - float64(s.Confirmed))
	m.SlotRetained.WithLabelValues(name).Set(float64(s.Retained))
	m.SlotConfirmed.WithLabelValues(name).Set(float64(s.Confirmed))
	m.SlotRestart.WithLabelValues(name).Set(float64(s.Restart))
	for _, known := range metrics.WALStatuses {
		m.SlotStatus.WithLabelValues(name, known).Set(map[bool]float64{true: 1}[s.WALStatus == known])
	}
	if s.Safe != nil {
		m.SlotSafe.WithLabelValues(name).Set(float64(*s.Safe))
	} else {
		m.SlotSafe.DeleteLabelValues(name)
	}
	if left, limited := w.meter.runway(s, w.seen.SnapLimit); limited {
		m.SlotRunway.WithLabelValues(name).Set(left.Seconds())
	} else {
		m.SlotRunway.DeleteLabelValues(name)
	}
	if !s.InactiveSince.IsZero() {
		m.SlotInactive.WithLabelValues(name).Set(float64(s.InactiveSince.UnixMilli()) / 1000)
	} else {
		m.SlotInactive.DeleteLabelValues(name)
	}
	if w.seen.SnapLimit > 0 {
		m.SlotSnapshotFiles.WithLabelValues(name).Set(float64(s.Snaps))
	}
	now, was := [2]int64{s.SpilledTransactions, s.SpilledBytes}, w.spilled[name]
	for i, counter := range []interface{ Add(float64) }{m.SlotSpilledTransactions.WithLabelValues(name), m.SlotSpilledBytes.WithLabelValues(name)} {
		if now[i] < was[i] { // the slot or its statistics began anew
			was[i] = 0
		}
		counter.Add(float64(now[i] - was[i]))
	}
	w.spilled[name] = now
}

// String describes the guard's step, for the log of a test.
func (w *warden) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprintf("%s (%s)", w.guard.step, w.why)
}
