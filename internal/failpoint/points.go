// Package failpoint lets a test stop a process at a named step: between two sends, before a commit, after a status. The
// points are in the code for good; without the build tag failpoints they compile to nothing.
//
//	go build -tags failpoints ./cmd/livedb
//	LIVEDB_FAILPOINTS='cdc.before-commit:3=kill' livedb cdc …     the third time it gets there, kill -9
//
// An action is kill (SIGKILL to itself), stop (SIGSTOP to itself), error (Hit returns ErrInjected) or a time to sleep such
// as 2s. It is carried out once, when the point has been hit as often as the number says; without a number, the first time.
package failpoint

import "errors"

// ErrInjected is what Hit returns for the action error.
var ErrInjected = errors.New("a failpoint was set to fail here")

// Point is a step's name.
type Point string

// The points, in the order a session passes them.
const (
	// Of the start of cdc.
	Preflighted   Point = "cdc.preflighted"
	Dialled       Point = "cdc.dialled"
	Leading       Point = "cdc.leading"
	Fenced        Point = "cdc.fenced" // the new producer is open, older ones are fenced
	Resumed       Point = "cdc.resumed"
	Witnessed     Point = "cdc.witnessed"
	PublishedNew  Point = "cdc.bootstrap-published"
	CreatingSaved Point = "cdc.bootstrap-creating"
	SlotsDropped  Point = "cdc.bootstrap-dropped"
	SlotCreated   Point = "cdc.bootstrap-slot"
	Bootstrapped  Point = "cdc.bootstrapped"
	EpochBegun    Point = "cdc.epoch-begun" // likewise, of an epoch after the first
	Started       Point = "cdc.started"     // START_REPLICATION was accepted

	// Of the run of cdc.
	AfterBegin      Point = "cdc.after-begin"
	MidTransaction  Point = "cdc.mid-transaction"
	AfterCommit     Point = "cdc.after-commit" // Postgres's: the transaction is decoded, and not yet handed over
	TopologyWritten Point = "cdc.topology-written"
	KafkaBegun      Point = "cdc.kafka-begun"
	EventsSent      Point = "cdc.events-sent"
	BeforeCommit    Point = "cdc.before-commit"  // the checkpoint is sent, EndTxn is not
	Committed       Point = "cdc.committed"      // EndTxn is answered, the source knows nothing
	PartCommitted   Point = "cdc.part-committed" // likewise, in the middle of a split transaction
	BeforeStatus    Point = "cdc.before-status"
	AfterStatus     Point = "cdc.after-status"
	Heartbeat       Point = "cdc.heartbeat-committed"

	// Of the processor.
	ViewFenced       Point = "process.fenced"
	ViewRestored     Point = "process.restored"
	ViewKafkaBegun   Point = "process.kafka-begun"
	ViewBeforeCommit Point = "process.before-commit"
	ViewCommitted    Point = "process.committed"
)

// CDC and Process list the points of each role.
var (
	CDC = []Point{Preflighted, Dialled, Leading, Fenced, Resumed, Witnessed, PublishedNew, CreatingSaved, SlotsDropped, SlotCreated, Bootstrapped, EpochBegun, Started,
		AfterBegin, MidTransaction, AfterCommit, TopologyWritten, KafkaBegun, EventsSent, BeforeCommit, Committed, PartCommitted,
		BeforeStatus, AfterStatus, Heartbeat}
	Process = []Point{ViewFenced, ViewRestored, ViewKafkaBegun, ViewBeforeCommit, ViewCommitted}
)
