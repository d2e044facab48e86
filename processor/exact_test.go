package processor

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

// Whatever is added and taken away, the sum is that of the decimal package, to the digit.
func TestExactAgreesWithDecimal(t *testing.T) {
	number := rapid.OneOf(
		rapid.StringMatching(`-?[0-9]{1,3}(\.[0-9]{1,3})?`),
		rapid.StringMatching(`-?[0-9]{0,19}(\.[0-9]{0,19})?`),
		rapid.StringMatching(`-?[0-9]{15,25}(\.[0-9]{1,25})?`),
		rapid.StringMatching(`[-+]?[0-9.]{0,6}([eE][-+]?[0-9]{1,2})?`),
		rapid.SampledFrom([]string{"0", "-0", "-0.00", "9223372036854775807", "-9223372036854775808", "999999999999999999", "0.000000000000000001", "NaN", "Infinity", "-", ".", ""}))
	rapid.Check(t, func(t *rapid.T) {
		var got exact
		want := decimal.Decimal{}
		for range rapid.IntRange(1, 20).Draw(t, "count") {
			text, by := number.Draw(t, "number"), rapid.SampledFrom([]int64{1, -1}).Draw(t, "by")
			d, err := decimal.NewFromString(text)
			if gotErr := got.add([]byte(text), by); (gotErr == nil) != (err == nil) {
				t.Fatalf("%q: %v, want %v", text, gotErr, err)
			}
			if err == nil {
				want = want.Add(d.Mul(decimal.NewFromInt(by)))
			}
			if text, wantText := string(got.append([]byte("sum "))), "sum "+want.StringFixed(max(0, -want.Exponent())); text != wantText {
				t.Fatalf("got %s, want %s", text, wantText)
			}
		}
	})
}

// What fits 64 bits does not allocate, up to the last that does; what does not is exact all the same.
func TestExactAtTheBorder(t *testing.T) {
	sum := func(texts ...string) (e exact) {
		for _, text := range texts {
			if err := e.add([]byte(strings.TrimPrefix(text, "-")), map[bool]int64{true: -1, false: 1}[text[0] == '-']); err != nil {
				t.Fatal(err)
			}
		}
		return e
	}
	nine := strings.Repeat("9", 18)
	for _, c := range []struct {
		texts []string
		large bool
		want  string
	}{
		{[]string{nine, nine, nine}, false, "2999999999999999997"},
		{[]string{nine, nine, nine, nine, nine, nine, nine, nine, nine}, false, "8999999999999999991"},
		{[]string{nine, nine, nine, nine, nine, nine, nine, nine, nine, nine}, true, "9999999999999999990"},
		{[]string{"-" + nine, "-" + nine, "-" + nine, "-" + nine, "-" + nine, "-" + nine, "-" + nine, "-" + nine, "-" + nine, "-" + nine}, true, "-9999999999999999990"},
		{[]string{"92", "0.00000000000000001"}, false, "92.00000000000000001"},
		{[]string{"93", "0.00000000000000001"}, true, "93.00000000000000001"},
		{[]string{"0.5", "-0.5"}, false, "0.0"},
	} {
		e := sum(c.texts...)
		if got := string(e.append(nil)); got != c.want || (e.large != nil) != c.large {
			t.Errorf("%v: got %s, large %v", c.texts, got, e.large != nil)
		}
	}
}

func BenchmarkSum(b *testing.B) {
	values := make([][]byte, 100)
	for i := range values {
		values[i] = fmt.Appendf(nil, "%d.%02d", i*37, i)
	}
	b.Run("exact", func(b *testing.B) {
		var e exact
		i := 0
		b.ReportAllocs()
		for b.Loop() {
			if err := e.add(values[i%100], 1); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
	b.Run("decimal", func(b *testing.B) {
		var sum decimal.Decimal
		i := 0
		b.ReportAllocs()
		for b.Loop() {
			d, err := decimal.NewFromString(string(values[i%100]))
			if err != nil {
				b.Fatal(err)
			}
			sum = sum.Add(d)
			i++
		}
	})
}
