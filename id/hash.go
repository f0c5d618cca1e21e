package id

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Hash is a SHA-256 digest of one kind of thing. The type parameter keeps the
// kinds apart at compile time and takes no space.
type Hash[K any] [32]byte

type (
	modelKind    struct{}
	planKind     struct{}
	charterKind  struct{}
	rosterKind   struct{}
	configKind   struct{}
	ctxKind      struct{}
	epochKind    struct{}
	plainKind    struct{}
	agentKind    struct{}
	runKind      struct{}
	federationID struct{}
)

type (
	// ModelHash is the digest of a model record: parameters, standardisation and
	// the hash of the strategy's state.
	ModelHash = Hash[modelKind]
	// PlanHash is the digest of a resolved plan's canonical bytes.
	PlanHash = Hash[planKind]
	// CharterHash is the digest of a charter's body, without its signatures.
	CharterHash = Hash[charterKind]
	// RosterHash is the digest of a roster's body, without its signatures.
	RosterHash = Hash[rosterKind]
	// ConfigHash is the digest of a round's configuration.
	ConfigHash = Hash[configKind]
	// Ctx binds every secret and signature of one attempt to its inputs (SECAGG 2.5).
	Ctx = Hash[ctxKind]
	// EpochRoot is the Merkle root over the epoch keys of one epoch (SECAGG E2).
	EpochRoot = Hash[epochKind]
	// Digest is the digest of anything else.
	Digest = Hash[plainKind]
)

// Sum returns the SHA-256 digest of the parts, each behind its 64-bit length, so
// that no two lists of parts share an input.
func Sum[K any](label string, parts ...[]byte) Hash[K] {
	h := sha256.New()
	var n [8]byte
	write := func(b []byte) {
		for i, v := 0, uint64(len(b)); i < 8; i++ {
			n[i] = byte(v >> (56 - 8*i))
		}
		h.Write(n[:])
		h.Write(b)
	}
	write([]byte(label))
	for _, p := range parts {
		write(p)
	}
	var out Hash[K]
	h.Sum(out[:0])
	return out
}

// SumDigest is the plain SHA-256 digest of b.
func SumDigest(b []byte) Digest { return sha256.Sum256(b) }

// String returns 64 lower-case hexadecimal digits.
func (h Hash[K]) String() string { return hex.EncodeToString(h[:]) }

// Short returns the first 12 hexadecimal digits, for people; never parse it.
func (h Hash[K]) Short() string { return hex.EncodeToString(h[:6]) }

// IsZero reports whether h is the zero hash, which no document has.
func (h Hash[K]) IsZero() bool { return h == Hash[K]{} }

// MarshalText implements encoding.TextMarshaler.
func (h Hash[K]) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler with the rules of [ParseHash].
func (h *Hash[K]) UnmarshalText(b []byte) error {
	return parseHex(h[:], b)
}

// ParseHash reads exactly 64 lower-case hexadecimal digits.
func ParseHash[K any](s string) (h Hash[K], err error) {
	err = parseHex(h[:], []byte(s))
	return h, err
}

// ID is a 128-bit name of one kind of thing.
type ID[K any] [16]byte

type (
	// AgentID names an agent by its keys: see [PublicKey.AgentID].
	AgentID = ID[agentKind]
	// RunID names one training run of one plan; SECAGG's session is the run.
	RunID = ID[runKind]
	// FederationID names a federation; it is drawn when the federation is made.
	FederationID = ID[federationID]
)

// String returns 32 lower-case hexadecimal digits.
func (d ID[K]) String() string { return hex.EncodeToString(d[:]) }

// Short returns the first 8 hexadecimal digits, for people; never parse it.
func (d ID[K]) Short() string { return hex.EncodeToString(d[:4]) }

// IsZero reports whether d is the zero ID, which names nothing.
func (d ID[K]) IsZero() bool { return d == ID[K]{} }

// Compare orders IDs by their bytes, the order of every roster.
func (d ID[K]) Compare(other ID[K]) int { return bytes.Compare(d[:], other[:]) }

// MarshalText implements encoding.TextMarshaler.
func (d ID[K]) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler with the rules of [ParseID].
func (d *ID[K]) UnmarshalText(b []byte) error {
	return parseHex(d[:], b)
}

// ParseID reads exactly 32 lower-case hexadecimal digits.
func ParseID[K any](s string) (d ID[K], err error) {
	err = parseHex(d[:], []byte(s))
	return d, err
}

// parseHex fills dst from exactly 2·len(dst) lower-case hexadecimal digits, or
// leaves it zero.
func parseHex(dst, s []byte) error {
	clear(dst)
	if len(s) != 2*len(dst) {
		return fmt.Errorf("id: want %d hexadecimal digits, got %d characters", 2*len(dst), len(s))
	}
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("id: %q is not a lower-case hexadecimal digit", c)
		}
	}
	_, err := hex.Decode(dst, s)
	return err
}
