// Package tacit_test guards the walls of the house: which room may import which.
package tacit_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "tacit/"

// mayImport is the whole table of arrows between rooms, for files that are not
// tests. A room is a top-level folder; internal/… and testdata/… stand for
// themselves. A new arrow starts with a decision record in docs/adr/.
var mayImport = map[string][]string{
	"id":        {},
	"nn":        {"id", "internal/nearest"},
	"wire":      {"id"},
	"dp":        {"id"},
	"secureagg": {"id"},
	"plan":      {"id", "nn", "dp", "internal/nearest"},
	"dataset":   {"plan"},
	"audit":     {"id", "dp"},
	"vault":     {"id", "internal/durable", "internal/crashpoint", "internal/strictyaml"},
	"strategy":  {"id", "plan"},
	"client": {"id", "plan", "strategy", "nn", "dataset", "dp", "secureagg", "wire", "vault", "audit",
		"internal/durable", "internal/crashpoint", "internal/strictyaml"},
	"server": {"id", "plan", "strategy", "nn", "dp", "secureagg", "wire", "vault", "audit",
		"internal/durable", "internal/crashpoint", "internal/strictyaml"},
	"cmd": {"id", "plan", "strategy", "nn", "dataset", "dp", "secureagg", "wire", "vault", "audit",
		"client", "server", "internal/durable", "internal/crashpoint", "internal/memnet", "internal/nearest", "testdata/heart-disease"},
	"internal/durable":       {},
	"internal/crashpoint":    {},
	"internal/memnet":        {"wire"},
	"internal/nearest":       {},
	"internal/strictyaml":    {},
	"testdata/heart-disease": {},
}

// mayNotUse lists packages of others that a room must stay clear of, directly or
// through rooms it imports.
var mayNotUse = map[string][]string{
	"secureagg": {"net", "net/http", "time", "math/rand", "math/rand/v2", "os"},
	"dp":        {"net", "net/http", "math/rand", "math/rand/v2"},
	"audit":     {"net", "net/http"},
	"id":        {"net", "net/http", "time", "math/rand", "math/rand/v2", "os"},
	"strategy":  {"net", "net/http", "math/rand", "os"},
}

// onlyImporter names the folders that alone may import a package of others. What
// dataset has here stands in files tagged full.
var onlyImporter = map[string][]string{
	"github.com/gorilla/websocket":       {"wire/wsconn"},
	"modernc.org/sqlite":                 {"server/store"},
	"database/sql":                       {"server/store", "dataset"},
	"github.com/alecthomas/kong":         {"cmd/tacit"},
	"github.com/jackc/pgx/v5":            {"dataset"},
	"github.com/jackc/pgx/v5/stdlib":     {"dataset"},
	"github.com/go-sql-driver/mysql":     {"dataset"},
	"github.com/parquet-go/parquet-go":   {"dataset"},
	"github.com/klauspost/compress/zstd": {"dataset"},
}

type sourceFile struct {
	dir, room string
	path      string
	imports   []string
}

// sources parses the import clauses of every Go file of this module that is no
// test. It reads files itself: a test that runs the go command is served stale
// from the test cache.
func sources(t *testing.T) []sourceFile {
	t.Helper()
	var files []sourceFile
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules") {
				return fs.SkipDir
			}
			if path != "." {
				if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil {
					return fs.SkipDir // a nested module has walls of its own
				}
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		if ignored(f) {
			return nil
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		src := sourceFile{dir: dir, room: roomOf(dir), path: path}
		for _, spec := range f.Imports {
			src.imports = append(src.imports, strings.Trim(spec.Path.Value, `"`))
		}
		files = append(files, src)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 5 {
		t.Fatalf("found only %d source files: the guard sees nothing", len(files))
	}
	return files
}

// ignored reports whether the file is excluded from every build.
func ignored(f *ast.File) bool {
	for _, group := range f.Comments {
		for _, c := range group.List {
			if strings.HasPrefix(c.Text, "//go:build ignore") {
				return true
			}
		}
	}
	return false
}

func roomOf(dir string) string {
	parts := strings.Split(dir, "/")
	if (parts[0] == "internal" || parts[0] == "testdata") && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

func TestWalls(t *testing.T) {
	for _, f := range sources(t) {
		allowed, known := mayImport[f.room]
		if !known {
			t.Errorf("%s: room %q is not in the table", f.path, f.room)
			continue
		}
		for _, imp := range f.imports {
			if rest, ours := strings.CutPrefix(imp, module); ours {
				target := roomOf(rest)
				if target != f.room && !slices.Contains(allowed, target) {
					t.Errorf("%s: %s may not import %s", f.path, f.room, imp)
				}
			}
			if only, ok := onlyImporter[imp]; ok && !slices.Contains(only, f.dir) {
				t.Errorf("%s: only %s may import %s", f.path, strings.Join(only, ", "), imp)
			}
		}
	}
}

// TestWallsTransitively checks that what a room must not reach it does not reach
// through another room either.
func TestWallsTransitively(t *testing.T) {
	direct := map[string]map[string]bool{} // folder → imports
	folders := map[string][]string{}       // room → its folders
	for _, f := range sources(t) {
		if direct[f.dir] == nil {
			direct[f.dir] = map[string]bool{}
			folders[f.room] = append(folders[f.room], f.dir)
		}
		for _, imp := range f.imports {
			direct[f.dir][imp] = true
		}
	}
	reach := func(start string) map[string]bool {
		seen := map[string]bool{}
		var walk func(dir string)
		walk = func(dir string) {
			for imp := range direct[dir] {
				if seen[imp] {
					continue
				}
				seen[imp] = true
				if rest, ours := strings.CutPrefix(imp, module); ours {
					walk(rest)
				}
			}
		}
		walk(start)
		return seen
	}
	for room, banned := range mayNotUse {
		for _, dir := range folders[room] {
			seen := reach(dir)
			for _, b := range banned {
				if seen[b] {
					t.Errorf("%s reaches %s", dir, b)
				}
			}
		}
	}
	for _, dir := range folders["server"] {
		for imp := range reach(dir) {
			for _, never := range []string{"dataset", "client", "cmd"} {
				if imp == module+never || strings.HasPrefix(imp, module+never+"/") {
					t.Errorf("%s reaches %s: the server must not be able to read rows", dir, imp)
				}
			}
		}
	}
	for _, dir := range folders["audit"] {
		for imp := range reach(dir) {
			for _, never := range []string{"plan", "nn", "server", "client"} {
				if imp == module+never || strings.HasPrefix(imp, module+never+"/") {
					t.Errorf("%s reaches %s: the verifier must stand alone", dir, imp)
				}
			}
		}
	}
}
