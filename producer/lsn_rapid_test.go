package producer

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/metrics"
)

// server is a source as far as its LSNs go, and the Kafka behind the stream.
type server struct {
	rt        *rapid.T // draws
	wal       []entry
	end       cdc.LSN
	confirmed cdc.LSN // of the slot
	persisted cdc.LSN // what that falls back to in a crash

	checkpoint Checkpoint // as committed
	delivered  []string   // likewise: seq and position of each event
}

// entry is a piece of WAL: a commit, or something that the stream does not see, such as a message outside of transactions. Most
// begin where the one before ends, so that the commit LSN of a transaction is the end of the one before, and the LSN of a
// keepalive or a message.
type entry struct {
	from, to cdc.LSN
	tx       *transaction // nil: not of the stream
}

// errCut is the end of a session: a kill, a crash of the source, or a Kafka transaction of which nobody knows.
var errCut = errors.New("cut")

func drawServer(rt *rapid.T) *server {
	s := &server{rt: rt, checkpoint: start(), end: 0x100, confirmed: 0x100, persisted: 0x100}
	for xid := range rapid.IntRange(1, 8).Draw(rt, "entries") {
		if rapid.IntRange(0, 3).Draw(rt, "gap") == 0 {
			s.end += 8
		}
		e := entry{from: s.end, to: s.end + 0x10}
		if rapid.IntRange(0, 2).Draw(rt, "of the stream") > 0 {
			x := tx(uint32(xid+1), cdc.CommitLSN(e.from))
			for i := range rapid.IntRange(1, 5).Draw(rt, "changes") {
				if x.changes = append(x.changes, insert(logs, fmt.Sprint(i))); i%2 == 1 {
					x.changes[i] = remove(orders, fmt.Sprint(i), "a")
				}
			}
			e.tx = &x
		}
		s.wal, s.end = append(s.wal, e), e.to
	}
	return s
}

// session streams from the last checkpoint to the end of the WAL, unless something cuts it short.
func (s *server) session(faults bool) error {
	if err := s.checkpoint.Check(s.checkpoint.Source, s.confirmed, s.end); err != nil {
		return fmt.Errorf("the start refuses: %w", err)
	}
	begin := max(cdc.LSN(s.checkpoint.End), s.confirmed) // a start below the slot is forwarded without a word
	limits := Limits{Events: rapid.IntRange(1, 6).Draw(s.rt, "events of a batch"), Heartbeat: time.Nanosecond}
	write := func(b *Batch) error { return s.commit(b, faults) }
	w := NewSinkWriter(assemble(s.checkpoint), write, limits, metrics.NewCDC(prometheus.NewRegistry()), &Progress{})
	for _, e := range s.wal {
		if err := s.between(w, e.from, faults); err != nil {
			return err
		}
		if e.tx == nil || e.from < begin { // sent if the commit record begins there or later
			continue
		}
		if err := s.send(w, e, faults); err != nil {
			return err
		}
	}
	for w.Durable() < s.end { // the stream is idle, and all of the WAL comes to be acknowledged
		if err := errors.Join(w.Quiet(s.end, false), w.Tick(time.Now().Add(time.Second)), s.write(w)); err != nil {
			return err
		}
	}
	return s.status(w)
}

// send sends a transaction. The server has decoded all of it by then, so a keepalive in its middle says its end.
func (s *server) send(w *Writer, e entry, faults bool) error {
	begin := e.tx.Transaction
	begin.End = 0
	steps := []func() error{func() error { return w.Begin(begin) }}
	for _, c := range e.tx.changes {
		steps = append(steps, func() error { return w.Change(c) })
	}
	for _, step := range append(steps, func() error { return w.Commit(e.tx.Transaction) }) {
		for w.Full() != nil { // the stream waits until there is room
			if len(w.queue) == 0 {
				return errors.New("there is no room, and nothing is being written that would make some")
			}
			if err := s.write(w); err != nil {
				return err
			}
		}
		if err := step(); err != nil {
			return err
		}
		if err := s.between(w, e.to, faults); err != nil {
			return err
		}
	}
	return nil
}

// between is what may happen between two messages of the stream. at is how far the server has decoded: a keepalive says so.
func (s *server) between(w *Writer, at cdc.LSN, faults bool) (err error) {
	for err == nil {
		last := 5
		if faults {
			last = 7
		}
		switch rapid.IntRange(0, last).Draw(s.rt, "then") {
		case 0, 1:
			return nil
		case 2:
			err = w.Quiet(at, rapid.Bool().Draw(s.rt, "wanted"))
		case 3:
			err = w.Tick(time.Now().Add(time.Second))
		case 4:
			err = s.write(w)
		case 5:
			if err = s.status(w); rapid.Bool().Draw(s.rt, "persist") {
				s.persisted = s.confirmed
			}
		case 6:
			err = errCut
		case 7:
			s.confirmed, err = s.persisted, errCut
		}
	}
	return err
}

// write has the next batch committed, if there is one, as Write does.
func (s *server) write(w *Writer) error {
	if len(w.queue) == 0 {
		return nil
	}
	b := <-w.queue
	if err := w.commit(b); err != nil {
		return err
	}
	w.free <- b
	return nil
}

// commit is the Kafka transaction of a batch: it may be aborted, or committed while nobody hears of it.
func (s *server) commit(b *Batch, faults bool) error {
	outcome := 0
	if faults {
		outcome = rapid.IntRange(0, 9).Draw(s.rt, "outcome")
	}
	if outcome == 1 {
		return errCut
	}
	text, err := json.Marshal(b.checkpoint)
	if err != nil {
		return err
	}
	s.checkpoint = Checkpoint{}
	err = errors.Join(json.Unmarshal(text, &s.checkpoint), b.Each(func(r *Record) error {
		if r.Value != nil { // no tombstone
			s.delivered = append(s.delivered, fmt.Sprintf("seq %s at %s", r.Seq, r.Position))
		}
		return nil
	}))
	if err == nil && outcome == 2 {
		return errCut
	}
	return err
}

// status tells the slot what is durable, of which the last committed checkpoint must know.
func (s *server) status(w *Writer) error {
	durable := w.Durable()
	if durable > s.checkpoint.AckedUpto {
		return fmt.Errorf("%s is acknowledged and the last checkpoint allows %s", durable, s.checkpoint.AckedUpto)
	}
	s.confirmed = max(s.confirmed, durable)
	return nil
}

// Whatever LSNs are equal, wherever keepalives fall, however often the slot falls back in a crash or forwards a start, and
// wherever a session is cut: no transaction is skipped or repeated, no checkpoint refuses the next start, nothing is acknowledged
// that a committed checkpoint does not know, and an idle stream acknowledges everything.
func TestNoLSNSkipsOrRepeatsATransaction(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawServer(rt)
		for range rapid.IntRange(0, 6).Draw(rt, "sessions that may be cut") {
			if err := s.session(true); err != nil && !errors.Is(err, errCut) {
				rt.Fatal(err)
			}
		}
		if err := s.session(false); err != nil {
			rt.Fatal(err)
		}
		var want []string
		for _, e := range s.wal {
			if e.tx == nil {
				continue
			}
			for i := range e.tx.changes {
				want = append(want, fmt.Sprintf("seq %d at %s", len(want)+1, cdc.Position{Commit: e.tx.Commit, Index: uint64(i + 1)}))
			}
		}
		if diff := cmp.Diff(want, s.delivered); diff != "" {
			rt.Fatalf("events (-want +got):\n%s", diff)
		}
		if s.confirmed != s.end {
			rt.Fatalf("the slot is at %s and the WAL ends at %s", s.confirmed, s.end)
		}
	})
}

// A batch that could not be written ends the session: were the next one tried, its checkpoint would say that the lost one is
// delivered, and the source would forget it.
func TestNothingIsAcknowledgedBehindABatchThatFailed(t *testing.T) {
	failure := errors.New("kafka does not take it")
	tried := 0
	sink := func(*Batch) error {
		if tried++; tried == 2 {
			return failure
		}
		return nil
	}
	w := NewSinkWriter(assemble(start()), sink, Limits{Events: 1}, metrics.NewCDC(prometheus.NewRegistry()), &Progress{})
	for i := range uint32(batches) {
		x := tx(i+1, 0x200+0x10*cdc.CommitLSN(i), insert(logs, "x"))
		must(t, w.Begin(x.Transaction))
		must(t, w.Change(x.changes[0]))
		must(t, w.Commit(x.Transaction))
	}
	w.Drain()
	if err := w.Write(t.Context()); !errors.Is(err, failure) {
		t.Errorf("it ended with %v", err)
	}
	if tried != 2 || w.Durable() != 0x210 {
		t.Errorf("%d of %d batches were tried, and up to %s may be acknowledged", tried, batches, w.Durable())
	}
}
