package capture

import (
	"fmt"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// cdc/postgres has the table of what a source says; here is what both sides' errors come to.
func TestJudge(t *testing.T) {
	refused := &cdc.Refusal{Name: "source_login_refused"}
	for _, c := range []struct {
		err    error
		served bool
		want   verdict
	}{
		{&pgconn.PgError{Code: "57P01"}, true, verdict{"source_stopped", false, soonPause}},
		{fmt.Errorf("read the slot: %w", &pgconn.PgError{Code: "53300"}), true, verdict{"source_full", false, seldomPause}},
		{refused, false, verdict{"source_login_refused", true, usualPause}},
		{refused, true, verdict{"source_login_refused", false, seldomPause}},
		{&cdc.Refusal{Name: "source_malformed"}, false, verdict{"source_malformed", true, usualPause}},
		{&cdc.Refusal{Name: "source_malformed"}, true, verdict{"source_malformed", false, soonPause}},
		{&cdc.Refusal{Name: "source_quota_exceeded"}, true, verdict{"source_quota_exceeded", true, usualPause}},
		{&cdc.Refusal{Name: "slot_missing", Unsafe: true}, true, verdict{"slot_missing", true, usualPause}},
		{&cdc.Refusal{Name: "kafka_login_refused"}, true, verdict{"kafka_login_refused", true, usualPause}},
		{postgres.ErrSilent, true, verdict{"source_silent", false, soonPause}},
		{&postgres.SlotBusyError{}, true, verdict{"slot_in_use", false, usualPause}},
		{&kafka.UnreachableError{Err: fmt.Errorf("dial: %w", &pgconn.PgError{Code: "57P01"})}, true, verdict{"kafka_unreachable", false, usualPause}},
		{fmt.Errorf("write: %w", producer.ErrStalled), true, verdict{"kafka_stalled", false, usualPause}},
		{fmt.Errorf("commit: %w", kafka.ErrOutcomeUnknown), true, verdict{"outcome_unknown", false, usualPause}},
		{fmt.Errorf("produce: %w", sarama.ErrProducerFenced), true, verdict{"fenced", false, usualPause}},
		{fmt.Errorf("produce: %w", sarama.ErrInvalidProducerEpoch), true, verdict{"fenced", false, usualPause}},
		{fmt.Errorf("something else"), true, verdict{"broken", false, usualPause}},
	} {
		if got := judge(c.err, c.served); got != c.want {
			t.Errorf("%T %v, served %v: %+v, want %+v", c.err, c.err, c.served, got, c.want)
		}
	}
}

// Pauses double up to what the verdict allows, are never less than half of that, and begin anew with a new trouble. A source that
// is away for long is asked again soon after it is back, whatever the pauses were before.
func TestPauses(t *testing.T) {
	soon, seldom := verdict{pause: soonPause}, verdict{pause: seldomPause}
	var b backoff
	expect := func(v verdict, fresh bool, longest time.Duration) {
		t.Helper()
		if got := b.next(v, fresh); got < longest/2 || got > longest {
			t.Errorf("a pause of %s, want %s to %s", got, longest/2, longest)
		}
	}
	for _, longest := range []time.Duration{100, 200, 400, 800, 1000, 1000, 1000} {
		expect(soon, false, longest*time.Millisecond)
	}
	for _, longest := range []time.Duration{2, 4, 8, 16, 30, 30} {
		expect(seldom, false, longest*time.Second)
	}
	expect(soon, false, time.Second)
	expect(seldom, true, 100*time.Millisecond)
}

// A source that is silent again and again gets twice as long each time, in sessions between which others may have failed for
// other reasons, and up to an hour. Once WAL has come for a good while, the next silence is noticed as soon as the first one.
func TestSilenceIsAllowedForTwiceAsLongUntilWALComes(t *testing.T) {
	s := silence{first: 15 * time.Second}
	for i, c := range []struct {
		silent bool
		flowed time.Duration
		want   time.Duration // allowed to the next session
	}{
		{false, 0, 15 * time.Second},
		{true, 0, 30 * time.Second},
		{true, settled, time.Minute},
		{false, 0, time.Minute}, // Kafka was away: the transaction that takes so long is still to come
		{true, 0, 2 * time.Minute},
		{false, settled + 1, 15 * time.Second},
		{true, 0, 30 * time.Second},
		{true, 0, time.Minute},
		{true, time.Hour, 30 * time.Second}, // the first silence after a good while, however many there were before it
		{true, 0, time.Minute}, {true, 0, 2 * time.Minute}, {true, 0, 4 * time.Minute}, {true, 0, 8 * time.Minute},
		{true, 0, 16 * time.Minute}, {true, 0, 32 * time.Minute}, {true, 0, time.Hour}, {true, 0, time.Hour},
	} {
		if s.next(c.silent, c.flowed); s.allowed() != c.want {
			t.Errorf("session %d, silent %v after %s of WAL: %s is allowed, want %s", i, c.silent, c.flowed, s.allowed(), c.want)
		}
	}
}

// A read of keepalives alone is no WAL.
func TestFlowIsOfWALAlone(t *testing.T) {
	var f flow
	began := time.Now()
	for second, wal := range []bool{false, false, true, false, true, true, false, false} {
		f.read(began.Add(time.Duration(second) * time.Second))
		if wal {
			f.wal()
			f.wal()
		}
	}
	if f.lasted() != 3*time.Second {
		t.Errorf("WAL came for %s, want 3s", f.lasted())
	}
}
