package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/livedb/livedb/internal/kafka"
)

// drawStory draws a stream of some Kafka transactions that hold whole transactions and parts of split ones.
func drawStory(t *testing.T, r *rapid.T) *story {
	s, id := newStory(t), 0
	draw := func() (events []doing) {
		for range rapid.IntRange(1, 5).Draw(r, "events") {
			switch op := rapid.SampledFrom([]string{"c", "c", "u", "d", "t"}).Draw(r, "op"); op {
			case "c":
				id++
				events = append(events, doing{op, "a", id})
			default:
				events = append(events, doing{op, rapid.SampledFrom([]string{"a", "b"}).Draw(r, "table"), rapid.IntRange(1, 20).Draw(r, "id")})
			}
		}
		return events
	}
	for range rapid.IntRange(2, 8).Draw(r, "kafka transactions") {
		var parts []part
		for range rapid.IntRange(1, 3).Draw(r, "parts") {
			parts = append(parts, part{events: draw()})
		}
		parts[len(parts)-1].goesOn = rapid.Bool().Draw(r, "goes on")
		s.write(parts...)
	}
	if s.open != nil {
		s.write(part{events: draw()})
	}
	return s
}

// Whatever the stream, it is proven as it stands, and also when it is judged bit by bit. With one fault planted anywhere,
// the fault is found where it is and nothing else is.
func TestOneFaultIsOneFinding(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := drawStory(t, r)
		for _, report := range []*StreamReport{s.audit(), s.bitByBit()} {
			if !report.OK() || report.To != s.seq || report.Events != s.seq {
				r.Fatalf("a stream of %d events without a fault: %d judged up to seq %d, %v", s.seq, report.Events, report.To, report.Findings)
			}
		}
		at, i := s.anEvent(r)
		e := s.decoded(at, i)
		want := s.plant(r, at, i)
		report := s.audit()
		if report.Faults() != 1 || len(report.Findings) != 1 {
			r.Fatalf("%s of seq %d: %v", want, e.seq, report.Findings)
		}
		f := report.Findings[0]
		if f.Kind != want || f.Seq != e.seq || f.Position != e.position {
			r.Fatalf("%s of seq %d at %s: %v", want, e.seq, e.position, f)
		}
	})
}

// bitByBit judges the story in rounds, one for each checkpoint.
func (s *story) bitByBit() *StreamReport {
	a := s.auditor()
	for seq := range s.seq + 1 {
		if slices.Contains(s.ends, seq) {
			a.on(seq)
		}
	}
	return &a.report
}

// anEvent draws an event's place.
func (s *story) anEvent(r *rapid.T) (place, int) {
	var all []string
	places := map[string]place{}
	numbers := map[string]int{}
	for at, log := range s.logs {
		for i := range log {
			if at.topic != "s.transaction" && at.topic != "s.checkpoint" && log[i].Value != nil {
				name := fmt.Sprint(at, i)
				all, places[name], numbers[name] = append(all, name), at, i
			}
		}
	}
	slices.Sort(all)
	name := rapid.SampledFrom(all).Draw(r, "event")
	return places[name], numbers[name]
}

// decoded is an event as the judge reads it.
func (s *story) decoded(at place, i int) *event {
	j := newJudge(&StreamReport{}, "s", nil)
	return j.newPartition(at, false, nil).decode(&s.logs[at][i])
}

// plant plants a fault at an event and returns what it must be called.
func (s *story) plant(r *rapid.T, at place, i int) Kind {
	s.logs = maps.Clone(s.logs)
	log := slices.Clone(s.logs[at])
	record := log[i]
	deleted := i+1 < len(log) && log[i+1].Value == nil
	switch kind := rapid.SampledFrom([]Kind{Missing, Duplicated, Disordered, Altered}).Draw(r, "fault"); {
	case kind == Missing && deleted: // the tombstone is lost: without it the delete is called incomplete
		s.logs[at] = slices.Delete(log, i+1, i+2)
		return Missing
	case kind == Missing:
		s.logs[at] = slices.Delete(log, i, i+1)
		return Missing
	case kind == Disordered && i+1 < len(log) && !deleted && (i+2 == len(log) || log[i+2].Value != nil):
		log[i], log[i+1] = log[i+1], log[i]
		s.logs[at] = log
		return Disordered
	case kind == Duplicated && !deleted:
		s.logs[at] = append(log, kafka.Record{Offset: log[len(log)-1].Offset + 2, Key: record.Key, Value: record.Value, Headers: record.Headers})
		return Duplicated
	default:
		s.logs[at] = log
		s.replace(at, i, `"epoch":1`, `"epoch":7`)
		return Altered
	}
}

// However a log is torn apart, the audit comes to its end, and it never calls proven what is not what was written.
func TestNoBrokenLogIsProven(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := drawStory(t, r)
		written := maps.Clone(s.logs)
		for range rapid.IntRange(1, 6).Draw(r, "faults") {
			s.tear(r)
		}
		report := s.audit()
		if !report.OK() {
			if len(report.Findings) == 0 || len(report.Findings) > maxFindings {
				r.Fatalf("%d findings of %d faults", len(report.Findings), report.Faults())
			}
			return
		}
		for at, log := range written {
			same := slices.EqualFunc(log, s.logs[at], func(a, b kafka.Record) bool {
				return string(a.Key) == string(b.Key) && string(a.Value) == string(b.Value) && (a.Value == nil) == (b.Value == nil)
			})
			if !same && at != checkpoint { // compaction may have taken a checkpoint
				r.Fatalf("%v is not what was written, and is called proven", at)
			}
		}
	})
}

// tear takes out, doubles or swaps records of any topic.
func (s *story) tear(r *rapid.T) {
	places := slices.SortedFunc(maps.Keys(s.logs), func(a, b place) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	at := rapid.SampledFrom(places).Draw(r, "partition")
	log := slices.Clone(s.logs[at])
	if len(log) == 0 {
		return
	}
	i := rapid.IntRange(0, len(log)-1).Draw(r, "record")
	switch rapid.IntRange(0, 2).Draw(r, "fault") {
	case 0:
		log = slices.Delete(log, i, i+1)
	case 1:
		log = slices.Insert(log, rapid.IntRange(0, len(log)).Draw(r, "to"), log[i])
	case 2:
		k := rapid.IntRange(0, len(log)-1).Draw(r, "other")
		log[i], log[k] = log[k], log[i]
	}
	s.logs = maps.Clone(s.logs)
	s.logs[at] = log
}

// The judge alone, without Kafka: what an audit of a long stream costs at least.
func BenchmarkJudge(b *testing.B) {
	s := newStory(&testing.T{})
	for i := range 1000 {
		s.tx(insert(4*i, 4*i+1, 4*i+2, 4*i+3), update(i), remove(4*i))
	}
	b.ReportAllocs()
	for b.Loop() {
		if r := s.audit(); !r.OK() {
			b.Fatal(r.Findings)
		}
	}
	b.ReportMetric(float64(s.seq)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
