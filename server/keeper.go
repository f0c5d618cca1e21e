package server

import (
	"tacit/id"
	"tacit/server/engine"
	"tacit/vault"
)

// keeper seals what the server keeps. On disk it is the vault; a server in memory
// keeps nothing at rest and seals nothing.
type keeper interface {
	Seal(purpose string, plaintext []byte) ([]byte, error)
	Open(purpose string, sealed []byte) ([]byte, error)
	SealModel(model id.ModelHash, record []byte) (*vault.SealedModel, error)
	OpenModel(model id.ModelHash, file, wrapped []byte) ([]byte, error)
	Manifest(key *id.PrivateKey, run *activeRun, m *engine.Model, sealed *vault.SealedModel, index uint64) ([]byte, error)
}

// vaultKeeper is the keeper of a server with a disk.
type vaultKeeper struct{ *vault.Vault }

// Manifest signs what is known of a sealed model.
func (vaultKeeper) Manifest(key *id.PrivateKey, run *activeRun, m *engine.Model, sealed *vault.SealedModel, index uint64) ([]byte, error) {
	owner := "unassigned"
	if len(run.plan.Outputs.Owner) > 0 {
		owner = "recipients of the plan"
	}
	manifest := vault.Manifest{
		Model: m.Hash, Run: run.id, Round: m.Round, Plan: run.hash, Owner: owner,
		Plaintext: sealed.Plaintext, Ciphertext: sealed.Ciphertext, Size: uint64(len(sealed.File)), LogIndex: index,
	}
	return manifest.Sign(key)
}

// memoryKeeper is the keeper of a server in memory.
type memoryKeeper struct{}

func (memoryKeeper) Seal(_ string, b []byte) ([]byte, error) { return append([]byte{}, b...), nil }
func (memoryKeeper) Open(_ string, b []byte) ([]byte, error) { return append([]byte{}, b...), nil }

func (memoryKeeper) SealModel(_ id.ModelHash, record []byte) (*vault.SealedModel, error) {
	return &vault.SealedModel{File: append([]byte{}, record...)}, nil
}

func (memoryKeeper) OpenModel(_ id.ModelHash, file, _ []byte) ([]byte, error) {
	return append([]byte{}, file...), nil
}

func (memoryKeeper) Manifest(*id.PrivateKey, *activeRun, *engine.Model, *vault.SealedModel, uint64) ([]byte, error) {
	return nil, nil
}
