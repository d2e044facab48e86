package ui

import (
	"fmt"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/processor"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// item is an event as the reader delivers it.
func item(seq uint64, op, table string) *processor.Item {
	value := fmt.Appendf(nil, `{"before":null,"after":{"id":%d,"name":"Ada %d"},"source":{"version":"0","schema":"public","table":%q,"txId":%d,"seq":%d,"epoch":1},"transaction":null,"op":%q,"ts_ms":1,"ts_us":1,"ts_ns":1}`,
		seq, seq, table, 100+seq, seq, op)
	return &processor.Item{Kind: processor.Event, Seq: seq, Position: cdc.Position{Commit: cdc.CommitLSN(0x1000 + seq), Index: 1},
		Tx:    processor.Transaction{Epoch: 1, XID: uint32(100 + seq), Commit: cdc.CommitLSN(0x1000 + seq), Time: noon},
		Topic: "livedb.public." + table, Partition: int32(seq % 4), Offset: int64(seq), Key: fmt.Appendf(nil, `{"id":%d}`, seq), Value: value}
}

// fill appends the events first to last.
func fill(r *ring, first, last uint64) {
	for seq := first; seq <= last; seq++ {
		r.append(newEntry("livedb", item(seq, "c", "orders")))
	}
}

func seqs(entries []*entry) (s []uint64) {
	for _, e := range entries {
		s = append(s, e.seq)
	}
	return s
}

// span checks that rows are the events first to last and nothing else.
func span(t *testing.T, what string, rows []*entry, first, last uint64) {
	t.Helper()
	if uint64(len(rows)) != last-first+1 {
		t.Fatalf("%s: got %d rows, want %d: %v", what, len(rows), last-first+1, seqs(rows))
	}
	for i, e := range rows {
		if e.gap != nil || e.seq != first+uint64(i) {
			t.Fatalf("%s: row %d is seq %d, gap %v, want seq %d", what, i, e.seq, e.gap, first+uint64(i))
		}
	}
}

func TestRingIsBoundedInEntries(t *testing.T) {
	r := newRing()
	fill(r, 1, 3*ringEntries)
	span(t, "held", r.all(), 2*ringEntries+1, 3*ringEntries)
}

func TestRingIsBoundedInBytes(t *testing.T) {
	r := newRing()
	for seq := uint64(1); seq <= 100; seq++ {
		e := newEntry("livedb", item(seq, "c", "orders"))
		e.value = make([]byte, ringBytes/10)
		r.append(e)
	}
	if n := len(r.all()); n > 10 || n < 8 {
		t.Errorf("the ring holds %d entries of a tenth of its bytes", n)
	}
}

func TestALargeEventIsCutBeforeItIsHeld(t *testing.T) {
	i := item(1, "c", "orders")
	i.Value = fmt.Appendf(nil, `{"before":null,"after":{"id":1,"body":"%s"},"source":{"version":"0","seq":1},"op":"c","ts_ms":1}`, string(make([]byte, 0)))
	big := make([]byte, 5<<20)
	for k := range big {
		big[k] = 'x'
	}
	i.Value = fmt.Appendf(nil, `{"before":null,"after":{"id":1,"body":%q},"source":{"version":"0","seq":1},"op":"c","ts_ms":1}`, big)
	e := newEntry("livedb", i)
	if e.size() > 8<<10 {
		t.Errorf("an event of 5 MB takes %d bytes of the ring", e.size())
	}
	if !(filter{text: "xxxx"}).match(e) {
		t.Error("what is kept of a large event cannot be searched")
	}
}

func TestABurstArrivesWhole(t *testing.T) {
	r := newRing()
	now := noon
	c, _ := newCursor(r, filter{}, nil, now)
	fill(r, 1, ringEntries)
	var rows []*entry
	for range ringEntries / frameRows {
		now = now.Add(frameEvery)
		f := c.take(now)
		if f.skipped > 0 || len(f.rows) > frameRows {
			t.Fatalf("a frame has %d rows and skips %d", len(f.rows), f.skipped)
		}
		rows = append(rows, f.rows...)
	}
	span(t, "the burst", rows, 1, ringEntries)
}

func TestAFloodIsThinnedOutAndCounted(t *testing.T) {
	r := newRing()
	now := noon
	c, _ := newCursor(r, filter{}, nil, now)
	const perTick, seconds = 500, 10 // 10,000 events a second
	var rows, skipped, sent uint64
	for tick := range uint64(seconds * 20) {
		fill(r, tick*perTick+1, (tick+1)*perTick)
		sent += perTick
		now = now.Add(frameEvery)
		f := c.take(now)
		rows += uint64(len(f.rows))
		skipped += f.skipped
	}
	if most := uint64(burstRows + steadyRows*seconds); rows > most {
		t.Errorf("%d rows in %d s, want at most %d", rows, seconds, most)
	}
	if rest, _ := r.since(c.next, c.total); rows+skipped+uint64(len(rest)) < sent-ringEntries || rows+skipped > sent {
		t.Errorf("%d events: %d shown, %d counted as skipped, %d to come", sent, rows, skipped, len(rest))
	}
	// What was not counted yet is counted at the end.
	for c.next < r.next {
		now = now.Add(time.Second)
		f := c.take(now)
		rows += uint64(len(f.rows))
		skipped += f.skipped
	}
	if rows+skipped != sent {
		t.Errorf("%d events, but %d shown and %d skipped", sent, rows, skipped)
	}
}

func TestAFilterLooksAtEveryEventOfAFlood(t *testing.T) {
	r := newRing()
	now := noon
	c, _ := newCursor(r, filter{table: "public.customers"}, nil, now)
	found := 0
	for tick := range uint64(100) {
		fill(r, tick*501+1, tick*501+500)
		r.append(newEntry("livedb", item(tick*501+501, "u", "customers")))
		now = now.Add(frameEvery)
		f := c.take(now)
		if f.skipped > 0 {
			t.Fatalf("tick %d skipped %d", tick, f.skipped)
		}
		found += len(f.rows)
	}
	if found != 100 {
		t.Errorf("found %d of 100 rare events", found)
	}
}

func TestANewPageBeginsWithTheLastRows(t *testing.T) {
	r := newRing()
	fill(r, 1, ringEntries)
	c, resumed := newCursor(r, filter{}, nil, noon)
	if resumed {
		t.Error("a new page has nothing to resume")
	}
	var rows []*entry
	for f := c.take(noon); len(f.rows) > 0; f = c.take(noon) {
		rows = append(rows, f.rows...)
	}
	span(t, "the snapshot", rows, ringEntries-snapshotRows+1, ringEntries)
}

func TestResume(t *testing.T) {
	at := func(seq uint64) *mark {
		return &mark{position: cdc.Position{Commit: cdc.CommitLSN(0x1000 + seq), Index: 1}, epoch: 1, seq: seq}
	}
	tests := []struct {
		name        string
		held        [2]uint64 // events in the ring when the page comes back
		mark        *mark
		first, last uint64 // events it gets
		gap         *gap   // before them
	}{
		{"within the ring", [2]uint64{1, 100}, at(40), 41, 100, nil},
		{"at its end", [2]uint64{1, 100}, at(100), 101, 101, nil},
		{"before its beginning", [2]uint64{41, 100}, at(20), 41, 100, &gap{Missed: 20, Why: whyReconnect}},
		{"just before its beginning", [2]uint64{41, 100}, at(40), 41, 100, nil},
		{"only the position is known", [2]uint64{41, 100}, &mark{position: at(20).position}, 41, 100, &gap{Missed: 0, Why: whyReconnect}},
		{"only the position is known, and held", [2]uint64{1, 100}, &mark{position: at(40).position}, 41, 100, nil},
		{"the server is new and empty", [2]uint64{1, 0}, at(90), 101, 101, &gap{Missed: 10, Why: whyReconnect}},
		{"the stream began again", [2]uint64{1, 10}, &mark{position: at(90).position, epoch: 7, seq: 90}, 1, 10, &gap{Missed: 0, Why: whyRestart}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRing()
			fill(r, test.held[0], test.held[1])
			c, resumed := newCursor(r, filter{}, test.mark, noon)
			if !resumed {
				t.Error("the page must keep the rows it has")
			}
			if test.last > test.held[1] {
				if f := c.take(noon); len(f.rows) > 0 || f.skipped > 0 {
					t.Fatalf("got %d rows before there are any", len(f.rows))
				}
				fill(r, test.last, test.last)
			}
			rows := c.take(noon).rows
			if test.gap != nil {
				if len(rows) == 0 || rows[0].gap == nil || *rows[0].gap != *test.gap {
					t.Fatalf("the rows begin without the gap %v", *test.gap)
				}
				rows = rows[1:]
			}
			span(t, "after the gap", rows, test.first, test.last)
		})
	}
}

func TestAppendNeverWaitsForAPage(t *testing.T) {
	r := newRing()
	c, _ := newCursor(r, filter{}, nil, noon)
	_ = c // a page that never takes anything
	began := time.Now()
	fill(r, 1, 20000)
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("20,000 events took %s", d)
	}
}
