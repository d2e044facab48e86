package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/audit/oracle"
	"github.com/livedb/livedb/internal/kafka"
)

// match holds an event of the log against the WAL's.
func (a *sourceAudit) match(s *walStep, e *logged) error {
	w := &s.event
	topic, err := topicOf(a.topics, w)
	if err != nil {
		return err
	}
	var wrong []string
	wrongf := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if e.from.topic != topic {
		wrongf("the change belongs to topic %s", topic)
	}
	var payload envelope.Event
	if err := json.Unmarshal(e.record.Value, &payload); err != nil {
		wrongf("its value cannot be read: %v", err)
	} else {
		wrong = append(wrong, wrongSource(s, e, &payload)...)
		if w.Op != cdc.Truncate {
			wrong = append(wrong, wrongRow("before", w.Table, w.Before, payload.Before)...)
			wrong = append(wrong, wrongRow("after", w.Table, w.After, payload.After)...)
		}
	}
	wrong = append(wrong, wrongKey("key", w.Table, w.Key, e.record.Key)...)
	old, now := w.OtherKey, w.OtherKey
	if w.Op == cdc.Delete {
		old = nil
	} else {
		now = nil
	}
	wrong = append(wrong, wrongKey("header "+envelope.HeaderOldKey, w.Table, old, header(&e.record, envelope.HeaderOldKey))...)
	wrong = append(wrong, wrongKey("header "+envelope.HeaderNewKey, w.Table, now, header(&e.record, envelope.HeaderNewKey))...)
	if len(wrong) > 0 {
		a.report.Find(e.finding(Altered, "%s", contradictions(wrong)))
	}
	return nil
}

// wrongSource compares what an event tells of its origin.
func wrongSource(s *walStep, e *logged, payload *envelope.Event) (wrong []string) {
	wrongf := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	w, told := &s.event, &payload.Source
	if payload.Op != w.Op.String() {
		wrongf("op is %q and the WAL has %q", payload.Op, w.Op)
	}
	if told.Schema != w.Table.Schema || told.Table != w.Table.Name {
		wrongf("its table is %s.%s and the WAL's %s", told.Schema, told.Table, w.Table)
	}
	if told.TxID != s.tx.XID {
		wrongf("txId is %d and the WAL's %d", told.TxID, s.tx.XID)
	}
	if cdc.CommitLSN(told.Commit) != s.tx.Commit {
		wrongf("commit_lsn is %s", cdc.CommitLSN(told.Commit))
	}
	if cdc.LSN(told.LSN) != w.LSN {
		wrongf("lsn is %s and the WAL's %s", cdc.LSN(told.LSN), w.LSN)
	}
	if told.TsUS != s.tx.Time.UnixMicro() {
		wrongf("its commit time is %d and the WAL's %d", told.TsUS, s.tx.Time.UnixMicro())
	}
	if seq, err := envelope.ParseSeq(header(&e.record, envelope.HeaderSeq)); err != nil || seq != told.Seq {
		wrongf("seq is %d and its header says %q", told.Seq, header(&e.record, envelope.HeaderSeq))
	}
	return wrong
}

// wrongRow compares a row by its hash, and names the columns that differ.
func wrongRow(name string, t *oracle.Table, row cdc.Row, event json.RawMessage) []string {
	absent := len(event) == 0 || string(event) == "null"
	if row == nil || absent {
		if row == nil && absent {
			return nil
		}
		if absent {
			return []string{name + " is null"}
		}
		return []string{name + " is not null"}
	}
	want, err := oracle.ChangeHash(t.Name, t.Columns, row)
	if err != nil {
		return []string{name + ": " + err.Error()}
	}
	got, err := oracle.EventHash(t.Name, t.Columns, event)
	if err == nil && got == want {
		return nil
	}
	columns, columnsErr := oracle.Differences(t.Columns, row, event)
	if columnsErr != nil {
		return []string{name + ": " + columnsErr.Error()}
	}
	return []string{fmt.Sprintf("%s differs, the WAL first: %s", name, strings.Join(columns, ", "))}
}

// wrongKey compares a key; nil is none.
func wrongKey(name string, t *oracle.Table, key cdc.Row, got []byte) []string {
	if key == nil || got == nil {
		if key == nil && got == nil {
			return nil
		}
		if got == nil {
			return []string{"it has no " + name}
		}
		return []string{fmt.Sprintf("its %s is %s and should not be", name, got)}
	}
	columns := t.KeyColumns()
	want, err := oracle.ChangeHash(t.Name, columns, key)
	if err != nil {
		return []string{name + ": " + err.Error()}
	}
	if hash, err := oracle.EventHash(t.Name, columns, got); err != nil || hash != want {
		return []string{fmt.Sprintf("its %s %s is not the row's", name, got)}
	}
	return nil
}

// topicOf names the topic of the WAL's event.
func topicOf(topics envelope.Topics, w *oracle.Event) (string, error) {
	if w.Op == cdc.Truncate {
		return topics.Truncate(), nil
	}
	return topics.Table(w.Table.Schema, w.Table.Name)
}

// keyText writes a key for people.
func keyText(w *oracle.Event) string {
	if w.Key == nil {
		return ""
	}
	key := map[string]string{}
	for i, c := range w.Table.KeyColumns() {
		key[c.Name] = string(w.Key[i].Text)
	}
	text, _ := json.Marshal(key) // strings always marshal
	return string(text)
}

// entryLog reads <prefix>.transaction, and puts the parts of a transaction together.
type entryLog struct {
	log     logPartition
	from    cdc.CommitLSN // of the transactions to yield, both included
	upto    cdc.CommitLSN
	found   *Verdict
	trimmed cdc.CommitLSN // retention removed what came before it; 0: nothing
	epoch   uint32        // of the records to read

	offset  int64 // of the record in hand
	entries []envelope.TransactionEntry
	head    *told
	last    cdc.CommitLSN // the last one taken
}

// told is a transaction as its records tell of it.
type told struct {
	envelope.TransactionEntry
	events uint64
	offset int64
}

func openEntryLog(client sarama.Client, topic string, epoch uint32, from, upto cdc.CommitLSN, found *Verdict) (*entryLog, error) {
	scan, err := kafka.OpenScan(client, topic, 0, sarama.OffsetOldest)
	if err != nil {
		return nil, err
	}
	o := &entryLog{log: logPartition{topic: topic, client: client, scan: scan, target: scan.HighWater()}, epoch: epoch, from: from, upto: upto, found: found}
	if scan.Start() > 0 {
		o.trimmed = math.MaxUint64 // until its first record is seen
	}
	return o, nil
}

// peek returns the next transaction in reach, nil at the end.
func (o *entryLog) peek(ctx context.Context) (*told, error) {
	for o.head == nil {
		e, err := o.entry(ctx)
		if err != nil || e == nil {
			return nil, err
		}
		if e.Commit < o.from || e.Commit > o.upto {
			continue
		}
		t := &told{*e, e.Last - e.First + 1, o.offset}
		for !t.Ends {
			if e, err = o.entry(ctx); err != nil {
				return nil, err
			}
			if e == nil || e.Commit != t.Commit || e.Starts {
				o.find(t, Missing, "the records do not tell of the end of transaction %d", t.XID)
				if e != nil {
					o.entries = append([]envelope.TransactionEntry{*e}, o.entries...)
				}
				break
			}
			t.events += e.Last - e.First + 1
			t.Ends, t.End, t.Last = e.Ends, e.End, e.Last
		}
		o.head = t
	}
	return o.head, nil
}

// entry returns the next entry, nil at the end.
func (o *entryLog) entry(ctx context.Context) (*envelope.TransactionEntry, error) {
	for len(o.entries) == 0 {
		r, more, err := o.log.next(ctx)
		if err != nil || !more {
			return nil, err
		}
		o.offset = r.Offset
		record, err := envelope.ParseTransaction(r.Value)
		if err != nil {
			o.found.Find(Finding{Kind: Altered, Topic: o.log.topic, Offset: r.Offset, Text: err.Error()})
			continue
		}
		if record.Epoch != o.epoch {
			if o.trimmed == math.MaxUint64 && record.Epoch < o.epoch {
				o.trimmed = 0
			}
			continue
		}
		o.entries = record.Entries
		if o.trimmed == math.MaxUint64 && len(o.entries) > 0 {
			o.trimmed = o.entries[0].Commit
		}
	}
	e := o.entries[0]
	o.entries = o.entries[1:]
	return &e, nil
}

func (o *entryLog) find(t *told, kind Kind, format string, args ...any) {
	o.found.Find(Finding{Kind: kind, Position: cdc.Position{Commit: t.Commit}, Seq: t.First, Topic: o.log.topic, Offset: t.offset, Text: fmt.Sprintf(format, args...)})
}

// match holds the WAL's transaction against the records.
func (o *entryLog) match(ctx context.Context, s *walStep) error {
	t, err := o.peek(ctx)
	for ; err == nil && t != nil && t.Commit < s.tx.Commit; t, err = o.peek(ctx) {
		o.stray(t)
	}
	if err != nil {
		return err
	}
	if t == nil || t.Commit > s.tx.Commit {
		if s.tx.Commit > o.trimmed || o.trimmed == 0 {
			o.found.Find(Finding{Kind: Missing, Position: cdc.Position{Commit: s.tx.Commit}, Topic: o.log.topic, Offset: -1,
				Text: fmt.Sprintf("no record tells of transaction %d with %d events", s.tx.XID, s.events)})
		}
		return nil
	}
	o.head, o.last = nil, t.Commit
	var wrong []string
	wrongf := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if t.XID != s.tx.XID {
		wrongf("it says transaction %d and the WAL %d", t.XID, s.tx.XID)
	}
	if t.End != s.tx.End {
		wrongf("it says end_lsn %s and the WAL %s", t.End, s.tx.End)
	}
	if !t.Time().Equal(s.tx.Time) {
		wrongf("it says commit time %s and the WAL %s", t.Time(), s.tx.Time.UTC())
	}
	if t.events != s.events {
		wrongf("it counts %d events and the WAL %d", t.events, s.events)
	}
	if len(wrong) > 0 {
		o.find(t, Altered, "%s", contradictions(wrong))
	}
	return nil
}

// stray reports a transaction that the WAL does not have. The chunks of a snapshot take the commit LSN of the transaction
// before them.
func (o *entryLog) stray(t *told) {
	o.head = nil
	if t.Commit != o.last {
		o.find(t, Duplicated, "the source's WAL has no transaction %d here", t.XID)
	}
}

// rest reports what the records tell of beyond the WAL.
func (o *entryLog) rest(ctx context.Context) error {
	for {
		t, err := o.peek(ctx)
		if err != nil || t == nil {
			return err
		}
		o.stray(t)
	}
}
