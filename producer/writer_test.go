package producer

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/metrics"
)

// idleWriter is a writer that nobody has the batches of committed.
func idleWriter(limits Limits) *Writer {
	return NewWriter(assemble(start()), nil, "s", Topology{}, limits, metrics.NewCDC(prometheus.NewRegistry()), &Progress{})
}

// A heartbeat that falls due while a transaction is open must wait for its end: an alarm in the past would keep the stream
// from reading that end.
func TestAlarmIsNeverForWhatTheWriterCannotDoNow(t *testing.T) {
	w := idleWriter(Limits{Heartbeat: time.Hour})
	must(t, w.Quiet(0x150, false))
	w.heartbeat = time.Now().Add(-2 * time.Hour)
	if !w.Alarm().Before(time.Now()) {
		t.Error("a heartbeat is due and the alarm is not")
	}
	must(t, w.Begin(tx(7, 0x200).Transaction))
	if w.Alarm().Before(time.Now()) {
		t.Error("the alarm rings for a heartbeat while a transaction is open")
	}
	must(t, w.Change(insert(logs, "x")))
	must(t, w.Commit(tx(7, 0x200).Transaction))
	w.handOver()
	if w.Alarm().Before(time.Now()) {
		t.Error("the alarm rings for a heartbeat while a batch is in flight")
	}
}

// Kafka needs nine seconds to notice that a broker is gone (broker.session.timeout.ms), which is no stall yet; and for as long as
// a stall a source that shuts down waits for us.
func TestTickNoticesThatKafkaDoesNotCommit(t *testing.T) {
	w := idleWriter(Limits{})
	must(t, w.Tick(time.Now()))
	for i := range uint32(batches) {
		tx(i+1, 0x200+0x10*cdc.CommitLSN(i), insert(logs, "x")).feed(t, w.assembler)
		w.handOver()
	}
	if w.Full() == nil {
		t.Error("there is room though every batch is in flight")
	}
	oldest := time.Unix(0, w.oldest.Load())
	must(t, w.Tick(oldest.Add(10*time.Second)))
	if err := w.Tick(oldest.Add(15 * time.Second)); !errors.Is(err, ErrStalled) {
		t.Errorf("got %v", err)
	}
}

// The source says once that it has nothing more, while what it sent before is still in flight, and then is silent for many
// seconds: it must not be forgotten, or an idle source keeps its WAL for so long, and a drain does not end.
func TestAPositionIsKeptUntilItMayBeAcknowledged(t *testing.T) {
	w := idleWriter(Limits{Heartbeat: time.Millisecond})
	tx(7, 0x200, insert(logs, "x")).feed(t, w.assembler)
	w.handOver()
	must(t, w.Quiet(0x900, false))
	if w.assembler.done.AckedUpto >= 0x900 {
		t.Fatal("it may be acknowledged while a batch is in flight")
	}
	w.inFlight.Store(0) // as Write does
	must(t, w.Tick(time.Now().Add(time.Second)))
	if w.assembler.done.AckedUpto != 0x900 || w.inFlight.Load() != 1 {
		t.Errorf("up to %s may be acknowledged, in %d batches", w.assembler.done.AckedUpto, w.inFlight.Load())
	}

	w.inFlight.Store(0)
	must(t, w.Begin(tx(8, 0xa00).Transaction))
	must(t, w.Quiet(0xb00, false))
	must(t, w.Commit(tx(8, 0xa00).Transaction))
	if w.quiet != 0 {
		t.Errorf("%s was said in the middle of a transaction, and is kept", w.quiet)
	}
}

// All that there was below what is acknowledged has been delivered, so a transaction that begins there is of another history. One that
// begins right there is the next.
func TestATransactionBelowWhatIsAcknowledgedIsRefused(t *testing.T) {
	at := start()
	at.Commit, at.End, at.AckedUpto = 0x210, 0x220, 0x300
	refusedAs(t, assemble(at).Begin(tx(7, 0x2f8).Transaction), "source_rewritten")
	refusedAs(t, assemble(at).Begin(tx(7, 0x300).Transaction), "")
	refusedAs(t, assemble(at).Begin(tx(7, 0x210).Transaction), "") // again: it is skipped
}

// Where a checkpoint may be gone on from: whose history it is, and neither further than the source nor behind its slot.
func TestACheckpointIsHeldAgainstItsSource(t *testing.T) {
	was := Source{SystemID: "7", Timeline: 2, NeonTimeline: "n", Database: "d", Slot: "s", Publication: "p"}
	c := Checkpoint{Source: was, Commit: 0x210, End: 0x220, AckedUpto: 0x300}
	for _, s := range []struct {
		name               string
		alter              func(now *Source)
		confirmed, current cdc.LSN
	}{
		{"", nil, 0x300, 0x300},
		{"", nil, 0x220, 0x900},
		{"checkpoint_ahead_of_wal", nil, 0x220, 0x21f},
		{"checkpoint_ahead_of_wal", nil, 0x220, 0x2ff}, // it holds the last commit, and not what was acknowledged behind it
		{"slot_ahead_of_checkpoint", nil, 0x301, 0x900},
		{"system_identifier_changed", func(now *Source) { now.SystemID = "8" }, 0x300, 0x900},
		{"timeline_changed", func(now *Source) { now.Timeline = 3 }, 0x300, 0x900},
		{"neon_timeline_changed", func(now *Source) { now.NeonTimeline = "" }, 0x300, 0x900},
		{"database_changed", func(now *Source) { now.Database = "e" }, 0x300, 0x900},
		{"slot_changed", func(now *Source) { now.Slot = "t" }, 0x300, 0x900},
		{"publication_changed", func(now *Source) { now.Publication = "q" }, 0x300, 0x900},
	} {
		now := was
		if s.alter != nil {
			s.alter(&now)
		}
		refusedAs(t, c.Check(now, s.confirmed, s.current), s.name)
	}
}
