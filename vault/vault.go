package vault

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/cryptobyte"

	"tacit/internal/crashpoint"
	"tacit/internal/durable"
)

const (
	vaultMagic = "tacit-vault/1\n"
	sealMagic  = "tacit-seal/1\n"
	vaultName  = "vault.key"
	rootSize   = 32
)

var pointRotated = crashpoint.Register("key.rotated")

// A DamagedError names a file whose bytes cannot be what this program wrote.
type DamagedError struct {
	Path string
	What string
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged: %s", e.Path, e.What) }

// Hint is the advice printed under the error.
func (e *DamagedError) Hint() string {
	return "restore the file from a backup; do not delete it, nothing was changed"
}

// A Vault seals and opens. It is safe for concurrent use; Close and Rewrap
// exclude the others.
type Vault struct {
	disk *durable.Disk
	dir  string

	mu      sync.RWMutex // owns what follows
	id      [16]byte
	project *project // nil after Close
}

// A project is the key under which a federation's things are sealed.
type project struct {
	identity *age.HybridIdentity
	mac      *Secret
}

// Create makes a vault in dir (made if missing) and opens it. Where one exists
// it returns fs.ErrExist.
func Create(dir string, p Provider) (*Vault, error) { return CreateOn(nil, dir, p) }

// CreateOn is Create on a given disk.
func CreateOn(disk *durable.Disk, dir string, p Provider) (*Vault, error) {
	path := filepath.Join(dir, vaultName)
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("vault %s: %w", path, fs.ErrExist)
	}
	if err := disk.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, err
	}
	v := &Vault{disk: disk, dir: dir, project: &project{identity: identity, mac: randomSecret()}}
	rand.Read(v.id[:])
	if err := v.write(p); err != nil {
		return nil, err
	}
	return v, nil
}

// Open opens the vault in dir. A wrong passphrase or key is ErrSealed; a file
// that cannot be a vault's is a *DamagedError.
func Open(dir string, p Provider) (*Vault, error) { return OpenOn(nil, dir, p) }

// OpenOn is Open on a given disk.
func OpenOn(disk *durable.Disk, dir string, p Provider) (*Vault, error) {
	v := &Vault{disk: disk, dir: dir}
	path := filepath.Join(dir, vaultName)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := parseVaultFile(b)
	if err != nil {
		return nil, &DamagedError{Path: path, What: err.Error()}
	}
	if f.kind != p.Kind() {
		return nil, fmt.Errorf("vault %s is guarded by a %s, not by a %s", path, f.kind, p.Kind())
	}
	root, err := p.Unwrap(f.envelope)
	if err != nil {
		return nil, fmt.Errorf("open vault %s with its %s: %w", path, f.kind, err)
	}
	defer clear(root)
	v.id = f.id
	v.project, err = openProject(root, f.id, f.project)
	if err != nil {
		return nil, fmt.Errorf("open vault %s with its %s: %w", path, f.kind, err)
	}
	return v, nil
}

// OpenOrCreate opens the vault in dir, or makes one where there is none.
func OpenOrCreate(dir string, p Provider) (*Vault, error) {
	v, err := Open(dir, p)
	if errors.Is(err, fs.ErrNotExist) {
		if _, serr := os.Lstat(filepath.Join(dir, vaultName)); errors.Is(serr, fs.ErrNotExist) {
			return Create(dir, p)
		}
	}
	return v, err
}

// Rewrap draws a new root key under a (new) provider and seals the project key
// with it. Contents stay as they are. A crash leaves the old file or the new.
func (v *Vault) Rewrap(p Provider) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.project == nil {
		return errClosed
	}
	if err := v.write(p); err != nil {
		return err
	}
	pointRotated.Hit()
	return nil
}

var errClosed = errors.New("vault is closed")

// Close wipes the keys. Everything sealed stays on disk, sealed.
func (v *Vault) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.project != nil {
		v.project.mac.Wipe()
		v.project = nil
	}
}

// String names the vault's directory; keys never print.
func (v *Vault) String() string             { return "vault(" + v.dir + ")" }
func (v *Vault) Format(f fmt.State, _ rune) { io.WriteString(f, v.String()) }

// write draws a root key and writes vault.key.
func (v *Vault) write(p Provider) error {
	root := randomSecret()
	defer root.Wipe()
	envelope, err := p.Wrap(root.Bytes())
	if err != nil {
		return fmt.Errorf("seal root key with %s: %w", p.Kind(), err)
	}
	var b cryptobyte.Builder
	b.AddBytes([]byte(vaultMagic))
	b.AddBytes(v.id[:])
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(p.Kind())) })
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(envelope) })
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(v.project.seal(root.Bytes(), v.id)) })
	out, err := b.Bytes()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(out)
	return v.disk.WriteFile(filepath.Join(v.dir, vaultName), append(out, sum[:8]...), 0o600)
}

type vaultFile struct {
	id                [16]byte
	kind              string
	envelope, project []byte
}

func parseVaultFile(b []byte) (*vaultFile, error) {
	if len(b) < len(vaultMagic)+8 || !bytes.HasPrefix(b, []byte("tacit-vault/")) {
		return nil, errors.New("not a vault file")
	}
	body, sum := b[:len(b)-8], sha256.Sum256(b[:len(b)-8])
	if !bytes.Equal(sum[:8], b[len(b)-8:]) {
		return nil, errors.New("checksum differs")
	}
	if !bytes.HasPrefix(body, []byte(vaultMagic)) {
		return nil, errors.New("made by a newer version of tacit")
	}
	s := cryptobyte.String(body[len(vaultMagic):])
	var f vaultFile
	var kind, envelope, project cryptobyte.String
	if !s.CopyBytes(f.id[:]) || !s.ReadUint8LengthPrefixed(&kind) ||
		!s.ReadUint24LengthPrefixed(&envelope) || !s.ReadUint24LengthPrefixed(&project) || !s.Empty() {
		return nil, errors.New("lengths do not fit")
	}
	f.kind, f.envelope, f.project = string(kind), envelope, project
	return &f, nil
}

func projectAD(vault [16]byte) []byte { return append(vault[:], "tacit-vault/1 project"...) }

func (p *project) seal(root []byte, vault [16]byte) []byte {
	secret := append(bytes.Clone(p.mac.Bytes()), p.identity.String()...)
	defer clear(secret)
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(secret)+chacha20poly1305.Overhead)
	rand.Read(nonce)
	return newAEAD(root).Seal(nonce, nonce, secret, projectAD(vault))
}

func openProject(root []byte, vault [16]byte, sealed []byte) (*project, error) {
	if len(root) != rootSize || len(sealed) < chacha20poly1305.NonceSizeX {
		return nil, ErrSealed
	}
	nonce, ct := sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:]
	secret, err := newAEAD(root).Open(nil, nonce, ct, projectAD(vault))
	if err != nil || len(secret) < rootSize {
		return nil, ErrSealed
	}
	defer clear(secret)
	identity, err := age.ParseHybridIdentity(string(secret[rootSize:]))
	if err != nil {
		return nil, ErrSealed
	}
	return &project{identity: identity, mac: NewSecret(bytes.Clone(secret[:rootSize]))}, nil
}

func randomSecret() *Secret {
	b := make([]byte, rootSize)
	rand.Read(b)
	return NewSecret(b)
}

// Seal returns plaintext sealed for a purpose: a name that must be given again to
// open it. It costs about 2 KB and 0.2 ms.
func (v *Vault) Seal(purpose string, plaintext []byte) ([]byte, error) {
	p, err := v.keys()
	if err != nil {
		return nil, err
	}
	return p.sealTo(p.identity.Recipient(), purpose, plaintext)
}

// Open returns what was sealed for purpose, or ErrSealed.
func (v *Vault) Open(purpose string, sealed []byte) ([]byte, error) {
	p, err := v.keys()
	if err != nil {
		return nil, err
	}
	return p.openWith(p.identity, purpose, sealed)
}

// WriteSealed seals plaintext and writes it durably to path, mode 0600.
func (v *Vault) WriteSealed(path, purpose string, plaintext []byte) error {
	sealed, err := v.Seal(purpose, plaintext)
	if err != nil {
		return err
	}
	return v.disk.WriteFile(path, sealed, 0o600)
}

// ReadSealed opens the file that WriteSealed wrote. Its errors name the path.
func (v *Vault) ReadSealed(path, purpose string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out, err := v.Open(purpose, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

func (v *Vault) keys() (*project, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.project == nil {
		return nil, errClosed
	}
	return v.project, nil
}

// tag binds payload to its purpose and to the project.
func (p *project) tag(purpose string, payload []byte) []byte {
	h := hmac.New(sha256.New, p.mac.Bytes())
	h.Write([]byte(sealMagic))
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(purpose)))
	h.Write(n[:])
	h.Write([]byte(purpose))
	h.Write(payload)
	return h.Sum(nil)
}

func (p *project) sealTo(to age.Recipient, purpose string, payload []byte) ([]byte, error) {
	return encryptParts(to, []byte(sealMagic), p.tag(purpose, payload), payload)
}

func (p *project) openWith(identity age.Identity, purpose string, sealed []byte) ([]byte, error) {
	plain, err := decrypt(sealed, identity)
	if err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(plain, []byte(sealMagic))
	if !ok || len(rest) < sha256.Size || !hmac.Equal(rest[:sha256.Size], p.tag(purpose, rest[sha256.Size:])) {
		clear(plain)
		return nil, ErrSealed
	}
	return rest[sha256.Size:], nil
}
