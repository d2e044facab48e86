package processor

import (
	"cmp"
	"errors"
	"fmt"
)

// What may be wrong with a stream. All but ErrUnavailable are final: reading the same records again finds the same.
var (
	// ErrGap: an event that must exist does not.
	ErrGap = errors.New("gap")
	// ErrRepeat: an event came a second time.
	ErrRepeat = errors.New("repeat")
	// ErrOrder: a seq, commit LSN or Position steps back, or the parts of a split transaction do not follow each other.
	ErrOrder = errors.New("disorder")
	// ErrCount: a transaction has more events in a topic than its record tells.
	ErrCount = errors.New("wrong count")
	// ErrEpoch: an epoch is not the one that is due, or begins without a certificate.
	ErrEpoch = errors.New("new epoch")
	// ErrRecord: a record is not one that LiveDB writes, such as one without a seq.
	ErrRecord = errors.New("foreign record")
	// ErrStall: an event stayed missing for longer than the stall timeout, though its transaction is announced.
	ErrStall = errors.New("stall")
	// ErrRetention: Kafka no longer keeps what is to be read.
	ErrRetention = errors.New("removed by retention")
	// ErrBeginningGone: Kafka no longer keeps seq 1.
	ErrBeginningGone = errors.New("beginning gone")
	// ErrMissing: a topic that the stream names does not exist.
	ErrMissing = errors.New("topic missing")
	// ErrReset: a topic ends before the offset to read next. It was deleted and made anew, or lost records.
	ErrReset = errors.New("topic reset")

	// ErrIdentity: an update or delete does not tell the row's earlier state.
	ErrIdentity = errors.New("incomplete earlier row")
	// ErrUncounted: a change takes back a row that the view never counted.
	ErrUncounted = errors.New("uncounted row")
	// ErrValue: a view cannot compute with a value.
	ErrValue = errors.New("unusable value")

	// ErrSettings: the Kafka client would skip, hide or invent records.
	ErrSettings = errors.New("unsafe kafka client settings")
	// ErrUnavailable: Kafka did not answer. The reader goes on trying.
	ErrUnavailable = errors.New("kafka is unavailable")
)

// Violation is a broken promise of the stream: which one, where it was noticed, and the two values that differ.
type Violation struct {
	Err       error // one of the errors above
	Topic     string
	Partition int32
	Offset    int64
	Want, Got string
	Remedy    string // empty: the one that fits most cases
	Cause     error  // what else is known, or nil
}

func (v *Violation) Error() string {
	text := fmt.Sprintf("%s in topic %s, partition %d, offset %d: %s was due and %s is there: %s",
		v.Err, v.Topic, v.Partition, v.Offset, v.Want, v.Got, cmp.Or(v.Remedy, remedies[v.Err]))
	if v.Cause != nil {
		text += " (" + v.Cause.Error() + ")"
	}
	return text
}

// Unwrap makes the kind of violation, and its cause, known to errors.Is.
func (v *Violation) Unwrap() []error {
	if v.Cause != nil {
		return []error{v.Err, v.Cause}
	}
	return []error{v.Err}
}

const violationRemedy = "keep the topics as they are for an examination, and begin a new stream if it is real"

var remedies = map[error]string{
	ErrGap:           violationRemedy,
	ErrRepeat:        violationRemedy,
	ErrOrder:         violationRemedy,
	ErrCount:         violationRemedy,
	ErrRecord:        "let nothing but livedb cdc write to the stream's topics",
	ErrEpoch:         "delete what was built from the old epoch and read the new one from its beginning",
	ErrStall:         "look for a transaction that never ended with kafka-transactions.sh find-hanging, and for a partition without a leader",
	ErrRetention:     "read from the beginning or from now, and let the topics keep their records for longer than a reader may be away",
	ErrBeginningGone: "begin a new epoch, or read from now, and let the topics keep their records",
	ErrUncounted:     "begin a new stream",
	ErrValue:         "leave the column out of the view, or change the value in the source and begin a new epoch",
	ErrMissing:       "begin a new stream if the topic was deleted; otherwise give the reader the right to see it",
	ErrReset:         "read from the beginning if the stream was begun anew; otherwise begin a new stream",
}

// Broken reports whether an error says that the stream cannot be read further, however often one tries again.
func Broken(err error) bool {
	var v *Violation
	return errors.As(err, &v) && !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrSettings) || errors.Is(err, ErrTables)
}
