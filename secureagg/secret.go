package secureagg

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "secureagg.secret(redacted)"

// secret is a 32-byte key. It does not print.
type secret [32]byte

func (s secret) String() string               { return redacted }
func (s secret) GoString() string             { return redacted }
func (s secret) Format(f fmt.State, _ rune)   { io.WriteString(f, redacted) }
func (s secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (s secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// expand is HKDF-Expand(SHA-256) of key under "tacit-sa1 " ‖ label ‖ 0x00 ‖ info. The
// labels in use are ck, confirm, next, pair, mask, share, hedge.
func expand(out, key []byte, label string, info ...[]byte) {
	s := make([]byte, 0, 128)
	s = append(s, "tacit-sa1 "...)
	s = append(s, label...)
	s = append(s, 0)
	for _, p := range info {
		s = append(s, p...)
	}
	b, err := hkdf.Expand(sha256.New, key, string(s), len(out))
	if err != nil {
		panic(err) // all outputs are short
	}
	copy(out, b)
	clear(b)
}

// hedged returns a deterministic generator (AES-256-CTR) whose key mixes 32 fresh
// bytes of rand with secrets of the caller and the context: a broken source of
// randomness alone does not make two contexts share their coins (SECAGG,
// Hardening 3).
func hedged(rand io.Reader, secrets, context []byte) (io.Reader, error) {
	var fresh [32]byte
	if _, err := io.ReadFull(rand, fresh[:]); err != nil {
		return nil, fmt.Errorf("secureagg: draw randomness: %w", err)
	}
	prk, err := hkdf.Extract(sha256.New, secrets, fresh[:])
	if err != nil {
		return nil, fmt.Errorf("secureagg: hedge randomness: %w", err)
	}
	var key [32]byte
	expand(key[:], prk, "hedge", context)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	clear(key[:])
	clear(prk)
	clear(fresh[:])
	var iv [aes.BlockSize]byte
	return keystream{cipher.NewCTR(block, iv[:])}, nil
}

type keystream struct{ s cipher.Stream }

func (k keystream) Read(p []byte) (int, error) {
	clear(p)
	k.s.XORKeyStream(p, p)
	return len(p), nil
}

// chain holds one member's keys CK_ij^r with every partner j, and at its own index
// a key of its own for the shares it deals to itself. The index rises with r and
// old keys are overwritten.
type chain struct {
	index uint64 // r − r_start
	keys  []secret
}

// advance ratchets to index: CK^{k+1} = HKDF-Expand(CK^k, "next").
func (c *chain) advance(index uint64) {
	for ; c.index < index; c.index++ {
		for i := range c.keys {
			expand(c.keys[i][:], c.keys[i][:], "next")
		}
	}
}

// Format keeps the keys out of prints of whatever holds a chain: fmt does not call
// methods of unexported fields.
func (c chain) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

func (c *chain) erase() { clear(c.keys) }

// bytes returns all keys in order, for hedging and for the journal.
func (c *chain) bytes() []byte {
	b := make([]byte, 0, 32*len(c.keys))
	for i := range c.keys {
		b = append(b, c.keys[i][:]...)
	}
	return b
}
