package replay

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

func refused(t *testing.T, err error, name string) {
	t.Helper()
	var r *cdc.Refusal
	if !errors.As(err, &r) || r.Name != name {
		t.Errorf("got %v, want %s", err, name)
	}
}

func TestABoundIsAnyNameOfAPlace(t *testing.T) {
	now := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	for _, c := range []struct {
		text string
		want bound
	}{
		{"", bound{}},
		{"16/B374D848", bound{kind: byLSN, lsn: 0x16_B374D848}},
		{"0/0", bound{kind: byLSN}},
		{"16/B374D848:7", bound{kind: byPosition, lsn: 0x16_B374D848, index: 7}},
		{"xid:1234", bound{kind: byXID, xid: 1234}},
		{"xid:4294967295", bound{kind: byXID, xid: 4294967295}},
		{"2024-05-06T07:08:00Z", bound{kind: byTime, time: now.Add(-9 * time.Second)}},
		{"2024-05-06T09:08:09.000+02:00", bound{kind: byTime, time: now}},
		{"10m ago", bound{kind: byTime, time: now.Add(-10 * time.Minute)}},
		{"1h30m", bound{kind: byTime, time: now.Add(-90 * time.Minute)}},
		{"now", bound{kind: byTime, time: now}},
	} {
		got, err := parseBound("to", c.text, now)
		if err != nil || got.kind != c.want.kind || got.lsn != c.want.lsn || got.index != c.want.index || got.xid != c.want.xid || !got.time.Equal(c.want.time) {
			t.Errorf("%q: %+v, %v", c.text, got, err)
		}
	}
	for _, text := range []string{"x", "16/b374d848", "016/1", "16/1:", "16/1:x", "16/1:07", "xid:", "xid:0", "xid:-1", "xid:4294967296", "-10m", "10", "2024-05-06", "yesterday", "1/2/3", "10m hence"} {
		_, err := parseBound("from", text, now)
		refused(t, err, "replay_bound_malformed")
		if err != nil && (!strings.Contains(err.Error(), "--from") || !strings.Contains(err.Error(), text)) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"16/1:0", "oldest"} {
		_, err := parseBound("to", text, now)
		refused(t, err, "replay_bound_malformed")
	}
	if b, err := parseBound("from", "oldest", now); err != nil || b.kind != byNothing {
		t.Errorf("oldest: %+v, %v", b, err)
	}
}

// The LSN of a bound is compared with where commits begin, as the server does it: one that is equal is part of the range.
func TestABoundIsPartOfTheRange(t *testing.T) {
	at := time.Unix(100, 0)
	tx := &transaction{Transaction: cdc.Transaction{Commit: 0x500, Time: at}}
	for _, c := range []struct {
		bound         bound
		begins, holds bool
	}{
		{bound{kind: byLSN, lsn: 0x500}, true, true},
		{bound{kind: byLSN, lsn: 0x4FF}, true, false},
		{bound{kind: byLSN, lsn: 0x501}, false, true},
		{bound{kind: byPosition, lsn: 0x500, index: 3}, true, true},
		{bound{kind: byTime, time: at}, true, true},
		{bound{kind: byTime, time: at.Add(-time.Microsecond)}, true, false},
		{bound{kind: byTime, time: at.Add(time.Microsecond)}, false, true},
		{bound{}, true, true},
	} {
		if begins, holds := c.bound.begins(tx), c.bound.holds(tx); begins != c.begins || holds != c.holds {
			t.Errorf("%+v: begins %v, holds %v", c.bound, begins, holds)
		}
	}
}

func TestABoundBeforeAnother(t *testing.T) {
	early, late := time.Unix(1, 0), time.Unix(2, 0)
	lsn := func(l cdc.CommitLSN) bound { return bound{kind: byLSN, lsn: l} }
	at := func(l cdc.CommitLSN, i uint64) bound { return bound{kind: byPosition, lsn: l, index: i} }
	for _, c := range []struct {
		one, other bound
		want       bool
	}{
		{lsn(1), lsn(2), true}, {lsn(2), lsn(2), false}, {lsn(3), lsn(2), false},
		{at(2, 1), at(2, 2), true}, {at(2, 2), at(2, 2), false}, {at(1, 9), at(2, 1), true},
		{at(2, 0), at(2, 5), false}, // a whole transaction
		{lsn(1), at(2, 1), true}, {at(2, 1), lsn(2), false},
		{bound{kind: byTime, time: early}, bound{kind: byTime, time: late}, true},
		{bound{kind: byTime, time: late}, bound{kind: byTime, time: late}, false},
		{bound{kind: byTime, time: early}, lsn(5), false}, // nobody knows
	} {
		if got := c.one.before(&c.other); got != c.want {
			t.Errorf("%+v before %+v: %v", c.one, c.other, got)
		}
	}
}

func part(xid uint32, commit cdc.CommitLSN, first, last uint64, starts, ends bool) *envelope.TransactionEntry {
	e := &envelope.TransactionEntry{XID: xid, Commit: commit, First: first, Last: last, Starts: starts, Ends: ends, Counts: []envelope.TopicCount{{Topic: 0, Events: last - first + 1}}}
	if ends {
		e.End = cdc.EndLSN(commit + 8)
	}
	return e
}

// The parts of a split transaction are one, whichever records they stand in; one whose beginning was not read is passed
// over, and tells only what came before the next.
func TestPartsOfATransactionComeTogether(t *testing.T) {
	m := &merger{epoch: 1}
	var got []*transaction
	for _, e := range []*envelope.TransactionEntry{
		part(7, 0x100, 41, 45, false, false), part(7, 0x100, 46, 50, false, true),
		part(8, 0x200, 51, 51, true, true),
		part(9, 0x300, 52, 53, true, false), part(9, 0x300, 54, 60, false, false), part(9, 0x300, 61, 61, false, true),
	} {
		tx, err := m.add([]string{"s.a"}, e)
		if err != nil {
			t.Fatal(err)
		}
		if tx != nil {
			got = append(got, tx)
		}
	}
	if len(got) != 2 {
		t.Fatalf("%d transactions", len(got))
	}
	if a, b := got[0], got[1]; a.XID != 8 || a.Previous != 0x100 || !a.known || b.XID != 9 || b.First != 52 || b.Last != 61 || b.events() != 10 || b.Counts["s.a"] != 10 ||
		b.Previous != 0x200 || b.End != 0x308 {
		t.Errorf("got %+v and %+v", a, b)
	}
}

// What came before the first transaction read is known only of the stream's very first.
func TestTheFirstTransactionKnowsWhetherOneWasBefore(t *testing.T) {
	for first, known := range map[uint64]bool{1: true, 2: false} {
		tx, err := (&merger{epoch: 1}).add([]string{"s.a"}, part(7, 0x100, first, first, true, true))
		if err != nil || tx.known != known || tx.Previous != 0 {
			t.Errorf("seq %d: %+v, %v", first, tx, err)
		}
	}
}

func TestADamagedOrderIsRefused(t *testing.T) {
	for story, parts := range map[string][]*envelope.TransactionEntry{
		"a gap":                     {part(7, 0x100, 1, 1, true, true), part(8, 0x200, 3, 3, true, true)},
		"a repeat":                  {part(7, 0x100, 1, 2, true, true), part(8, 0x200, 2, 3, true, true)},
		"one that does not end":     {part(7, 0x100, 1, 1, true, false), part(8, 0x200, 2, 2, true, true)},
		"one that goes on as other": {part(7, 0x100, 1, 1, true, false), part(8, 0x100, 2, 2, false, true)},
	} {
		m := &merger{epoch: 1}
		var err error
		for _, e := range parts {
			_, err = m.add([]string{"s.a"}, e)
		}
		t.Run(story, func(t *testing.T) { refused(t, err, "order_damaged") })
	}
}

func TestIDsAreLegalInTopicNames(t *testing.T) {
	for id, legal := range map[string]bool{"a": true, "Friday-2": true, NewID(time.Now()): true, "": false, "a.b": false, "a_b": false, "ü": false, "a b": false, strings.Repeat("x", 41): false} {
		if legalID.MatchString(id) != legal {
			t.Errorf("%q: %v", id, !legal)
		}
	}
}
