package envelope

import "errors"

// maxDimensions is Postgres's limit, MAXDIM.
const maxDimensions = 6

var errNotArray = errors.New("is not an array")

// arrayWriter writes an array such as {1,NULL,3} as a JSON array of what the elements' writer writes. Explicit bounds,
// as in [2:3]={7,8}, are checked against the elements and then dropped: JSON cannot say them.
func arrayWriter(element writer, delimiter byte) writer {
	return func(dst, text []byte) ([]byte, error) {
		a := array{rest: text, delimiter: delimiter, element: element}
		if !a.bounds() {
			return nil, invalid(text, "is not an array: its bounds are broken")
		}
		dst, err := a.dimension(dst, 0)
		if err == nil && len(a.rest) > 0 {
			err = errNotArray
		}
		if errors.Is(err, errNotArray) {
			return nil, invalid(text, err.Error())
		}
		return dst, err
	}
}

// array is an array's text while it is read.
type array struct {
	rest      []byte
	delimiter byte
	element   writer

	// Postgres's arrays are rectangular: every sub-array of a dimension is as long as the first. Zero is a length not
	// known yet.
	length [maxDimensions]int
	leaves int // the dimension that holds the elements, from 1; 0 while unknown
}

// bounds reads [lower:upper] for each dimension, and the equals sign behind them.
func (a *array) bounds() bool {
	if len(a.rest) == 0 || a.rest[0] != '[' {
		return true
	}
	for a.take('[') {
		lower, ok := a.integer()
		if !ok || !a.take(':') || a.leaves == maxDimensions {
			return false
		}
		upper, ok := a.integer()
		if !ok || !a.take(']') || upper < lower {
			return false
		}
		a.length[a.leaves] = upper - lower + 1
		a.leaves++
	}
	return a.take('=')
}

// dimension reads one pair of braces and what it holds.
func (a *array) dimension(dst []byte, depth int) ([]byte, error) {
	if depth == maxDimensions || !a.take('{') {
		return nil, errNotArray
	}
	dst = append(dst, '[')
	if depth == 0 && a.leaves == 0 && a.take('}') {
		return append(dst, ']'), nil // only an array without any dimension is empty
	}

	for n := 1; ; n++ {
		var err error
		if len(a.rest) > 0 && a.rest[0] == '{' && a.leaves != depth+1 {
			dst, err = a.dimension(dst, depth+1)
		} else if a.leaves == 0 || a.leaves == depth+1 {
			a.leaves = depth + 1
			dst, err = a.value(dst)
		} else {
			err = errNotArray
		}
		if err != nil {
			return nil, err
		}

		if a.take(a.delimiter) {
			dst = append(dst, ',')
			continue
		}
		if a.length[depth] == 0 {
			a.length[depth] = n
		}
		if n != a.length[depth] || !a.take('}') {
			return nil, errNotArray
		}
		return append(dst, ']'), nil
	}
}

// value reads one element. The server quotes whatever could be misread, so an element without quotes holds no quote, no
// backslash, no brace and no delimiter, and is not empty.
func (a *array) value(dst []byte) ([]byte, error) {
	if body, escaped, n := quoted(a.rest); n > 0 {
		a.rest = a.rest[n:]
		return writeQuoted(dst, body, escaped, a.element)
	}

	end := 0
	for end < len(a.rest) && a.rest[end] != a.delimiter && a.rest[end] != '}' {
		switch a.rest[end] {
		case '"', '\\', '{':
			return nil, errNotArray
		}
		end++
	}
	if end == 0 {
		return nil, errNotArray
	}
	body := a.rest[:end]
	a.rest = a.rest[end:]
	if string(body) == "NULL" {
		return append(dst, "null"...), nil
	}
	return a.element(dst, body)
}

// take takes c off the rest if it begins with it.
func (a *array) take(c byte) bool {
	if len(a.rest) == 0 || a.rest[0] != c {
		return false
	}
	a.rest = a.rest[1:]
	return true
}

// integer takes a bound off the rest.
func (a *array) integer() (n int, ok bool) {
	negative, rest := sign(a.rest)
	end := scanDigits(rest, 0)
	if end == 0 || end > 10 {
		return 0, false
	}
	for _, c := range rest[:end] {
		n = n*10 + int(c-'0')
	}
	if negative {
		n = -n
	}
	a.rest = rest[end:]
	return n, true
}
