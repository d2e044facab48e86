package docs

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// What may be wrong with a stream is told where people look things up.
func TestEveryViolationIsDocumented(t *testing.T) {
	code, err := os.ReadFile("../processor/errors.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("errors.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds := regexp.MustCompile(`(Err\w+) += errors\.New\("([^"]+)"\)`).FindAllStringSubmatch(string(code), -1)
	if len(kinds) == 0 {
		t.Fatal("no kind found")
	}
	for _, kind := range kinds {
		// These two are about the client and its connection, not about the stream.
		if kind[1] == "ErrSettings" || kind[1] == "ErrUnavailable" {
			continue
		}
		if !strings.Contains(string(text), "\n| "+kind[2]+" |") {
			t.Errorf("errors.md does not tell of %q", kind[2])
		}
	}
}
