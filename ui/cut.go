package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"
	"unicode/utf8"
)

// Bounds of what a page gets of a row.
const (
	cutRow   = 4 << 10 // of one state of the row: a longer one is cut value by value
	cutValue = 256     // of a value's beginning, in a row that is cut
)

// cut shortens a row, a JSON object, that is larger than a page should get. A long value becomes
//
//	{"$cut":{"head":"its beginning","bytes":12345,"sum":"ae5f"}}
//
// whose checksum tells a change beyond the beginning. Columns that still do not fit are left out and counted as
// "$more". It sets the mark if it shortened anything.
func cut(row []byte, mark *bool) []byte {
	if len(row) <= cutRow {
		return row
	}
	*mark = true
	d := json.NewDecoder(bytes.NewReader(row))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return cutAny(row)
	}
	short := []byte{'{'}
	for more := 0; ; {
		if !d.More() {
			if more > 0 {
				short = fmt.Appendf(short, `,"$more":%d`, more)
			}
			return append(short, '}')
		}
		name, err := d.Token()
		if err != nil {
			return cutAny(row)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return cutAny(row)
		}
		if len(short) > cutRow {
			more++
			continue
		}
		if len(short) > 1 {
			short = append(short, ',')
		}
		label, _ := json.Marshal(name) // a string never fails
		short = append(append(append(short, label...), ':'), cutAny(value)...)
	}
}

// cutAny shortens one value.
func cutAny(value []byte) []byte {
	if len(value) <= cutValue+64 {
		return value
	}
	plain := value
	var s string
	if value[0] == '"' && json.Unmarshal(value, &s) == nil {
		plain = []byte(s)
	}
	head := plain[:min(len(plain), cutValue)]
	for len(head) > 0 && !utf8.Valid(head) && len(head) > cutValue-utf8.UTFMax {
		head = head[:len(head)-1]
	}
	sum := fnv.New32a()
	sum.Write(value) // never fails
	quoted, _ := json.Marshal(string(head))
	return fmt.Appendf(nil, `{"$cut":{"head":%s,"bytes":%d,"sum":"%s"}}`, quoted, len(plain), strconv.FormatUint(uint64(sum.Sum32()), 16))
}
