package dataset

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// No error about a connection string repeats it.
func TestDSN(t *testing.T) {
	const secret = "postgres://u:hunter2@db/x"
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("TACIT_TEST_DSN", secret+"\n")
	t.Setenv("TACIT_TEST_EMPTY", "")
	for _, s := range []string{"env:TACIT_TEST_DSN", "file:" + write("good", " "+secret+"\n", 0o600)} {
		if got, err := readDSN(s); err != nil || got != secret {
			t.Errorf("%s: %q, %v", s, got, err)
		}
	}
	bad := map[string]string{
		secret:                                "dsn says where the connection string is",
		"env:":                                "dsn says where the connection string is",
		"env:TACIT_TEST_EMPTY":                "the environment variable TACIT_TEST_EMPTY, which should hold the connection string, is empty",
		"file:" + filepath.Join(dir, "none"):  "no such file",
		"file:" + write("empty", "\n", 0o600): "is empty",
		"file:" + dir:                         "",
	}
	if runtime.GOOS != "windows" {
		open := write("open", secret, 0o640)
		bad["file:"+open] = "others may read it (mode 0640): chmod 600 " + open
	}
	for s, want := range bad {
		if got, err := readDSN(s); err == nil || got != "" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %q, %v", s, got, err)
		}
	}
}

// Without the connectors a build says how to get them.
func TestBuiltWithout(t *testing.T) {
	if len(connectors) > 0 {
		t.Skip("built with the connectors")
	}
	dir := folderOf(t, map[string][]byte{"a.parquet": nil})
	for _, s := range []Source{{Path: filepath.Join(dir, "a.parquet")}, {Format: "postgres", Query: "SELECT 1", DSN: "env:X", Name: "beds"}, {Format: "mysql", Query: "SELECT 1", DSN: "env:X", Name: "beds"}} {
		format := s.Format
		if format == "" {
			format = "parquet"
		}
		_, err := Load(parsePlan(t, people), s)
		if want := ": built without " + format + "\n        go build -tags full ./cmd/tacit makes a program that has it"; err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", format, err)
		}
	}
}
