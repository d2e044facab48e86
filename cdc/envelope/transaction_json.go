package envelope

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"

	"github.com/livedb/livedb/cdc"
)

// A transaction record has an entry per Postgres transaction, so its JSON is written and read by hand, without an
// allocation per entry. What is read by hand is exactly what Append writes; any other form is left to encoding/json.

// Append appends the record as JSON: the bytes that json.Marshal would give.
func (r *TransactionRecord) Append(dst []byte) []byte {
	dst = append(dst, `{"version":`...)
	dst = strconv.AppendInt(dst, int64(r.Version), 10)
	dst = append(dst, `,"epoch":`...)
	dst = strconv.AppendUint(dst, uint64(r.Epoch), 10)
	dst = append(dst, `,"topics":`...)
	dst = appendList(dst, r.Topics, func(dst []byte, topic *string) []byte { return appendTopic(dst, *topic) })
	dst = append(dst, `,"entries":`...)
	dst = appendList(dst, r.Entries, appendEntry)
	if r.Gap != nil { // once in an epoch
		text, err := json.Marshal(r.Gap)
		if err != nil {
			panic(err) // plain data
		}
		dst = append(append(dst, `,"gap":`...), text...)
	}
	return append(dst, '}')
}

// appendList appends an array, or null, as json.Marshal writes a slice that is nil.
func appendList[T any](dst []byte, list []T, one func([]byte, *T) []byte) []byte {
	if list == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for i := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = one(dst, &list[i])
	}
	return append(dst, ']')
}

func appendEntry(dst []byte, e *TransactionEntry) []byte {
	dst = append(dst, `{"xid":`...)
	dst = strconv.AppendUint(dst, uint64(e.XID), 10)
	dst = append(dst, `,"commit_lsn":"`...)
	dst = cdc.AppendLSN(dst, cdc.LSN(e.Commit))
	dst = append(dst, `","end_lsn":"`...)
	dst = cdc.AppendLSN(dst, cdc.LSN(e.End))
	dst = append(dst, `","ts_us":`...)
	dst = strconv.AppendInt(dst, e.TimeUS, 10)
	dst = append(dst, `,"first":`...)
	dst = strconv.AppendUint(dst, e.First, 10)
	dst = append(dst, `,"last":`...)
	dst = strconv.AppendUint(dst, e.Last, 10)
	dst = append(dst, `,"starts":`...)
	dst = strconv.AppendBool(dst, e.Starts)
	dst = append(dst, `,"ends":`...)
	dst = strconv.AppendBool(dst, e.Ends)
	dst = append(dst, `,"counts":`...)
	return append(appendList(dst, e.Counts, appendCount), '}')
}

func appendCount(dst []byte, c *TopicCount) []byte {
	dst = strconv.AppendInt(append(dst, '['), int64(c.Topic), 10)
	dst = strconv.AppendUint(append(dst, ','), c.Events, 10)
	return append(dst, ']')
}

// appendTopic appends a topic's name. Kafka allows none that would have to be escaped.
func appendTopic(dst []byte, name string) []byte {
	for i := range len(name) {
		if !plain(name[i]) {
			text, err := json.Marshal(name)
			if err != nil {
				panic(err) // a string
			}
			return append(dst, text...)
		}
	}
	return append(append(append(dst, '"'), name...), '"')
}

// plain reports whether json.Marshal writes a byte of a string as it is.
func plain(c byte) bool {
	return c >= ' ' && c < 0x7F && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
}

// recordText is the rest of a record's JSON. Its methods take a piece from the front and report whether it is there.
type recordText []byte

// readRecord reads what Append wrote, and reports whether it is that. Besides the topics' names it allocates four times.
func readRecord(value []byte) (*TransactionRecord, bool) {
	t, r := recordText(value), &TransactionRecord{}
	version, ok := t.number(`{"version":`, math.MaxInt32)
	epoch, ok2 := t.number(`,"epoch":`, math.MaxUint32)
	r.Version, r.Epoch = int(version), uint32(epoch)
	if !ok || !ok2 || !t.topics(r) || !t.is(`,"entries":[`) {
		return nil, false
	}

	// Room for all at once. A wrong guess costs an allocation and nothing else.
	entries := bytes.Count(t, []byte{'{'})
	counts := make([]TopicCount, 0, max(0, bytes.Count(t, []byte{'['})-entries))
	r.Entries = make([]TransactionEntry, 0, entries)
	for !t.is(`]`) {
		if len(r.Entries) > 0 && !t.is(`,`) {
			return nil, false
		}
		r.Entries = append(r.Entries, TransactionEntry{})
		if counts, ok = t.entry(&r.Entries[len(r.Entries)-1], counts); !ok {
			return nil, false
		}
	}
	return r, t.is(`}`) && len(t) == 0
}

func (t *recordText) topics(r *TransactionRecord) bool {
	if !t.is(`,"topics":[`) {
		return false
	}
	end := bytes.IndexByte(*t, ']')
	if end < 0 {
		return false
	}
	r.Topics = make([]string, 0, bytes.Count((*t)[:end], []byte{','})+1)
	for !t.is(`]`) {
		if len(r.Topics) > 0 && !t.is(`,`) || !t.is(`"`) {
			return false
		}
		n := 0
		for n < len(*t) && plain((*t)[n]) {
			n++
		}
		r.Topics = append(r.Topics, string((*t)[:n]))
		if *t = (*t)[n:]; !t.is(`"`) {
			return false
		}
	}
	return true
}

// entry reads an entry. Its counts are appended to those of the entries before it.
func (t *recordText) entry(e *TransactionEntry, counts []TopicCount) ([]TopicCount, bool) {
	xid, ok1 := t.number(`{"xid":`, math.MaxUint32)
	commit, ok2 := t.lsn(`,"commit_lsn":"`)
	end, ok3 := t.lsn(`,"end_lsn":"`)
	micros, ok4 := t.number(`,"ts_us":`, math.MaxInt64)
	first, ok5 := t.number(`,"first":`, math.MaxUint64)
	last, ok6 := t.number(`,"last":`, math.MaxUint64)
	starts, ok7 := t.truth(`,"starts":`)
	ends, ok8 := t.truth(`,"ends":`)
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7 && ok8) || !t.is(`,"counts":[`) {
		return nil, false
	}
	from := len(counts)
	for !t.is(`]`) {
		if len(counts) > from && !t.is(`,`) {
			return nil, false
		}
		topic, ok1 := t.number(`[`, math.MaxInt32)
		events, ok2 := t.number(`,`, math.MaxUint64)
		if !ok1 || !ok2 || !t.is(`]`) {
			return nil, false
		}
		counts = append(counts, TopicCount{int(topic), events})
	}
	*e = TransactionEntry{XID: uint32(xid), Commit: cdc.CommitLSN(commit), End: cdc.EndLSN(end), TimeUS: int64(micros),
		First: first, Last: last, Starts: starts, Ends: ends, Counts: counts[from:len(counts):len(counts)]}
	return counts, t.is(`}`)
}

func (t *recordText) is(text string) bool {
	if len(*t) < len(text) || string((*t)[:len(text)]) != text {
		return false
	}
	*t = (*t)[len(text):]
	return true
}

// number reads a number of digits alone, with what stands before it.
func (t *recordText) number(name string, most uint64) (n uint64, ok bool) {
	if !t.is(name) {
		return 0, false
	}
	rest := *t
	i := 0
	for ; i < len(rest) && rest[i]-'0' <= 9; i++ {
		digit := uint64(rest[i] - '0')
		if n > (most-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	*t = rest[i:]
	return n, i == 1 || i > 1 && rest[0] != '0'
}

// lsn reads an LSN and the quote after it, with what stands before it.
func (t *recordText) lsn(name string) (lsn uint64, ok bool) {
	if !t.is(name) {
		return 0, false
	}
	high, ok1 := t.hex('/')
	low, ok2 := t.hex('"')
	return high<<32 | low, ok1 && ok2
}

// hex reads up to eight digits as String writes them, and the byte after them.
func (t *recordText) hex(end byte) (n uint64, ok bool) {
	for i, c := range *t {
		switch {
		case c == end:
			ok = i == 1 || i > 1 && (*t)[0] != '0'
			*t = (*t)[i+1:]
			return n, ok
		case i == 8:
			return 0, false
		case c >= '0' && c <= '9':
			n = n<<4 | uint64(c-'0')
		case c >= 'A' && c <= 'F':
			n = n<<4 | uint64(c-'A'+10)
		default:
			return 0, false
		}
	}
	return 0, false
}

func (t *recordText) truth(name string) (truth, ok bool) {
	switch {
	case !t.is(name):
		return false, false
	case t.is(`true`):
		return true, true
	}
	return false, t.is(`false`)
}
