package producer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// The stream goes on after a promotion only if the new timeline holds all that was delivered, half of a transaction included.
func TestACheckpointIsCarriedOverAPromotion(t *testing.T) {
	const fork = 1000
	for _, c := range []struct {
		name    string
		end     cdc.EndLSN
		acked   cdc.LSN
		partial *Partial
		holds   bool
		now     cdc.LSN // acked_upto afterwards
	}{
		{"delivered and acknowledged before the fork", 900, 950, nil, true, 950},
		{"the last commit ends at the fork", fork, fork, nil, true, fork},
		{"what was acknowledged beyond it was nothing of ours", 900, 1100, nil, true, fork},
		{"the last commit ends behind it", 1001, 1001, nil, false, 1001},
		{"half a transaction that commits before it", 900, 950, &Partial{Commit: 999}, true, 950},
		{"half a transaction that commits at it, so that the other half is lost", 900, 950, &Partial{Commit: fork}, false, 950},
	} {
		before := Checkpoint{Source: Source{SystemID: "7", Timeline: 3}, Commit: 800, End: c.end, AckedUpto: c.acked, Partial: c.partial, Seq: 9}
		after, holds := before.Promoted(5, fork)
		want := before
		if c.holds {
			want.Timeline = 5
		}
		want.AckedUpto = c.now
		if diff := cmp.Diff(want, after); holds != c.holds || diff != "" {
			t.Errorf("%s: holds %v (-want +got):\n%s", c.name, holds, diff)
		}
	}
}

// A promotion's refusal names the lost transactions, a split one once, and counts those that would not fit.
func TestPhantomsAreNamed(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	entry := func(xid uint32, first, last uint64, starts, ends bool) *envelope.TransactionEntry {
		return &envelope.TransactionEntry{XID: xid, Commit: cdc.CommitLSN(0x100 * xid), TimeUS: at.UnixMicro(), First: first, Last: last, Starts: starts, Ends: ends}
	}
	p := &Phantoms{}
	p.add(entry(1, 7, 9, true, true))
	p.add(entry(2, 10, 19, true, false))
	p.add(entry(2, 20, 29, false, false))
	if got, want := p.Error(), "0/100:1 xid 1 of 2026-01-02T03:04:05.678Z, seq 7 to 9; 0/200:1 xid 2 of 2026-01-02T03:04:05.678Z, seq 10 to 29"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for xid := uint32(3); xid <= 1500; xid++ {
		p.add(entry(xid, uint64(xid)+27, uint64(xid)+27, true, true))
	}
	if p.Count != 1500 || len(p.First) != phantomsKept || p.Last != 1527 {
		t.Errorf("%d of %d kept, to seq %d", len(p.First), p.Count, p.Last)
	}
	if text := p.Error(); strings.Count(text, "xid") != 5 || !strings.HasSuffix(text, fmt.Sprintf("; and %d more, to seq 1527", 1495)) {
		t.Error(text)
	}
}
