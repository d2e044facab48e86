package capture

import (
	"math"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
)

// meter measures how fast the source writes WAL: a mean that forgets what was more than some minutes ago. Pure.
type meter struct {
	at   time.Time
	end  cdc.LSN
	rate float64 // bytes per second
	told bool    // two looks have been taken
}

const (
	meterMemory = time.Minute
	slowest     = 1.0 // bytes per second: below it nothing is used up
	snapEvery   = 15 * time.Second
)

// look takes the end of the WAL at a time. A source that went back, or another one, is measured anew.
func (m meter) look(at time.Time, end cdc.LSN) meter {
	took := at.Sub(m.at).Seconds()
	if m.at.IsZero() || end < m.end || took <= 0 {
		return meter{at: at, end: end}
	}
	now := float64(end-m.end) / took
	weight := 1 - math.Exp(-took/meterMemory.Seconds())
	if !m.told {
		weight = 1
	}
	return meter{at: at, end: end, rate: m.rate + weight*(now-m.rate), told: true}
}

// runway is how long a slot that stands still would live at the present rate: until max_slot_wal_keep_size is used up, or
// until there are as many newer snapshot files as Neon allows, of which WAL that is written makes one in 15 seconds. False
// if nothing limits it, or nothing is written.
func (m meter) runway(s *postgres.SlotState, snapLimit int) (left time.Duration, limited bool) {
	if !m.told || m.rate < slowest {
		return 0, false
	}
	seconds := math.Inf(1)
	if s.Safe != nil {
		seconds = float64(max(0, *s.Safe)) / m.rate
	}
	if snapLimit > 0 {
		seconds = min(seconds, float64(max(0, snapLimit-s.Snaps))*snapEvery.Seconds())
	}
	if seconds > math.MaxInt64/float64(time.Second) {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}
