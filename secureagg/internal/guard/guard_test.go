package guard

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// declared lists the names of the one block of declarations of a file, and its keyword.
// Each is declared alone and is true.
func declared(t *testing.T, file string) (names []string, kind token.Token, tag string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	block := f.Decls[0].(*ast.GenDecl)
	for _, s := range block.Specs {
		v := s.(*ast.ValueSpec)
		if len(v.Names) != 1 || len(v.Values) != 1 || v.Type != nil {
			t.Fatalf("%s: %v is not declared alone", file, v.Names)
		}
		if value, ok := v.Values[0].(*ast.Ident); !ok || value.Name != "true" {
			t.Errorf("%s: %s does not begin switched on", file, v.Names[0])
		}
		names = append(names, v.Names[0].Name)
	}
	if file == "guard.go" && len(f.Decls) != 1 {
		t.Errorf("%s holds more than the guards", file)
	}
	return names, block.Tok, f.Comments[0].List[0].Text
}

// TestNothingSwitchesAGuardOff: where the tag evil is not set the guards are untyped
// constants, and they are the same ones as where it is.
func TestNothingSwitchesAGuardOff(t *testing.T) {
	names, kind, tag := declared(t, "guard.go")
	if kind != token.CONST || tag != "//go:build !evil" {
		t.Errorf("guard.go: %s under %q, want constants under //go:build !evil", kind, tag)
	}
	switches, kind, tag := declared(t, "guard_evil.go")
	if kind != token.VAR || tag != "//go:build evil" {
		t.Errorf("guard_evil.go: %s under %q, want variables under //go:build evil", kind, tag)
	}
	if !slices.Equal(names, switches) {
		t.Errorf("the guards of the two builds differ:\n%v\n%v", names, switches)
	}
	if len(names) < 30 {
		t.Fatalf("found only %d guards", len(names))
	}
	files, err := filepath.Glob("../../*.go")
	if err != nil || len(files) < 20 {
		t.Fatalf("found only %d files: %v", len(files), err)
	}
	var code strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(b)
	}
	for _, n := range names {
		if !strings.Contains(code.String(), "guard."+n+" ") && !strings.Contains(code.String(), "guard."+n+"\n") {
			t.Errorf("%s guards nothing", n)
		}
	}
}
