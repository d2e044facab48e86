// Package producer turns transactions into Kafka records, exactly once: it assembles them into batches, writes each batch
// and the checkpoint that belongs to it in one Kafka transaction, and knows what may be acknowledged to the source.
//
//	Begin, Change, Commit ──► Assembler ──batches──► Writer ──one Kafka transaction each──► Kafka
//	                              ▲                     │
//	                              └──── free batches ───┴──► Durable: what may be acknowledged
package producer

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// Keys of <prefix>.checkpoint.
const (
	keyPosition = "position"
	keyTopology = "topology"
)

// State says how far a stream's start has come.
type State string

// The states of a stream.
const (
	Creating  State = "creating" // its slot may or may not exist; nothing has been delivered
	Streaming State = "streaming"
)

// Checkpoint is the last record of every Kafka transaction: how far the stream is, once that transaction committed.
type Checkpoint struct {
	Version int       `json:"version"`
	Epoch   uint32    `json:"epoch"`
	Time    time.Time `json:"time"`
	State   State     `json:"state"`
	Source

	Commit     cdc.CommitLSN `json:"commit_lsn"` // of the last transaction delivered whole; 0/0 before the first
	End        cdc.EndLSN    `json:"end_lsn"`    // the stream resumes here
	XID        uint32        `json:"xid"`
	CommitTime time.Time     `json:"commit_time"`
	Index      uint64        `json:"index"` // the last index given in that transaction

	Partial *Partial `json:"partial,omitempty"`

	Seq     uint64                      `json:"seq"`               // the last one given
	Touched map[string]map[int32]uint64 `json:"touched,omitempty"` // the tails this Kafka transaction wrote: topic, partition, last seq

	// Gap stands in the state creating of every epoch but the first: that epoch is over, and this is what is lost.
	Gap *envelope.Gap `json:"gap,omitempty"`

	// AckedUpto may be reported to Postgres once this record is committed. At least End.
	AckedUpto cdc.LSN `json:"-"`
}

// Source says whose history a checkpoint belongs to.
type Source = envelope.Origin

// Partial is a transaction that a split left half done.
type Partial struct {
	Commit     cdc.CommitLSN `json:"commit_lsn"`
	XID        uint32        `json:"xid"`
	EventsDone uint64        `json:"events_done"`
}

// plain is Checkpoint without its methods.
type plain Checkpoint

// MarshalJSON writes AckedUpto as Postgres writes an LSN.
func (c Checkpoint) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		plain
		AckedUpto string `json:"acked_upto"`
	}{plain(c), c.AckedUpto.String()})
}

// UnmarshalJSON reads what MarshalJSON wrote and refuses another version.
func (c *Checkpoint) UnmarshalJSON(data []byte) error {
	var read struct {
		plain
		AckedUpto string `json:"acked_upto"`
	}
	if err := json.Unmarshal(data, &read); err != nil {
		return err
	}
	if read.Version != 1 {
		return fmt.Errorf("version %d is not known to this LiveDB", read.Version)
	}
	*c = Checkpoint(read.plain)
	return c.AckedUpto.Scan(read.AckedUpto)
}

// Check refuses to resume where the source is not the one the checkpoint was written for, or has gone back, or has
// skipped ahead. confirmed is the slot's confirmed_flush_lsn, current the end of the source's WAL.
func (c *Checkpoint) Check(now Source, confirmed, current cdc.LSN) error {
	was := c.Source
	switch {
	case was.SystemID != now.SystemID:
		return unsafe("system_identifier_changed", "the checkpoint belongs to the Postgres system %s and the source is %s", was.SystemID, now.SystemID)
	case was.Database != now.Database:
		return unsafe("database_changed", "the checkpoint belongs to the database %s and the source is %s", was.Database, now.Database)
	case was.Timeline != now.Timeline:
		return unsafe("timeline_changed", "the checkpoint was written on the timeline %d and the source is on %d, which does not come from it", was.Timeline, now.Timeline)
	case was.NeonTimeline != now.NeonTimeline:
		return unsafe("neon_timeline_changed", "the checkpoint was written on the Neon timeline %q and the source is on %q", was.NeonTimeline, now.NeonTimeline)
	case was.Slot != now.Slot:
		return unsafe("slot_changed", "the checkpoint belongs to the slot %s and --slot is %s", was.Slot, now.Slot)
	case was.Publication != now.Publication:
		return unsafe("publication_changed", "the checkpoint belongs to the publication %s and --publication is %s", was.Publication, now.Publication)
	case cdc.LSN(c.End) > current:
		return unsafe("checkpoint_ahead_of_wal", "the checkpoint is at %s and the source's WAL ends at %s: the source went back in time", c.End, current)
	case c.AckedUpto > current:
		return unsafe("checkpoint_ahead_of_wal", "the checkpoint acknowledged %s and the source's WAL ends at %s: the source went back in time", c.AckedUpto, current)
	case confirmed > c.AckedUpto:
		return &cdc.Refusal{Name: "slot_ahead_of_checkpoint", Unsafe: true,
			Problem: fmt.Sprintf("the slot %s is confirmed up to %s and the checkpoint only allowed %s: kafka lost what it had committed, or someone else re-created or moved the slot", now.Slot, confirmed, c.AckedUpto),
			Remedy:  "correct --slot, --prefix or --kafka if they are wrong; otherwise livedb recover delivers again what the replay slot still holds"}
	}
	return nil
}

// CheckWitness refuses a source that has another transaction at the checkpoint's commit LSN than the one that was delivered;
// seen is the first it has there or later, its Commit 0 if there is none. A source that was restored from an older copy and
// written to again passes every other check.
func (c *Checkpoint) CheckWitness(seen cdc.Transaction) error {
	if seen.Commit == c.Commit && seen.XID == c.XID && seen.Time.Equal(c.CommitTime) {
		return nil
	}
	has := "none"
	if seen.Commit != 0 {
		has = fmt.Sprintf("transaction %d of %s at %s", seen.XID, seen.Time.UTC().Format(time.RFC3339Nano), seen.Commit)
	}
	return unsafe("source_rewritten", "the stream delivered transaction %d of %s at %s and the source has %s there: it was restored from an older copy and written to again",
		c.XID, c.CommitTime.UTC().Format(time.RFC3339Nano), c.Commit, has)
}

func unsafe(name, format string, args ...any) *cdc.Refusal {
	return &cdc.Refusal{Name: name, Unsafe: true, Problem: fmt.Sprintf(format, args...),
		Remedy: "correct --source, --slot, --publication or --prefix if they are wrong; otherwise changes may be lost to this stream: start a new one under another --prefix"}
}
