package oracle

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// text writes the canonical form of a value as Postgres prints it.
func (f *form) text(w *writer, text []byte) error {
	s := string(text)
	written, err := "", error(nil)
	switch f.kind {
	case kindInteger:
		return w.decimal(s)
	case kindFloat:
		return w.float(s, f.size)
	case kindArray:
		return f.arrayText(w, s)
	case kindPoint:
		return pointText(w, s)
	case kindHstore:
		return hstoreText(w, s)
	case kindVector:
		return vectorText(w, s)
	case kindSparse:
		return sparseText(w, s)
	case kindBool:
		return boolText(w, s, "t", "f")
	case kindBits:
		if f.size == 1 {
			return boolText(w, s, "1", "0")
		}
		written, err = bitsText(s)
	case kindNumeric:
		written, err = s, checkNumeric(s)
	case kindMoney:
		written, err = moneyText(s)
	case kindBytes:
		written, err = bytesText(s)
	case kindDate, kindTime, kindTimeTZ, kindTimestamp, kindTimestampTZ:
		written, err = f.timeText(s)
	case kindInterval:
		written, err = intervalText(s)
	default: // text, and a uuid, which prints as it is written
		written = s
		if !utf8.ValidString(s) {
			err = errors.New("not UTF-8")
		}
	}
	if err != nil {
		return fmt.Errorf("%.60q: %w", s, err)
	}
	w.text(written)
	return nil
}

// json writes the canonical form of an event's value, decoded with UseNumber:
//
//   - numbers of a real or double precision are equal if they are the same float, -0 being another one than 0; other
//     numbers are equal if they have the same exact decimal value, however they are spelled;
//   - strings are equal by their characters after unescaping: a numeric's scale and a time's fraction count. The string of
//     an hstore is equal by the object in it, whatever its order and spacing; that of a json or jsonb by its characters;
//   - arrays are equal by their elements in order, objects by their members in any order. In a point's WKB all NaNs are one.
func (f *form) json(w *writer, value any) error {
	switch v := value.(type) {
	case nil:
		w.null()
	case bool:
		w.bool(v)
	case json.Number:
		if size := f.floatSize(); size > 0 {
			return w.float(v.String(), size)
		}
		return w.decimal(v.String())
	case string:
		if f.kind == kindHstore {
			return hstoreJSON(w, v)
		}
		if f.kind == kindPoint {
			v = oneNaN(v)
		}
		w.text(v)
	case []any:
		w.array(len(v))
		for _, element := range v {
			inner := f // of a further dimension
			if _, nested := element.([]any); f.kind == kindArray && (!nested || f.elem.kind == kindArray) {
				inner = f.elem
			}
			if err := inner.json(w, element); err != nil {
				return err
			}
		}
	case map[string]any:
		w.object(len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			w.text(name)
			if err := f.json(w, v[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// floatSize returns the bits of the floats that a form's numbers are, 0 if they are none.
func (f *form) floatSize() int {
	switch f.kind {
	case kindFloat:
		return f.size
	case kindPoint, kindSparse:
		return 64
	case kindVector:
		return 32
	}
	return 0
}

// float writes a float: NaN and the infinities are strings, for JSON has no numbers for them.
func (w *writer) float(s string, size int) error {
	switch s {
	case "NaN", "Infinity", "-Infinity":
		w.text(s)
		return nil
	}
	v, err := strconv.ParseFloat(s, size)
	if err != nil || strings.ContainsAny(s, "xXpP_nN") {
		return fmt.Errorf("%q is not a number", s)
	}
	w.number(strconv.FormatUint(math.Float64bits(v), 16))
	return nil
}

// decimal writes a number by its exact value: digits without zeros around them, and the power of ten of the last one.
func (w *writer) decimal(s string) error {
	mantissa, exponent, scientific := strings.Cut(strings.ToLower(s), "e")
	digits, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	power, err := 0, error(nil)
	if scientific {
		power, err = strconv.Atoi(exponent)
	}
	digits = whole + fraction
	if err != nil || whole == "" || strings.Trim(digits, "0123456789") != "" {
		return fmt.Errorf("%q is not a number", s)
	}
	power -= len(fraction)
	short := strings.TrimRight(digits, "0")
	power += len(digits) - len(short)
	if short = strings.TrimLeft(short, "0"); short == "" {
		short, power = "0", 0
	}
	if negative {
		short = "-" + short
	}
	w.number(short + "e" + strconv.Itoa(power))
	return nil
}

func boolText(w *writer, s, yes, no string) error {
	if s != yes && s != no {
		return fmt.Errorf("%.60q is not a boolean", s)
	}
	w.bool(s == yes)
	return nil
}

func checkNumeric(s string) error {
	switch s {
	case "NaN", "Infinity", "-Infinity":
		return nil
	}
	whole, fraction, point := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	if whole == "" || point && fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return errors.New("not a numeric")
	}
	return nil
}

// moneyText takes the decoration of lc_monetary=C off: $1,234.11.
func moneyText(s string) (string, error) {
	amount := strings.ReplaceAll(strings.Replace(s, "$", "", 1), ",", "")
	return amount, checkNumeric(amount)
}

func bytesText(s string) (string, error) {
	digits, found := strings.CutPrefix(s, `\x`)
	raw, err := hex.DecodeString(digits)
	if !found {
		err = errors.New("not in hex format")
	}
	return base64.StdEncoding.EncodeToString(raw), err
}

// bitsText reads bits from the highest to the lowest into little-endian bytes, as Debezium does.
func bitsText(s string) (string, error) {
	raw := make([]byte, (len(s)+7)/8)
	for i := range s {
		place := len(s) - 1 - i
		switch s[i] {
		case '1':
			raw[place/8] |= 1 << (place % 8)
		case '0':
		default:
			return "", errors.New("not a bit string")
		}
	}
	return base64.StdEncoding.EncodeToString(raw), nil
}

// pointText writes a point as Debezium does: its coordinates and its WKB (byte order 1: little-endian; type 1: point).
func pointText(w *writer, s string) error {
	inner, opened := strings.CutPrefix(s, "(")
	inner, closed := strings.CutSuffix(inner, ")")
	x, y, two := strings.Cut(inner, ",")
	xv, xErr := strconv.ParseFloat(x, 64)
	yv, yErr := strconv.ParseFloat(y, 64)
	if err := errors.Join(xErr, yErr); err != nil || !opened || !closed || !two {
		return fmt.Errorf("%.60q is not a point: %w", s, err)
	}
	wkb := binary.LittleEndian.AppendUint64([]byte{1, 1, 0, 0, 0}, math.Float64bits(xv))
	wkb = binary.LittleEndian.AppendUint64(wkb, math.Float64bits(yv))

	w.object(4) // in the order of the members' names
	w.text("srid")
	w.null()
	w.text("wkb")
	w.text(oneNaN(base64.StdEncoding.EncodeToString(wkb)))
	w.text("x")
	err := w.float(x, 64)
	w.text("y")
	return errors.Join(err, w.float(y, 64))
}

// oneNaN has the NaNs in a point's WKB be Go's own. Which of the many NaNs is written, nothing says.
func oneNaN(text string) string {
	wkb, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(wkb) != 21 {
		return text
	}
	for _, coordinate := range [][]byte{wkb[5:13], wkb[13:]} {
		if math.IsNaN(math.Float64frombits(binary.LittleEndian.Uint64(coordinate))) {
			binary.LittleEndian.PutUint64(coordinate, math.Float64bits(math.NaN()))
		}
	}
	return base64.StdEncoding.EncodeToString(wkb)
}

// vectorText reads pgvector's [1,2.5].
func vectorText(w *writer, s string) error {
	var values []json.Number
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	if err := d.Decode(&values); err != nil {
		return fmt.Errorf("%.60q is not a vector: %w", s, err)
	}
	w.array(len(values))
	for _, v := range values {
		if err := w.float(v.String(), 32); err != nil {
			return err
		}
	}
	return nil
}

// sparseText reads pgvector's {1:1.5,3:-2}/5 into Debezium's struct.
func sparseText(w *writer, s string) error {
	list, dimensions, found := strings.Cut(strings.TrimPrefix(s, "{"), "}/")
	if !found {
		return fmt.Errorf("%.60q is not a sparsevec", s)
	}
	values := map[string]string{}
	for pair := range strings.SplitSeq(list, ",") {
		if index, value, found := strings.Cut(pair, ":"); found {
			values[index] = value
		}
	}
	w.object(2)
	w.text("dimensions")
	err := w.float(dimensions, 64)
	w.text("vector")
	w.object(len(values))
	for _, index := range slices.Sorted(maps.Keys(values)) {
		w.text(index)
		err = errors.Join(err, w.float(values[index], 64))
	}
	return err
}
