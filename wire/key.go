package wire

import (
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"tacit/id"
)

// Sizes of X-Wing (RFC 9180 KEM 0x647a), in bytes.
const (
	ChannelKeySize = 1216 // the public key
	encapSize      = 1120
)

// ChannelKey is the server's static key, to which every agent is pinned. It does
// not print. Whoever holds it can pose as the server to agents, but opens no
// session that was recorded.
type ChannelKey struct {
	seed   [32]byte
	key    hpke.PrivateKey
	public []byte
}

// NewChannelKey derives the key from its seed, the 32 bytes of X-Wing's private key.
func NewChannelKey(seed [32]byte) (*ChannelKey, error) {
	key, err := hpke.MLKEM768X25519().NewPrivateKey(seed[:])
	if err != nil {
		return nil, errors.New("wire: not a channel key's seed")
	}
	return &ChannelKey{seed: seed, key: key, public: key.PublicKey().Bytes()}, nil
}

// GenerateChannelKey makes a new key.
func GenerateChannelKey() (*ChannelKey, error) {
	var seed [32]byte
	if _, err := io.ReadFull(rand.Reader, seed[:]); err != nil {
		return nil, fmt.Errorf("wire: draw a channel key's seed: %w", err)
	}
	return NewChannelKey(seed)
}

// Seed returns what [NewChannelKey] takes. It is the whole secret: seal it before
// it touches a disk.
func (k *ChannelKey) Seed() [32]byte { return k.seed }

// Public returns the public key's 1216 bytes.
func (k *ChannelKey) Public() []byte { return append([]byte(nil), k.public...) }

// Fingerprint returns the SHA-256 digest of the public key: the pin that an agent
// gets in its joining string.
func (k *ChannelKey) Fingerprint() id.Digest { return id.SumDigest(k.public) }

const redacted = "wire.ChannelKey(redacted)"

// String, GoString, Format and LogValue keep the key out of every log.
func (k *ChannelKey) String() string             { return redacted }
func (k *ChannelKey) GoString() string           { return redacted }
func (k *ChannelKey) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }
func (k *ChannelKey) LogValue() slog.Value       { return slog.StringValue(redacted) }
