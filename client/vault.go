package client

import (
	"path/filepath"

	"tacit/vault"
)

// OpenVault opens the vault in a branch's state directory, or makes one where there
// is none yet. What else a branch seals beside its agent's journal, a model that it
// trained alone above all, is sealed by it: the branch has one root key to guard, and
// whoever may open its secrets may open these. An agent may run meanwhile.
func OpenVault(state string) (*vault.Vault, error) {
	return vault.OpenOrCreate(state, vault.KeyFile(filepath.Join(state, rootKeyName)))
}
