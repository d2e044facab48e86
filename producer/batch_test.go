package producer

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// The largest limits and the smallest transactions: the order of a batch stays a record that Kafka takes.
func TestTheOrderOfABatchIsNoRecordTooLarge(t *testing.T) {
	w := idleWriter(Limits{Bytes: maxBytes, Events: maxEvents, Linger: maxLinger})
	w.assembler.clock = func() time.Time { return time.Time{} } // nothing falls due
	w.assembler.done.Seq = 1e18
	change := insert(logs, "x")
	for i := uint32(1); len(w.queue) == 0; i++ {
		tx := tx(math.MaxUint32-i, math.MaxInt64+0x10*cdc.CommitLSN(i)).Transaction
		must(t, w.Begin(tx))
		must(t, w.Change(change))
		must(t, w.Commit(tx))
	}
	b := <-w.queue
	if size := len(b.order()); size > maxRecord || size < maxRecord/2 {
		t.Errorf("the order of %d transactions takes %d bytes, and a record may take %d", len(b.entries), size, maxRecord)
	}
}

// The estimate holds for the largest numbers, and for a transaction that is still open.
func TestTheOrderIsNoLongerThanEstimated(t *testing.T) {
	b := &Batch{checkpoint: Checkpoint{Epoch: math.MaxUint32}}
	if size := len(b.order()); size > b.orderBytes() {
		t.Errorf("an empty order takes %d bytes, and %d were expected", size, b.orderBytes())
	}
	for range 100 {
		b.addTopic(strings.Repeat("t", envelope.MaxTopicName))
	}
	for range 3 {
		b.addEntry(envelope.TransactionEntry{XID: math.MaxUint32, Commit: math.MaxUint64, End: math.MaxUint64, TimeUS: math.MinInt64,
			First: math.MaxUint64, Last: math.MaxUint64})
		for range 100 {
			b.counts = append(b.counts, math.MaxUint64)
		}
		expected := b.orderBytes()
		b.closeEntry()
		if size := len(b.order()); size > expected || expected != b.orderBytes() {
			t.Errorf("an order takes %d bytes, and %d were expected, then %d", size, expected, b.orderBytes())
		}
	}
	perEntry := envelope.TransactionRecord{Entries: []envelope.TransactionEntry{{XID: math.MaxUint32, Commit: math.MaxUint64, End: math.MaxUint64, TimeUS: math.MinInt64,
		First: math.MaxUint64, Last: math.MaxUint64, Counts: []envelope.TopicCount{}}}}
	none := envelope.TransactionRecord{Entries: []envelope.TransactionEntry{}}
	if size := len(perEntry.Append(nil)) - len(none.Append(nil)); size >= entryText { // it has a comma too
		t.Errorf("an entry takes %d bytes, and %d were expected", size, entryText)
	}
}
