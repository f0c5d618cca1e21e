package vault

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/cryptobyte"

	"tacit/internal/durable"
)

// A Provider guards the root key. Hardware modules and key services fit behind
// it: they seal 32 bytes and open them again.
type Provider interface {
	// Kind names the provider in vault.key, so that opening with another kind
	// fails with words. At most 255 bytes.
	Kind() string
	// Wrap seals the root key. It is called when a vault is created or rewrapped,
	// and may make the provider's own key at that moment.
	Wrap(root []byte) (envelope []byte, err error)
	// Unwrap opens what Wrap made. A wrong key or a damaged envelope is ErrSealed.
	Unwrap(envelope []byte) (root []byte, err error)
}

// A LooseModeError says that others than the owner may read a key file.
type LooseModeError struct {
	Path string
	Mode fs.FileMode
}

func (e *LooseModeError) Error() string {
	return fmt.Sprintf("key file %s has mode %04o: others may read it", e.Path, e.Mode.Perm())
}

// Hint is the advice printed under the error.
func (e *LooseModeError) Hint() string { return "run chmod 600 " + e.Path }

type keyFile struct{ path string }

// KeyFile keeps the key that guards the root key in a file of mode 0600: an age
// identity in text form. It is made when a vault is created and the file does
// not exist. On Unix a file that others may read is refused with a
// *LooseModeError; on Windows the directory's access list decides.
func KeyFile(path string) Provider { return keyFile{path} }

func (k keyFile) Kind() string { return "keyfile" }

func (k keyFile) Wrap(root []byte) ([]byte, error) {
	identity, err := k.load()
	if errors.Is(err, fs.ErrNotExist) {
		identity, err = k.create()
	}
	if err != nil {
		return nil, err
	}
	return encrypt(root, identity.Recipient())
}

func (k keyFile) Unwrap(envelope []byte) ([]byte, error) {
	identity, err := k.load()
	if err != nil {
		return nil, err
	}
	return decrypt(envelope, identity)
}

func (k keyFile) create() (*age.HybridIdentity, error) {
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, err
	}
	if err := durable.MkdirAll(filepath.Dir(k.path), 0o700); err != nil {
		return nil, err
	}
	text := "# the root key of a tacit vault: whoever holds it opens the vault; without it nothing does\n" +
		identity.String() + "\n"
	return identity, durable.WriteFile(k.path, []byte(text), 0o600)
}

func (k keyFile) load() (*age.HybridIdentity, error) {
	f, err := os.Open(k.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && st.Mode().Perm()&0o077 != 0 {
		return nil, &LooseModeError{Path: k.path, Mode: st.Mode()}
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<16))
	if err != nil {
		return nil, err
	}
	defer clear(text)
	return parseIdentity(text, k.path)
}

// parseIdentity reads exactly one hybrid identity from an age identity file.
func parseIdentity(text []byte, name string) (*age.HybridIdentity, error) {
	var found *age.HybridIdentity
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		// The parser's error quotes its input, which is a secret: do not pass it on.
		identity, err := age.ParseHybridIdentity(string(line))
		if err != nil || found != nil {
			return nil, fmt.Errorf("%s: want exactly one AGE-SECRET-KEY-PQ-1… line", name)
		}
		found = identity
	}
	if found == nil {
		return nil, fmt.Errorf("%s: want exactly one AGE-SECRET-KEY-PQ-1… line", name)
	}
	return found, nil
}

type passphrase struct {
	pass *Secret
	cost argonCost
}

type argonCost struct {
	time, memory uint32 // passes, KiB
	lanes        uint8
}

// What Unwrap accepts: a damaged or hostile vault.key must not eat the machine.
const (
	maxArgonTime   = 64
	maxArgonMemory = 4 << 20 // KiB
)

// Passphrase derives the key that guards the root key from a passphrase with
// argon2id. It copies pass.
func Passphrase(pass []byte) Provider {
	return passphrase{NewSecret(bytes.Clone(pass)), argonCost{time: 3, memory: 64 << 10, lanes: 4}}
}

func (p passphrase) Kind() string { return "passphrase" }

func (p passphrase) Wrap(root []byte) ([]byte, error) {
	if len(p.pass.Bytes()) == 0 {
		return nil, errors.New("the passphrase is empty")
	}
	var salt [16]byte
	var nonce [chacha20poly1305.NonceSizeX]byte
	rand.Read(salt[:])
	rand.Read(nonce[:])
	var b cryptobyte.Builder
	b.AddUint8(1)
	b.AddUint32(p.cost.time)
	b.AddUint32(p.cost.memory)
	b.AddUint8(p.cost.lanes)
	b.AddBytes(salt[:])
	head := b.BytesOrPanic()
	aead := p.aead(p.cost, salt[:])
	return aead.Seal(append(bytes.Clone(head), nonce[:]...), nonce[:], root, head), nil
}

func (p passphrase) Unwrap(envelope []byte) ([]byte, error) {
	const headSize = 1 + 4 + 4 + 1 + 16
	s := cryptobyte.String(envelope)
	var version uint8
	var cost argonCost
	var salt, nonce []byte
	if !s.ReadUint8(&version) || version != 1 ||
		!s.ReadUint32(&cost.time) || cost.time < 1 || cost.time > maxArgonTime ||
		!s.ReadUint32(&cost.memory) || cost.memory < 8 || cost.memory > maxArgonMemory ||
		!s.ReadUint8(&cost.lanes) || cost.lanes < 1 ||
		!s.ReadBytes(&salt, 16) || !s.ReadBytes(&nonce, chacha20poly1305.NonceSizeX) {
		return nil, ErrSealed
	}
	root, err := p.aead(cost, salt).Open(nil, nonce, s, envelope[:headSize])
	if err != nil {
		return nil, ErrSealed
	}
	return root, nil
}
