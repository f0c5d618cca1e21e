package durable

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestMain doubles as a child that takes a lock and waits for its death.
func TestMain(m *testing.M) {
	if dir := os.Getenv("DURABLE_LOCK_CHILD"); dir != "" {
		if _, err := Lock(dir); err != nil {
			os.Stdout.WriteString(err.Error())
			os.Exit(3)
		}
		os.Stdout.WriteString("locked\n")
		select {}
	}
	os.Exit(m.Run())
}

func TestWriteFileUnderEveryFault(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := int64(1); ; i++ {
		if i > 50 {
			t.Fatal("never succeeded")
		}
		fault, fired := FailNth(i)
		err := (&Disk{Fault: fault}).WriteFile(path, []byte("new"), 0o600)
		got, rerr := os.ReadFile(path)
		if rerr != nil {
			t.Fatal(rerr)
		}
		if !fired() {
			if err != nil || string(got) != "new" {
				t.Fatalf("without a fault: %v, %q", err, got)
			}
			if i < 5 {
				t.Errorf("only %d operations were seen", i-1)
			}
			break
		}
		if !errors.Is(err, ErrInjected) {
			t.Fatalf("fault %d was swallowed: %v", i, err)
		}
		// Only the last step, syncing the name, may fail with the new content in place.
		if s := string(got); s != "old" && s != "new" {
			t.Fatalf("fault %d left %q", i, s)
		}
		if names, _ := filepath.Glob(filepath.Join(dir, ".*")); len(names) != 0 {
			t.Fatalf("fault %d left %v", i, names)
		}
		if err := WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTornWriteLeavesOldContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &Disk{Fault: func(op Op, _ string) error {
		if op == OpWrite {
			return Torn(2)
		}
		return nil
	}}
	if err := d.WriteFile(path, []byte("newer"), 0o600); !errors.Is(err, ErrInjected) {
		t.Fatalf("err = %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "old" {
		t.Fatalf("content %q", got)
	}
}

func TestDiskFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, op := range []Op{OpCreate, OpWrite, OpSync, OpRename, OpSyncDir} {
		d := &Disk{Fault: func(o Op, _ string) error {
			if o == op {
				return syscall.ENOSPC
			}
			return nil
		}}
		err := d.WriteFile(path, []byte("x"), 0o600)
		var full *FullError
		if !errors.Is(err, ErrDiskFull) || !errors.As(err, &full) || full.Path == "" || full.Hint() == "" {
			t.Errorf("%s: %v", op, err)
		}
	}
	if errors.Is(Full("p", errors.New("else")), ErrDiskFull) {
		t.Error("another error counts as a full disk")
	}
}

func TestStage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "model")
	var d *Disk
	if err := d.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := d.Stage(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	s.Write([]byte("hello "))
	s.Write([]byte("world"))
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("!")); err == nil {
		t.Error("a write after sync was accepted")
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("visible before publish: %v", err)
	}
	// An unfinished stage beside it, as a crash leaves it.
	if _, err := d.Stage(filepath.Join(dir, "other"), 0o600); err != nil {
		t.Fatal(err)
	}
	left, err := d.Leftovers(dir)
	if err != nil || len(left) != 1 || left[0] != path {
		t.Fatalf("leftovers %v, %v", left, err)
	}
	if temps, _ := filepath.Glob(filepath.Join(dir, tempPrefix+"*")); len(temps) != 0 {
		t.Errorf("unfinished stage stayed: %v", temps)
	}
	for range 2 { // by name, twice: a restart may repeat it
		if err := d.Publish(path); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := os.ReadFile(path); string(got) != "hello world" {
		t.Errorf("content %q", got)
	}
	if err := d.Discard(path); err != nil {
		t.Errorf("discard of nothing: %v", err)
	}
	if err := d.Publish(filepath.Join(dir, "never")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("publish of nothing: %v", err)
	}
}

func TestStageUnderEveryFault(t *testing.T) {
	for i := int64(1); ; i++ {
		dir := t.TempDir()
		path := filepath.Join(dir, "m")
		fault, fired := FailNth(i)
		d := &Disk{Fault: fault}
		err := func() error {
			s, err := d.Stage(path, 0o600)
			if err != nil {
				return err
			}
			if _, err := s.Write([]byte("abc")); err != nil {
				s.Discard()
				return err
			}
			return s.Publish()
		}()
		if !fired() {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if err == nil {
			t.Fatalf("fault %d was swallowed", i)
		}
		// After the fault, recovery by name finds a whole file or none.
		left, lerr := (*Disk)(nil).Leftovers(dir)
		if lerr != nil {
			t.Fatal(lerr)
		}
		for _, p := range left {
			if err := (*Disk)(nil).Publish(p); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err == nil && string(got) != "abc" {
			t.Fatalf("fault %d left %q", i, got)
		}
	}
}

func TestAppenderUnderFaults(t *testing.T) {
	for i := int64(1); ; i++ {
		path := filepath.Join(t.TempDir(), "log")
		WriteFile(path, nil, 0o600)
		fault, fired := FailNth(i)
		d := &Disk{Fault: func(op Op, p string) error {
			if err := fault(op, p); err != nil {
				if op == OpWrite {
					return Torn(1)
				}
				return err
			}
			return nil
		}}
		a, err := d.OpenAppender(path, 0)
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for k := byte('a'); k < 'e'; k++ {
			piece := bytes.Repeat([]byte{k}, 3)
			if err := a.Append(piece); err == nil {
				want = append(want, piece...)
			}
		}
		if a.Size() != int64(len(want)) {
			t.Fatalf("size %d, acknowledged %d", a.Size(), len(want))
		}
		a.Close()
		a, err = (*Disk)(nil).OpenAppender(path, int64(len(want)))
		if err != nil {
			t.Fatal(err)
		}
		a.Close()
		if got, _ := os.ReadFile(path); !bytes.Equal(got, want) {
			t.Fatalf("fault %d: file %q, acknowledged %q", i, got, want)
		}
		if !fired() {
			return
		}
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	l, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	var held *LockedError
	if _, err := Lock(dir); !errors.As(err, &held) || held.PID != os.Getpid() || held.Dir != dir {
		t.Fatalf("second lock: %v", err)
	}
	l.Unlock()
	l.Unlock()

	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "DURABLE_LOCK_CHILD="+dir)
	out, _ := child.StdoutPipe()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 7)
	if _, err := out.Read(buf); err != nil || !strings.HasPrefix("locked\n", string(buf)) {
		t.Fatalf("child said %q, %v", buf, err)
	}
	_, err = Lock(dir)
	if !errors.As(err, &held) || held.PID != child.Process.Pid {
		t.Fatalf("lock held by %d: %v", child.Process.Pid, err)
	}
	if !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), strconv.Itoa(child.Process.Pid)) {
		t.Errorf("message %q", err)
	}
	child.Process.Kill()
	child.Wait()
	l, err = Lock(dir)
	if err != nil {
		t.Fatalf("after the holder's death: %v", err)
	}
	l.Unlock()
}

func TestShred(t *testing.T) {
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	os.MkdirAll(filepath.Join(tree, "a", "b"), 0o700)
	target := filepath.Join(dir, "target")
	os.WriteFile(target, []byte("stays"), 0o600)
	secret := filepath.Join(tree, "a", "b", "secret")
	os.WriteFile(secret, []byte("canary"), 0o600)
	os.Symlink(target, filepath.Join(tree, "link"))
	// A second name for the same file shows what the overwrite did.
	twin := filepath.Join(dir, "twin")
	if err := os.Link(secret, twin); err != nil {
		t.Skip(err)
	}
	if err := Shred(tree); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tree); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("tree stayed: %v", err)
	}
	if got, _ := os.ReadFile(twin); !bytes.Equal(got, make([]byte, 6)) {
		t.Errorf("content was not overwritten: %q", got)
	}
	if got, _ := os.ReadFile(target); string(got) != "stays" {
		t.Errorf("link target was touched: %q", got)
	}
	if err := Shred(tree); err != nil {
		t.Errorf("a missing path: %v", err)
	}
}
