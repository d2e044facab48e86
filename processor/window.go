package processor

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"slices"
	"time"
)

// horizon is the start of the oldest window that retention keeps, microseconds since 1970.
func (f *fold) horizon() int64 {
	if f.view.Retention == 0 || !f.timed {
		return math.MinInt64
	}
	return f.newest - f.view.Retention.Microseconds()
}

// hold notes a new group in its window, which drops it one day.
func (f *fold) hold(g *group, start int64, timed bool) {
	if f.view.Retention == 0 || !timed {
		return
	}
	i, found := slices.BinarySearchFunc(f.windows, start, func(w window, start int64) int { return cmp.Compare(w.start, start) })
	if !found {
		f.windows = slices.Insert(f.windows, i, window{start: start})
	}
	f.windows[i].groups = append(f.windows[i].groups, g)
	g.held = true
}

// advance takes the event time of the row that was added last and drops the groups that are too old now.
func (f *fold) advance(item *Item) {
	if !f.atKnown || f.timed && f.at <= f.newest {
		return
	}
	f.newest, f.timed = f.at, true
	gone := 0
	for ; gone < len(f.windows) && f.windows[gone].start < f.horizon(); gone++ {
		for _, g := range f.windows[gone].groups {
			g.held = false
			if g.rows > 0 {
				f.empty(g)
				f.dropped++
			}
			g.position, g.seq, g.epoch = item.Position, item.Seq, item.Tx.Epoch
			f.touch(g)
		}
	}
	f.windows = slices.Delete(f.windows, 0, gone)
}

// floor returns the start of the window of a width that a time falls into.
func floor(at, width int64) int64 {
	rest := at % width
	if rest < 0 {
		rest += width
	}
	return at - rest
}

// parseTime reads "2026-11-22T10:00:00.123456Z", its Z or its fraction missing, or "2026-11-22", as microseconds since
// 1970. It refuses what has no such number: infinity, and years beyond four digits.
func parseTime(text []byte) (at int64, zoned bool, err error) {
	refuse := func() (int64, bool, error) { return 0, false, errors.New(string(text)) }
	if len(text) < 12 || text[0] != '"' || text[len(text)-1] != '"' {
		return refuse()
	}
	s := text[1 : len(text)-1]
	if zoned = s[len(s)-1] == 'Z'; zoned {
		s = s[:len(s)-1]
	}
	year, month, day, ok := 0, 0, 0, len(s) >= 10 && s[4] == '-' && s[7] == '-'
	if !ok || !readDigits(s[:4], &year) || !readDigits(s[5:7], &month) || !readDigits(s[8:10], &day) {
		return refuse()
	}
	hour, minute, second, micros := 0, 0, 0, 0
	if s = s[10:]; len(s) > 0 {
		if len(s) < 9 || s[0] != 'T' || s[3] != ':' || s[6] != ':' || !readDigits(s[1:3], &hour) || !readDigits(s[4:6], &minute) || !readDigits(s[7:9], &second) {
			return refuse()
		}
		if s = s[9:]; len(s) > 0 {
			if s[0] != '.' || len(s) < 2 || len(s) > 7 || !readDigits(s[1:], &micros) {
				return refuse()
			}
			for range 7 - len(s) {
				micros *= 10
			}
		}
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, micros*1000, time.UTC)
	if t.Day() != day || int(t.Month()) != month || hour > 23 || minute > 59 || second > 59 {
		return refuse()
	}
	return t.UnixMicro(), zoned, nil
}

func readDigits(text []byte, n *int) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
		*n = *n*10 + int(c-'0')
	}
	return true
}

// appendTime writes a time as parseTime reads it.
func appendTime(b []byte, at int64, zoned bool) []byte {
	t := time.UnixMicro(at).UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = append(b, '"')
	if year < 0 || year > 9999 { // a window may begin a little before the year 0
		b = t.AppendFormat(b, "2006-01-02T15:04:05")
	} else {
		b = append(appendTwo(appendTwo(b, year/100), year%100), '-')
		b = append(appendTwo(b, int(month)), '-')
		b = append(appendTwo(b, day), 'T')
		b = append(appendTwo(b, hour), ':')
		b = append(appendTwo(b, minute), ':')
		b = appendTwo(b, second)
	}
	if micros := t.Nanosecond() / 1000; micros > 0 {
		b = appendTwo(appendTwo(appendTwo(append(b, '.'), micros/10000), micros/100%100), micros%100)
		b = bytes.TrimRight(b, "0")
	}
	if zoned {
		b = append(b, 'Z')
	}
	return append(b, '"')
}

// appendTwo writes a number below 100 with two digits.
func appendTwo(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }
