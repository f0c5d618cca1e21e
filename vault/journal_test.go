package vault

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tacit/internal/durable"
)

const big = maxInlineBytes + 1

func openJournal(t testing.TB, v *Vault, dir string) *Journal {
	t.Helper()
	j, err := v.Journal(dir, "agent")
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// contents reads a whole journal.
func contents(t testing.TB, j *Journal) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, k := range j.Keys("") {
		b, ok, err := j.Get(k)
		if err != nil || !ok {
			t.Fatalf("get %q: %v, %v", k, ok, err)
		}
		m[k] = string(b)
	}
	return m
}

func TestJournal(t *testing.T) {
	v, dir := newVault(t), filepath.Join(t.TempDir(), "deep", "journal")
	j := openJournal(t, v, dir)
	large := bytes.Repeat([]byte("L"), 5<<20)
	if err := j.Apply(Record{"a", []byte("1")}, Record{"b", []byte{}}, Record{"large", large}, Record{"a", []byte("2")}); err != nil {
		t.Fatal(err)
	}
	if err := j.Put("chain/1", nil); err != nil {
		t.Fatal(err)
	}
	if err := j.Delete("b", "never"); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "2", "large": string(large), "chain/1": ""}
	check := func(when string) {
		t.Helper()
		if got := contents(t, j); !maps.Equal(got, want) {
			t.Fatalf("%s: keys %v", when, slices.Collect(maps.Keys(got)))
		}
	}
	check("written")
	var held *durable.LockedError
	if _, err := v.Journal(dir, "agent"); !errors.As(err, &held) {
		t.Errorf("second opener: %v", err)
	}
	j.Close()
	if err := j.Put("x", nil); err == nil {
		t.Error("a closed journal takes records")
	}
	j = openJournal(t, v, dir)
	check("reopened")
	if err := j.Compact(); err != nil {
		t.Fatal(err)
	}
	check("compacted")
	if err := j.Put("after", []byte("x")); err != nil {
		t.Fatal(err)
	}
	want["after"] = "x"
	j.Close()
	j = openJournal(t, v, dir)
	check("compacted and reopened")
	if got := j.Keys("ch"); !slices.Equal(got, []string{"chain/1"}) {
		t.Errorf("Keys(ch) = %v", got)
	}
	if err := j.Delete("large"); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, valuePrefix+"*")); len(left) != 0 {
		t.Errorf("a deleted value's file stayed: %v", left)
	}
	for _, bad := range []string{"", strings.Repeat("k", maxKeyBytes+1)} {
		if err := j.Put(bad, nil); err == nil {
			t.Errorf("a key of %d bytes was taken", len(bad))
		}
	}
	j.Close()
	if _, err := v.Journal(dir, "another"); !errors.Is(err, ErrSealed) {
		t.Errorf("another name: %v", err)
	}
	if _, err := newVault(t).Journal(dir, "agent"); !errors.Is(err, ErrSealed) {
		t.Errorf("another vault: %v", err)
	}
}

// TestJournalErasesDeletedKeys checks the promise of Compact: with the vault's
// keys and every byte of the directory, a value deleted before is not there,
// and neither is a data key that would open an older copy of its bytes.
func TestJournalErasesDeletedKeys(t *testing.T) {
	v, dir := newVault(t), t.TempDir()
	j := openJournal(t, v, dir)
	j.Put("chain", []byte("old secret"))
	path := filepath.Join(dir, journalLog)
	twin := path + "-twin" // a second name keeps the old log's blocks in sight
	if err := os.Link(path, twin); err != nil {
		t.Skip(err)
	}
	j.Delete("chain")
	before, _ := os.ReadFile(twin)
	oldHead, _, _ := parseHead(before)
	if err := j.Compact(); err != nil {
		t.Fatal(err)
	}
	after, _ := os.ReadFile(twin)
	if bytes.Contains(after, oldHead[:64]) || !bytes.Equal(after[:len(oldHead)], make([]byte, len(oldHead))) {
		t.Error("the old log's data key outlived the compaction")
	}
	now, _ := os.ReadFile(path)
	if newHead, _, err := parseHead(now); err != nil || bytes.Equal(newHead, oldHead) {
		t.Error("the data key was not replaced")
	}
	j.Close()
}

func TestJournalCompactsItself(t *testing.T) {
	v, dir := newVault(t), t.TempDir()
	v.disk = &durable.Disk{}
	j := openJournal(t, v, dir)
	value := make([]byte, 60<<10)
	for i := range 60 {
		value[0] = byte(i)
		if err := j.Put("k", value); err != nil {
			t.Fatal(err)
		}
	}
	if st, _ := os.Stat(filepath.Join(dir, journalLog)); st.Size() > 2<<20 {
		t.Errorf("the log of one 60 KB value has %d bytes", st.Size())
	}
	if got, _, _ := j.Get("k"); !bytes.Equal(got, value) {
		t.Error("value lost")
	}
	j.Close()
}

// TestJournalTornTail cuts the log after every byte of its last frame, and
// zeroes its tail: the frame was not acknowledged, and the one before counts.
func TestJournalTornTail(t *testing.T) {
	v, dir := newVault(t), t.TempDir()
	path := filepath.Join(dir, journalLog)
	j := openJournal(t, v, dir)
	j.Put("a", []byte("1"))
	whole := j.log.Size()
	j.Put("a", []byte("2"))
	j.Close()
	file, _ := os.ReadFile(path)
	try := func(what string, b []byte, want string) {
		t.Helper()
		os.WriteFile(path, b, 0o600)
		j := openJournal(t, v, dir)
		defer func() { j.Close() }()
		if got, _, err := j.Get("a"); err != nil || string(got) != want {
			t.Fatalf("%s: %q, %v", what, got, err)
		}
		if err := j.Put("b", []byte("3")); err != nil {
			t.Fatalf("%s: append after recovery: %v", what, err)
		}
		j.Close()
		j = openJournal(t, v, dir)
		if got := contents(t, j); got["a"] != want || got["b"] != "3" {
			t.Fatalf("%s: %v", what, got)
		}
	}
	for n := int(whole); n < len(file); n += 5 {
		try(fmt.Sprint("cut at ", n), file[:n], "1")
	}
	for n := int(whole); n < len(file)-16; n += 11 {
		b := bytes.Clone(file)
		clear(b[n:])
		try(fmt.Sprint("zero from ", n), b, "1")
	}
	try("whole", file, "2")
}

// TestJournalDamage flips every byte of a log: each is found, the file is named
// and nothing is changed.
func TestJournalDamage(t *testing.T) {
	v, dir := newVault(t), t.TempDir()
	path := filepath.Join(dir, journalLog)
	j := openJournal(t, v, dir)
	j.Put("a", []byte("1"))
	j.Put("big", make([]byte, big))
	j.Put("a", []byte("2"))
	j.Close()
	file, _ := os.ReadFile(path)
	for i := range file {
		bad := bytes.Clone(file)
		bad[i] ^= 1 << (i % 8)
		os.WriteFile(path, bad, 0o600)
		j, err := v.Journal(dir, "agent")
		if err == nil {
			j.Close()
			t.Fatalf("byte %d of %d was changed and the journal opened", i, len(file))
		}
		if !strings.Contains(err.Error(), path) {
			t.Fatalf("byte %d: %v", i, err)
		}
		if now, _ := os.ReadFile(path); !bytes.Equal(now, bad) {
			t.Fatalf("byte %d: the damaged file was changed", i)
		}
	}
	os.WriteFile(path, file, 0o600)
	// The large value's file: a flip is found by Get, another length by opening.
	values, _ := filepath.Glob(filepath.Join(dir, valuePrefix+"*"))
	if len(values) != 1 {
		t.Fatal(values)
	}
	content, _ := os.ReadFile(values[0])
	var damaged *DamagedError
	for _, i := range []int{0, 1000, len(content) - 1} {
		bad := bytes.Clone(content)
		bad[i] ^= 1
		os.WriteFile(values[0], bad, 0o600)
		j := openJournal(t, v, dir)
		if b, _, err := j.Get("big"); !errors.As(err, &damaged) || damaged.Path != values[0] || b != nil {
			t.Errorf("byte %d of the value: %v", i, err)
		}
		j.Close()
	}
	os.WriteFile(values[0], content[1:], 0o600)
	if _, err := v.Journal(dir, "agent"); !errors.As(err, &damaged) || damaged.Path != values[0] {
		t.Errorf("cut value: %v", err)
	}
	os.WriteFile(values[0], content, 0o600)
	os.Remove(path)
	if _, err := v.Journal(dir, "agent"); !errors.As(err, &damaged) || damaged.Path != path {
		t.Errorf("missing log: %v", err)
	}
}

// TestJournalFrameOrder moves whole frames, each intact in itself.
func TestJournalFrameOrder(t *testing.T) {
	v, dir := newVault(t), t.TempDir()
	path := filepath.Join(dir, journalLog)
	j := openJournal(t, v, dir)
	ends := []int64{j.log.Size()}
	for _, value := range []string{"1", "2", "3"} {
		j.Put("a", []byte(value))
		ends = append(ends, j.log.Size())
	}
	j.Close()
	file, _ := os.ReadFile(path)
	part := func(i int) []byte { return file[ends[i-1]:ends[i]] }
	head := file[:ends[0]]
	for what, b := range map[string][]byte{
		"swapped":           slices.Concat(head, part(2), part(1), part(3)),
		"middle dropped":    slices.Concat(head, part(1), part(3)),
		"first dropped":     slices.Concat(head, part(2), part(3)),
		"repeated":          slices.Concat(head, part(1), part(2), part(3), part(2)),
		"last one repeated": slices.Concat(head, part(1), part(2), part(3), part(3)),
	} {
		os.WriteFile(path, b, 0o600)
		var damaged *DamagedError
		if j, err := v.Journal(dir, "agent"); !errors.As(err, &damaged) || damaged.Path != path {
			t.Errorf("%s: %v", what, err)
			if j != nil {
				j.Close()
			}
		}
	}
}

// TestJournalModel compares the journal with a map over random histories of
// changes, compactions and reopenings.
func TestJournalModel(t *testing.T) {
	v := newVault(t)
	base := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		dir := filepath.Join(base, fmt.Sprint(n))
		j := openJournal(t, v, dir)
		defer func() { j.Close() }()
		model := map[string]string{}
		key := rapid.StringMatching("[a-d]")
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			switch rapid.IntRange(0, 5).Draw(rt, "what") {
			case 0:
				if err := j.Compact(); err != nil {
					rt.Fatal(err)
				}
			case 1:
				j.Close()
				j = openJournal(t, v, dir)
			default:
				var rs []Record
				for range rapid.IntRange(1, 3).Draw(rt, "records") {
					r := Record{Key: key.Draw(rt, "key")}
					if size := rapid.SampledFrom([]int{-1, 0, 1, 100, big}).Draw(rt, "size"); size >= 0 {
						r.Value = bytes.Repeat([]byte{byte(n)}, size)
						model[r.Key] = string(r.Value)
					} else {
						delete(model, r.Key)
					}
					rs = append(rs, r)
				}
				if err := j.Apply(rs...); err != nil {
					rt.Fatal(err)
				}
			}
			if got := contents(t, j); !maps.Equal(got, model) {
				rt.Fatalf("journal has %d keys, model %d", len(got), len(model))
			}
		}
	})
}

func FuzzReplay(f *testing.F) {
	dir := f.TempDir()
	v, err := Create(dir, fastPassphrase("x"))
	if err != nil {
		f.Fatal(err)
	}
	key := bytes.Repeat([]byte{7}, 32)
	j := &Journal{vault: v, dir: dir, name: "agent", aead: newAEAD(key)}
	frames := j.frame(nil, 0, appendChanges(nil, []change{{"k", &value{inline: []byte("v")}}, {"d", nil}}))
	f.Add(frames)
	f.Add(frames[:10])
	f.Add(append(bytes.Clone(frames), frames...))
	f.Add(make([]byte, 100))
	sealed, err := v.Seal("journal/agent", key)
	if err != nil {
		f.Fatal(err)
	}
	head := appendHead(nil, sealed)
	f.Fuzz(func(t *testing.T, b []byte) {
		j := &Journal{vault: v, dir: dir, name: "agent"}
		good, err := j.replay(append(bytes.Clone(head), b...))
		if err == nil && (good < int64(len(head)) || good > int64(len(head)+len(b))) {
			t.Fatalf("%d good bytes of %d", good, len(head)+len(b))
		}
		j.replay(b) // a head that is anything
		if cs, err := parseChanges(b); err == nil && !bytes.Equal(appendChanges(nil, cs), b) {
			t.Fatal("another encoding of the same records")
		}
	})
}
