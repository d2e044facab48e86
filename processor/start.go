package processor

import (
	"errors"

	"github.com/livedb/livedb/cdc"
)

// Saved is a place between two Postgres transactions, or at the beginning of an epoch, to be stored as JSON and read on from. It holds for the stream
// and topics it was taken from.
type Saved struct {
	Epoch  uint32        `json:"epoch"`
	Seq    uint64        `json:"seq"`        // of the last event delivered
	First  uint64        `json:"first"`      // of the first event this reading delivered: older records are passed over
	Commit cdc.CommitLSN `json:"commit_lsn"` // of the last transaction delivered

	Tables      []string                   `json:"tables,omitempty"` // that are read; none means all
	Transaction int64                      `json:"transaction"`      // offset in <prefix>.transaction to read next
	Entry       int                        `json:"entry"`            // how many entries of the record there are delivered
	Offsets     map[string]map[int32]int64 `json:"offsets"`          // offset to read next, by topic and partition
}

// Start says where a Reader begins.
type Start struct {
	kind  startKind
	saved Saved
}

type startKind byte

const (
	fromBeginning startKind = iota
	fromOldest
	fromNow
	fromSaved
)

// FromBeginning starts at seq 1 of the stream's first epoch, or, where retention has removed that, with the next epoch of
// which Kafka keeps the beginning. If it keeps none, the error is ErrBeginningGone.
func FromBeginning() Start { return Start{kind: fromBeginning} }

// Oldest starts with the oldest transaction that Kafka certainly keeps whole, with all after it. It reads all of
// <prefix>.transaction once before. Where a partition has lost all its records to retention, that is the first transaction
// after the last one now known that wrote to its topic; so a topic's quiet partition may move the beginning up to now.
func Oldest() Start { return Start{kind: fromOldest} }

// Now starts with the first Postgres transaction that is written to Kafka after OpenReader was called.
func Now() Start { return Start{kind: fromNow} }

// From goes on after a saved place. The Reader must read the same tables as the one that saved it; else the error is
// ErrTables.
func From(saved Saved) Start { return Start{kind: fromSaved, saved: saved} }

// check refuses a place that a Reader of these tables cannot go on from.
func (s Start) check(tables []string) error {
	switch {
	case s.kind != fromSaved:
		return nil
	case s.saved.Seq == 0 && s.saved.Epoch <= 1:
		return errors.New("the saved place is empty: store what Saved returns after an End or an Epoch, or start another way")
	}
	return sameTables(s.saved.Tables, tables)
}
