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
	must(t, w.Tick(time.Now().Add(DefaultStall/2)))
	if err := w.Tick(time.Now().Add(2 * DefaultStall)); !errors.Is(err, ErrStalled) {
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
