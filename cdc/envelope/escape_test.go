package envelope

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
)

// byStandardLibrary is the escaper's model, but for the two line separators that only JavaScript minds.
func byStandardLibrary(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(`\\`, `\\`, `\u2028`, "\u2028", `\u2029`, "\u2029").Replace(strings.TrimSuffix(b.String(), "\n"))
}

func checkEscaper(t testing.TB, text string) {
	t.Helper()
	got, err := writeText(nil, []byte(text))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	want := byStandardLibrary(t, text)
	if string(got) != want {
		t.Fatalf("%q: got %s, want %s", text, got, want)
	}
	var back string
	if err := json.Unmarshal(got, &back); err != nil || back != text {
		t.Fatalf("%q: read back as %q, %v", text, back, err)
	}
}

// Every byte at every place of the words of eight that the escaper works in.
func TestEscapeEveryByte(t *testing.T) {
	for c := range rune(0x180) {
		for before := range 17 {
			checkEscaper(t, strings.Repeat("x", before)+string(c)+"after it")
		}
	}
	checkEscaper(t, "")
	checkEscaper(t, "\u2028\u2029\uFFFD\U0010FFFF")
}

func TestEscapeRandom(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	alphabet := []rune("ab\"\\\n\t\x00\x1f\x7f/é世🙂\u2028 ")
	for range 2000 {
		text := make([]rune, random.IntN(40))
		for i := range text {
			text[i] = alphabet[random.IntN(len(alphabet))]
		}
		checkEscaper(t, string(text))
	}
	if t.Failed() {
		t.Logf("seed %d", seed)
	}
}

func TestTextThatIsNotUTF8IsRefused(t *testing.T) {
	for _, text := range []string{"\xff", "abc\xc3", "\xed\xa0\x80", "\xc0\x80", "12345678\x80"} {
		if got, err := writeText(nil, []byte(text)); err == nil {
			t.Errorf("%q was written as %s", text, got)
		}
	}
}
