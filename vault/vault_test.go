package vault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"filippo.io/age"

	"tacit/id"
	"tacit/internal/durable"
)

// fastPassphrase spares the tests argon2id's real cost.
func fastPassphrase(p string) Provider {
	return passphrase{NewSecret([]byte(p)), argonCost{time: 1, memory: 64, lanes: 1}}
}

func newVault(t *testing.T) *Vault {
	t.Helper()
	dir := t.TempDir()
	v, err := Create(filepath.Join(dir, "vault"), KeyFile(filepath.Join(dir, "root.key")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func TestProviders(t *testing.T) {
	dir := t.TempDir()
	for name, p := range map[string]Provider{
		"keyfile":    KeyFile(filepath.Join(dir, "keys", "root.key")),
		"passphrase": fastPassphrase("correct horse"),
	} {
		t.Run(name, func(t *testing.T) {
			at := filepath.Join(dir, name)
			if _, err := Open(at, p); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("open of nothing: %v", err)
			}
			v, err := OpenOrCreate(at, p)
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := v.Seal("a", []byte("content"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Create(at, p); !errors.Is(err, fs.ErrExist) {
				t.Errorf("create over a vault: %v", err)
			}
			v.Close()
			if _, err := v.Open("a", sealed); err == nil {
				t.Error("a closed vault opens")
			}
			v, err = OpenOrCreate(at, p)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := v.Open("a", sealed); err != nil || string(got) != "content" {
				t.Errorf("after reopening: %q, %v", got, err)
			}
			if err := v.Rewrap(fastPassphrase("new")); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(at, p); err == nil {
				t.Error("the old provider still opens")
			}
			v, err = Open(at, fastPassphrase("new"))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := v.Open("a", sealed); err != nil || string(got) != "content" {
				t.Errorf("after rewrapping: %q, %v", got, err)
			}
		})
	}
}

func TestWrongKeys(t *testing.T) {
	dir := t.TempDir()
	if _, err := Create(dir, fastPassphrase("right")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, fastPassphrase("wrong")); !errors.Is(err, ErrSealed) {
		t.Errorf("wrong passphrase: %v", err)
	}
	if _, err := Open(dir, KeyFile(filepath.Join(dir, "k"))); err == nil || !strings.Contains(err.Error(), "passphrase") {
		t.Errorf("wrong kind: %v", err)
	}
	if _, err := Create(t.TempDir(), fastPassphrase("")); err == nil {
		t.Error("an empty passphrase was accepted")
	}
	a, b := newVault(t), newVault(t)
	sealed, _ := a.Seal("p", []byte("x"))
	if _, err := b.Open("p", sealed); err != ErrSealed {
		t.Errorf("another vault: %v", err)
	}
}

func TestDefaultPassphraseCost(t *testing.T) {
	p := Passphrase([]byte("x")).(passphrase)
	if p.cost != (argonCost{3, 64 << 10, 4}) {
		t.Errorf("cost %+v is not RFC 9106's second recommended choice", p.cost)
	}
	// A hostile envelope cannot ask for more than the bound.
	env, err := fastPassphrase("x").Wrap(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for at := 1; at < 9; at += 4 {
		bad := bytes.Clone(env)
		bad[at] = 0xff
		if _, err := fastPassphrase("x").Unwrap(bad); err != ErrSealed {
			t.Errorf("cost byte %d: %v", at, err)
		}
	}
	for n := range env {
		if _, err := fastPassphrase("x").Unwrap(env[:n]); err != ErrSealed {
			t.Fatalf("envelope of %d bytes: %v", n, err)
		}
	}
}

func TestLooseKeyFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("access lists decide there")
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "root.key")
	if _, err := Create(dir, KeyFile(key)); err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(key); st.Mode().Perm() != 0o600 {
		t.Errorf("key file was made with mode %v", st.Mode())
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o660, 0o777} {
		os.Chmod(key, mode)
		var loose *LooseModeError
		if _, err := Open(dir, KeyFile(key)); !errors.As(err, &loose) || !strings.Contains(loose.Hint(), key) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	os.Chmod(key, 0o400)
	if _, err := Open(dir, KeyFile(key)); err != nil {
		t.Errorf("mode 0400: %v", err)
	}
	secret, _ := os.ReadFile(key)
	os.Chmod(key, 0o600)
	os.WriteFile(key, append(secret, secret...), 0o600)
	_, err := Open(dir, KeyFile(key))
	if err == nil || strings.Contains(err.Error(), "AGE-SECRET-KEY-PQ-1"+string(secret[100:110])) {
		t.Errorf("two identities: %v", err)
	}
}

// TestEveryFlippedByte changes each byte of each sealed thing.
func TestEveryFlippedByte(t *testing.T) {
	v := newVault(t)
	sealed, err := v.Seal("purpose", []byte("short"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1 << (i % 8)
		if got, err := v.Open("purpose", bad); err != ErrSealed || got != nil {
			t.Fatalf("byte %d of %d: %q, %v", i, len(sealed), got, err)
		}
	}
	for _, bad := range [][]byte{nil, sealed[:len(sealed)-1], append(bytes.Clone(sealed), 0), sealed[1:]} {
		if got, err := v.Open("purpose", bad); err != ErrSealed || got != nil {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
	for _, purpose := range []string{"", "purpos", "purposes", "Purpose"} {
		if got, err := v.Open(purpose, sealed); err != ErrSealed || got != nil {
			t.Errorf("purpose %q: %v", purpose, err)
		}
	}
	// vault.key itself: found before any key is tried.
	path := filepath.Join(v.dir, vaultName)
	file, _ := os.ReadFile(path)
	for i := range file {
		bad := bytes.Clone(file)
		bad[i] ^= 0x10
		os.WriteFile(path, bad, 0o600)
		var damaged *DamagedError
		if _, err := Open(v.dir, KeyFile(filepath.Join(v.dir, "..", "root.key"))); !errors.As(err, &damaged) || damaged.Path != path {
			t.Fatalf("byte %d of vault.key: %v", i, err)
		}
	}
}

// TestForgery seals with the right recipient but without the project's MAC key:
// age alone would accept it.
func TestForgery(t *testing.T) {
	v := newVault(t)
	seal := func(magic string, tag []byte) []byte {
		b, err := encryptParts(v.project.identity.Recipient(), []byte(magic), tag, []byte("content"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	tag := v.project.tag("p", []byte("content"))
	if _, err := v.Open("p", seal(sealMagic, tag)); err != nil {
		t.Fatalf("our own: %v", err)
	}
	for what, forged := range map[string][]byte{
		"no tag": seal(sealMagic, make([]byte, 32)), "short": seal(sealMagic, nil), "newer": seal("tacit-seal/2\n", tag),
		"another purpose's tag": seal(sealMagic, v.project.tag("q", []byte("content"))),
	} {
		if got, err := v.Open("p", forged); err != ErrSealed || got != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestModel(t *testing.T) {
	v := newVault(t)
	record := bytes.Repeat([]byte("weights!"), 20_000) // several age chunks
	model := id.Sum[struct{}]("test", record)
	hash := id.ModelHash(model)
	m, err := v.SealModel(hash, record)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.OpenModel(hash, m.File, m.Wrapped); err != nil || !bytes.Equal(got, record) {
		t.Fatalf("open: %v", err)
	}
	other, err := v.SealModel(hash, record)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.OpenModel(hash, m.File, other.Wrapped); err != ErrSealed || got != nil {
		t.Errorf("another version's identity: %v", err)
	}
	if _, err := v.OpenModel(id.ModelHash{1}, m.File, m.Wrapped); err != ErrSealed {
		t.Errorf("another model: %v", err)
	}
	if _, err := v.OpenModel(hash, m.File, nil); err != ErrSealed {
		t.Errorf("erased identity: %v", err)
	}
	for i := 0; i < len(m.File); i += 997 {
		bad := bytes.Clone(m.File)
		bad[i] ^= 1
		if got, err := v.OpenModel(hash, bad, m.Wrapped); err != ErrSealed || got != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	if _, err := v.OpenModel(hash, m.File[:70_000], m.Wrapped); err != ErrSealed {
		t.Errorf("cut: %v", err)
	}

	var seed [id.SeedSize]byte
	key := id.NewPrivateKey(seed)
	want := Manifest{Model: hash, Run: id.RunID{1}, Round: 2, Plan: id.PlanHash{3}, Owner: "hospital", Plaintext: m.Plaintext, Ciphertext: m.Ciphertext, Size: uint64(len(record)), LogIndex: 9}
	signed, err := want.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	pub := key.Public()
	got, err := VerifyManifest(signed, pub)
	if err != nil || *got != want {
		t.Fatalf("manifest %+v, %v", got, err)
	}
	for i := range signed {
		bad := bytes.Clone(signed)
		bad[i] ^= 1
		if got, err := VerifyManifest(bad, pub); err == nil || got != nil {
			t.Fatalf("byte %d of the manifest was changed and verified", i)
		}
	}
	want.Owner = strings.Repeat("o", 256)
	if _, err := want.Sign(key); err == nil {
		t.Error("an owner of 256 bytes was accepted")
	}
}

func FuzzParseManifest(f *testing.F) {
	m := Manifest{Owner: "owner", Round: 1}
	good, _ := m.Append(nil)
	f.Add(good)
	f.Add(append(good, 0))
	f.Add(good[:20])
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			if m != nil {
				t.Fatal("a result beside an error")
			}
			return
		}
		if back, err := m.Append(nil); err != nil || !bytes.Equal(back, b) {
			t.Fatal("another encoding of the same manifest")
		}
	})
}

func TestExportOpensWithAge(t *testing.T) {
	owner, err := GenerateOwner()
	if err != nil {
		t.Fatal(err)
	}
	second, _ := GenerateOwner()
	payload := []byte("\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
	var file bytes.Buffer
	if err := Export(&file, payload, owner.Recipient(), second.Recipient()); err != nil {
		t.Fatal(err)
	}
	ids, err := age.ParseIdentities(bytes.NewReader(owner.IdentityFile()))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := age.Decrypt(bytes.NewReader(file.Bytes()), ids...)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	got.ReadFrom(plain)
	if !bytes.Equal(got.Bytes(), payload) {
		t.Errorf("age opens %q", got.Bytes())
	}
	if got, err := OpenExport(bytes.NewReader(file.Bytes()), second.IdentityFile()); err != nil || !bytes.Equal(got, payload) {
		t.Errorf("the second recipient: %v", err)
	}
	third, _ := GenerateOwner()
	if _, err := OpenExport(bytes.NewReader(file.Bytes()), third.IdentityFile()); err != ErrSealed {
		t.Errorf("a stranger: %v", err)
	}
	classic, _ := age.GenerateX25519Identity()
	for _, bad := range []string{"", "age1", classic.Recipient().String(), owner.Recipient()[:50], owner.identity.String()} {
		if err := Export(&file, payload, bad); err == nil || strings.Contains(err.Error(), owner.identity.String()[20:60]) {
			t.Errorf("recipient %.20q: %v", bad, err)
		}
	}
	if err := Export(&file, payload); err == nil {
		t.Error("export to nobody")
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	v := newVault(t)
	owner, _ := GenerateOwner()
	s := NewSecret([]byte("CANARYCANARY"))
	v.project.mac = NewSecret([]byte("CANARYCANARY"))
	for _, thing := range []any{s, v, owner, fastPassphrase("CANARYCANARY"), struct{ S *Secret }{s}, v.project} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			out := fmt.Sprintf(format, thing)
			for _, canary := range []string{"CANARY", fmt.Sprintf("%x", "CANARY"), "[67 65 78", "AGE-SECRET"} {
				if strings.Contains(out, canary) {
					t.Errorf("%T with %s prints its secret: %s", thing, format, out)
				}
			}
		}
		if b, err := json.Marshal(thing); err == nil && bytes.Contains(b, []byte("Q0FOQVJZ")) {
			t.Errorf("%T marshals its secret", thing)
		}
	}
	s.Wipe()
	if len(s.Bytes()) != 0 {
		t.Error("wiped secret has bytes")
	}
}

func TestVaultFileUnderEveryFault(t *testing.T) {
	for i := int64(1); ; i++ {
		dir := t.TempDir()
		v, err := Create(dir, fastPassphrase("old"))
		if err != nil {
			t.Fatal(err)
		}
		sealed, _ := v.Seal("p", []byte("x"))
		fault, fired := durable.FailNth(i)
		v.disk = &durable.Disk{Fault: fault}
		rerr := v.Rewrap(fastPassphrase("new"))
		old, oerr := Open(dir, fastPassphrase("old"))
		now, nerr := Open(dir, fastPassphrase("new"))
		if (oerr == nil) == (nerr == nil) {
			t.Fatalf("fault %d (%v): old %v, new %v", i, rerr, oerr, nerr)
		}
		for _, v := range []*Vault{old, now} {
			if v == nil {
				continue
			}
			if got, err := v.Open("p", sealed); err != nil || string(got) != "x" {
				t.Fatalf("fault %d: %v", i, err)
			}
		}
		if !fired() {
			if rerr != nil || nerr != nil {
				t.Fatal(rerr, nerr)
			}
			return
		}
	}
}
