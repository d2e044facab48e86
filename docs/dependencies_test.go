package docs

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

func TestEveryDependencyHasItsReason(t *testing.T) {
	found := func(file, pattern string) []string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, line := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
			names = append(names, string(line[1]))
		}
		return names
	}
	needed := found("../go.mod", `(?m)^(?:require )?\t?(\S+\.\S+/\S+) v\S+$`)
	reasons := found("dependencies.md", "(?m)^\\| `([^`]+)` \\|")
	if len(needed) == 0 {
		t.Fatal("no dependency found in go.mod")
	}
	for _, name := range needed {
		if !slices.Contains(reasons, name) {
			t.Errorf("dependencies.md does not tell why %s is needed", name)
		}
	}
	for _, name := range reasons {
		if !slices.Contains(needed, name) {
			t.Errorf("dependencies.md tells of %s, which go.mod does not require", name)
		}
	}
}
