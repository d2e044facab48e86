package envelope

import "bytes"

// The units in the order in which IntervalStyle postgres prints them, with their letters in ISO 8601.
var intervalUnits = [...]struct {
	one, many string
	letter    byte
}{
	{"year", "years", 'Y'},
	{"mon", "mons", 'M'},
	{"day", "days", 'D'},
}

// writeInterval writes an interval such as "1 year 2 mons -04:05:06.78" as ISO 8601 has it, P1Y2MT-4H-5M-6.78S. It is
// what the server prints under IntervalStyle iso_8601: each part bears its own sign, parts that are zero are left out,
// and no time at all is PT0S.
func writeInterval(dst, text []byte) ([]byte, error) {
	if isInfinity(text) {
		return appendQuoted(dst, text), nil
	}

	from := len(dst)
	dst = append(dst, '"', 'P')
	rest, unit := text, 0
	for len(rest) > 0 {
		field, after, more := bytes.Cut(rest, []byte{' '})
		if bytes.IndexByte(field, ':') >= 0 {
			var ok bool
			if dst, ok = appendDuration(dst, field); !ok || more {
				return nil, invalid(text, "is not an interval as IntervalStyle postgres prints it")
			}
			break
		}

		var name []byte
		name, rest, more = bytes.Cut(after, []byte{' '})
		if more == (len(rest) == 0) {
			return nil, invalid(text, "is not an interval as IntervalStyle postgres prints it")
		}
		for unit < len(intervalUnits) && string(name) != intervalUnits[unit].one && string(name) != intervalUnits[unit].many {
			unit++
		}
		negative, digits := sign(field)
		if unit == len(intervalUnits) || len(digits) == 0 || scanDigits(digits, 0) != len(digits) {
			return nil, invalid(text, "is not an interval as IntervalStyle postgres prints it")
		}
		dst = appendPart(dst, negative, digits, nil, intervalUnits[unit].letter)
		unit++
	}

	if len(text) == 0 {
		return nil, invalid(text, "is not an interval as IntervalStyle postgres prints it")
	}
	if len(dst) == from+2 {
		dst = append(dst, "T0S"...)
	}
	return append(dst, '"'), nil
}

// appendDuration appends the hours, minutes and seconds of -04:05:06.78. The one sign is that of all three.
func appendDuration(dst, text []byte) (out []byte, ok bool) {
	negative, rest := sign(text)
	end := scanDigits(rest, 0)
	if end < 2 || len(rest) < end+6 {
		return nil, false
	}

	// The server prints more than 24 hours, so only what stands behind them is a clock's.
	hours := rest[:end]
	minutes, seconds := rest[end+1:end+3], rest[end+4:end+6]
	if rest[end] != ':' || rest[end+3] != ':' || !isSixtieth(minutes) || !isSixtieth(seconds) {
		return nil, false
	}
	fraction := rest[end+6:]
	if len(fraction) > 0 {
		if n := scanDigits(fraction, 1); fraction[0] != '.' || n < 2 || n > 7 || n != len(fraction) {
			return nil, false
		}
	}

	from := len(dst)
	dst = append(dst, 'T')
	dst = appendPart(dst, negative, hours, nil, 'H')
	dst = appendPart(dst, negative, minutes, nil, 'M')
	dst = appendPart(dst, negative, seconds, fraction, 'S')
	if len(dst) == from+1 {
		return dst[:from], true
	}
	return dst, true
}

// appendPart appends one part, unless it is zero.
func appendPart(dst []byte, negative bool, digits, fraction []byte, letter byte) []byte {
	digits = bytes.TrimLeft(digits, "0")
	if len(digits) == 0 && len(bytes.Trim(fraction, ".0")) == 0 {
		return dst
	}
	if negative {
		dst = append(dst, '-')
	}
	if len(digits) == 0 {
		dst = append(dst, '0')
	}
	dst = append(dst, digits...)
	dst = append(dst, fraction...)
	return append(dst, letter)
}

func isSixtieth(two []byte) bool {
	n := twoDigits(two)
	return n >= 0 && n < 60
}

// sign takes the sign off a number's text.
func sign(text []byte) (negative bool, rest []byte) {
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		return text[0] == '-', text[1:]
	}
	return false, text
}
