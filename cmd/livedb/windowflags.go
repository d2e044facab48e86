package main

import (
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/capture"
)

// windowFlags say how far back a replay may reach.
type windowFlags struct {
	ReplayWindow      time.Duration `name:"replay-window" default:"1h" help:"How far behind the stream the replay slot stays, in time; at most 12h on Neon; 0 for no replay slot."`
	ReplayWindowBytes string        `name:"replay-window-bytes" placeholder:"SIZE" default:"512MB" help:"And in WAL, such as 512MB, which is what it may cost the source's disk; at most half of max_slot_wal_keep_size; 0 for no replay slot."`
}

// window reads the flags.
func (f windowFlags) window() (capture.Window, error) {
	bytes, ok := postgres.ParseSize(f.ReplayWindowBytes)
	if !ok {
		return capture.Window{}, &cdc.Refusal{Name: "replay_window_malformed", Problem: "the size " + f.ReplayWindowBytes + " is not a whole number of kB, MB, GB or TB",
			Remedy: "write --replay-window-bytes as 512MB, or 0 for no replay slot"}
	}
	w := capture.Window{Time: f.ReplayWindow, Bytes: bytes}
	if w.Time == 0 || w.Bytes == 0 {
		w = capture.Window{Off: true}
	}
	return w, w.Check()
}
