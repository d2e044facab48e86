package envelope

import (
	"bytes"
	"strconv"
)

// A date as the proleptic Gregorian calendar counts it. The year is astronomical: 0 is 1 BC, -1 is 2 BC.
type date struct{ year, month, day int }

// A clock's time of day. The fraction is the digits after the point, as text.
type clock struct {
	hour, minute, second int
	fraction             []byte
}

const secondsPerDay = 24 * 60 * 60

// writeDate writes 2016-11-04. Years beyond four digits get a sign, as ISO 8601 wants it.
func writeDate(dst, text []byte) ([]byte, error) {
	if isInfinity(text) {
		return appendQuoted(dst, text), nil
	}
	rest, beforeChrist := bytes.CutSuffix(text, []byte(" BC"))
	d, rest, ok := scanDate(rest, beforeChrist)
	if !ok || len(rest) > 0 {
		return nil, invalid(text, "is not a date as DateStyle ISO prints it")
	}
	dst = append(dst, '"')
	dst = appendDate(dst, d)
	return append(dst, '"'), nil
}

// timestampWriter writes 2016-11-04T13:51:30.123456 with as many digits after the point as the column has.
func timestampWriter(modifier int32) writer {
	digits := precision(modifier)
	return func(dst, text []byte) ([]byte, error) { return writeTimestamp(dst, text, digits, false) }
}

// timestamptzWriter writes the same in UTC, with a Z.
func timestamptzWriter(modifier int32) writer {
	digits := precision(modifier)
	return func(dst, text []byte) ([]byte, error) { return writeTimestamp(dst, text, digits, true) }
}

// precision returns the number of digits after the point that a column of times has.
func precision(modifier int32) int {
	if modifier < 0 || modifier > 6 {
		return 6
	}
	return int(modifier)
}

func writeTimestamp(dst, text []byte, digits int, zoned bool) ([]byte, error) {
	if isInfinity(text) {
		return appendQuoted(dst, text), nil
	}

	rest, beforeChrist := bytes.CutSuffix(text, []byte(" BC"))
	d, rest, ok := scanDate(rest, beforeChrist)
	if !ok || len(rest) == 0 || rest[0] != ' ' {
		return nil, invalid(text, "is not a timestamp as DateStyle ISO prints it")
	}
	c, rest, ok := scanClock(rest[1:])
	offset := 0
	if ok && zoned {
		offset, rest, ok = scanOffset(rest)
	}
	if !ok || len(rest) > 0 || c.hour > 23 {
		return nil, invalid(text, "is not a timestamp as DateStyle ISO prints it")
	}
	if len(c.fraction) > digits {
		return nil, invalid(text, "has more digits after the point than its column")
	}
	if offset != 0 {
		days := c.shift(-offset)
		d = dateOf(d.days() + days)
	}

	dst = append(dst, '"')
	dst = appendDate(dst, d)
	dst = append(dst, 'T')
	dst = appendClock(dst, c, digits)
	if zoned {
		dst = append(dst, 'Z')
	}
	return append(dst, '"'), nil
}

// writeTime writes 13:51:30.123456 as the server printed it: without the zeros at the fraction's end. 24:00:00 is a
// time of day to Postgres.
func writeTime(dst, text []byte) ([]byte, error) {
	if _, rest, ok := scanClock(text); !ok || len(rest) > 0 {
		return nil, invalid(text, "is not a time of day")
	}
	return appendQuoted(dst, text), nil
}

// writeTimetz writes 11:51:30.123789Z, the time of day in UTC.
func writeTimetz(dst, text []byte) ([]byte, error) {
	c, rest, ok := scanClock(text)
	offset := 0
	if ok {
		offset, rest, ok = scanOffset(rest)
	}
	if !ok || len(rest) > 0 {
		return nil, invalid(text, "is not a time of day with a zone")
	}
	if offset != 0 {
		c.shift(-offset)
	}
	dst = append(dst, '"')
	dst = appendClock(dst, c, len(c.fraction))
	return append(dst, 'Z', '"'), nil
}

func isInfinity(text []byte) bool {
	return string(text) == "infinity" || string(text) == "-infinity"
}

// scanDate reads the date that text begins with: a year of four digits or more, month, day.
func scanDate(text []byte, beforeChrist bool) (d date, rest []byte, ok bool) {
	i := scanDigits(text, 0)
	if i < 4 || i > 7 || len(text) < i+6 || text[i] != '-' || text[i+3] != '-' {
		return date{}, nil, false
	}
	for _, c := range text[:i] {
		d.year = d.year*10 + int(c-'0')
	}
	if d.year == 0 {
		return date{}, nil, false // the server counts 1 BC, then 1
	}
	if beforeChrist {
		d.year = 1 - d.year
	}
	d.month, d.day = twoDigits(text[i+1:]), twoDigits(text[i+4:])
	ok = d.month >= 1 && d.month <= 12 && d.day >= 1 && d.day <= daysIn(d.year, d.month)
	return d, text[i+6:], ok
}

// scanClock reads the time of day that text begins with.
func scanClock(text []byte) (c clock, rest []byte, ok bool) {
	if len(text) < 8 || text[2] != ':' || text[5] != ':' {
		return clock{}, nil, false
	}
	c.hour, c.minute, c.second = twoDigits(text), twoDigits(text[3:]), twoDigits(text[6:])
	rest = text[8:]
	if len(rest) > 0 && rest[0] == '.' {
		end := scanDigits(rest, 1)
		if end == 1 || end > 7 {
			return clock{}, nil, false
		}
		c.fraction, rest = rest[1:end], rest[end:]
	}
	last := c.hour == 24 && c.minute == 0 && c.second == 0 && len(c.fraction) == 0
	ok = c.hour >= 0 && (c.hour <= 23 || last) && c.minute >= 0 && c.minute <= 59 && c.second >= 0 && c.second <= 59
	return c, rest, ok
}

// scanOffset reads the zone that text begins with, such as +02, -03:30 or +05:30:15, as seconds east of UTC.
func scanOffset(text []byte) (seconds int, rest []byte, ok bool) {
	if len(text) < 3 || (text[0] != '+' && text[0] != '-') {
		return 0, nil, false
	}
	hours := twoDigits(text[1:])
	if hours < 0 {
		return 0, nil, false
	}
	seconds, rest = hours*3600, text[3:]
	for unit := 60; unit > 0 && len(rest) >= 3 && rest[0] == ':'; unit /= 60 {
		part := twoDigits(rest[1:])
		if part < 0 || part > 59 {
			return 0, nil, false
		}
		seconds, rest = seconds+part*unit, rest[3:]
	}
	if text[0] == '-' {
		seconds = -seconds
	}
	return seconds, rest, seconds > -secondsPerDay && seconds < secondsPerDay
}

// twoDigits reads two digits, or returns -1. The caller has checked that two bytes are there.
func twoDigits(text []byte) int {
	if !isDigit(text[0]) || !isDigit(text[1]) {
		return -1
	}
	return int(text[0]-'0')*10 + int(text[1]-'0')
}

// shift moves the clock by less than a day and returns how many days that carries.
func (c *clock) shift(seconds int) (days int) {
	at := c.hour*3600 + c.minute*60 + c.second + seconds
	for at < 0 {
		at, days = at+secondsPerDay, days-1
	}
	for at >= secondsPerDay {
		at, days = at-secondsPerDay, days+1
	}
	c.hour, c.minute, c.second = at/3600, at/60%60, at%60
	return days
}

func appendDate(dst []byte, d date) []byte {
	year := d.year
	switch {
	case year < 0:
		dst, year = append(dst, '-'), -year
	case year > 9999:
		dst = append(dst, '+')
	}
	if year > 9999 {
		dst = strconv.AppendInt(dst, int64(year), 10)
	} else {
		dst = append(dst, byte('0'+year/1000), byte('0'+year/100%10), byte('0'+year/10%10), byte('0'+year%10))
	}
	return append(dst, '-', byte('0'+d.month/10), byte('0'+d.month%10), '-', byte('0'+d.day/10), byte('0'+d.day%10))
}

// appendClock writes the fraction with exactly the given number of digits, which is not less than it has.
func appendClock(dst []byte, c clock, digits int) []byte {
	dst = append(dst,
		byte('0'+c.hour/10), byte('0'+c.hour%10), ':',
		byte('0'+c.minute/10), byte('0'+c.minute%10), ':',
		byte('0'+c.second/10), byte('0'+c.second%10))
	if digits == 0 {
		return dst
	}
	dst = append(dst, '.')
	dst = append(dst, c.fraction...)
	return append(dst, "000000"[:digits-len(c.fraction)]...)
}
