package vault

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"io"

	"filippo.io/age"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
)

// ErrSealed is the one error of opening: a wrong key, a wrong purpose, damage and
// truncation cannot be told apart, and no part of the plaintext comes with it.
var ErrSealed = errors.New("sealed content does not open: wrong key, wrong purpose or damaged")

// encrypt returns an age file that holds the parts, one after another.
func encrypt(plaintext []byte, to age.Recipient) ([]byte, error) { return encryptParts(to, plaintext) }

func encryptParts(to age.Recipient, parts ...[]byte) ([]byte, error) {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	// The header of a hybrid recipient is about 1.8 KB; a chunk of 64 KiB grows by 16 bytes.
	out := bytes.NewBuffer(make([]byte, 0, size+size>>11+4096))
	w, err := age.Encrypt(out, to)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// decrypt opens an age file whole, or returns ErrSealed and nothing.
func decrypt(file []byte, identity age.Identity) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(file), identity)
	if err != nil {
		return nil, ErrSealed
	}
	out := bytes.NewBuffer(make([]byte, 0, len(file)+bytes.MinRead))
	if _, err := io.Copy(out, r); err != nil {
		clear(out.Bytes())
		return nil, ErrSealed
	}
	return out.Bytes(), nil
}

func (p passphrase) aead(cost argonCost, salt []byte) cipher.AEAD {
	key := argon2.IDKey(p.pass.Bytes(), salt, cost.time, cost.memory, cost.lanes, chacha20poly1305.KeySize)
	defer clear(key)
	return newAEAD(key)
}

// newAEAD returns XChaCha20-Poly1305, whose 24-byte nonce may be random for any
// number of messages that a key will see. The key is copied.
func newAEAD(key []byte) cipher.AEAD {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err) // only for a key of another length, which is a defect of ours
	}
	return aead
}
