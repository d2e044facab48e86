package processor

import (
	"bytes"
	"encoding/json"
	"errors"
)

// errJSON says that bytes are not the JSON they should be.
var errJSON = errors.New("not a json object")

// object walks over the members of a JSON object without building anything. It checks no more than it must to find
// them: the producer wrote them, and Kafka's checksum covers them.
type object struct {
	data []byte
	at   int // 0 before the first member
}

// next returns the next member, its key unquoted and its value as it stands, or false after the last.
func (o *object) next() (key, value []byte, more bool, err error) {
	switch c := o.skipSpace(); {
	case o.at == 0 && c == '{':
		o.at++
		if o.skipSpace() == '}' {
			return nil, nil, false, nil
		}
	case o.at > 0 && c == ',':
		o.at++
	case o.at > 0 && c == '}':
		return nil, nil, false, nil
	default:
		return nil, nil, false, errJSON
	}
	if o.skipSpace() != '"' {
		return nil, nil, false, errJSON
	}
	key, err = o.value()
	if err != nil || o.skipSpace() != ':' {
		return nil, nil, false, errJSON
	}
	o.at++
	o.skipSpace()
	if value, err = o.value(); err != nil {
		return nil, nil, false, err
	}
	key, err = unquote(key)
	return key, value, true, err
}

// skipSpace returns the byte that follows white space, 0 at the end.
func (o *object) skipSpace() byte {
	for ; o.at < len(o.data); o.at++ {
		switch c := o.data[o.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// value passes over one value and returns it.
func (o *object) value() ([]byte, error) {
	start, depth := o.at, 0
	for o.at < len(o.data) {
		switch c := o.data[o.at]; c {
		case '"':
			if !o.skipString() {
				return nil, errJSON
			}
		case '{', '[':
			depth++
			o.at++
			continue
		case '}', ']':
			depth--
			o.at++
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return nil, errJSON
			}
			o.at++
		default:
			o.skipLiteral()
		}
		if depth <= 0 {
			break
		}
	}
	if depth != 0 || o.at == start {
		return nil, errJSON
	}
	return o.data[start:o.at], nil
}

// skipString passes over a string and reports whether it ends.
func (o *object) skipString() bool {
	for at := o.at + 1; ; {
		quote := bytes.IndexByte(o.data[at:], '"')
		if quote < 0 {
			return false
		}
		at += quote + 1
		escapes := 0
		for i := at - 2; o.data[i] == '\\'; i-- { // the opening quote ends it
			escapes++
		}
		if escapes%2 == 0 {
			o.at = at
			return true
		}
	}
}

// skipLiteral passes over a number, true, false or null.
func (o *object) skipLiteral() {
	for ; o.at < len(o.data); o.at++ {
		switch o.data[o.at] {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			return
		}
	}
}

// unquote returns a string's bytes, without copying if it holds no escape.
func unquote(text []byte) ([]byte, error) {
	if len(text) < 2 || text[0] != '"' {
		return nil, errJSON
	}
	if bytes.IndexByte(text, '\\') < 0 {
		return text[1 : len(text)-1], nil
	}
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, errJSON
	}
	return []byte(s), nil
}
