package envelope

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// escapes tells how a byte stands in a JSON string: 0 as it is, 'u' as \u00xx, otherwise as a backslash and the letter.
var escapes = func() (table [256]byte) {
	for c := range 0x20 {
		table[c] = 'u'
	}
	table['\b'], table['\f'], table['\n'], table['\r'], table['\t'] = 'b', 'f', 'n', 'r', 't'
	table['"'], table['\\'] = '"', '\\'
	return table
}()

var errNotUTF8 = errors.New("the text is not valid UTF-8")

// writeText writes text as a JSON string.
func writeText(dst, text []byte) ([]byte, error) {
	if !utf8.Valid(text) {
		return nil, errNotUTF8
	}
	dst = append(dst, '"')
	dst = appendEscaped(dst, text)
	return append(dst, '"'), nil
}

// appendEscaped appends text, which is valid UTF-8, as the inside of a JSON string.
func appendEscaped(dst, text []byte) []byte {
	for ; len(text) >= 8; text = text[8:] {
		if word := binary.LittleEndian.Uint64(text); isClean(word) {
			dst = binary.LittleEndian.AppendUint64(dst, word)
		} else {
			dst = appendEscapedBytes(dst, text[:8])
		}
	}
	return appendEscapedBytes(dst, text)
}

// isClean reports whether none of eight bytes needs an escape. It subtracts from all of them at once: the highest bit of
// a byte is set where the subtraction went below zero, so where the byte is less than a space, or was a quote or a
// backslash before the exclusive or made it zero.
func isClean(word uint64) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080

	quote, backslash := word^(ones*'"'), word^(ones*'\\')
	below := (word - ones*' ') &^ word
	below |= (quote - ones) &^ quote
	below |= (backslash - ones) &^ backslash
	return below&high == 0
}

func appendEscapedBytes(dst, text []byte) []byte {
	const hex = "0123456789abcdef"

	for _, c := range text {
		switch e := escapes[c]; e {
		case 0:
			dst = append(dst, c)
		case 'u':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, '\\', e)
		}
	}
	return dst
}
