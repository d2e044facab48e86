// Package envelope turns changes into what LiveDB writes to Kafka and names it: events in the Debezium envelope, keys,
// headers, topics and the transaction record. Pure: bytes in, bytes out.
package envelope

import (
	"time"

	"github.com/livedb/livedb/cdc"
)

// Stream is what all events of a stream have in common.
type Stream struct {
	Name     string // the prefix
	Database string
	Version  string // of LiveDB
	Epoch    uint32
}

// Meta is what one event says beside its rows.
type Meta struct {
	Tx         cdc.Transaction
	LSN        cdc.LSN       // of the row
	LastCommit cdc.CommitLSN // of the transaction before this one; 0 if there is none
	Seq        uint64
	Now        time.Time // processing time
}
