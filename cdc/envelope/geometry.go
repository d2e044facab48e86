package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
)

// writePoint writes (1.5,-2) as Debezium's Point: both numbers, and the same as well-known binary.
func writePoint(dst, text []byte) ([]byte, error) {
	const littleEndian, pointType = 1, 1

	x, y, ok := splitPoint(text)
	if !ok {
		return nil, invalid(text, "is not a point")
	}
	dst = append(dst, `{"x":`...)
	dst, err := writeFloat(dst, x)
	if err != nil {
		return nil, err
	}
	dst = append(dst, `,"y":`...)
	if dst, err = writeFloat(dst, y); err != nil {
		return nil, err
	}

	wkb := [21]byte{littleEndian, pointType}
	for i, number := range [][]byte{x, y} {
		f, err := strconv.ParseFloat(string(number), 64)
		if err != nil {
			return nil, invalid(number, "is not a number that fits a point")
		}
		bits := math.Float64bits(f)
		if math.IsNaN(f) {
			bits = quietNaN
		}
		binary.LittleEndian.PutUint64(wkb[5+8*i:], bits)
	}
	dst = append(dst, `,"wkb":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, wkb[:])
	return append(dst, `","srid":null}`...), nil
}

// quietNaN is the NaN of C and Java; Go's own differs in its last bit.
const quietNaN = 0x7ff8000000000000

func splitPoint(text []byte) (x, y []byte, ok bool) {
	inner, opens := bytes.CutPrefix(text, []byte{'('})
	inner, closes := bytes.CutSuffix(inner, []byte{')'})
	x, y, found := bytes.Cut(inner, []byte{','})
	return x, y, opens && closes && found
}
