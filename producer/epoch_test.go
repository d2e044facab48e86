package producer

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// Every record of an epoch after the first says so, a tombstone too; of the first epoch none does.
func TestEventsCarryTheirEpoch(t *testing.T) {
	for epoch, want := range map[uint32][]string{1: nil, 2: {"2", "2"}, 4294967295: {"4294967295", "4294967295"}} {
		at := start()
		at.Epoch = epoch
		a, b := assemble(at), &Batch{}
		a.Use(b)
		tx(8, 0x210, remove(orders, "1", "a")).feed(t, a)
		a.Seal(time.UnixMicro(2))
		var got []string
		for i := range b.records {
			for _, h := range b.headers(&b.records[i], b.epoch(), nil) {
				if string(h.Key) == envelope.HeaderEpoch {
					got = append(got, string(h.Value))
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("epoch %d: %q", epoch, got)
		}
	}
}

// The tails of earlier epochs say nothing about a checkpoint, but that something is lost which its own epoch wrote.
func TestCheckTailKnowsEpochs(t *testing.T) {
	c := Checkpoint{Epoch: 2, Seq: 3, Touched: map[string]map[int32]uint64{"s.a": {1: 3}}}
	for _, s := range []struct {
		story string
		tail  tail
		name  string
	}{
		{"an older epoch's end where nothing was written", tail{topic: "s.a", partition: 0, epoch: 1, seq: 900, found: true}, ""},
		{"the end that the checkpoint names", tail{topic: "s.a", partition: 1, epoch: 2, seq: 3, found: true}, ""},
		{"an older epoch's end where it names another", tail{topic: "s.a", partition: 1, epoch: 1, seq: 3, found: true}, "events_missing"},
		{"a later event", tail{topic: "s.a", partition: 0, epoch: 2, seq: 4, found: true}, "events_beyond_checkpoint"},
		{"a later epoch", tail{topic: "s.a", partition: 0, epoch: 3, seq: 1, found: true}, "events_beyond_checkpoint"},
	} {
		t.Run(s.story, func(t *testing.T) { refusedAs(t, c.checkTail(s.tail), s.name) })
	}
}

func TestTheCertificateTellsWhereAStreamEnds(t *testing.T) {
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	c := Checkpoint{Version: 1, Epoch: 4, State: Streaming, Source: Source{SystemID: "7", Slot: "s"}, Seq: 10, Commit: 0x500, End: 0x520, Index: 3, CommitTime: at}
	why := &cdc.Refusal{Name: "slot_missing", Problem: "the slot s is gone"}
	want := &envelope.Gap{Version: 1, Stream: "p", EpochFrom: 4, EpochTo: 5, Why: envelope.GapWhy{Name: "slot_missing", Text: "the slot s is gone"}, SourceWas: c.Source,
		From: envelope.GapFrom{Epoch: 4, Seq: 10, Position: cdc.Position{Commit: 0x500, Index: 3}, End: 0x520, CommitTime: at}}
	if diff := cmp.Diff(want, c.Certificate("p", why)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	c.Partial = &Partial{Commit: 0x600, XID: 9, EventsDone: 2}
	want.From.Position, want.From.Partial = cdc.Position{Commit: 0x600, Index: 2}, true
	if diff := cmp.Diff(want, c.Certificate("p", why)); diff != "" {
		t.Errorf("in the middle of a transaction (-want +got):\n%s", diff)
	}

	// While the next epoch is being created the certificate stays what it was, over a restart too.
	creating := Checkpoint{Version: 1, Epoch: 5, State: Creating, Gap: want}
	text, err := json.Marshal(creating)
	must(t, err)
	var read Checkpoint
	must(t, json.Unmarshal(text, &read))
	if diff := cmp.Diff(want, read.Certificate("p", nil)); diff != "" {
		t.Errorf("while creating (-want +got):\n%s", diff)
	}
}
