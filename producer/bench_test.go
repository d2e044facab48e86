package producer

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
)

// steady is an assembler that has met its table and whose batch has grown to its size: what a stream is after a moment.
type steady struct {
	*Assembler
	batch   *Batch
	changes []*cdc.Change
	commit  cdc.CommitLSN
}

func newSteady(tb testing.TB, rows int) *steady {
	tb.Helper()
	s := &steady{Assembler: assemble(start()), batch: &Batch{}, commit: 0x200}
	for i := range rows {
		s.changes = append(s.changes, insert(orders, fmt.Sprint(i), "a note of some length, as people write them"))
	}
	s.Use(s.batch)
	for range 2 {
		s.transaction(tb)
		s.Seal(time.UnixMicro(1))
		s.Use(s.batch)
	}
	return s
}

// transaction feeds one of all changes.
func (s *steady) transaction(tb testing.TB) {
	s.commit += 0x100
	t := cdc.Transaction{XID: uint32(s.commit), Commit: s.commit, Time: time.UnixMicro(1)}
	must(tb, s.Begin(t))
	for _, c := range s.changes {
		must(tb, s.Change(c))
	}
	t.End = cdc.EndLSN(s.commit + 0x30)
	must(tb, s.Commit(t))
}

// Nothing is allocated from a change to its record's bytes; CI holds this in place of a time.
func TestAnEventAllocatesNothing(t *testing.T) {
	s := newSteady(t, 1000)
	if n := testing.AllocsPerRun(20, func() {
		s.Use(s.batch)
		s.transaction(t)
		s.batch.order()
	}); n > 0 {
		t.Errorf("a transaction of %d events allocates %.1f times", len(s.changes), n)
	}
}

func BenchmarkAssembler(b *testing.B) {
	for _, rows := range []int{1, 100} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			s := newSteady(b, rows)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if n%(1000/rows) == 0 {
					s.Use(s.batch)
				}
				s.transaction(b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/event")
		})
	}
}

func BenchmarkPartition(b *testing.B) {
	key := []byte(`{"id":10482913}`)
	b.ReportAllocs()
	for b.Loop() {
		partition(key, 16)
	}
}

// What each Kafka transaction writes beside its events.
func BenchmarkCheckpoint(b *testing.B) {
	s := newSteady(b, 100)
	s.transaction(b)
	checkpoint := s.Seal(time.Now()).checkpoint
	text, err := json.Marshal(checkpoint)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(checkpoint); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var c Checkpoint
			if err := json.Unmarshal(text, &c); err != nil {
				b.Fatal(err)
			}
		}
	})
}
