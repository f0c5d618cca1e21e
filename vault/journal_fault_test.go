package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tacit/internal/crashpoint"
	"tacit/internal/durable"
)

// TestJournalUnsyncedFrame loses the fsync of a frame and the repair after it:
// the frame is in the file and may survive, and then its value must be there too.
func TestJournalUnsyncedFrame(t *testing.T) {
	v, dir := newVault(t), t.TempDir()
	j := openJournal(t, v, dir)
	j.Put("a", []byte("1"))
	j.Close()
	armed := false
	v.disk = &durable.Disk{Fault: func(op durable.Op, path string) error {
		if armed && filepath.Base(path) == journalLog && (op == durable.OpSync || op == durable.OpTruncate) {
			return durable.ErrInjected
		}
		return nil
	}}
	j = openJournal(t, v, dir)
	armed = true
	want := bytes.Repeat([]byte("x"), big)
	for range 2 { // the error repeats until the journal is opened again
		if err := j.Put("big", want); !errors.Is(err, durable.ErrInjected) {
			t.Fatalf("put: %v", err)
		}
	}
	j.Close()
	v.disk = nil
	j = openJournal(t, v, dir)
	defer j.Close()
	if got, ok, err := j.Get("big"); err != nil || (ok && !bytes.Equal(got, want)) {
		t.Errorf("after opening again: %v, %v", ok, err)
	} else if !ok {
		t.Error("the frame did not survive: this test shows nothing")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, valuePrefix+"*")); len(left) != 1 {
		t.Errorf("value files %v", left)
	}
}

// TestJournalUnderEveryFault makes the i-th disk operation of a session fail,
// for every i, and opens again: what was acknowledged is there, and what failed
// is there whole or not at all.
func TestJournalUnderEveryFault(t *testing.T) {
	v := newVault(t)
	steps := [][]Record{
		{{"a", []byte("1")}, {"b", []byte("1")}},
		{{"big", bytes.Repeat([]byte("x"), big)}},
		{{"a", nil}, {"c", []byte("2")}},
		{{"big", bytes.Repeat([]byte("y"), big)}, {"c", []byte("3")}},
		nil, // compact
		{{"big", nil}, {"d", []byte("4")}},
	}
	apply := func(m map[string]string, records []Record) map[string]string {
		m = maps.Clone(m)
		for _, r := range records {
			delete(m, r.Key)
			if r.Value != nil {
				m[r.Key] = string(r.Value)
			}
		}
		return m
	}
	for i := int64(1); ; i++ {
		dir := t.TempDir()
		fault, fired := durable.FailNth(i)
		v.disk = &durable.Disk{Fault: func(op durable.Op, path string) error {
			err := fault(op, path)
			if err != nil && op == durable.OpWrite {
				return durable.Torn(40)
			}
			return err
		}}
		possible := []map[string]string{{}}
		j, err := v.Journal(dir, "agent")
		if err == nil {
			for _, s := range steps {
				last := possible[len(possible)-1]
				if s == nil {
					j.Compact()
					continue
				}
				if err := j.Apply(s...); err == nil {
					possible = []map[string]string{apply(last, s)}
				} else if jerr := j.usable(); jerr != nil || j.log.Err() != nil {
					possible = append(possible, apply(last, s)) // unknown until it is opened again
					break
				} else if got := contents(t, j); !maps.Equal(got, last) {
					t.Fatalf("fault %d: a failed Apply changed memory", i)
				}
			}
			j.Close()
		}
		v.disk = nil
		j = openJournal(t, v, dir)
		got := contents(t, j)
		if !slices.ContainsFunc(possible, func(m map[string]string) bool { return maps.Equal(m, got) }) {
			t.Fatalf("fault %d: the journal holds keys %v", i, slices.Sorted(maps.Keys(got)))
		}
		j.Close()
		left, _ := filepath.Glob(filepath.Join(dir, "*"))
		hidden, _ := filepath.Glob(filepath.Join(dir, ".*"))
		if _, ok := got["big"]; len(hidden) != 0 || (!ok && len(left) > 2) || len(left) > 3 {
			t.Fatalf("fault %d: left %v %v", i, left, hidden)
		}
		if !fired() {
			if i < 30 {
				t.Errorf("only %d operations were seen", i-1)
			}
			return
		}
	}
}

func TestJournalDiskFull(t *testing.T) {
	v, dir := newVault(t), t.TempDir()
	j := openJournal(t, v, dir)
	j.Put("a", []byte("1"))
	fullNow := true
	d := &durable.Disk{Fault: func(op durable.Op, path string) error {
		if fullNow && (op == durable.OpWrite || op == durable.OpCreate) {
			return &durable.FullError{Path: path, Err: durable.ErrInjected}
		}
		return nil
	}}
	j.Close()
	v.disk = d
	fullNow = false
	j = openJournal(t, v, dir)
	defer j.Close()
	fullNow = true
	for _, value := range [][]byte{[]byte("2"), make([]byte, big)} {
		if err := j.Put("a", value); !errors.Is(err, durable.ErrDiskFull) {
			t.Errorf("%d bytes: %v", len(value), err)
		}
	}
	fullNow = false
	if got, _, _ := j.Get("a"); string(got) != "1" {
		t.Errorf("a = %q", got)
	}
	if err := j.Put("a", []byte("3")); err != nil {
		t.Errorf("with space again: %v", err)
	}
}

// TestMain doubles as a child that journals until a crash point kills it,
// printing each number once its Apply has returned.
func TestMain(m *testing.M) {
	dir := os.Getenv("JOURNAL_CHILD")
	if dir == "" {
		os.Exit(m.Run())
	}
	check := func(err error) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(9)
		}
	}
	check(crashpoint.Check())
	v, err := OpenOrCreate(dir, KeyFile(filepath.Join(dir, "root.key")))
	check(err)
	j, err := v.Journal(filepath.Join(dir, "j"), "agent")
	check(err)
	for i := 1; i <= 6; i++ {
		check(j.Apply(
			Record{"n", fmt.Append(nil, i)},
			Record{"secret", fmt.Appendf(nil, "JOURNALCANARY %d", i)},
			Record{"big", bytes.Repeat([]byte{byte('0' + i)}, big)}))
		fmt.Println(i)
		if i%2 == 0 {
			check(j.Compact())
			check(v.Rewrap(KeyFile(filepath.Join(dir, "root.key"))))
		}
	}
	os.Exit(0)
}

func TestJournalKilledAtEveryPoint(t *testing.T) {
	for _, point := range crashpoint.Names() {
		for _, nth := range []int{1, 3} {
			dir := t.TempDir()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "JOURNAL_CHILD="+dir, fmt.Sprintf("%s=%s:%d", crashpoint.Env, point, nth))
			out, _ := cmd.Output()
			if cmd.ProcessState.ExitCode() != -1 {
				t.Fatalf("%s:%d: the child was not killed: %s", point, nth, out)
			}
			acked := strings.Count(string(out), "\n")
			v, err := Open(dir, KeyFile(filepath.Join(dir, "root.key")))
			if err != nil {
				t.Fatalf("%s:%d: %v", point, nth, err)
			}
			j := openJournal(t, v, filepath.Join(dir, "j"))
			got := contents(t, j)
			j.Close()
			n := 0
			fmt.Sscan(got["n"], &n)
			if n != acked && n != acked+1 {
				t.Errorf("%s:%d: acknowledged %d, found %d", point, nth, acked, n)
			}
			if n > 0 && (got["secret"] != fmt.Sprintf("JOURNALCANARY %d", n) || got["big"] != strings.Repeat(fmt.Sprint(n), big)) {
				t.Errorf("%s:%d: half an Apply is there", point, nth)
			}
			noCanary(t, dir, "JOURNALCANARY", "11111111111111111111111111111111")
		}
	}
}

// noCanary fails if any file below dir holds one of the words.
func noCanary(t *testing.T, dir string, words ...string) {
	t.Helper()
	files := 0
	filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			t.Fatal(err)
		}
		if !e.Type().IsRegular() {
			return nil
		}
		files++
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			if bytes.Contains(b, []byte(w)) {
				t.Errorf("%s holds plaintext", path)
			}
		}
		return nil
	})
	if files == 0 {
		t.Error("no file was scanned")
	}
}
