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
	if key, more, err = o.member(); err == nil && more {
		value, err = o.value()
	}
	return key, value, more && err == nil, err
}

// member goes to the value of the next member and returns its key, unquoted, or false after the last.
func (o *object) member() (key []byte, more bool, err error) {
	switch c := o.skipSpace(); {
	case o.at == 0 && c == '{':
		o.at++
		if o.skipSpace() == '}' {
			return nil, false, nil
		}
	case o.at > 0 && c == ',':
		o.at++
	case o.at > 0 && c == '}':
		return nil, false, nil
	default:
		return nil, false, errJSON
	}
	if o.skipSpace() != '"' {
		return nil, false, errJSON
	}
	key, err = o.value()
	if err != nil || o.skipSpace() != ':' {
		return nil, false, errJSON
	}
	o.at++
	o.skipSpace()
	key, err = unquote(key)
	return key, err == nil, err
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
	start, ok := o.at, o.at < len(o.data)
	if ok {
		switch o.data[start] {
		case '"':
			ok = o.skipString()
		case '{', '[':
			ok = o.skipNested()
		default:
			o.skipLiteral()
			ok = o.at > start
		}
	}
	if !ok {
		return nil, errJSON
	}
	return o.data[start:o.at], nil
}

// skipNested passes over an object or array and reports whether it ends.
func (o *object) skipNested() bool {
	for depth := 0; o.at < len(o.data); {
		switch o.data[o.at] {
		case '"':
			if !o.skipString() {
				return false
			}
		case '{', '[':
			depth++
			o.at++
		case '}', ']':
			depth--
			o.at++
			if depth == 0 {
				return true
			}
		case ',', ':', ' ', '\t', '\n', '\r':
			o.at++
		default:
			o.skipLiteral()
		}
	}
	return false
}

// shortString is the length up to which a look at each byte is cheaper than a search.
const shortString = 24

// skipString passes over a string and reports whether it ends.
func (o *object) skipString() bool {
	for i, c := range o.data[o.at+1 : min(o.at+1+shortString, len(o.data))] {
		if c == '"' {
			o.at += i + 2
			return true
		}
		if c == '\\' {
			break
		}
	}
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
