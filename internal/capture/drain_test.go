package capture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/capture"
)

// drain runs the role until it has drained what there is.
func (b *bench) drain() capture.Drained {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	d := *b
	d.config.Drain = &capture.Drained{}
	if err := <-d.run(ctx); err != nil {
		b.t.Fatal(err)
	}
	b.awaitNoSlot() // nobody reads it any more
	if !d.config.Drain.Done {
		b.t.Fatal("it ended before it had drained")
	}
	return *d.config.Drain
}

// A drain takes what had committed before, acknowledges it, leaves the source alone, and does so again and again: each change
// once. What an application committed without waiting for the disk is among it.
func TestADrainTakesWhatThereIs(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id serial PRIMARY KEY, v text)", "CREATE TABLE unpublished (v text)")
	b.config.Source.Tables = []string{"public.a"}
	if d := b.drain(); d.Events != 0 {
		t.Errorf("a stream that begins has %d events", d.Events)
	}
	r := b.reader()
	seq := 0
	for round := range 3 {
		b.exec("INSERT INTO a (v) VALUES ('x')", "SET synchronous_commit = off", fmt.Sprintf("INSERT INTO a (v) SELECT 'y' FROM generate_series(1, %d)", 10*round), "RESET synchronous_commit")
		want := int64(1 + 10*round)
		d := b.drain()
		if seq += int(want); d.Events != want || d.Seq != uint64(seq) || d.To <= d.From {
			t.Errorf("round %d: %+v, want %d events up to seq %d", round, d, want, seq)
		}
		b.exec("INSERT INTO unpublished VALUES ('z')")
		if d := b.drain(); d.Events != 0 || d.To <= d.From || d.Seq != uint64(seq) {
			t.Errorf("with nothing to do: %+v", d)
		}
		if replay := b.slotOf("_replay", "confirmed_flush_lsn <= '"+d.To.String()+"'"); replay != "true" {
			t.Errorf("the replay slot is beyond what was drained: %s", replay)
		}
	}
	for told := 0; told < seq; {
		told += len(b.read(r))
	}
	if report := b.audited(); int(report.Events) != seq {
		t.Errorf("audit: %d events of %d", report.Events, seq)
	}
}

// slotOf reads an expression of one of the stream's slots, as text.
func (b *bench) slotOf(suffix, expression string) (value string) {
	b.t.Helper()
	err := b.conn.QueryRow(b.t.Context(), "SELECT ("+expression+")::text FROM pg_replication_slots WHERE slot_name = $1", b.config.Source.Slot+suffix).Scan(&value)
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

// What another one streams need not be drained, and the other one is not disturbed.
func TestADrainBesideARunningStreamIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)")
	var log bytes.Buffer
	b.config.Log = slog.New(slog.NewTextHandler(&log, nil)) // read only after the role has ended
	stop := b.start()
	r := b.reader()
	b.awaitSlot()
	second := *b
	second.config.Drain, second.config.Log = &capture.Drained{}, slog.New(slog.DiscardHandler)
	var refusal *cdc.Refusal
	if err := <-second.run(t.Context()); !errors.As(err, &refusal) || refusal.Name != "already_streaming" {
		t.Errorf("it ended with %v", err)
	}
	for i := 1; i <= 2; i++ { // one that was fenced learns of it when it commits
		b.exec(fmt.Sprintf("INSERT INTO a VALUES (%d)", i))
		b.expect(r, fmt.Sprintf(`%d c public.a null -> {"id":%d}`, i, i))
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "starts again") {
		t.Errorf("the stream was disturbed:\n%s", log.String())
	}
}
