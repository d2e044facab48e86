package capture

import (
	"os"
	"strings"
	"testing"
)

// The documentation lists what a new epoch makes moot.
func TestWhatANewEpochLiftsIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/guarantee.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "## When changes are lost\n")
	section, _, ended := strings.Cut(section, "\n## ")
	if !found || !ended {
		t.Fatal("docs/guarantee.md has no section on it")
	}
	_, list, _ := strings.Cut(section, "no others:\n\n")
	list, _, _ = strings.Cut(list, "\n\n")
	listed := strings.Fields(list)
	for _, name := range listed {
		if _, may := lifted[name]; !may {
			t.Errorf("%s is listed and not lifted", name)
		}
	}
	if len(listed) != len(lifted) {
		t.Errorf("%d refusals are listed and %d are lifted", len(listed), len(lifted))
	}
}
