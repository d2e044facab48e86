package processor

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/livedb/livedb/cdc"
)

func parse(t *testing.T, text string) cdc.Position {
	t.Helper()
	p, err := cdc.ParsePosition(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParsePositionAgreesWithTheWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.StringMatching(`[0-9A-Fa-f]{0,9}/[0-9A-F]{0,9}:[0-9]{0,20}`),
			rapid.Custom(func(t *rapid.T) string {
				return cdc.Position{Commit: cdc.CommitLSN(rapid.Uint64().Draw(t, "commit")), Index: rapid.Uint64().Draw(t, "index")}.String()
			}),
		).Draw(t, "text")
		want, wantErr := cdc.ParsePosition(text)
		got, err := parsePosition([]byte(text))
		if got != want && wantErr == nil || (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, %v; want %v, %v", text, got, err, want, wantErr)
		}
	})
}
