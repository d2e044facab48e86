package audit

import (
	"context"
	"errors"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// StreamConfig says which stream to audit.
type StreamConfig struct {
	Client sarama.Client // with the settings of internal/kafka; used and not closed
	Prefix string

	// OpenLimit is how long a Kafka transaction may stay open: the producer's transaction timeout. One that is open for
	// longer is a finding, and what it hides cannot be read. 0 means 5 minutes.
	OpenLimit time.Duration

	// Progress, if not nil, is called now and then with the events read so far and the seq that the round goes to.
	Progress func(events, upto uint64)

	// Trouble, if not nil, is told when Kafka does not answer; then it is asked again until the context ends.
	Trouble func(error)
}

// StreamReport is what the raw log of a stream proves, and what it does not.
type StreamReport struct {
	Verdict

	Prefix string `json:"prefix"`

	// Epoch is the last one. What follows, up to the last positions, is of it; the counts are of all that were judged.
	Epoch uint32         `json:"epoch"`
	Gaps  []envelope.Gap `json:"gaps"`     // certified losses, each at the beginning of an epoch; the first 100
	From  uint64         `json:"from_seq"` // the first seq judged; above 1 if retention removed what stood before
	To    uint64         `json:"to_seq"`   // the last one: that of a checkpoint. Below From if there was nothing to judge

	First      cdc.Position  `json:"first_position"` // of the events judged
	Last       cdc.Position  `json:"last_position"`
	LastCommit cdc.CommitLSN `json:"last_commit_lsn"` // of the last whole transaction
	LastEnd    cdc.EndLSN    `json:"last_end_lsn"`

	Events            uint64 `json:"events"`
	Tombstones        uint64 `json:"tombstones"` // that stand where they should
	Transactions      uint64 `json:"transactions"`
	KafkaTransactions uint64 `json:"kafka_transactions"` // that hold events
	Checkpoints       uint64 `json:"checkpoints"`
	Topics            int    `json:"topics"` // of events
	Partitions        int    `json:"partitions"`

	progress func(events, upto uint64)
}

// event counts an event that was judged.
func (r *StreamReport) event(e *event) {
	if r.First == (cdc.Position{}) {
		r.First = e.position
	}
	if r.Last.Compare(e.position) < 0 {
		r.Last = e.position
	}
	if r.Events++; r.progress != nil && r.Events%progressEvery == 0 {
		r.progress(r.Events, max(*e.from.upto, e.seq))
	}
}

// closed counts an entry that was judged.
func (r *StreamReport) closed(e *envelope.TransactionEntry) {
	if e.Ends {
		r.Transactions++
		r.LastCommit, r.LastEnd = e.Commit, e.End
	}
}

const (
	progressEvery    = 10_000
	defaultOpenLimit = 5 * time.Minute
	openPoll         = 50 * time.Millisecond
	troublePause     = time.Second
)

// ErrNoStream says that there is nothing to audit.
var ErrNoStream = errors.New("there is no stream")

// Stream audits the raw log of a stream from its beginning, or from what retention left of it, to its last checkpoint as
// of now. The stream may run meanwhile.
func Stream(ctx context.Context, c StreamConfig) (*StreamReport, error) {
	a := NewAuditor(c)
	err := a.Round(ctx)
	if err == nil && a.judge.beyond() != 0 {
		err = a.Round(ctx) // what was committed meanwhile must have its checkpoint by now
	}
	return a.Report(), err
}
