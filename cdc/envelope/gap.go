package envelope

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/livedb/livedb/cdc"
)

// Gap certifies what a stream has lost, and why: an epoch ends where the stream stopped, and the next one begins where its
// new slot does. What committed in between is in no event of the stream.
//
// Where SourceWas and SourceNow differ, the two LSNs belong to two histories and must not be compared.
type Gap struct {
	Version   int     `json:"version"`
	Stream    string  `json:"stream"` // the prefix
	EpochFrom uint32  `json:"epoch_from"`
	EpochTo   uint32  `json:"epoch_to"` // one more
	From      GapFrom `json:"from"`
	To        *GapTo  `json:"to"` // null as long as the new epoch has not begun
	Why       GapWhy  `json:"why"`
	SourceWas Origin  `json:"source_was"`
	SourceNow *Origin `json:"source_now"` // null as long as the new epoch has not begun
}

// GapFrom is the end of the old epoch: all up to here is in it.
type GapFrom struct {
	Epoch      uint32       `json:"epoch"`
	Seq        uint64       `json:"seq"`         // of its last event; 0: it had none
	Position   cdc.Position `json:"position"`    // of that event
	Partial    bool         `json:"partial"`     // the transaction of that event is cut in two: its rest is lost
	End        cdc.EndLSN   `json:"end_lsn"`     // the transactions that committed from here on are lost
	CommitTime time.Time    `json:"commit_time"` // of the last transaction delivered whole; zero: there was none
}

// GapTo is the beginning of the new epoch: it holds the transactions that commit from LSN on.
type GapTo struct {
	LSN  cdc.EndLSN `json:"lsn"` // the consistent point of the new slot
	Time time.Time  `json:"time"`
}

// GapWhy is the refusal that ended the old epoch.
type GapWhy struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Origin says whose history a stream tells.
type Origin struct {
	SystemID     string `json:"system_id"`
	Timeline     int32  `json:"timeline"`
	NeonTimeline string `json:"neon_timeline_id,omitempty"`
	Database     string `json:"database"`
	Slot         string `json:"slot"`
	Publication  string `json:"publication"`
}

// String tells the gap in a line.
func (g *Gap) String() string {
	to := "and epoch " + strconv.FormatUint(uint64(g.EpochTo), 10) + " has not begun"
	if g.To != nil {
		to = fmt.Sprintf("and epoch %d begins at %s", g.EpochTo, g.To.LSN)
	}
	return fmt.Sprintf("epoch %d of the stream %s ends with seq %d at %s, what committed from %s on is lost, %s [%s]",
		g.EpochFrom, g.Stream, g.From.Seq, g.From.Position, g.From.End, to, g.Why.Name)
}

// checkBegun refuses a certificate that cannot stand at the beginning of an epoch.
func (g *Gap) checkBegun(epoch uint32) error {
	switch {
	case g.Version != 1:
		return fmt.Errorf("gap certificate: version %d is not known to this LiveDB", g.Version)
	case g.EpochTo != epoch || g.EpochFrom+1 != epoch || g.From.Epoch != g.EpochFrom:
		return fmt.Errorf("gap certificate: from epoch %d to %d in epoch %d", g.EpochFrom, g.EpochTo, epoch)
	case g.To == nil || g.SourceNow == nil:
		return errors.New("gap certificate: it does not tell where the epoch begins")
	}
	return nil
}
