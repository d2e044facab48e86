package envelope

import (
	"strconv"
	"time"

	"github.com/livedb/livedb/cdc"
)

// source is the part of every event that says where it comes from. Its fields stand in Debezium's order, LiveDB's own
// after them. Pieces are named for the value that follows them.
type source struct {
	tsMS             string // from the envelope's "source" on
	sequence         string // of a change
	sequenceSnapshot string // of a row read by a snapshot
	txID             string // from "schema" on
	end              string // the epoch, the end of source, and "transaction"
}

func newSource(s Stream, t *cdc.Table) source {
	db := `,"db":` + jsonString(s.Database) + `,"sequence":"[`
	return source{
		tsMS:             `,"source":{"version":` + jsonString(s.Version) + `,"connector":"postgresql","name":` + jsonString(s.Name) + `,"ts_ms":`,
		sequence:         `,"snapshot":"false"` + db,
		sequenceSnapshot: `,"snapshot":"true"` + db,
		txID:             `,"schema":` + jsonString(t.Schema) + `,"table":` + jsonString(t.Name) + `,"txId":`,
		end:              `,"epoch":` + strconv.FormatUint(uint64(s.Epoch), 10) + `},"transaction":null`,
	}
}

// jsonString quotes a name, which is valid UTF-8.
func jsonString(name string) string { return `"` + string(appendEscaped(nil, []byte(name))) + `"` }

// append appends everything of an event that follows its rows.
func (s *source) append(dst []byte, m *Meta, op cdc.Op) []byte {
	var committed, processed instant
	committed.set(m.Tx.Time)
	processed.set(m.Now)

	dst = append(dst, s.tsMS...)
	dst = append(dst, committed.millis()...)
	if op == cdc.Read {
		dst = append(dst, s.sequenceSnapshot...)
	} else {
		dst = append(dst, s.sequence...)
	}
	dst = appendSequence(dst, m)
	dst = append(dst, `]","ts_us":`...)
	dst = append(dst, committed.micros()...)
	dst = append(dst, `,"ts_ns":`...)
	dst = append(dst, committed.nanos()...)

	dst = append(dst, s.txID...)
	dst = strconv.AppendUint(dst, uint64(m.Tx.XID), 10)
	dst = append(dst, `,"lsn":`...)
	dst = strconv.AppendUint(dst, uint64(m.LSN), 10)
	dst = append(dst, `,"xmin":null,"origin":null,"origin_lsn":null,"commit_lsn":`...)
	dst = strconv.AppendUint(dst, uint64(m.Tx.Commit), 10)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendUint(dst, m.Seq, 10)
	dst = append(dst, s.end...)

	dst = append(dst, `,"op":"`...)
	dst = append(dst, byte(op))
	dst = append(dst, `","ts_ms":`...)
	dst = append(dst, processed.millis()...)
	dst = append(dst, `,"ts_us":`...)
	dst = append(dst, processed.micros()...)
	dst = append(dst, `,"ts_ns":`...)
	dst = append(dst, processed.nanos()...)
	return append(dst, '}')
}

// appendSequence appends the two LSNs of source.sequence, which are strings inside a JSON string.
func appendSequence(dst []byte, m *Meta) []byte {
	if m.LastCommit == 0 {
		dst = append(dst, `null,\"`...)
	} else {
		dst = append(dst, `\"`...)
		dst = strconv.AppendUint(dst, uint64(m.LastCommit), 10)
		dst = append(dst, `\",\"`...)
	}
	dst = strconv.AppendUint(dst, uint64(m.LSN), 10)
	return append(dst, `\"`...)
}

// instant is a point in time as decimal digits. Debezium writes each of them to the millisecond, the microsecond and the
// nanosecond; formatting numbers is a good part of an event's cost, so all three are cut from one.
type instant struct {
	digits [32]byte // nanoseconds since 1970
	length int
}

// set formats t. A clock that stands before 1970, or was never set, is written as 1970.
func (i *instant) set(t time.Time) {
	nanos := int64(0)
	if t.Unix() > 0 {
		nanos = t.UnixNano()
	}
	i.length = len(strconv.AppendInt(i.digits[:0], nanos, 10))
}

func (i *instant) nanos() []byte  { return i.digits[:i.length] }
func (i *instant) micros() []byte { return i.cut(3) }
func (i *instant) millis() []byte { return i.cut(6) }

// cut drops digits at the end. Of a number that has no others a zero is left.
func (i *instant) cut(digits int) []byte {
	if i.length <= digits {
		return []byte("0")
	}
	return i.digits[:i.length-digits]
}
