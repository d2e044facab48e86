package ui

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/processor"
)

// largeValue is the size above which an event is cut down at once instead of when a page asks for it, so that the
// ring's memory stays bounded whatever the rows' size.
const largeValue = 32 << 10

// entry is one event as the ring holds it, or the gap left by events that the dashboard did not read. It does not
// change once it is in the ring.
type entry struct {
	place uint64 // in the ring
	total uint64 // events up to and with this one

	epoch     uint32
	seq       uint64
	position  cdc.Position
	xid       uint32
	commit    time.Time
	topic     string
	partition int32
	offset    int64
	table     string
	op        cdc.Op

	key   []byte
	value []byte // nil for a large event: then only row is kept

	row atomic.Pointer[[]byte] // the JSON that pages get, made when the first page asks
	gap *gap
}

// gap stands in place of events that are not shown.
type gap struct {
	Missed uint64 `json:"missed"` // 0 if nobody knows how many
	Why    string `json:"why"`
	Lost   *lost  `json:"lost,omitempty"` // of whyEpoch
}

// lost is what the stream's certificate says: the dashboard has shown all that there is, and that is not all.
type lost struct {
	Epoch  uint32 `json:"epoch"` // that began with the gap
	From   string `json:"from_lsn"`
	To     string `json:"to_lsn"`
	TimeUS int64  `json:"ts_us"` // when it began, microseconds since 1970
	Why    string `json:"why"`
}

// Why events are not shown.
const (
	whyReader    = "reader"    // the dashboard's reader began again, after an error or after Kafka was away
	whyReconnect = "reconnect" // this page was away, longer than the ring reaches back
	whyRestart   = "restart"   // the stream began again: its numbers are new
	whyEpoch     = "epoch"     // the stream itself has lost changes, and began a new epoch
)

// newEntry makes what the ring keeps of an event. Key and value are the reader's: it has copied them into small blocks.
func newEntry(prefix string, i *processor.Item) *entry {
	e := &entry{
		epoch: i.Tx.Epoch, seq: i.Seq, position: i.Position, xid: i.Tx.XID, commit: i.Tx.Time,
		topic: i.Topic, partition: i.Partition, offset: i.Offset,
		op: opOf(i.Value), table: tableOf(prefix, i.Topic, i.Value), key: i.Key,
	}
	if len(i.Value) > largeValue {
		row := e.encode(i.Value)
		e.row.Store(&row)
		return e
	}
	e.value = i.Value
	return e
}

func (e *entry) weight() uint64 {
	if e.gap != nil {
		return e.gap.Missed
	}
	return 1
}

func (e *entry) size() int {
	n := len(e.key) + len(e.value) + 256
	if e.value == nil {
		if row := e.row.Load(); row != nil {
			n += len(*row)
		}
	}
	return n
}

// opOf finds the operation, as a rule without parsing.
func opOf(value []byte) cdc.Op {
	if op := envelope.LastOp(value); op != 0 {
		return op
	}
	if e, err := envelope.ParseEvent(value); err == nil {
		return e.Kind()
	}
	return '?'
}

// tableOf returns schema.table. Only events that share a topic across tables are parsed for it.
func tableOf(prefix, topic string, value []byte) string {
	if len(topic) <= len(prefix)+1 {
		return topic
	}
	table := topic[len(prefix)+1:]
	if strings.IndexByte(table, '.') < 0 { // truncate or message
		if e, err := envelope.ParseEvent(value); err == nil && e.Source.Table != "" {
			return e.Source.Schema + "." + e.Source.Table
		}
	}
	return table
}

// rowJSON is an event as the page gets it. Rows travel as text, not as objects: the page parses only what it draws,
// and numbers keep all their digits.
type rowJSON struct {
	Op       string  `json:"op"`
	Table    string  `json:"table"`
	Key      *string `json:"key"`
	Before   *string `json:"before"`
	After    *string `json:"after"`
	Cut      bool    `json:"cut,omitempty"` // values are shortened
	Position string  `json:"pos"`
	Seq      uint64  `json:"seq"`
	Epoch    uint32  `json:"epoch"`
	XID      uint32  `json:"xid"`
	TimeUS   int64   `json:"ts_us"` // commit time
	Topic    string  `json:"topic"`
	Part     int32   `json:"partition"`
	Offset   int64   `json:"offset"`
}

// json returns the row or gap as pages get it. It is made once, for all pages.
func (e *entry) json() []byte {
	if e.gap != nil {
		b, _ := json.Marshal(struct {
			Gap *gap `json:"gap"`
		}{e.gap}) // a struct of a number and a string never fails
		return b
	}
	if row := e.row.Load(); row != nil {
		return *row
	}
	row := e.encode(e.value)
	e.row.Store(&row)
	return row
}

func (e *entry) encode(value []byte) []byte {
	row := rowJSON{Op: e.op.String(), Table: e.table, Position: e.position.String(), Seq: e.seq, Epoch: e.epoch, XID: e.xid,
		TimeUS: e.commit.UnixMicro(), Topic: e.topic, Part: e.partition, Offset: e.offset}
	if e.key != nil {
		row.Key = text(cut(e.key, &row.Cut))
	}
	event, err := envelope.ParseEvent(value)
	if err != nil {
		// The reader vouches for seq and position only. What it cannot read is shown as it is.
		event = envelope.Event{After: value}
	}
	row.Before, row.After = text(cut(event.Before, &row.Cut)), text(cut(event.After, &row.Cut))

	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(row) // strings and numbers never fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func text(raw []byte) *string {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	s := string(raw)
	return &s
}

// mark is where a page was when it lost its connection: the last event it was shown.
type mark struct {
	position cdc.Position
	epoch    uint32 // 0 and seq 0 if only the position is known
	seq      uint64
}

func (m *mark) is(e *entry) bool {
	return e.gap == nil && e.position == m.position && (m.epoch == 0 || m.epoch == e.epoch) && (m.seq == 0 || m.seq == e.seq)
}

// gapTo returns the gap between the mark and the event, nil if there is none.
func (m *mark) gapTo(e *entry) *gap {
	switch {
	case m.seq == 0:
		return &gap{Missed: 0, Why: whyReconnect}
	case m.epoch != e.epoch || e.seq <= m.seq:
		return &gap{Missed: 0, Why: whyRestart}
	case e.seq == m.seq+1:
		return nil
	}
	return &gap{Missed: e.seq - m.seq - 1, Why: whyReconnect}
}

// parseMark reads a mark from what a page sends: a position, and the epoch and seq if it knows them.
func parseMark(position, epoch, seq string) *mark {
	p, err := cdc.ParsePosition(position)
	if err != nil {
		return nil
	}
	m := &mark{position: p}
	e, err := strconv.ParseUint(epoch, 10, 32)
	if err != nil {
		return m
	}
	s, err := strconv.ParseUint(seq, 10, 64)
	if err != nil {
		return m
	}
	m.epoch, m.seq = uint32(e), s
	return m
}
