package capture

import (
	"time"

	"github.com/livedb/livedb/cdc"
)

// The replay slot stays this far behind the stream: so long, or, where much is written, so many bytes.
const (
	windowTime  = 2 * time.Minute
	windowBytes = 64 << 20
	windowStep  = time.Second // between two places that are remembered
	windowSteps = 2 * int(windowTime/windowStep)
)

// window remembers what the stream has delivered, so that the replay slot can follow at a distance: never beyond the last
// commit that is durable in Kafka, which the witness of the next start must still find. One goroutine uses it at a time.
type window struct {
	places []place // in their order
}

type place struct {
	at     time.Time
	commit cdc.CommitLSN
}

// delivered notes that Kafka holds everything up to a commit for good.
func (w *window) delivered(at time.Time, commit cdc.CommitLSN) {
	if n := len(w.places); commit == 0 || n > 0 && at.Sub(w.places[n-1].at) < windowStep {
		return
	}
	if len(w.places) == windowSteps {
		w.places = append(w.places[:0], w.places[1:]...)
	}
	w.places = append(w.places, place{at, commit})
}

// target says where the replay slot should move to, 0 if it should stay. current is the end of the source's WAL.
func (w *window) target(now time.Time, confirmed, current cdc.LSN) cdc.CommitLSN {
	var to cdc.CommitLSN
	for i, p := range w.places {
		old := now.Sub(p.at) >= windowTime
		far := int64(current)-int64(p.commit) >= windowBytes/2
		crowded := int64(current)-int64(confirmed) > windowBytes
		if old || crowded && (far || i == 0) {
			to = p.commit
		}
	}
	if cdc.LSN(to) <= confirmed {
		return 0
	}
	return to
}
