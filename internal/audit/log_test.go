package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// story writes a stream into slices, as the producer would write it to Kafka.
type story struct {
	t     *testing.T
	logs  map[place][]kafka.Record
	seq   uint64
	lsn   cdc.LSN
	xid   uint32
	index uint64 // of the last event of the open transaction
	saved producer.Checkpoint
	ends  []uint64                   // the seqs of the checkpoints
	cut   map[place]bool             // by retention
	open  *envelope.TransactionEntry // the transaction that goes on in the next Kafka transaction
}

// doing is one event: an op, a table and a row's id.
type doing struct {
	op    string
	table string
	id    int
}

// part is a Postgres transaction in a Kafka transaction, or a part of one that is split.
type part struct {
	events []doing
	goesOn bool // in the next Kafka transaction
}

const testPartitions = 2

func newStory(t *testing.T) *story {
	s := &story{t: t, logs: map[place][]kafka.Record{}, cut: map[place]bool{}, lsn: 0x1000, xid: 700}
	s.saved = producer.Checkpoint{Version: 1, Epoch: 1, State: producer.Streaming, End: 0x1000, AckedUpto: 0x1000}
	for _, table := range []string{"a", "b"} {
		for p := range int32(testPartitions) {
			s.logs[place{"s.public." + table, p}] = nil
		}
	}
	s.logs[place{"s.truncate", 0}] = nil
	s.checkpoint(nil)
	return s
}

// insert, update and remove are events of table a, by the row's id.
func insert(ids ...int) []doing { return doings("c", "a", ids) }
func update(ids ...int) []doing { return doings("u", "b", ids) }
func remove(ids ...int) []doing { return doings("d", "a", ids) }

func doings(op, table string, ids []int) []doing {
	var all []doing
	for _, id := range ids {
		all = append(all, doing{op, table, id})
	}
	return all
}

// tx is a Kafka transaction that holds one Postgres transaction.
func (s *story) tx(events ...[]doing) { s.write(part{events: slices.Concat(events...)}) }

// write writes a Kafka transaction.
func (s *story) write(parts ...part) {
	record := envelope.TransactionRecord{Version: 1, Epoch: s.saved.Epoch}
	touched := map[string]map[int32]uint64{}
	for _, p := range parts {
		e := s.begin()
		counts := map[string]uint64{}
		for _, d := range p.events {
			topic, partition := s.event(e, d)
			if touched[topic] == nil {
				touched[topic] = map[int32]uint64{}
			}
			touched[topic][partition] = s.seq
			counts[topic]++
		}
		s.end(e, p.goesOn)
		for _, topic := range slices.Sorted(maps.Keys(counts)) {
			i := slices.Index(record.Topics, topic)
			if i < 0 {
				i = len(record.Topics)
				record.Topics = append(record.Topics, topic)
			}
			e.Counts = append(e.Counts, envelope.TopicCount{Topic: i, Events: counts[topic]})
		}
		record.Entries = append(record.Entries, *e)
	}
	value, err := json.Marshal(record)
	if err != nil {
		s.t.Fatal(err)
	}
	s.append(place{"s.transaction", 0}, kafka.Record{Value: value})
	s.checkpoint(touched)
}

func (s *story) begin() *envelope.TransactionEntry {
	if s.open != nil {
		e := &envelope.TransactionEntry{XID: s.open.XID, Commit: s.open.Commit, TimeUS: s.open.TimeUS, First: s.seq + 1}
		return e
	}
	s.lsn, s.xid, s.index = s.lsn+0x100, s.xid+1, 0
	return &envelope.TransactionEntry{XID: s.xid, Commit: cdc.CommitLSN(s.lsn), TimeUS: int64(s.lsn), First: s.seq + 1, Starts: true}
}

func (s *story) end(e *envelope.TransactionEntry, goesOn bool) {
	e.Last, s.open, s.saved.Seq = s.seq, nil, s.seq
	if goesOn {
		s.open = e
		s.saved.Partial = &producer.Partial{Commit: e.Commit, XID: e.XID, EventsDone: s.index}
		return
	}
	e.Ends, e.End = true, cdc.EndLSN(e.Commit+0x20)
	s.saved.Partial, s.saved.Commit, s.saved.End, s.saved.XID, s.saved.Index = nil, e.Commit, e.End, e.XID, s.index
	s.saved.AckedUpto = cdc.LSN(e.End)
}

// event writes an event and, after a delete, its tombstone.
func (s *story) event(e *envelope.TransactionEntry, d doing) (topic string, partition int32) {
	s.seq++
	s.index++
	row, key := json.RawMessage(fmt.Sprintf(`{"id":%d,"v":"v%d"}`, d.id, s.seq)), fmt.Appendf(nil, `{"id":%d}`, d.id)
	v := envelope.Event{Op: d.op, Before: []byte("null"), After: row, TsUS: 1,
		Source: envelope.Source{Schema: "public", Table: d.table, TxID: e.XID, TsUS: e.TimeUS, Commit: uint64(e.Commit), Seq: s.seq, Epoch: s.saved.Epoch}}
	topic, partition = "s.public."+d.table, int32(d.id%testPartitions)
	switch d.op {
	case "d":
		v.Before, v.After = row, []byte("null")
	case "t":
		v.After, key, topic, partition = []byte("null"), nil, "s.truncate", 0
	}
	value, err := json.Marshal(v)
	if err != nil {
		s.t.Fatal(err)
	}
	r := kafka.Record{Key: key, Value: value, Headers: []*sarama.RecordHeader{
		{Key: []byte(envelope.HeaderSeq), Value: strconv.AppendUint(nil, s.seq, 10)},
		{Key: []byte(envelope.HeaderPosition), Value: []byte(cdc.Position{Commit: e.Commit, Index: s.index}.String())}}}
	if s.saved.Epoch > 1 {
		r.Headers = append(r.Headers, &sarama.RecordHeader{Key: []byte(envelope.HeaderEpoch), Value: strconv.AppendUint(nil, uint64(s.saved.Epoch), 10)})
	}
	s.append(place{topic, partition}, r)
	if d.op == "d" {
		r.Value = nil
		s.append(place{topic, partition}, r)
	}
	return topic, partition
}

// lose ends the epoch, and begins the next one at an lsn.
func (s *story) lose(lsn cdc.LSN, adjust func(*envelope.Gap)) {
	gap := s.saved.Certificate("s", &cdc.Refusal{Name: "slot_missing"})
	adjust(gap)
	was := s.saved
	s.saved = producer.Checkpoint{Version: 1, Epoch: was.Epoch + 1, State: producer.Creating, Gap: gap}
	s.seq, s.index, s.lsn, s.open = 0, 0, lsn, nil
	s.checkpoint(nil)
	gap.To, gap.SourceNow = &envelope.GapTo{LSN: cdc.EndLSN(lsn)}, &envelope.Origin{}
	record := envelope.TransactionRecord{Version: 1, Epoch: s.saved.Epoch, Gap: gap}
	s.append(place{"s.transaction", 0}, kafka.Record{Value: record.Append(nil)})
	s.saved.State, s.saved.End, s.saved.AckedUpto, s.saved.Gap = producer.Streaming, cdc.EndLSN(lsn), lsn, nil
	s.checkpoint(nil)
}

func (s *story) checkpoint(touched map[string]map[int32]uint64) {
	s.ends = append(s.ends, s.saved.Seq)
	c := s.saved
	c.Touched = touched
	value, err := json.Marshal(c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.append(place{"s.checkpoint", 0}, kafka.Record{Key: []byte(keyPosition), Value: value})
}

// append gives the record the next offset; after each, a control record takes one.
func (s *story) append(at place, r kafka.Record) {
	r.Offset, r.Time = int64(2*len(s.logs[at])), time.Unix(0, 0)
	s.logs[at] = append(s.logs[at], r)
}

// replace writes another value in place of text in the values of a partition's record.
func (s *story) replace(at place, i int, old, new string) {
	r := &s.logs[at][i]
	if !strings.Contains(string(r.Value), old) {
		s.t.Fatalf("%s does not hold %q", r.Value, old)
	}
	r.Value = []byte(strings.Replace(string(r.Value), old, new, 1))
}

// remove takes a partition's record out.
func (s *story) remove(at place, i int) { s.logs[at] = slices.Delete(slices.Clone(s.logs[at]), i, i+1) }

// cutBefore takes away the records before an offset, as retention does.
func (s *story) cutBefore(at place, offset int64) {
	s.cut[at] = true
	s.logs[at] = slices.DeleteFunc(slices.Clone(s.logs[at]), func(r kafka.Record) bool { return r.Offset < offset })
}

// pages is a cursor over records.
type pages []kafka.Record

func (p *pages) Next(context.Context) (kafka.Record, bool, error) {
	if len(*p) == 0 {
		return kafka.Record{}, false, nil
	}
	r := (*p)[0]
	*p = (*p)[1:]
	return r, true, nil
}

// audited is a judge of a story, which reads on where it was.
type audited struct {
	*story
	judge  judge
	report StreamReport
}

func (s *story) auditor() *audited {
	a := &audited{story: s}
	a.judge = newJudge(&a.report, "s", func(context.Context, []string) error { return nil })
	for at := range s.logs {
		if at.topic != "s.checkpoint" && at.topic != "s.transaction" {
			a.judge.partitions = append(a.judge.partitions, a.judge.newPartition(at, s.cut[at], nil))
		}
	}
	a.judge.announce.cut = s.cut[place{"s.transaction", 0}]
	return a
}

// on has the judge go on to a seq.
func (a *audited) on(upto uint64) *StreamReport {
	a.t.Helper()
	a.judge.announce.cursor, a.judge.marks.cursor = a.from(transaction, a.judge.announce.at), a.from(checkpoint, a.judge.marks.next)
	for _, p := range a.judge.partitions {
		p.cursor = a.from(place{p.topic, p.number}, p.next)
	}
	if err := a.judge.round(context.Background(), a.saved.Epoch, upto); err != nil {
		a.t.Fatal(err)
	}
	return &a.report
}

// from is a cursor from an offset on.
func (s *story) from(at place, offset int64) cursor {
	p := pages(slices.DeleteFunc(slices.Clone(s.logs[at]), func(r kafka.Record) bool { return r.Offset < offset }))
	return &p
}

// audit judges the whole story.
func (s *story) audit() *StreamReport {
	s.t.Helper()
	return s.auditor().on(s.saved.Seq)
}
