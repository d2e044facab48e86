package audit

import (
	"slices"
	"testing"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// twice is a stream that lost its slot after 0/1700, seq 16, and went on in a second epoch, there with lower LSNs.
func twice(t *testing.T, adjust func(*envelope.Gap)) *story {
	s := shopping(t)
	s.lose(0x900, adjust)
	s.tx(update(1, 3), insert(20)) // 0/A00: seq 1 to 3
	s.tx(remove(20))               // 0/B00: 4
	return s
}

func asItIs(*envelope.Gap) {}

func TestACertifiedGapIsNoFault(t *testing.T) {
	s := twice(t, asItIs)
	r := s.audit()
	named(t, r)
	if len(r.Gaps) != 1 || r.Gaps[0].From.Seq != 16 || r.From != 1 || r.To != 4 || r.Events != 20 || r.Checkpoints != 11 || r.Tombstones != 2 {
		t.Errorf("seq %d to %d, %d events, %d tombstones, %d checkpoints, gaps %v", r.From, r.To, r.Events, r.Tombstones, r.Checkpoints, r.Gaps)
	}
}

// The beginning of the epoch is seen in one round and its events in later ones.
func TestAnEpochIsFollowed(t *testing.T) {
	s := shopping(t)
	a := s.auditor()
	named(t, a.on(16))
	s.lose(0x900, asItIs)
	named(t, a.on(0))
	for range 3 {
		s.tx(update(1, 3))
		named(t, a.on(s.saved.Seq))
	}
	s.lose(0x3000, asItIs)
	s.tx(update(5))
	named(t, a.on(1))
	if len(a.report.Gaps) != 2 || a.report.Events != 16+6+1 {
		t.Errorf("%d events, gaps %v", a.report.Events, a.report.Gaps)
	}
}

// A transaction that the gap cuts in two is torn only where the certificate does not tell of it.
func TestAGapMayCutATransactionInTwo(t *testing.T) {
	for _, told := range []bool{true, false} {
		s := newStory(t)
		s.tx(insert(1))
		s.write(part{events: update(1, 3), goesOn: true})
		s.lose(0x900, func(g *envelope.Gap) { g.From.Partial = told })
		s.tx(update(5))
		if told {
			named(t, s.audit())
		} else {
			named(t, s.audit(), "torn 0/1200:2 3 transaction")
		}
	}
}

func TestAnEpochThatIsNotAsCertifiedIsFound(t *testing.T) {
	for _, c := range []struct {
		name   string
		adjust func(*envelope.Gap)
		harm   func(*story)
		want   []string
	}{
		{"less than there was", func(g *envelope.Gap) { g.From.Seq = 15 }, nil, []string{"altered 0/0:0 16 transaction"}},
		{"more than there was", func(g *envelope.Gap) { g.From.Seq = 18 }, nil, []string{"missing 0/0:0 17 transaction", "missing 0/0:0 17", "missing 0/0:0 18"}},
		{"an event of the old epoch is lost", asItIs, func(s *story) { s.remove(oddA, len(s.logs[oddA])-1) }, []string{"missing 0/1700:1 16 public.a"}},
		{"an event of the new epoch is lost", asItIs, func(s *story) { s.remove(oddB, len(s.logs[oddB])-2) }, []string{"missing 0/A00:1 1 public.b"}},
		{"no certificate", asItIs, func(s *story) {
			s.logs[transaction] = slices.DeleteFunc(slices.Clone(s.logs[transaction]), func(r kafka.Record) bool {
				parsed, err := envelope.ParseTransaction(r.Value)
				return err == nil && parsed.Gap != nil
			})
		}, []string{"missing 0/0:0 0 transaction"}},
		{"an old event behind a new one", asItIs, func(s *story) {
			log := s.logs[oddB]
			again := log[0]
			again.Offset = log[len(log)-1].Offset + 2
			s.logs[oddB] = append(slices.Clone(log), again)
		}, []string{`reordered 0/1100:4 4 public.b {"id":1}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := twice(t, c.adjust)
			if c.harm != nil {
				c.harm(s)
			}
			named(t, s.audit(), c.want...)
		})
	}
}

// Retention took the old epoch, or a part of it that nobody can bound: judging begins with the new one.
func TestRetentionMayTakeAnEpoch(t *testing.T) {
	for _, c := range []struct {
		name string
		cut  func(s *story)
		from uint64
	}{
		{"all of its order", func(s *story) { s.cutBefore(transaction, 12) }, 1},
		// What stood before the first event that is left may have been of the new epoch too.
		{"a partition's events", func(s *story) { s.cutBefore(oddB, s.logs[oddB][len(s.logs[oddB])-2].Offset) }, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := twice(t, asItIs)
			c.cut(s)
			r := s.audit()
			named(t, r)
			if r.From != c.from || r.To != 4 || r.Events != 5-c.from || len(r.Gaps) != 1 {
				t.Errorf("seq %d to %d, %d events, gaps %v", r.From, r.To, r.Events, r.Gaps)
			}
		})
	}
}
