package cdc_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/livedb/livedb/cdc"
)

func ExamplePosition() {
	// The seventh event of the transaction whose commit record stands at 16/B374D848.
	p := cdc.Position{Commit: 0x16B374D848, Index: 7}
	fmt.Println(p)

	// Positions are ordered by commit first: the first event of a later transaction comes after every event of an
	// earlier one.
	later := cdc.Position{Commit: 0x16B374E000, Index: 1}
	fmt.Println(p.Compare(later))

	// What is printed can be read back: in a checkpoint, on a record, in a URL.
	q, err := cdc.ParsePosition("16/B374D848:7")
	fmt.Println(q == p, err)

	// An LSN alone is no position: it does not say which of the transaction's events is meant.
	_, err = cdc.ParsePosition("16/B374D848")
	fmt.Println(err)

	// Output:
	// 16/B374D848:7
	// -1
	// true <nil>
	// position "16/B374D848" has no index: write it as 16/B374D848:7
}

// In the order that Compare must give them.
var ordered = []cdc.Position{
	{},
	{Index: 1},
	{Index: 1<<64 - 1},
	{Commit: 1},
	{Commit: 1, Index: 9},
	{Commit: 1, Index: 10},
	{Commit: 0xFFFFFFFF, Index: 3},
	{Commit: 0x100000000, Index: 2},
	{Commit: 0x16B374D848, Index: 7},
	{Commit: 1<<64 - 1, Index: 1<<64 - 1},
}

func TestPositionCompare(t *testing.T) {
	for i, p := range ordered {
		for j, q := range ordered {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := p.Compare(q); got != want {
				t.Errorf("%v to %v: got %d, want %d", p, q, got, want)
			}
		}
	}

	shuffled := slices.Clone(ordered)
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	slices.SortFunc(shuffled, cdc.Position.Compare)
	if !slices.Equal(shuffled, ordered) {
		t.Errorf("sorted to %v", shuffled)
	}
}

func TestPositionRoundTrip(t *testing.T) {
	positions := slices.Clone(ordered)
	for range 1000 {
		positions = append(positions, cdc.Position{Commit: cdc.CommitLSN(rand.Uint64()), Index: rand.Uint64() >> rand.IntN(64)})
	}
	for _, p := range positions {
		q, err := cdc.ParsePosition(p.String())
		if err != nil || q != p {
			t.Errorf("%s was read as %v, %v", p, q, err)
		}
	}

	type saved struct {
		At     cdc.Position
		Views  map[cdc.Position]string
		Commit cdc.CommitLSN
		End    cdc.EndLSN
	}
	p := cdc.Position{Commit: 0x16B374D848, Index: 7}
	want := saved{At: p, Views: map[cdc.Position]string{p: "sales"}, Commit: 0x16B374D848, End: 0x16B374D880}
	text, err := json.Marshal(want)
	if err != nil || string(text) != `{"At":"16/B374D848:7","Views":{"16/B374D848:7":"sales"},"Commit":"16/B374D848","End":"16/B374D880"}` {
		t.Errorf("written as %s, %v", text, err)
	}
	var got saved
	if err := json.Unmarshal(text, &got); err != nil || got.At != p || got.Views[p] != "sales" || got.Commit != want.Commit || got.End != want.End {
		t.Errorf("read as %+v, %v", got, err)
	}
}

// What is appended on the hot path is what is printed everywhere else.
func TestPositionAppendIsItsString(t *testing.T) {
	for bits := range 65 {
		for range 10 {
			p := cdc.Position{Commit: cdc.CommitLSN(rand.Uint64() >> (64 - bits)), Index: rand.Uint64N(1 << 20)}
			if got := string(p.Append([]byte("at "))); got != "at "+p.String() {
				t.Errorf("got %q for %s", got, p)
			}
		}
	}
}

func TestParsePositionRefuses(t *testing.T) {
	for _, text := range []string{
		"", ":", "16/B374D848", "16/B374D848:", ":7", "16/B374D848:x", "16/B374D848:-1", "16/B374D848:+7", "16/B374D848:07",
		"16/B374D848:7 ", " 16/B374D848:7", "16/B374D848:7:8", "16/b374d848:7", "16/0B374D848:7", "016/B374D848:7",
		"16-B374D848:7", "16B374D848:7", "1559033904:7", "/:7", "16/:7", "16/B374D848x:7", "100000000/0:7", "0/100000000:7",
		"16/B374D848:18446744073709551616", "0x16/B374D848:7", "infinity:7",
	} {
		if p, err := cdc.ParsePosition(text); err == nil {
			t.Errorf("%q was read as %v", text, p)
		}
		var p = cdc.Position{Commit: 5, Index: 5}
		if err := p.UnmarshalText([]byte(text)); err == nil || p != (cdc.Position{Commit: 5, Index: 5}) {
			t.Errorf("%q: UnmarshalText gave %v, %v", text, p, err)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	f.Add("16/B374D848:7")
	f.Add("0/0:0")
	f.Add("16/B374D848")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := cdc.ParsePosition(text)
		if err == nil && p.String() != text {
			t.Errorf("%q was read as %v", text, p)
		}
	})
}
