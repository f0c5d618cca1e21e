package client

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"tacit/id"
	"tacit/internal/durable"
	"tacit/vault"
)

// The state directory of an agent:
//
//	root.key       opens the vault; whoever holds it and the rest is this agent
//	vault.key      the agent's own vault
//	identity.age   seed of the identity, sealed
//	journal/       protocol secrets, plans accepted, newest model, checkpoint: sealed
//	evidence/      <run>/<r>: what proves the server's word; public material
//	violations/    statements of the server that do not fit together
//	status.json    what `tacit agent status` prints
const (
	rootKeyName    = "root.key"
	identityName   = "identity.age"
	journalDir     = "journal"
	evidenceDir    = "evidence"
	violationsDir  = "violations"
	statusName     = "status.json"
	identityUse    = "agent/identity"
	journalName    = "agent"
	maxStatusBytes = 1 << 20
)

// journal is what [vault.Journal] does; memory does it without files.
type journal interface {
	Apply(records ...vault.Record) error
	Get(key string) (value []byte, ok bool, err error)
	Keys(prefix string) []string
	Compact() error
	Close() error
}

// Memory holds an agent's state without files, for simulations and tests. It
// outlives the Agent that uses it, as a directory would.
type Memory struct {
	mu       sync.Mutex // owns what follows
	identity *id.PrivateKey
	values   map[string][]byte
	evidence map[string][]byte
}

// NewMemory returns an empty state.
func NewMemory() *Memory {
	return &Memory{values: map[string][]byte{}, evidence: map[string][]byte{}}
}

// Apply implements journal.
func (m *Memory) Apply(records ...vault.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range records {
		if r.Value == nil {
			clear(m.values[r.Key])
			delete(m.values, r.Key)
		} else {
			m.values[r.Key] = append([]byte{}, r.Value...)
		}
	}
	return nil
}

// Get implements journal.
func (m *Memory) Get(key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[key]
	if !ok {
		return nil, false, nil
	}
	return append([]byte{}, v...), true, nil
}

// Keys implements journal.
func (m *Memory) Keys(prefix string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for k := range m.values {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// Compact implements journal.
func (m *Memory) Compact() error { return nil }

// Close implements journal.
func (m *Memory) Close() error { return nil }

// state is an agent's state, on disk or in memory.
type state struct {
	journal
	dir    string // empty in memory
	disk   *durable.Disk
	vault  *vault.Vault
	memory *Memory
	key    *id.PrivateKey
}

// openState opens or makes the state; the directory is locked until close.
func openState(dir string, disk *durable.Disk, p vault.Provider, memory *Memory) (*state, error) {
	if memory != nil {
		return &state{journal: memory, memory: memory, key: memory.identity}, nil
	}
	if err := disk.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if p == nil {
		p = vault.KeyFile(filepath.Join(dir, rootKeyName))
	}
	v, err := vault.OpenOn(disk, dir, p)
	if errors.Is(err, fs.ErrNotExist) {
		v, err = vault.CreateOn(disk, dir, p)
	}
	if err != nil {
		return nil, err
	}
	j, err := v.Journal(filepath.Join(dir, journalDir), journalName)
	if err != nil {
		v.Close()
		return nil, err
	}
	s := &state{journal: j, dir: dir, disk: disk, vault: v}
	if err := s.loadIdentity(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *state) loadIdentity() error {
	seed, err := s.vault.ReadSealed(filepath.Join(s.dir, identityName), identityUse)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer clear(seed)
	if len(seed) != id.SeedSize {
		return fmt.Errorf("%s: %d bytes are no identity", filepath.Join(s.dir, identityName), len(seed))
	}
	s.key = id.NewPrivateKey([id.SeedSize]byte(seed))
	return nil
}

// makeIdentity makes the keys, once; they are durable before anyone hears of them.
func (s *state) makeIdentity() error {
	if s.key != nil {
		return nil
	}
	key, err := id.Generate(rand.Reader)
	if err != nil {
		return err
	}
	if s.memory != nil {
		s.memory.identity = key
	} else {
		seed := key.Seed()
		defer clear(seed[:])
		if err := s.vault.WriteSealed(filepath.Join(s.dir, identityName), identityUse, seed[:]); err != nil {
			return fmt.Errorf("keep the identity: %w", err)
		}
	}
	s.key = key
	return nil
}

func (s *state) close() error {
	err := s.journal.Close()
	if s.vault != nil {
		s.vault.Close()
	}
	return err
}

// membership is what joining leaves behind.
type membership struct {
	Server   ServerRef  `json:"server"`
	Org      string     `json:"org"`
	Site     string     `json:"site"`
	Agent    id.AgentID `json:"agent"`
	Approved bool       `json:"approved"`
}

const keyMembership = "membership"

func (s *state) membership() (*membership, error) {
	b, ok, err := s.Get(keyMembership)
	if err != nil || !ok {
		return nil, err
	}
	m := new(membership)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("journal: membership: %w", err)
	}
	return m, nil
}

func (s *state) setMembership(m *membership) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.Apply(vault.Record{Key: keyMembership, Value: b})
}

// keep writes a public file below the state directory; in memory it is only held.
func (s *state) keep(name string, data []byte) (path string, err error) {
	if s.memory != nil {
		s.memory.mu.Lock()
		defer s.memory.mu.Unlock()
		s.memory.evidence[name] = slices.Clone(data)
		return "", nil
	}
	path = filepath.Join(s.dir, filepath.FromSlash(name))
	if err := s.disk.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return path, s.disk.WriteFile(path, data, 0o600)
}

// kept reads back what keep wrote, or nil.
func (s *state) kept(name string) []byte {
	if s.memory != nil {
		s.memory.mu.Lock()
		defer s.memory.mu.Unlock()
		return s.memory.evidence[name]
	}
	b, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(name)))
	if err != nil {
		return nil
	}
	return b
}

// reopen opens the journal anew after an error that left its file in doubt.
func (s *state) reopen() error {
	if s.memory != nil {
		return nil
	}
	s.journal.Close()
	j, err := s.vault.Journal(filepath.Join(s.dir, journalDir), journalName)
	if err != nil {
		return err
	}
	s.journal = j
	return nil
}
