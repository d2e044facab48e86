package processor

import "github.com/livedb/livedb/cdc"

// Saved is a place between two Postgres transactions, to be stored as JSON and read on from. It holds for the stream
// and topics it was taken from.
type Saved struct {
	Epoch  uint32        `json:"epoch"`
	Seq    uint64        `json:"seq"`        // of the last event delivered
	First  uint64        `json:"first"`      // of the first event this reading delivered: older records are passed over
	Commit cdc.CommitLSN `json:"commit_lsn"` // of the last transaction delivered

	Transaction int64                      `json:"transaction"` // offset in <prefix>.transaction to read next
	Entry       int                        `json:"entry"`       // how many entries of the record there are delivered
	Offsets     map[string]map[int32]int64 `json:"offsets"`     // offset to read next, by topic and partition
}

// Start says where a Reader begins.
type Start struct {
	kind  startKind
	saved Saved
}

type startKind byte

const (
	fromBeginning startKind = iota
	fromNow
	fromSaved
)

// FromBeginning starts at seq 1 of the stream's epoch. Where retention has removed it, the error is ErrBeginningGone.
func FromBeginning() Start { return Start{kind: fromBeginning} }

// Now starts with the first Postgres transaction that is written to Kafka after OpenReader was called.
func Now() Start { return Start{kind: fromNow} }

// From goes on after a saved place.
func From(saved Saved) Start { return Start{kind: fromSaved, saved: saved} }
