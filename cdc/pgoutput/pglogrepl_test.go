package pgoutput

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pglogrepl"

	"github.com/livedb/livedb/cdc"
)

// A second reader of the same bytes that shares nothing with ours: where ours takes a message, pglogrepl must take it for
// the same. It takes many that ours refuses, knows no order of messages, and panics or allocates without bound on damage,
// so it is asked only after ours said yes.

func TestPglogreplReadsTheSame(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			agree(t, f.messages)
		})
	}
}

// agree fails where the two readers differ.
func agree(t *testing.T, messages []wal) {
	t.Helper()
	d := NewDecoder()
	var m Message
	for i, w := range messages {
		if d.Decode(w.lsn, w.data, &m) != nil {
			return
		}
		if m.Kind == StreamAbort || m.Kind == Row && len(m.Change.Table.Columns) == 0 {
			continue // not in pglogrepl: it knows no 'A', and takes a row of no columns for a short message
		}
		theirs, err := parse(w.data)
		if err != nil {
			t.Fatalf("message %d, %x: pglogrepl: %v", i, w.data, err)
		}
		if diff := cmp.Diff(theirs, inTheirWords(d, &m, theirs), cmp.Transformer("plain", plain)); diff != "" {
			t.Fatalf("message %d, %x: -pglogrepl +ours\n%s", i, w.data, diff)
		}
	}
}

// parse calls pglogrepl and makes an error of its panic.
func parse(data []byte) (m pglogrepl.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(err, fmt.Errorf("panic: %v", p))
		}
	}()
	return pglogrepl.Parse(data)
}

// plain strips the unexported part of pglogrepl's messages by printing what matters of them.
func plain(m pglogrepl.Message) []string {
	switch m := m.(type) {
	case *pglogrepl.BeginMessage:
		return []string{fmt.Sprint("begin ", m.FinalLSN, m.Xid), at(m.CommitTime)}
	case *pglogrepl.CommitMessage:
		return []string{fmt.Sprint("commit ", m.Flags, m.CommitLSN, m.TransactionEndLSN), at(m.CommitTime)}
	case *pglogrepl.RelationMessage:
		lines := []string{fmt.Sprintf("relation %d %q %q %c %d", m.RelationID, m.Namespace, m.RelationName, m.ReplicaIdentity, m.ColumnNum)}
		for _, c := range m.Columns {
			lines = append(lines, fmt.Sprintf("%d %q %d %d", c.Flags, c.Name, c.DataType, c.TypeModifier))
		}
		return lines
	case *pglogrepl.TypeMessage:
		return []string{fmt.Sprintf("type %d %q %q", m.DataType, m.Namespace, m.Name)}
	case *pglogrepl.OriginMessage:
		return []string{"origin"}
	case *pglogrepl.InsertMessage:
		return append([]string{fmt.Sprint("insert ", m.RelationID)}, tuple(m.Tuple)...)
	case *pglogrepl.UpdateMessage:
		lines := append([]string{fmt.Sprint("update ", m.RelationID, " ", m.OldTupleType)}, tuple(m.OldTuple)...)
		return append(lines, tuple(m.NewTuple)...)
	case *pglogrepl.DeleteMessage:
		return append([]string{fmt.Sprint("delete ", m.RelationID, " ", m.OldTupleType)}, tuple(m.OldTuple)...)
	case *pglogrepl.TruncateMessage:
		return []string{fmt.Sprint("truncate ", m.Option, m.RelationNum, m.RelationIDs)}
	case *pglogrepl.LogicalDecodingMessage:
		return []string{fmt.Sprintf("message %v %s %q %q", m.Transactional, m.LSN, m.Prefix, m.Content)}
	}
	return []string{fmt.Sprintf("unexpected %T", m)}
}

// at compares times as pglogrepl keeps them: nanoseconds since 1970 in 64 bits, which far from now wrap.
func at(t time.Time) string { return fmt.Sprint(t.UnixNano()) }

func tuple(t *pglogrepl.TupleData) []string {
	if t == nil {
		return []string{"none"}
	}
	lines := []string{fmt.Sprint("row of ", t.ColumnNum)}
	for _, c := range t.Columns {
		lines = append(lines, fmt.Sprintf("%c %d %q", c.DataType, c.Length, c.Data))
	}
	return lines
}

// inTheirWords says our message as pglogrepl would. What a Message does not keep, it takes from theirs.
func inTheirWords(d *Decoder, m *Message, theirs pglogrepl.Message) pglogrepl.Message {
	switch m.Kind {
	case Begin:
		return &pglogrepl.BeginMessage{FinalLSN: cdc.LSN(m.Tx.Commit), CommitTime: m.Tx.Time, Xid: m.Tx.XID}
	case Commit:
		return &pglogrepl.CommitMessage{CommitLSN: cdc.LSN(m.Tx.Commit), TransactionEndLSN: cdc.LSN(m.Tx.End), CommitTime: m.Tx.Time}
	case Relation:
		return theirRelation(m.Table, theirs)
	case Type:
		theirs, ok := theirs.(*pglogrepl.TypeMessage)
		if ok && d.types[theirs.DataType] == or(theirs.Namespace, "pg_catalog")+"."+theirs.Name {
			return theirs
		}
	case Origin:
		return &pglogrepl.OriginMessage{}
	case Truncate:
		message := &pglogrepl.TruncateMessage{RelationNum: uint32(len(m.Truncated))}
		if m.Cascade {
			message.Option |= pglogrepl.TruncateOptionCascade
		}
		if m.RestartIdentity {
			message.Option |= pglogrepl.TruncateOptionRestartIdentity
		}
		for _, table := range m.Truncated {
			message.RelationIDs = append(message.RelationIDs, table.OID)
		}
		return message
	case Logical:
		l := m.Logical
		return &pglogrepl.LogicalDecodingMessage{LSN: l.LSN, Transactional: l.Transactional, Prefix: l.Prefix, Content: l.Content}
	case Row:
		return theirChange(&m.Change)
	}
	return nil
}

func theirRelation(table *cdc.Table, theirs pglogrepl.Message) pglogrepl.Message {
	message := &pglogrepl.RelationMessage{RelationID: table.OID, Namespace: table.Schema, RelationName: table.Name,
		ReplicaIdentity: byte(table.Identity), ColumnNum: uint16(len(table.Columns))}
	if theirs, ok := theirs.(*pglogrepl.RelationMessage); ok && table.Schema == or(theirs.Namespace, "pg_catalog") {
		message.Namespace = theirs.Namespace
	}
	for _, c := range table.Columns {
		column := &pglogrepl.RelationMessageColumn{Name: c.Name, DataType: c.Type, TypeModifier: c.Modifier}
		if c.Identity {
			column.Flags = 1
		}
		message.Columns = append(message.Columns, column)
	}
	return message
}

func theirChange(c *cdc.Change) pglogrepl.Message {
	var marker byte
	if c.OldKind != cdc.OldNone {
		marker = oldMarker(c.OldKind)
	}
	switch c.Op {
	case cdc.Insert:
		return &pglogrepl.InsertMessage{RelationID: c.Table.OID, Tuple: theirTuple(c.New)}
	case cdc.Update:
		return &pglogrepl.UpdateMessage{RelationID: c.Table.OID, OldTupleType: marker, OldTuple: theirTuple(c.Old), NewTuple: theirTuple(c.New)}
	case cdc.Delete:
		return &pglogrepl.DeleteMessage{RelationID: c.Table.OID, OldTupleType: marker, OldTuple: theirTuple(c.Old)}
	}
	return nil
}

func theirTuple(row cdc.Row) *pglogrepl.TupleData {
	if row == nil {
		return nil
	}
	tuple := &pglogrepl.TupleData{ColumnNum: uint16(len(row))}
	for _, v := range row {
		letter := map[cdc.State]byte{cdc.Null: 'n', cdc.Unchanged: 'u', cdc.Text: 't'}[v.State]
		tuple.Columns = append(tuple.Columns, &pglogrepl.TupleDataColumn{DataType: letter, Length: uint32(len(v.Text)), Data: v.Text})
	}
	return tuple
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
