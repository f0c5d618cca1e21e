package vault

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"tacit/id"
)

var update = flag.Bool("update", false, "write testdata anew")

// TestVersion1 opens what an earlier build of version 1 wrote. Vaults like it
// exist: it must open for as long as this program says that it reads version 1.
func TestVersion1(t *testing.T) {
	const golden = "testdata/v1"
	provider := fastPassphrase("golden")
	large := bytes.Repeat([]byte("large "), 11_000)
	model := id.ModelHash{1, 2, 3}
	if *update {
		os.RemoveAll(golden)
		v, err := Create(golden, provider)
		if err != nil {
			t.Fatal(err)
		}
		j, err := v.Journal(filepath.Join(golden, "journal"), "agent")
		if err != nil {
			t.Fatal(err)
		}
		j.Apply(Record{"a", []byte("1")}, Record{"gone", []byte("x")})
		j.Apply(Record{"gone", nil}, Record{"empty", []byte{}}, Record{"large", large})
		j.Close()
		os.Remove(filepath.Join(golden, "journal", "LOCK"))
		v.WriteSealed(filepath.Join(golden, "sealed"), "purpose", []byte("content"))
		m, err := v.SealModel(model, []byte("weights"))
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(golden, "model.age"), m.File, 0o644)
		os.WriteFile(filepath.Join(golden, "model.wrapped"), m.Wrapped, 0o644)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(golden)); err != nil {
		t.Fatal(err)
	}
	v, err := Open(dir, provider)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if got, err := v.ReadSealed(filepath.Join(dir, "sealed"), "purpose"); err != nil || string(got) != "content" {
		t.Errorf("sealed: %q, %v", got, err)
	}
	file, _ := os.ReadFile(filepath.Join(dir, "model.age"))
	wrapped, _ := os.ReadFile(filepath.Join(dir, "model.wrapped"))
	if got, err := v.OpenModel(model, file, wrapped); err != nil || string(got) != "weights" {
		t.Errorf("model: %q, %v", got, err)
	}
	j := openJournal(t, v, filepath.Join(dir, "journal"))
	defer j.Close()
	got := contents(t, j)
	if len(got) != 3 || got["a"] != "1" || got["empty"] != "" || got["large"] != string(large) {
		t.Errorf("journal: %d keys", len(got))
	}
}

// TestManifestBytes holds the signed bytes to a vector made by hand from the
// format above Manifest.
func TestManifestBytes(t *testing.T) {
	m := Manifest{Model: id.ModelHash{1}, Run: id.RunID{2}, Round: 3, Plan: id.PlanHash{4}, Owner: "o", Plaintext: [32]byte{5}, Ciphertext: [32]byte{6}, Size: 7, LogIndex: 8}
	zero := func(n int) string { return string(bytes.Repeat([]byte("00"), n)) }
	want := hex.EncodeToString([]byte("tacit-model/1\n")) + "01" + zero(31) + "02" + zero(15) + zero(7) + "03" + "04" + zero(31) +
		"016f" + "05" + zero(31) + "06" + zero(31) + zero(7) + "07" + zero(7) + "08"
	got, err := m.Append(nil)
	if err != nil || hex.EncodeToString(got) != want {
		t.Errorf("manifest is %x, %v, want %s", got, err, want)
	}
}
