package processor

import (
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// Kind says what an Item is.
type Kind byte

// The kinds, in the order they come: one Begin, one or more Events, one End for each Postgres transaction. An Epoch stands
// between two transactions; only where its gap cuts one in two there is no End before it.
const (
	Begin Kind = iota + 1
	Event
	End
	// Epoch: the stream has lost changes and begins anew. The Item's Gap says what is lost, and why. What follows is not
	// complete with what came before: rows are not known any more until an event tells of them, seqs begin with 1, and
	// LSNs and Positions must not be compared with earlier ones.
	Epoch
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case Begin:
		return "begin"
	case Event:
		return "event"
	case End:
		return "end"
	case Epoch:
		return "epoch"
	}
	return "none"
}

// Transaction is a Postgres transaction, or a chunk of a snapshot, as the stream tells of it. One that the producer
// split over several Kafka transactions is one here.
type Transaction struct {
	Epoch  uint32
	XID    uint32
	Commit cdc.CommitLSN
	End    cdc.EndLSN // known at End only
	Time   time.Time  // of the commit, by the source's clock
	First  uint64     // seq of its first event
}

// Item is what Next returns. Tombstones are not delivered: the delete before each says the same.
type Item struct {
	Kind Kind
	Tx   Transaction

	// Of an Epoch only, with Tx.Epoch; all else is zero.
	Gap *envelope.Gap

	// Of an Event: its own. Of an End: those of the transaction's last event. Of a Begin: Seq is the first event's.
	Seq      uint64
	Position cdc.Position

	// Of an Event only. Key and Value may be kept; they must not be changed.
	Topic      string
	Partition  int32
	Offset     int64
	Key, Value []byte
}
