package producer

import (
	"errors"
	"testing"

	"github.com/livedb/livedb/cdc"
)

// The order must end with the checkpoint's seq: both were written by the same Kafka transaction.
func TestTheOrderEndsWhereTheCheckpointSays(t *testing.T) {
	c := Checkpoint{Epoch: 2, Seq: 10}
	for _, s := range []struct {
		story string
		tail  tail
		name  string
	}{
		{"the seq that the checkpoint names", tail{epoch: 2, seq: 10, found: true}, ""},
		{"all taken by retention", tail{cut: true}, ""},
		{"a later seq", tail{epoch: 2, seq: 11, found: true}, "events_beyond_checkpoint"},
		{"a later epoch", tail{epoch: 3, found: true}, "events_beyond_checkpoint"},
		{"an earlier seq", tail{epoch: 2, seq: 9, found: true}, "events_missing"},
		{"the beginning of the epoch", tail{epoch: 2, found: true}, "events_missing"},
		{"an earlier epoch", tail{epoch: 1, seq: 10, found: true}, "events_missing"},
		{"nothing", tail{}, "events_missing"},
	} {
		t.Run(s.story, func(t *testing.T) { refusedAs(t, c.checkOrder(s.tail), s.name) })
	}
	begun := Checkpoint{Epoch: 2}
	refusedAs(t, begun.checkOrder(tail{epoch: 2, found: true}), "")
	fresh := Checkpoint{Epoch: 1}
	refusedAs(t, fresh.checkOrder(tail{}), "")
}

// What another producer's open transaction hides is not lost: there is no verdict, so that the start is tried again. What stands before
// it is judged as ever.
func TestWhatAnOpenTransactionHidesIsNotMissing(t *testing.T) {
	c := Checkpoint{Epoch: 1, Seq: 10, Touched: map[string]map[int32]uint64{"s.a": {1: 9}}}
	for story, err := range map[string]error{
		"an earlier event":     c.checkTail(tail{topic: "s.a", partition: 1, epoch: 1, seq: 8, found: true, open: true}),
		"an empty partition":   c.checkTail(tail{topic: "s.a", partition: 1, open: true}),
		"an earlier order":     c.checkOrder(tail{epoch: 1, seq: 9, found: true, open: true}),
		"an order without end": c.checkOrder(tail{open: true}),
	} {
		var refusal *cdc.Refusal
		if err == nil || errors.As(err, &refusal) {
			t.Errorf("%s: %v", story, err)
		}
	}
	refusedAs(t, c.checkTail(tail{topic: "s.a", partition: 1, epoch: 1, seq: 9, found: true, open: true}), "")
	refusedAs(t, c.checkTail(tail{topic: "s.a", partition: 0, open: true}), "")
	refusedAs(t, c.checkOrder(tail{epoch: 1, seq: 10, found: true, open: true}), "")
	refusedAs(t, c.checkTail(tail{topic: "s.b", partition: 0, epoch: 1, seq: 11, found: true, open: true}), "events_beyond_checkpoint")
}
