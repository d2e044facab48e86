package processor

import (
	"errors"
	"math/bits"
	"strconv"

	"github.com/shopspring/decimal"
)

// exact is a sum of decimals, with as many digits after the point as the finest of them had. It is exact whatever their
// size: what 64 bits do not hold goes on as a decimal.Decimal, which allocates. The zero value is 0.
type exact struct {
	units int64            // of 10^-scale
	scale int              // at most maxScale
	large *decimal.Decimal // the sum, in place of both; nil as a rule
}

const maxScale = 18

// powers are the powers of ten that an int64 holds.
var powers = func() (p [maxScale + 1]int64) {
	p[0] = 1
	for i := range maxScale {
		p[i+1] = 10 * p[i]
	}
	return p
}()

// add adds a decimal, or with -1 takes it away.
func (e *exact) add(text []byte, by int64) error {
	if units, scale, ok := parseUnits(text); ok && e.large == nil && e.addUnits(by*units, scale) {
		return nil
	}
	d, err := decimal.NewFromString(string(text))
	if err != nil {
		return errors.New(string(text))
	}
	if by < 0 {
		d = d.Neg()
	}
	sum := e.decimal().Add(d)
	*e = exact{large: &sum}
	return nil
}

// addUnits reports whether the sum is one that 64 bits hold. If not it is as before.
func (e *exact) addUnits(units int64, scale int) bool {
	to := max(e.scale, scale)
	have, ok1 := times(e.units, powers[to-e.scale])
	more, ok2 := times(units, powers[to-scale])
	sum := have + more
	if !ok1 || !ok2 || (have < 0) == (more < 0) && (sum < 0) != (have < 0) {
		return false
	}
	e.units, e.scale = sum, to
	return true
}

// times multiplies by a power of ten.
func times(n, power int64) (product int64, ok bool) {
	size := uint64(n)
	if n < 0 {
		size = -size
	}
	high, low := bits.Mul64(size, uint64(power))
	return n * power, high == 0 && low < 1<<63
}

func (e *exact) decimal() decimal.Decimal {
	if e.large != nil {
		return *e.large
	}
	return decimal.New(e.units, int32(-e.scale))
}

// append appends the sum, with all its digits after the point.
func (e *exact) append(b []byte) []byte {
	if e.large != nil {
		return append(b, e.large.StringFixed(max(0, -e.large.Exponent()))...)
	}
	size := uint64(e.units)
	if e.units < 0 {
		size = -size
		b = append(b, '-')
	}
	unit := uint64(powers[e.scale])
	b = strconv.AppendUint(b, size/unit, 10)
	if e.scale == 0 {
		return b
	}
	point := len(b)
	b = strconv.AppendUint(b, unit+size%unit, 10) // the 1 before keeps the zeros
	b[point] = '.'
	return b
}

// parseUnits reads digits with or without a sign and a point among them. What it does not take is left to the decimal package to judge.
func parseUnits(text []byte) (units int64, scale int, ok bool) {
	digits := text
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > maxScale+1 || digits[0] == '.' || digits[len(digits)-1] == '.' {
		return 0, 0, false
	}
	point := -1
	for i, c := range digits {
		switch {
		case c >= '0' && c <= '9':
			units = units*10 + int64(c-'0')
		case c == '.' && point < 0:
			point = i
		default:
			return 0, 0, false
		}
	}
	switch {
	case point >= 0:
		scale = len(digits) - 1 - point
	case len(digits) > maxScale:
		return 0, 0, false // may be more than an int64 holds
	}
	if len(digits) < len(text) {
		units = -units
	}
	return units, scale, true
}
