package arrows

import (
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"
)

const (
	fileLines     = 400
	functionLines = 70
	mainLines     = 80
)

func TestBudgets(t *testing.T) {
	for _, f := range sources(t) {
		limit := fileLines
		if strings.HasSuffix(f.name, "/main.go") {
			limit = mainLines
		}
		if f.lines > limit {
			t.Errorf("%s has %d lines, more than %d: split it by noun", f.name, f.lines, limit)
		}
		for _, d := range f.syntax.Decls {
			function, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			first, last := f.set.Position(function.Pos()).Line, f.set.Position(function.End()).Line
			if lines := last - first + 1; lines > functionLines {
				t.Errorf("%s:%d: %s has %d lines, more than %d", f.name, first, function.Name.Name, lines, functionLines)
			}
		}
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	comment := map[string]bool{}
	for _, f := range sources(t) {
		comment[f.room] = comment[f.room] || f.syntax.Doc != nil
	}
	for _, room := range slices.Sorted(maps.Keys(comment)) {
		if !comment[room] {
			t.Errorf("the package in %s has no comment", room)
		}
	}
}

// The words of the domain are read by everyone: each exported name of cdc and its rooms has a comment.
func TestExportedNamesOfTheDomainAreDocumented(t *testing.T) {
	for _, f := range sources(t) {
		if f.room != "cdc" && !strings.HasPrefix(f.room, "cdc/") {
			continue
		}
		for _, d := range f.syntax.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s:%d: %s has no comment", f.name, f.set.Position(name.Pos()).Line, name.Name)
			}
		}
	}
}

// undocumented gives the exported names that a declaration introduces without a comment above or beside them.
func undocumented(d ast.Decl) []*ast.Ident {
	var names []*ast.Ident
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && isExported(d) {
			names = append(names, d.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					names = append(names, s.Name)
				}
			case *ast.ValueSpec:
				for _, name := range s.Names {
					if name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						names = append(names, name)
					}
				}
			}
		}
	}
	return names
}

// isExported reports whether others can call the function: a method only if its type is exported too.
func isExported(f *ast.FuncDecl) bool {
	if !f.Name.IsExported() || f.Recv == nil {
		return f.Name.IsExported()
	}
	receiver := f.Recv.List[0].Type
	for {
		switch r := receiver.(type) {
		case *ast.StarExpr:
			receiver = r.X
		case *ast.IndexExpr:
			receiver = r.X
		case *ast.IndexListExpr:
			receiver = r.X
		case *ast.Ident:
			return r.IsExported()
		default:
			return true
		}
	}
}
