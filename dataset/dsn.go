package dataset

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// ErrUnreachable is what errors about a source are that does not answer.
var ErrUnreachable = errors.New("dataset: the source does not answer")

// ErrNoConnection is what errors about a connection string are that is missing, or
// kept where others can read it.
var ErrNoConnection = errors.New("dataset: no usable connection string")

// noConnection is an error that is [ErrNoConnection].
type noConnection struct{ error }

func (noConnection) Is(target error) bool { return target == ErrNoConnection }

func (e noConnection) Unwrap() error { return e.error }

const dsnForms = "dsn says where the connection string is: env:NAME or file:PATH (not shown: it may hold a password)"

// checkDSN reports a Source.DSN that names no place. It never repeats it.
func checkDSN(s string) error {
	kind, rest, _ := strings.Cut(s, ":")
	if kind != "env" && kind != "file" || rest == "" {
		return errors.New("dataset: " + dsnForms)
	}
	return nil
}

// readDSN returns the connection string, which no error and no log may hold. Its
// errors are [ErrNoConnection].
func readDSN(s string) (string, error) {
	v, err := findDSN(s)
	if err != nil {
		return "", noConnection{err}
	}
	return v, nil
}

func findDSN(s string) (string, error) {
	if err := checkDSN(s); err != nil {
		return "", err
	}
	kind, where, _ := strings.Cut(s, ":")
	if kind == "env" {
		v := strings.TrimSpace(os.Getenv(where))
		if v == "" {
			return "", fmt.Errorf("dataset: the environment variable %s, which should hold the connection string, is empty", where)
		}
		return v, nil
	}
	info, err := os.Stat(where)
	if err != nil {
		return "", fmt.Errorf("dataset: the file of the connection string: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("dataset: %s holds a connection string and others may read it (mode %04o): chmod 600 %s", where, info.Mode().Perm(), where)
	}
	if !info.Mode().IsRegular() || info.Size() > 1<<16 {
		return "", fmt.Errorf("dataset: %s is no file of a connection string", where)
	}
	b, err := os.ReadFile(where)
	if err != nil {
		return "", fmt.Errorf("dataset: the file of the connection string: %w", err)
	}
	v := strings.TrimSpace(string(b))
	if v == "" {
		return "", fmt.Errorf("dataset: %s, which should hold the connection string, is empty", where)
	}
	return v, nil
}
