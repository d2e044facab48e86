package replay

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/livedb/livedb/producer"
)

// lines writes events as NDJSON: one object a line, with the key and the value as they stand on Kafka, byte for byte.
type lines struct {
	id  string
	out *bufio.Writer
	buf []byte
}

func newLines(id string, out io.Writer) *lines {
	return &lines{id: id, out: bufio.NewWriterSize(out, 64<<10)}
}

// write writes a batch, and what is buffered with it.
func (l *lines) write(b *producer.Batch) error {
	if err := b.Each(l.line); err != nil {
		return fmt.Errorf("write the events: %w", err)
	}
	if err := l.out.Flush(); err != nil {
		return fmt.Errorf("write the events: %w", err)
	}
	return nil
}

// line writes an event. A tombstone is left out: the delete before it says the same.
func (l *lines) line(r *producer.Record) error {
	if r.Value == nil {
		return nil
	}
	b := append(l.buf[:0], `{"position":"`...)
	b = append(append(b, r.Position...), `","seq":`...)
	b = append(append(b, r.Seq...), `,"topic":`...)
	b = quoted(b, r.Topic)
	b = strconv.AppendInt(append(b, `,"partition":`...), int64(r.Partition), 10)
	b = member(append(b, `,"key":`...), r.Key)
	if r.OtherKey != nil && r.OtherIsNew {
		b = member(append(b, `,"new_key":`...), r.OtherKey)
	} else if r.OtherKey != nil {
		b = member(append(b, `,"old_key":`...), r.OtherKey)
	}
	b = member(append(b, `,"value":`...), r.Value)
	b = quoted(append(b, `,"replay":`...), l.id)
	l.buf = append(b, "}\n"...)
	_, err := l.out.Write(l.buf)
	return err
}

func member(b, text []byte) []byte {
	if text == nil {
		return append(b, "null"...)
	}
	return append(b, text...)
}

func quoted(b []byte, text string) []byte {
	q, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string
	}
	return append(b, q...)
}
