package id

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
)

// Sizes in bytes.
const (
	SeedSize            = 32
	SignatureSize       = ed25519.SignatureSize                         // 64
	HybridSignatureSize = ed25519.SignatureSize + mldsa65.SignatureSize // 3373
	PublicKeySize       = ed25519.PublicKeySize + mldsa65.PublicKeySize // 1984
)

// ErrSignature is the one answer to a signature that does not verify, whatever
// the reason.
var ErrSignature = errors.New("id: signature does not verify")

// PrivateKey is a long-term identity: an Ed25519 and an ML-DSA-65 key derived from
// one seed. It does not print.
type PrivateKey struct {
	seed    [SeedSize]byte
	classic ed25519.PrivateKey
	lattice *mldsa65.PrivateKey
	public  PublicKey
}

// PublicKey is the public half of a [PrivateKey]. The zero value verifies nothing.
type PublicKey struct {
	classic [ed25519.PublicKeySize]byte
	lattice [mldsa65.PublicKeySize]byte
}

// Generate makes a new identity from 32 bytes of rand.
func Generate(rand io.Reader) (*PrivateKey, error) {
	var seed [SeedSize]byte
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		return nil, fmt.Errorf("id: draw a key seed: %w", err)
	}
	return NewPrivateKey(seed), nil
}

// NewPrivateKey derives an identity from seed: both keys' own seeds are
// HKDF-Expand(SHA-256) of it under the labels "tacit-id1 ed25519" and
// "tacit-id1 ml-dsa-65".
func NewPrivateKey(seed [SeedSize]byte) *PrivateKey {
	k := &PrivateKey{seed: seed}
	expand := func(info string) (out [32]byte) {
		b, err := hkdf.Expand(sha256.New, seed[:], info, 32)
		if err != nil {
			panic(err) // 32 bytes are always within HKDF's range
		}
		copy(out[:], b)
		clear(b)
		return out
	}
	classic := expand("tacit-id1 ed25519")
	k.classic = ed25519.NewKeyFromSeed(classic[:])
	lattice := expand("tacit-id1 ml-dsa-65")
	pub, priv := mldsa65.NewKeyFromSeed(&lattice)
	k.lattice = priv
	copy(k.public.classic[:], k.classic.Public().(ed25519.PublicKey))
	pub.Pack(&k.public.lattice)
	clear(classic[:])
	clear(lattice[:])
	return k
}

// Seed returns the 32 bytes that [NewPrivateKey] takes. They are the whole secret:
// seal them before they touch a disk.
func (k *PrivateKey) Seed() [SeedSize]byte { return k.seed }

// Public returns the public half.
func (k *PrivateKey) Public() PublicKey { return k.public }

// Sign signs body for the purpose l with Ed25519; 64 bytes, deterministic.
func (k *PrivateKey) Sign(l Label, body []byte) []byte {
	return ed25519.Sign(k.classic, l.message(body))
}

// SignHybrid signs body for the purpose l with Ed25519 and ML-DSA-65; 3373 bytes,
// Ed25519 first, deterministic (FIPS 204, section 3.4) so that a message rebuilt
// after a restart has the same bytes.
func (k *PrivateKey) SignHybrid(l Label, body []byte) []byte {
	msg := l.message(body)
	sig := make([]byte, HybridSignatureSize)
	copy(sig, ed25519.Sign(k.classic, msg))
	if err := mldsa65.SignTo(k.lattice, msg, nil, false, sig[ed25519.SignatureSize:]); err != nil {
		panic(err) // fails only for a context longer than 255 bytes; ours is empty
	}
	return sig
}

const redacted = "id.PrivateKey(redacted)"

// String, GoString, Format and LogValue keep the key out of every log.
func (k *PrivateKey) String() string             { return redacted }
func (k *PrivateKey) GoString() string           { return redacted }
func (k *PrivateKey) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }
func (k *PrivateKey) LogValue() slog.Value       { return slog.StringValue(redacted) }

// Verify checks an Ed25519 signature of body for the purpose l.
func (p *PublicKey) Verify(l Label, body, sig []byte) error {
	if len(sig) != SignatureSize || !ed25519.Verify(p.classic[:], l.message(body), sig) {
		return ErrSignature
	}
	return nil
}

// VerifyHybrid checks both signatures of body for the purpose l.
func (p *PublicKey) VerifyHybrid(l Label, body, sig []byte) error {
	if len(sig) != HybridSignatureSize {
		return ErrSignature
	}
	msg := l.message(body)
	if !ed25519.Verify(p.classic[:], msg, sig[:SignatureSize]) {
		return ErrSignature
	}
	var lattice mldsa65.PublicKey
	lattice.Unpack(&p.lattice)
	if !mldsa65.Verify(&lattice, msg, nil, sig[SignatureSize:]) {
		return ErrSignature
	}
	return nil
}

// IsZero reports whether p is the zero key.
func (p *PublicKey) IsZero() bool { return *p == PublicKey{} }

// Equal reports whether both keys are the same.
func (p *PublicKey) Equal(other *PublicKey) bool { return *p == *other }

// Ed25519 returns the classic half, for formats that know no other (log
// checkpoints and cosignatures).
func (p *PublicKey) Ed25519() ed25519.PublicKey {
	return append(ed25519.PublicKey(nil), p.classic[:]...)
}

// Ed25519 returns the classic half for the same formats. Handle with care.
func (k *PrivateKey) Ed25519() ed25519.PrivateKey { return k.classic }

// AppendBinary appends the 1984 bytes of p: Ed25519 first.
func (p *PublicKey) AppendBinary(b []byte) []byte {
	b = append(b, p.classic[:]...)
	return append(b, p.lattice[:]...)
}

// ParsePublicKey reads exactly the bytes that [PublicKey.AppendBinary] writes.
func ParsePublicKey(b []byte) (p PublicKey, err error) {
	if len(b) != PublicKeySize {
		return PublicKey{}, fmt.Errorf("id: a public key has %d bytes, got %d", PublicKeySize, len(b))
	}
	copy(p.classic[:], b)
	copy(p.lattice[:], b[ed25519.PublicKeySize:])
	if p.IsZero() {
		return PublicKey{}, errors.New("id: the zero public key")
	}
	return p, nil
}

// AgentID returns the agent's name: the first 16 bytes of
// SHA-256("tacit-id1/agent" ‖ 0x00 ‖ key). Whoever holds the name can check the key.
func (p *PublicKey) AgentID() (a AgentID) {
	sum := sha256.Sum256(p.AppendBinary([]byte("tacit-id1/agent\x00")))
	copy(a[:], sum[:])
	return a
}

// Fingerprint returns 80 bits of the key's digest as five groups of four
// hexadecimal digits, short enough to compare by telephone.
func (p *PublicKey) Fingerprint() string {
	sum := sha256.Sum256(p.AppendBinary([]byte("tacit-id1/fingerprint\x00")))
	digits := hex.EncodeToString(sum[:10])
	groups := make([]string, 0, 5)
	for ; digits != ""; digits = digits[4:] {
		groups = append(groups, digits[:4])
	}
	return strings.Join(groups, "-")
}
