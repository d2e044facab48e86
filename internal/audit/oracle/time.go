package oracle

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
)

var errTime = errors.New("not as Postgres prints it under DateStyle ISO")

// timeText writes dates and times in ISO 8601. The fraction of a timestamp has the column's width; that of a time is as
// Postgres prints it. timestamptz and timetz are in UTC. Years beyond 9999 have a plus, years before 1 are astronomical:
// 1 BC is 0000, 2 BC is -0001.
func (f *form) timeText(s string) (string, error) {
	switch {
	case f.kind == kindTime:
		_, err := parseClock(s)
		return s, err
	case f.kind == kindTimeTZ:
		return timeTZText(s)
	case s == "infinity" || s == "-infinity":
		return s, nil
	}
	s, bc := strings.CutSuffix(s, " BC")
	day, clock, both := strings.Cut(s, " ")
	if both == (f.kind == kindDate) {
		return "", errTime
	}
	days, err := parseDate(day, bc)
	if err != nil || !both {
		return isoDate(days), err
	}
	offset := 0
	if f.kind == kindTimestampTZ {
		if clock, offset, err = cutOffset(clock); err != nil {
			return "", err
		}
	}
	us, err := parseClock(clock)
	if err != nil {
		return "", err
	}
	us -= int64(offset) * 1e6
	for ; us < 0; us += dayUS {
		days--
	}
	for ; us >= dayUS; us -= dayUS {
		days++
	}
	written := isoDate(days) + "T" + isoClock(us, f.size)
	if f.kind == kindTimestampTZ {
		written += "Z"
	}
	return written, nil
}

const dayUS = 24 * 60 * 60 * 1e6

// timeTZText moves a time of day to UTC, around midnight if need be; 24:00:00 in UTC stays what it is.
func timeTZText(s string) (string, error) {
	clock, offset, err := cutOffset(s)
	if err != nil {
		return "", err
	}
	us, err := parseClock(clock)
	if err != nil {
		return "", err
	}
	if offset != 0 {
		us = ((us-int64(offset)*1e6)%dayUS + dayUS) % dayUS
	}
	written := isoClock(us, 0)
	if us%1e6 != 0 {
		written = strings.TrimRight(isoClock(us, 6), "0")
	}
	return written + "Z", nil
}

// cutOffset takes +hh[:mm[:ss]] off a time, in seconds east of Greenwich.
func cutOffset(s string) (clock string, offset int, err error) {
	at := strings.LastIndexAny(s, "+-")
	if at < 0 {
		return "", 0, errTime
	}
	unit := 3600
	for part := range strings.SplitSeq(s[at+1:], ":") {
		n, err := strconv.Atoi(part)
		if err != nil || len(part) != 2 || unit == 0 {
			return "", 0, errTime
		}
		offset += n * unit
		unit /= 60
	}
	if s[at] == '-' {
		offset = -offset
	}
	return s[:at], offset, nil
}

// parseClock reads hh:mm:ss[.ffffff] in microseconds.
func parseClock(s string) (us int64, err error) {
	clock, fraction, dot := strings.Cut(s, ".")
	if len(clock) != 8 || clock[2] != ':' || clock[5] != ':' || len(fraction) > 6 || dot && fraction == "" {
		return 0, errTime
	}
	fields := []string{clock[:2], clock[3:5], clock[6:], (fraction + "000000")[:6]}
	for i, scale := range []int64{3600e6, 60e6, 1e6, 1} {
		n, err := strconv.ParseUint(fields[i], 10, 32)
		if err != nil {
			return 0, errTime
		}
		us += int64(n) * scale
	}
	return us, nil
}

func isoClock(us int64, digits int) string {
	seconds, fraction := us/1e6, us%1e6
	s := fmt.Sprintf("%02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	if digits > 0 {
		s += "." + fmt.Sprintf("%06d", fraction)[:digits]
	}
	return s
}

// parseDate reads a date of any year into days since 1970, by the Gregorian calendar throughout, as Postgres counts.
func parseDate(s string, bc bool) (days int64, err error) {
	parts := strings.Split(s, "-")
	if len(parts) != 3 || len(parts[0]) < 4 || len(parts[1]) != 2 || len(parts[2]) != 2 {
		return 0, errTime
	}
	var n [3]int
	for i, p := range parts {
		if n[i], err = strconv.Atoi(p); err != nil {
			return 0, errTime
		}
	}
	year, month, day := n[0], time.Month(n[1]), n[2]
	if bc {
		year = 1 - year
	}
	date := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	if y, m, d := date.Date(); y != year || m != month || d != day {
		return 0, errTime
	}
	return date.Unix() / (24 * 60 * 60), nil // a whole number of days, also before 1970
}

func isoDate(days int64) string {
	year, month, day := time.Unix(days*24*60*60, 0).UTC().Date()
	switch {
	case year < 0:
		return fmt.Sprintf("-%04d-%02d-%02d", -year, month, day)
	case year > 9999:
		return fmt.Sprintf("+%d-%02d-%02d", year, month, day)
	}
	return fmt.Sprintf("%04d-%02d-%02d", year, month, day)
}

// intervalText writes an interval of IntervalStyle postgres, such as 1 year 2 mons -3 days +04:05:06.78, in ISO 8601 as
// IntervalStyle iso_8601 would: each part has its own sign.
func intervalText(s string) (string, error) {
	date, clock := "", ""
	fields := strings.Fields(s)
	for i := 0; i < len(fields); i++ {
		if strings.Contains(fields[i], ":") {
			if i != len(fields)-1 {
				return "", errTime
			}
			c, err := intervalClock(fields[i])
			if err != nil {
				return "", err
			}
			clock = c
			continue
		}
		n, whole := new(big.Int).SetString(fields[i], 10)
		if i++; !whole || i == len(fields) {
			return "", errTime
		}
		switch strings.TrimSuffix(fields[i], "s") {
		case "year":
			date += n.String() + "Y"
		case "mon":
			date += n.String() + "M"
		case "day":
			date += n.String() + "D"
		default:
			return "", errTime
		}
	}
	switch {
	case clock != "":
		return "P" + date + "T" + clock, nil
	case date != "":
		return "P" + date, nil
	}
	return "PT0S", nil
}

// intervalClock writes [+-]hh…:mm:ss[.ffffff] as 4H5M6.78S without what is zero.
func intervalClock(s string) (string, error) {
	sign := ""
	if s[0] == '+' || s[0] == '-' {
		sign, s = strings.TrimPrefix(s[:1], "+"), s[1:]
	}
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return "", errTime
	}
	written := ""
	for i, unit := range []string{"H", "M", "S"} {
		whole, fraction, _ := strings.Cut(parts[i], ".")
		n, err := strconv.ParseUint(whole, 10, 64)
		if err != nil || fraction != "" && i < 2 {
			return "", errTime
		}
		if fraction = strings.TrimRight(fraction, "0"); fraction != "" {
			fraction = "." + fraction
		}
		if n != 0 || fraction != "" {
			written += sign + strconv.FormatUint(n, 10) + fraction + unit
		}
	}
	return written, nil
}
