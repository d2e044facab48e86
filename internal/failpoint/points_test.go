package failpoint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every point stands somewhere in the product, and in the list that the fault runner draws from.
func TestEveryPointIsPlacedAndListed(t *testing.T) {
	points := declared(t)
	code := product(t)
	listed := slices.Concat(CDC, Process)
	for name, point := range points {
		if !strings.Contains(code, "failpoint."+name) {
			t.Errorf("the point %s stands nowhere", name)
		}
		if !slices.Contains(listed, point) {
			t.Errorf("the point %s is in no list", name)
		}
	}
	if len(listed) != len(points) {
		t.Errorf("%d points are listed and %d declared", len(listed), len(points))
	}
}

// declared reads the constants of points.go, by name.
func declared(t *testing.T) map[string]Point {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "points.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	points := map[string]Point{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			if value, ok := spec.Values[0].(*ast.BasicLit); ok {
				text, err := strconv.Unquote(value.Value)
				if err != nil {
					t.Fatal(err)
				}
				points[spec.Names[0].Name] = Point(text)
			}
		}
		return true
	})
	return points
}

// product is the code of the roles.
func product(t *testing.T) string {
	t.Helper()
	var code strings.Builder
	for _, room := range []string{"cdc/postgres", "producer", "processor", "internal/capture"} {
		err := filepath.WalkDir(filepath.Join("../..", room), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			code.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return code.String()
}
