package store

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata anew")

// TestSchema compares the schema with the one that its version number stands for.
// Databases with that number exist: a difference needs a new number and a
// migration, not a new file.
func TestSchema(t *testing.T) {
	var b strings.Builder
	for _, t := range tables {
		b.WriteString(t.create() + ";\n")
	}
	const path = "testdata/schema-1.sql"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if schemaVersion != 1 || b.String() != string(want) {
		t.Errorf("schema version %d differs from %s:\n%s", schemaVersion, path, b.String())
	}
}
