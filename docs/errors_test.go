// Package docs holds the documentation; its tests hold the documentation to the code.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Names of refusals are an interface: scripts and people look them up.
func TestEveryRefusalIsDocumented(t *testing.T) {
	text, err := os.ReadFile("errors.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (yes|no) \\|").FindAllStringSubmatch(string(text), -1) {
		if _, twice := documented[row[1]]; twice {
			t.Errorf("%s is documented twice", row[1])
		}
		documented[row[1]] = row[2] == "yes"
	}

	known := refusals(t)
	for _, name := range slices.Sorted(maps.Keys(known)) {
		unsafe, found := documented[name]
		switch {
		case !found:
			t.Errorf("errors.md does not tell of %s", name)
		case unsafe != known[name]:
			t.Errorf("%s: errors.md says unsafe %v, the code %v", name, unsafe, known[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		if _, found := known[name]; !found {
			t.Errorf("errors.md tells of %s, which nothing gives", name)
		}
	}
}

// refusals gives the names of the code's refusals, and whether any of that name is unsafe.
func refusals(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, files := range packages(t) {
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				literal, ok := n.(*ast.CompositeLit)
				if !ok || !isRefusal(literal.Type) {
					return true
				}
				given, unsafe := namesOf(literal, files)
				if len(given) == 0 {
					t.Errorf("a refusal in package %s has a name that this test cannot find", f.Name)
				}
				for _, name := range given {
					names[name] = names[name] || unsafe
				}
				return true
			})
		}
	}
	if len(names) == 0 {
		t.Fatal("no refusal found")
	}
	return names
}

func isRefusal(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "Refusal"
	case *ast.SelectorExpr:
		return e.Sel.Name == "Refusal"
	}
	return false
}

// namesOf gives the names that a literal may have: its own or, where the name is a parameter, those of the calls.
func namesOf(literal *ast.CompositeLit, files []*ast.File) (names []string, unsafe bool) {
	for _, element := range literal.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		switch key, _ := pair.Key.(*ast.Ident); key.Name {
		case "Unsafe":
			value, isName := pair.Value.(*ast.Ident)
			unsafe = !isName || value.Name != "false"
		case "Name":
			if name, ok := text(pair.Value); ok {
				names = append(names, name)
			} else if parameter, ok := pair.Value.(*ast.Ident); ok {
				names = append(names, arguments(literal, parameter.Name, files)...)
			}
		}
	}
	return names, unsafe
}

// function is a declared function, or one assigned to a variable.
type function struct {
	name      string
	signature *ast.FuncType
}

// enclosing gives the innermost function around a node that has the parameter, and its index.
func enclosing(node ast.Node, parameter string, files []*ast.File) (found function, index int) {
	look := func(at ast.Node, f function) {
		if node.Pos() < at.Pos() || node.End() > at.End() {
			return
		}
		place := 0
		for _, field := range f.signature.Params.List {
			for _, name := range field.Names {
				if name.Name == parameter {
					found, index = f, place
				}
				place++
			}
		}
	}
	for _, file := range files {
		if node.Pos() < file.FileStart || node.End() > file.FileEnd {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool { // from outside in
			switch n := n.(type) {
			case *ast.FuncDecl:
				look(n, function{n.Name.Name, n.Type})
			case *ast.AssignStmt:
				name, _ := n.Lhs[0].(*ast.Ident)
				if value, ok := n.Rhs[0].(*ast.FuncLit); ok && name != nil {
					look(value, function{name.Name, value.Type})
				}
			}
			return true
		})
	}
	return found, index
}

// arguments gives the strings with which a package calls the function around a node for one of its parameters.
func arguments(node ast.Node, parameter string, files []*ast.File) (found []string) {
	f, index := enclosing(node, parameter, files)
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || f.name == "" || index >= len(call.Args) {
				return true
			}
			called, _ := call.Fun.(*ast.Ident)
			if method, ok := call.Fun.(*ast.SelectorExpr); ok {
				called = method.Sel
			}
			if called != nil && called.Name == f.name {
				if name, ok := text(call.Args[index]); ok {
					found = append(found, name)
				}
			}
			return true
		})
	}
	return found
}

func text(e ast.Expr) (string, bool) {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	value, err := strconv.Unquote(literal.Value)
	return value, err == nil
}

// packages parses the repository's Go files but for tests, by folder.
func packages(t *testing.T) map[string][]*ast.File {
	t.Helper()
	found, set := map[string][]*ast.File{}, token.NewFileSet()
	err := filepath.WalkDir("..", func(name string, entry fs.DirEntry, err error) error {
		switch base := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && (base == "testdata" || base == "node_modules" || len(base) > 2 && strings.HasPrefix(base, ".")):
			return fs.SkipDir
		case entry.IsDir(), !strings.HasSuffix(base, ".go"), strings.HasSuffix(base, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err == nil {
			found[filepath.Dir(name)] = append(found[filepath.Dir(name)], file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
