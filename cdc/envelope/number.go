package envelope

import "bytes"

// scanNumber finds the JSON number that text begins with: where its integer part, its fraction and its exponent end.
// A missing part ends where the one before it ends. All are 0 where text begins with no number.
func scanNumber(text []byte) (integer, fraction, exponent int) {
	i := 0
	if i < len(text) && text[i] == '-' {
		i++
	}
	if i < len(text) && text[i] == '0' {
		integer = i + 1 // JSON has no leading zeros
	} else if integer = scanDigits(text, i); integer == i {
		return 0, 0, 0
	}

	fraction = integer
	if integer < len(text) && text[integer] == '.' {
		if end := scanDigits(text, integer+1); end > integer+1 {
			fraction = end
		}
	}

	exponent = fraction
	if i = fraction; i < len(text) && (text[i] == 'e' || text[i] == 'E') {
		if i++; i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		if end := scanDigits(text, i); end > i {
			exponent = end
		}
	}
	return integer, fraction, exponent
}

// scanDigits returns where the digits that stand at i end.
func scanDigits(text []byte, i int) int {
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	return i
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// isSpecial tells the values that floating point and numeric have and JSON has not.
func isSpecial(text []byte) bool {
	switch string(text) {
	case "NaN", "Infinity", "-Infinity":
		return true
	}
	return false
}

// writeInteger passes a whole number through. Its size is not checked: the server printed it.
func writeInteger(dst, text []byte) ([]byte, error) {
	if !isInteger(text) {
		return nil, invalid(text, "is not a whole number")
	}
	return append(dst, text...), nil
}

// isInteger reports whether text is a whole number as JSON has it.
func isInteger(text []byte) bool {
	if len(text) > 0 && text[0] == '-' {
		text = text[1:]
	}
	for _, c := range text {
		if !isDigit(c) {
			return false
		}
	}
	return len(text) == 1 || len(text) > 1 && text[0] != '0'
}

// writeFloat passes a number through, and a special value as a string.
func writeFloat(dst, text []byte) ([]byte, error) {
	if _, _, end := scanNumber(text); end > 0 && end == len(text) {
		return append(dst, text...), nil
	}
	if isSpecial(text) {
		return appendQuoted(dst, text), nil
	}
	return nil, invalid(text, "is not a number")
}

// writeDecimal writes a decimal as a string, digit by digit as the server printed it: a JSON number would be read into
// floating point and lose digits.
func writeDecimal(dst, text []byte) ([]byte, error) {
	if _, fraction, _ := scanNumber(text); (fraction > 0 && fraction == len(text)) || isSpecial(text) {
		return appendQuoted(dst, text), nil
	}
	return nil, invalid(text, "is not a decimal number")
}

// writeMoney writes an amount such as $1,234.11, -$1,234.11 or ($1234.11) as a decimal. The form is that of
// lc_monetary C; under another one the currency's digits and signs would be guesswork, so it is refused.
func writeMoney(dst, text []byte) ([]byte, error) {
	amount, negative := text, false
	if n := len(amount); n > 2 && amount[0] == '(' && amount[n-1] == ')' {
		amount, negative = amount[1:n-1], true
	} else if n > 1 && amount[0] == '-' {
		amount, negative = amount[1:], true
	}
	amount, dollar := bytes.CutPrefix(amount, []byte{'$'})
	point := len(amount) - 3
	if !dollar || point < 1 || amount[point] != '.' || scanDigits(amount, point+1) != len(amount) {
		return nil, invalid(text, "is not an amount as lc_monetary C prints it")
	}

	dst = append(dst, '"')
	if negative {
		dst = append(dst, '-')
	}
	grouped := bytes.IndexByte(amount, ',') >= 0
	for i, c := range amount[:point] {
		switch {
		case grouped && (point-i)%4 == 0 && c == ',' && i > 0:
		case isDigit(c) && !(grouped && (point-i)%4 == 0):
			dst = append(dst, c)
		default:
			return nil, invalid(text, "is not an amount as lc_monetary C prints it")
		}
	}
	dst = append(dst, amount[point:]...)
	return append(dst, '"'), nil
}
