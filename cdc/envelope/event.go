package envelope

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/livedb/livedb/cdc"
)

// Event is a change as a reader finds it on Kafka. Only the fields that readers of this repository use are here;
// Plan writes the whole of it.
type Event struct {
	Before json.RawMessage `json:"before"` // an object, or null
	After  json.RawMessage `json:"after"`  // an object, or null
	Source Source          `json:"source"`
	Op     string          `json:"op"`
	TsUS   int64           `json:"ts_us"` // when LiveDB encoded it, microseconds since 1970
}

// Source says where an event comes from.
type Source struct {
	Schema string `json:"schema"`
	Table  string `json:"table"`
	TxID   uint32 `json:"txId"`
	TsUS   int64  `json:"ts_us"`      // commit time, microseconds since 1970
	LSN    uint64 `json:"lsn"`        // of the row: information, never an order
	Commit uint64 `json:"commit_lsn"` // of the transaction
	Seq    uint64 `json:"seq"`
	Epoch  uint32 `json:"epoch"`
}

// ParseEvent reads an event's value.
func ParseEvent(value []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(value, &e); err != nil {
		return Event{}, fmt.Errorf("event: %w", err)
	}
	if len(e.Op) != 1 || e.Source.Seq == 0 {
		return Event{}, fmt.Errorf("event: op %q and seq %d are not a LiveDB event's", e.Op, e.Source.Seq)
	}
	return e, nil
}

// Kind returns the event's operation.
func (e *Event) Kind() cdc.Op { return cdc.Op(e.Op[0]) }

// LastOp returns the operation of an event that ends as Plan writes it, 0 for any other, without a look at the rest:
//
//	…,"op":"c","ts_ms":1559033904863,"ts_us":1559033904863841,"ts_ns":1559033904863841257}
//
// Of an object that is JSON nothing else can end like this.
func LastOp(value []byte) cdc.Op {
	rest, ok := bytes.CutSuffix(value, []byte{'}'})
	for _, name := range [...]string{`,"ts_ns":`, `,"ts_us":`, `,"ts_ms":`} {
		i := len(rest)
		for i > 0 && rest[i-1]-'0' <= 9 {
			i--
		}
		at := i - len(name)
		if !ok || i == len(rest) || at < 0 || string(rest[at:i]) != name {
			return 0
		}
		rest = rest[:at]
	}
	const name = `,"op":"`
	at := len(rest) - len(name) - 2
	if at < 0 || string(rest[at:at+len(name)]) != name || rest[len(rest)-1] != '"' || rest[len(rest)-2] == '\\' {
		return 0
	}
	return cdc.Op(rest[len(rest)-2])
}
