package envelope

import (
	"fmt"
	"unicode/utf8"
)

// A writer appends one value as JSON, given the text that the server printed under LiveDB's session settings. Text that
// is not of the writer's type is an error, and then what it returns besides has no meaning. It keeps no reference to
// text, and text may lie in dst's own array before its end.
type writer func(dst, text []byte) ([]byte, error)

// writeBoolean writes t and f.
func writeBoolean(dst, text []byte) ([]byte, error) {
	switch string(text) {
	case "t":
		return append(dst, "true"...), nil
	case "f":
		return append(dst, "false"...), nil
	}
	return nil, invalid(text, "is neither t nor f")
}

// appendQuoted quotes text that needs no escape.
func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '"')
	dst = append(dst, text...)
	return append(dst, '"')
}

// Some writers need the value in a form between the server's text and JSON. They append that form to dst, write the JSON
// behind it and call cut, which moves the JSON down over the form: from is where it starts, n its length. So nothing is
// allocated once dst has grown to its size.
func cut(dst []byte, from, n int) []byte {
	return dst[:from+copy(dst[from:], dst[from+n:])]
}

// quoted reads the string in double quotes that text begins with, as arrays and hstore have it: what stands between the
// quotes, whether that holds backslashes, and the length with both quotes. The length is 0 where no string is.
func quoted(text []byte) (body []byte, escaped bool, length int) {
	if len(text) == 0 || text[0] != '"' {
		return nil, false, 0
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return text[1:i], escaped, i + 1
		case '\\':
			escaped = true
			i++
		}
	}
	return nil, false, 0
}

// writeQuoted writes the body of a string that quoted has read.
func writeQuoted(dst, body []byte, escaped bool, write writer) ([]byte, error) {
	if !escaped {
		return write(dst, body)
	}
	from := len(dst)
	for i := 0; i < len(body); i++ {
		if body[i] == '\\' {
			i++
		}
		dst = append(dst, body[i])
	}
	n := len(dst) - from
	dst, err := write(dst, dst[from:])
	if err != nil {
		return nil, err
	}
	return cut(dst, from, n), nil
}

// invalid says what is wrong with a value; the Plan adds table, column and type. It shows the value's beginning only:
// errors reach logs and the status page.
func invalid(text []byte, why string) error {
	const shown = 40
	if !utf8.Valid(text) {
		return errNotUTF8
	}
	if len(text) > shown {
		return fmt.Errorf("%q... %s", text[:shown], why)
	}
	return fmt.Errorf("%q %s", text, why)
}
