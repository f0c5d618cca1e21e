package vault

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"filippo.io/age"
	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
)

// A SealedModel is one model version at rest.
type SealedModel struct {
	// File is the age file to keep as a blob.
	File []byte
	// Wrapped is the version's identity, sealed by the project key, for the
	// store's row. Once every copy of it is erased, File opens for nobody.
	Wrapped []byte
	// Plaintext and Ciphertext are SHA-256 digests of the record and of File.
	Plaintext, Ciphertext [32]byte
}

// SealModel seals a model record to an identity made for it alone.
func (v *Vault) SealModel(model id.ModelHash, record []byte) (*SealedModel, error) {
	p, err := v.keys()
	if err != nil {
		return nil, err
	}
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, err
	}
	file, err := p.sealTo(identity.Recipient(), "model/"+model.String(), record)
	if err != nil {
		return nil, err
	}
	secret := []byte(identity.String())
	defer clear(secret)
	wrapped, err := p.sealTo(p.identity.Recipient(), "model-identity/"+model.String(), secret)
	if err != nil {
		return nil, err
	}
	return &SealedModel{File: file, Wrapped: wrapped, Plaintext: sha256.Sum256(record), Ciphertext: sha256.Sum256(file)}, nil
}

// OpenModel opens a model file with its wrapped identity, or returns ErrSealed.
func (v *Vault) OpenModel(model id.ModelHash, file, wrapped []byte) ([]byte, error) {
	p, err := v.keys()
	if err != nil {
		return nil, err
	}
	secret, err := p.openWith(p.identity, "model-identity/"+model.String(), wrapped)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	identity, err := age.ParseHybridIdentity(string(secret))
	if err != nil {
		return nil, ErrSealed
	}
	return p.openWith(identity, "model/"+model.String(), file)
}

const manifestMagic = "tacit-model/1\n"

// A Manifest says what a model file is. It travels beside the file, signed.
//
//	"tacit-model/1\n" ‖ model[32] ‖ run[16] ‖ round64 ‖ plan[32] ‖ len8(owner)
//	‖ plaintext[32] ‖ ciphertext[32] ‖ size64 ‖ log index64
type Manifest struct {
	Model      id.ModelHash
	Run        id.RunID
	Round      uint64
	Plan       id.PlanHash
	Owner      string   // whom the model belongs to; at most 255 bytes, may be empty
	Plaintext  [32]byte // SHA-256 of the payload
	Ciphertext [32]byte // SHA-256 of the age file
	Size       uint64   // of the payload, in bytes
	LogIndex   uint64   // of the log entry that committed the model
}

// Append appends the canonical bytes of m.
func (m *Manifest) Append(b []byte) ([]byte, error) {
	if len(m.Owner) > 255 {
		return nil, fmt.Errorf("manifest: owner of %d bytes, at most 255 fit", len(m.Owner))
	}
	w := cryptobyte.NewBuilder(b)
	w.AddBytes([]byte(manifestMagic))
	w.AddBytes(m.Model[:])
	w.AddBytes(m.Run[:])
	w.AddUint64(m.Round)
	w.AddBytes(m.Plan[:])
	w.AddUint8LengthPrefixed(func(w *cryptobyte.Builder) { w.AddBytes([]byte(m.Owner)) })
	w.AddBytes(m.Plaintext[:])
	w.AddBytes(m.Ciphertext[:])
	w.AddUint64(m.Size)
	w.AddUint64(m.LogIndex)
	return w.Bytes()
}

var errManifest = errors.New("manifest: not a model manifest of version 1")

// ParseManifest reads exactly one manifest.
func ParseManifest(b []byte) (*Manifest, error) {
	m, rest, err := readManifest(b)
	if err == nil && len(rest) != 0 {
		err = errManifest
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

func readManifest(b []byte) (*Manifest, []byte, error) {
	rest, ok := bytes.CutPrefix(b, []byte(manifestMagic))
	s := cryptobyte.String(rest)
	var m Manifest
	var owner cryptobyte.String
	if !ok || !s.CopyBytes(m.Model[:]) || !s.CopyBytes(m.Run[:]) || !s.ReadUint64(&m.Round) ||
		!s.CopyBytes(m.Plan[:]) || !s.ReadUint8LengthPrefixed(&owner) ||
		!s.CopyBytes(m.Plaintext[:]) || !s.CopyBytes(m.Ciphertext[:]) ||
		!s.ReadUint64(&m.Size) || !s.ReadUint64(&m.LogIndex) {
		return nil, nil, errManifest
	}
	m.Owner = string(owner)
	return &m, s, nil
}

// Sign returns the manifest followed by the server's hybrid signature.
func (m *Manifest) Sign(k *id.PrivateKey) ([]byte, error) {
	body, err := m.Append(nil)
	if err != nil {
		return nil, err
	}
	return append(body, k.SignHybrid(id.LabelModel, body)...), nil
}

// VerifyManifest reads a signed manifest and checks both signatures.
func VerifyManifest(signed []byte, server id.PublicKey) (*Manifest, error) {
	m, sig, err := readManifest(signed)
	if err != nil {
		return nil, err
	}
	if err := server.VerifyHybrid(id.LabelModel, signed[:len(signed)-len(sig)], sig); err != nil {
		return nil, fmt.Errorf("manifest of model %s: %w", m.Model.Short(), err)
	}
	return m, nil
}
