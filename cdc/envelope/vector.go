package envelope

import "bytes"

// The types of the pgvector extension.

// writeVector writes [1,2.5,3] as an array of numbers, which it is already once each number has been checked.
func writeVector(dst, text []byte) ([]byte, error) {
	numbers, opens := bytes.CutPrefix(text, []byte{'['})
	numbers, closes := bytes.CutSuffix(numbers, []byte{']'})
	for more := true; more; {
		var number []byte
		number, numbers, more = bytes.Cut(numbers, []byte{','})
		if _, _, end := scanNumber(number); !opens || !closes || end == 0 || end != len(number) {
			return nil, invalid(text, "is not a vector of numbers")
		}
	}
	return append(dst, text...), nil
}

// writeSparseVector writes {1:1.5,3:3.5}/5 as {"dimensions":5,"vector":{"1":1.5,"3":3.5}}.
func writeSparseVector(dst, text []byte) ([]byte, error) {
	elements, dimensions, found := bytes.Cut(text, []byte{'/'})
	elements, opens := bytes.CutPrefix(elements, []byte{'{'})
	elements, closes := bytes.CutSuffix(elements, []byte{'}'})
	if !found || !opens || !closes || !isInteger(dimensions) {
		return nil, invalid(text, "is not a sparse vector")
	}

	dst = append(dst, `{"dimensions":`...)
	dst = append(dst, dimensions...)
	dst = append(dst, `,"vector":{`...)
	for more := len(elements) > 0; more; {
		var element []byte
		element, elements, more = bytes.Cut(elements, []byte{','})
		index, number, found := bytes.Cut(element, []byte{':'})
		_, _, end := scanNumber(number)
		if !found || !isInteger(index) || end == 0 || end != len(number) {
			return nil, invalid(text, "is not a sparse vector")
		}
		dst = appendQuoted(dst, index)
		dst = append(dst, ':')
		dst = append(dst, number...)
		if more {
			dst = append(dst, ',')
		}
	}
	return append(dst, '}', '}'), nil
}
