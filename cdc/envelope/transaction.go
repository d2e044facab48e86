package envelope

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/livedb/livedb/cdc"
)

// Record headers. Numbers are decimal text.
const (
	// HeaderSeq carries the event's seq; a tombstone repeats its delete's.
	HeaderSeq = "livedb.seq"
	// HeaderPosition carries the event's cdc.Position.
	HeaderPosition = "livedb.position"
	// HeaderEpoch carries the epoch of the event's seq and Position. In the first epoch there is no such header.
	HeaderEpoch = "livedb.epoch"
	// HeaderNewKey and HeaderOldKey stand on the delete and the insert of a key change.
	HeaderNewKey = "__debezium.newkey"
	HeaderOldKey = "__debezium.oldkey"
	// HeaderReplay carries a replay's id, on the records of a replay alone.
	HeaderReplay = "livedb.replay"
)

// TransactionRecord is the value of a record of <prefix>.transaction: the order of what one Kafka transaction holds.
// There is one such record per Kafka transaction that holds events. Read in sequence, the entries' seq ranges of an epoch
// are 1..n without gap. Every epoch but the first begins with a record that holds its Gap and no entry.
type TransactionRecord struct {
	Version int                `json:"version"`
	Epoch   uint32             `json:"epoch"`
	Topics  []string           `json:"topics"`  // named by index in the entries' counts
	Entries []TransactionEntry `json:"entries"` // in commit order
	Gap     *Gap               `json:"gap,omitempty"`
}

// TransactionEntry is one Postgres transaction, or one part of a split one.
type TransactionEntry struct {
	XID    uint32        `json:"xid"`
	Commit cdc.CommitLSN `json:"commit_lsn"`
	End    cdc.EndLSN    `json:"end_lsn"` // 0/0 in every part but the last
	TimeUS int64         `json:"ts_us"`   // commit time, microseconds since 1970, by the source's clock
	First  uint64        `json:"first"`   // seq of its first event here
	Last   uint64        `json:"last"`    // seq of its last event here
	Starts bool          `json:"starts"`  // false in every part but the first of a split transaction
	Ends   bool          `json:"ends"`    // false in every part but the last
	Counts []TopicCount  `json:"counts"`
}

// Time returns the commit time.
func (e *TransactionEntry) Time() time.Time { return time.UnixMicro(e.TimeUS).UTC() }

// TopicCount says how many of an entry's events stand in a topic. Tombstones are not counted.
type TopicCount struct {
	Topic  int    // index into TransactionRecord.Topics
	Events uint64 // at least 1
}

// MarshalJSON writes the pair [topic, events].
func (c TopicCount) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "[%d,%d]", c.Topic, c.Events), nil
}

// UnmarshalJSON reads the pair [topic, events].
func (c *TopicCount) UnmarshalJSON(data []byte) error {
	var pair []uint64 // a [2]uint64 would take a third number, or a missing one, without a word
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if len(pair) != 2 || pair[0] > math.MaxInt32 {
		return fmt.Errorf("count %s is not a pair [topic, events]", data)
	}
	c.Topic, c.Events = int(pair[0]), pair[1]
	return nil
}

// ParseTransaction reads a record of <prefix>.transaction and refuses one whose entries do not add up.
func ParseTransaction(value []byte) (*TransactionRecord, error) {
	r, ok := readRecord(value)
	if !ok {
		r = &TransactionRecord{}
		if err := json.Unmarshal(value, r); err != nil {
			return nil, fmt.Errorf("transaction record: %w", err)
		}
	}
	if r.Version != 1 {
		return nil, fmt.Errorf("transaction record: version %d is not known to this LiveDB", r.Version)
	}
	if r.Gap != nil {
		if err := r.Gap.checkBegun(r.Epoch); err != nil {
			return nil, fmt.Errorf("transaction record: %w", err)
		}
		if len(r.Entries) > 0 {
			return nil, fmt.Errorf("transaction record: it begins epoch %d and holds %d entries besides", r.Epoch, len(r.Entries))
		}
	}
	if topic, found := twice(r.Topics); found {
		return nil, fmt.Errorf("transaction record: topic %s is named twice", topic)
	}
	for i := range r.Entries {
		if err := r.Entries[i].check(len(r.Topics)); err != nil {
			return nil, fmt.Errorf("transaction record: %w", err)
		}
		if i > 0 && r.Entries[i].First != r.Entries[i-1].Last+1 {
			return nil, fmt.Errorf("transaction record: entry %s starts at seq %d after %d", r.Entries[i].Commit, r.Entries[i].First, r.Entries[i-1].Last)
		}
	}
	return r, nil
}

// twice finds a name that is there twice.
func twice(names []string) (string, bool) {
	if len(names) <= 8 { // as a rule
		for i, name := range names {
			if slices.Contains(names[:i], name) {
				return name, true
			}
		}
		return "", false
	}
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if seen[name] {
			return name, true
		}
		seen[name] = true
	}
	return "", false
}

// check refuses an entry whose counts are not those of its seq range.
func (e *TransactionEntry) check(topics int) error {
	if e.First == 0 || e.Last < e.First {
		return fmt.Errorf("entry %s holds seq %d to %d", e.Commit, e.First, e.Last)
	}
	left := e.Last - e.First + 1
	for _, c := range e.Counts {
		if c.Topic < 0 || c.Topic >= topics || c.Events == 0 {
			return fmt.Errorf("entry %s counts %d events in topic number %d of %d", e.Commit, c.Events, c.Topic, topics)
		}
		if c.Events > left {
			return fmt.Errorf("entry %s holds seq %d to %d but counts more events", e.Commit, e.First, e.Last)
		}
		left -= c.Events
	}
	if left > 0 {
		return fmt.Errorf("entry %s holds seq %d to %d but counts %d events less", e.Commit, e.First, e.Last, left)
	}
	return nil
}

// ParseSeq reads the value of HeaderSeq.
func ParseSeq(header []byte) (uint64, error) {
	seq, err := strconv.ParseUint(string(header), 10, 64)
	if err != nil || seq == 0 {
		return 0, fmt.Errorf("header %s is %q, not a seq", HeaderSeq, header)
	}
	return seq, nil
}

// ParseEpoch reads the value of HeaderEpoch.
func ParseEpoch(header []byte) (uint32, error) {
	epoch, err := strconv.ParseUint(string(header), 10, 32)
	if err != nil || epoch < 2 {
		return 0, fmt.Errorf("header %s is %q, not an epoch after the first", HeaderEpoch, header)
	}
	return uint32(epoch), nil
}
