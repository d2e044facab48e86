package envelope

import "bytes"

// writeHstore writes an hstore such as "a"=>"1", "b"=>NULL as a JSON object in a JSON string.
func writeHstore(dst, text []byte) ([]byte, error) {
	from := len(dst)
	dst, err := appendHstore(dst, text)
	if err != nil {
		return nil, err
	}

	object := dst[from:]
	dst = append(dst, '"')
	dst = appendEscaped(dst, object)
	dst = append(dst, '"')
	return cut(dst, from, len(object)), nil
}

// appendHstore appends the object itself.
func appendHstore(dst, text []byte) ([]byte, error) {
	dst = append(dst, '{')
	for rest := text; len(rest) > 0; {
		if len(rest) < len(text) {
			var found bool
			if rest, found = bytes.CutPrefix(rest, []byte(", ")); !found {
				return nil, invalid(text, "is not an hstore: a comma is missing")
			}
			dst = append(dst, ',')
		}

		var err error
		if dst, rest, err = appendPair(dst, rest); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// appendPair appends the pair that text begins with and returns what follows it.
func appendPair(dst, text []byte) (out, rest []byte, err error) {
	key, escaped, n := quoted(text)
	if n == 0 {
		return nil, nil, invalid(text, "is not an hstore: a key is not quoted")
	}
	if dst, err = writeQuoted(dst, key, escaped, writeText); err != nil {
		return nil, nil, err
	}
	dst = append(dst, ':')

	rest, found := bytes.CutPrefix(text[n:], []byte("=>"))
	if !found {
		return nil, nil, invalid(text, "is not an hstore: a key has no value")
	}
	if after, isNull := bytes.CutPrefix(rest, []byte("NULL")); isNull {
		return append(dst, "null"...), after, nil
	}
	value, escaped, n := quoted(rest)
	if n == 0 {
		return nil, nil, invalid(text, "is not an hstore: a value is neither quoted nor NULL")
	}
	dst, err = writeQuoted(dst, value, escaped, writeText)
	return dst, rest[n:], err
}
