package ui

import (
	"bytes"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// filter says which events a page wants in its tail. The zero value wants all. static/app/filter.js means the same by
// the same words.
type filter struct {
	table string // schema.table
	ops   string // letters
	xid   uint32 // of "xid:555"
	text  string // lower case; anywhere in the key, in a row's earlier or later state, or in the position
}

// maxFilterText bounds what one event is searched for.
const maxFilterText = 200

// parseFilter reads the parameters table, op and q.
func parseFilter(q url.Values) (filter, error) {
	f := filter{table: q.Get("table"), ops: q.Get("op")}
	for _, op := range f.ops {
		if !strings.ContainsRune("cudrtm", op) {
			return f, fmt.Errorf("op %q is not known: use letters of c, u, d, r, t and m", string(op))
		}
	}
	search := strings.TrimSpace(q.Get("q"))
	if len(search) > maxFilterText {
		return f, fmt.Errorf("q has %d characters: use at most %d", len(search), maxFilterText)
	}
	if number, found := strings.CutPrefix(search, "xid:"); found {
		xid, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return f, fmt.Errorf("%q does not name a transaction: write xid and its number, such as xid:555", search)
		}
		f.xid = uint32(xid)
		return f, nil
	}
	f.text = strings.ToLower(search)
	return f, nil
}

// match reports whether a page with this filter shows the entry. It shows every gap.
func (f filter) match(e *entry) bool {
	switch {
	case e.gap != nil:
		return true
	case f.table != "" && f.table != e.table,
		f.ops != "" && !strings.ContainsRune(f.ops, rune(e.op)),
		f.xid != 0 && f.xid != e.xid:
		return false
	case f.text == "":
		return true
	}
	return containsFold(e.key, f.text) || containsFold(e.rows(), f.text) ||
		strings.Contains(strings.ToLower(e.position.String()), f.text)
}

// rows returns the part of the event that holds the row's states.
func (e *entry) rows() []byte {
	if e.value == nil {
		if row := e.row.Load(); row != nil {
			return *row
		}
		return nil
	}
	// In the data every quote is escaped, so that the last match is the envelope's own.
	if i := bytes.LastIndex(e.value, []byte(`,"source":{"version"`)); i >= 0 {
		return e.value[:i]
	}
	return e.value
}

// containsFold reports whether the data holds the text, which is in lower case, in either case of ASCII letters.
func containsFold(data []byte, text string) bool {
	first := text[0]
	for len(data) >= len(text) {
		i := indexFold(data[:len(data)-len(text)+1], first)
		if i < 0 {
			return false
		}
		if equalFold(data[i:i+len(text)], text) {
			return true
		}
		data = data[i+1:]
	}
	return false
}

func indexFold(data []byte, lower byte) int {
	i := bytes.IndexByte(data, lower)
	if lower < 'a' || lower > 'z' {
		return i
	}
	if i >= 0 {
		data = data[:i]
	}
	if j := bytes.IndexByte(data, lower-'a'+'A'); j >= 0 {
		return j
	}
	return i
}

func equalFold(data []byte, lower string) bool {
	for i := range data {
		c := data[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
