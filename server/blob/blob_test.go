package blob

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"tacit/internal/durable"
)

func newDir(t testing.TB) *Dir {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newKey(t testing.TB) *Key {
	t.Helper()
	k, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func readSealed(d *Dir, name string, k *Key) ([]byte, error) {
	r, err := d.OpenSealed(name, k)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

func TestSealed(t *testing.T) {
	d, k := newDir(t), newKey(t)
	for _, n := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 2 * chunkSize, 2*chunkSize + 1, 1 << 20} {
		name, want := fmt.Sprintf("spool/run/1/%d", n), pattern(n)
		for _, r := range []io.Reader{bytes.NewReader(want), iotest.HalfReader(bytes.NewReader(want)), iotest.DataErrReader(bytes.NewReader(want))} {
			info, err := d.PutSealed(name, k, r)
			if err != nil {
				t.Fatal(err)
			}
			if info != (Info{name, int64(n), sha256.Sum256(want)}) {
				t.Errorf("%d bytes: info %+v", n, info)
			}
			if got, err := readSealed(d, name, k); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes: got %d, %v", n, len(got), err)
			}
		}
		r, _ := d.OpenSealed(name, k)
		if got, err := io.ReadAll(iotest.OneByteReader(io.LimitReader(r, 100))); err != nil || !bytes.Equal(got, want[:min(n, 100)]) {
			t.Errorf("%d bytes, one at a time: %v", n, err)
		}
		r.Close()
	}
	same, err := KeyFrom(k.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readSealed(d, "spool/run/1/1", same); err != nil {
		t.Errorf("a key sealed and opened again: %v", err)
	}
	if _, err := KeyFrom(make([]byte, 31)); err == nil {
		t.Error("a short key was taken")
	}
}

func TestSealedRefusals(t *testing.T) {
	d, k := newDir(t), newKey(t)
	const name = "spool/run/1/agent"
	plain := pattern(2*chunkSize + 5)
	if _, err := d.PutSealed(name, k, bytes.NewReader(plain)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(d.root, name)
	file, _ := os.ReadFile(path)
	refuse := func(what string, b []byte) {
		t.Helper()
		os.WriteFile(path, b, 0o600)
		got, err := readSealed(d, name, k)
		if !errors.Is(err, ErrSealed) {
			t.Fatalf("%s: %v", what, err)
		}
		if !bytes.HasPrefix(plain, got) {
			t.Fatalf("%s: plaintext that was never written", what)
		}
	}
	for i := range file {
		if i > 100 && i < len(file)-50 && i%509 != 0 {
			continue
		}
		bad := bytes.Clone(file)
		bad[i] ^= 1 << (i % 8)
		refuse(fmt.Sprint("byte ", i), bad)
	}
	step := chunkSize + tagSize
	for _, n := range []int{0, 5, headSize, headSize + 5, headSize + step, headSize + step + 1, headSize + 2*step, len(file) - 1} {
		refuse(fmt.Sprint("cut to ", n), file[:n])
	}
	refuse("extended", append(bytes.Clone(file), 0))
	swapped := bytes.Clone(file)
	copy(swapped[headSize:], file[headSize+step:headSize+2*step])
	copy(swapped[headSize+step:], file[headSize:headSize+step])
	refuse("chunks swapped", swapped)

	os.WriteFile(path, file, 0o600)
	if _, err := readSealed(d, name, newKey(t)); !errors.Is(err, ErrSealed) {
		t.Errorf("another key: %v", err)
	}
	if err := d.Put("spool/run/1/other", file); err != nil {
		t.Fatal(err)
	}
	if _, err := readSealed(d, "spool/run/1/other", k); !errors.Is(err, ErrSealed) {
		t.Errorf("another name: %v", err)
	}
	if _, err := readSealed(d, "spool/none", k); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no blob: %v", err)
	}
	if bytes.Contains(file, plain[:64]) {
		t.Error("plaintext lies in the file")
	}
	// A failing source leaves what was there.
	if _, err := d.PutSealed(name, k, iotest.TimeoutReader(bytes.NewReader(pattern(1<<20)))); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("failing source: %v", err)
	}
	if got, err := readSealed(d, name, k); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("after a failed replacement: %v", err)
	}
}

func TestNames(t *testing.T) {
	d := newDir(t)
	for _, bad := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", ".staged-a", ".tmp-x", "A", "a b", "a\\b", "a\x00",
		"ä", "a:b", "-a", "a.", "a/b/c/d/e/f", strings.Repeat("a", 101), "c:a"} {
		var ne *NameError
		if err := d.Put(bad, nil); !errors.As(err, &ne) {
			t.Errorf("Put(%q) = %v", bad, err)
		}
		for what, err := range map[string]error{"publish": d.Publish(bad), "discard": d.Discard(bad), "delete": d.Delete(bad), "shred": d.Shred(bad)} {
			if !errors.As(err, &ne) {
				t.Errorf("%s(%q) = %v", what, bad, err)
			}
		}
		if _, err := d.Get(bad); !errors.As(err, &ne) {
			t.Errorf("Get(%q) = %v", bad, err)
		}
	}
	for _, good := range []string{"z", "models/0123/7-abc.age", "a/b/c/d/e", strings.Repeat("a", 100)} {
		if err := d.Put(good, []byte("x")); err != nil {
			t.Errorf("Put(%q) = %v", good, err)
		}
	}
}

func TestListDeleteShred(t *testing.T) {
	d := newDir(t)
	for _, n := range []string{"spool/r/1/b", "spool/r/1/a", "spool/r/2/a", "models/r/0"} {
		if err := d.Put(n, []byte(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Stage("models/r/1", []byte("staged")); err != nil {
		t.Fatal(err)
	}
	list := func(prefix string, want ...string) {
		t.Helper()
		if got, err := d.List(prefix); err != nil || !slices.Equal(got, want) {
			t.Errorf("List(%q) = %v, %v", prefix, got, err)
		}
	}
	list("", "models/r/0", "spool/r/1/a", "spool/r/1/b", "spool/r/2/a")
	list("spool/r/1", "spool/r/1/a", "spool/r/1/b")
	list("none")
	for range 2 {
		if err := d.Delete("spool/r/1/a"); err != nil {
			t.Fatal(err)
		}
		if err := d.Shred("spool/r/2"); err != nil {
			t.Fatal(err)
		}
	}
	list("spool", "spool/r/1/b")
	if err := d.Delete("no/such/folder"); err != nil {
		t.Error(err)
	}
	if b, err := d.Get("models/r/0"); err != nil || string(b) != "models/r/0" {
		t.Errorf("get: %q, %v", b, err)
	}
}

// TestStageAcrossRestart follows a model through a crash at each side of the
// store's commit.
func TestStageAcrossRestart(t *testing.T) {
	d := newDir(t)
	for _, n := range []string{"models/r/1", "models/r/2"} {
		if err := d.Stage(n, []byte(n)); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Get(n); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is visible before it is published", n)
		}
	}
	d, err := Open(d.root) // a restart
	if err != nil {
		t.Fatal(err)
	}
	staged, err := d.Staged()
	if err != nil || !slices.Equal(staged, []string{"models/r/1", "models/r/2"}) {
		t.Fatalf("staged %v, %v", staged, err)
	}
	for range 2 {
		if err := d.Publish("models/r/1"); err != nil {
			t.Fatal(err)
		}
		if err := d.Discard("models/r/2"); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := d.Get("models/r/1"); err != nil || string(b) != "models/r/1" {
		t.Errorf("published: %q, %v", b, err)
	}
	if err := d.Publish("models/r/2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("publish of a discarded blob: %v", err)
	}
	if staged, _ := d.Staged(); len(staged) != 0 {
		t.Errorf("staged %v", staged)
	}
	if err := d.Discard("no/folder"); err != nil {
		t.Error(err)
	}
}

func TestUnderEveryFault(t *testing.T) {
	k := newKey(t)
	old, now := pattern(100), pattern(chunkSize+9)
	for i := int64(1); ; i++ {
		d := newDir(t)
		if _, err := d.PutSealed("spool/a", k, bytes.NewReader(old)); err != nil {
			t.Fatal(err)
		}
		fault, fired := durable.FailNth(i)
		d.disk = &durable.Disk{Fault: fault}
		_, putErr := d.PutSealed("spool/a", k, bytes.NewReader(now))
		stageErr := d.Stage("models/b", []byte("b"))
		pubErr := d.Publish("models/b")
		shredErr := d.Shred("models")
		failed := errors.Join(putErr, stageErr, pubErr, shredErr)
		if fired() == (failed == nil) {
			t.Fatalf("fault %d: %v", i, failed)
		}
		d, err := Open(d.root)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readSealed(d, "spool/a", k)
		if err != nil || (!bytes.Equal(got, now) && !bytes.Equal(got, old)) || (putErr == nil && !bytes.Equal(got, now)) {
			t.Fatalf("fault %d: %d bytes, %v after %v", i, len(got), err, putErr)
		}
		if staged, _ := d.Staged(); !slices.Equal(staged, nil) && !slices.Equal(staged, []string{"models/b"}) {
			t.Fatalf("fault %d: staged %v", i, staged)
		}
		if err := d.Shred("models"); err != nil {
			t.Fatal(err)
		}
		if !fired() {
			if i < 15 {
				t.Errorf("only %d operations were seen", i-1)
			}
			return
		}
	}
}

func TestDiskFull(t *testing.T) {
	d, k := newDir(t), newKey(t)
	d.disk = &durable.Disk{Fault: func(op durable.Op, path string) error {
		if op == durable.OpWrite {
			return &durable.FullError{Path: path}
		}
		return nil
	}}
	if _, err := d.PutSealed("a", k, bytes.NewReader(pattern(10))); !errors.Is(err, durable.ErrDiskFull) {
		t.Errorf("put: %v", err)
	}
	if err := d.Stage("a", nil); !errors.Is(err, durable.ErrDiskFull) {
		t.Errorf("stage: %v", err)
	}
	if hidden, _ := filepath.Glob(filepath.Join(d.root, ".*")); len(hidden) != 0 {
		t.Errorf("left on a full disk: %v", hidden)
	}
}

func TestKeyDoesNotPrint(t *testing.T) {
	k, _ := KeyFrom([]byte("CANARYCANARYCANARYCANARYCANARYCA"))
	for _, thing := range []any{k, struct{ k *Key }{k}} {
		for _, f := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			out := fmt.Sprintf(f, thing)
			if strings.Contains(out, "CANARY") || strings.Contains(out, "43414e") || strings.Contains(out, "67 65 78") {
				t.Errorf("%s prints the key: %s", f, out)
			}
		}
	}
	k.Wipe()
	if !bytes.Equal(k.Bytes(), make([]byte, KeySize)) {
		t.Error("wiped key has bytes")
	}
}

func FuzzOpenSealed(f *testing.F) {
	d := newDir(f)
	k, _ := KeyFrom(make([]byte, KeySize))
	var good bytes.Buffer
	if err := seal(&good, k, "a", strings.NewReader("plain")); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add(good.Bytes()[:headSize])
	f.Add([]byte(spoolMagic))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(filepath.Join(d.root, "a"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readSealed(d, "a", k); err == nil && string(got) != "plain" {
			t.Fatalf("forged: %q", got)
		}
	})
}
