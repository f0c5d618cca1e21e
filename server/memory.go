package server

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"tacit/audit"
	"tacit/id"
	"tacit/server/blob"
	"tacit/server/store"
)

// NewMemory makes a federation and its server in memory, for simulation and tests:
// the same protocol, engine, log and strategies, with nothing on disk. Connections
// come through [Server.ServeConn], the loop runs in [Server.Serve].
func NewMemory(rules Rules, opt Options) (*Server, *Administrator, error) {
	keys, charter, admin, err := found(rules)
	if err != nil {
		return nil, nil, err
	}
	ledger, err := audit.NewLog(keys.log)
	if err != nil {
		return nil, nil, err
	}
	s := newServer(Config{URL: "wss://memory/tacit/v1"}, keys, charter, opt)
	s.store, s.keeper, s.blobs = store.NewMemory(ledger), memoryKeeper{}, &memoryBlobs{m: map[string][]byte{}}
	if err := genesis(s.store, charter); err != nil {
		return nil, nil, err
	}
	if err := s.recover(); err != nil {
		return nil, nil, err
	}
	return s, &Administrator{Key: admin, Charter: charter.Hash()}, nil
}

// memoryBlobs is a blob store in memory.
type memoryBlobs struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (b *memoryBlobs) PutSealed(name string, _ *blob.Key, r io.Reader) (blob.Info, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return blob.Info{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.m[name] = data
	return blob.Info{Name: name, Size: int64(len(data)), Digest: id.SumDigest(data)}, nil
}

func (b *memoryBlobs) OpenSealed(name string, _ *blob.Key) (io.ReadCloser, error) {
	data, err := b.Get(name)
	return io.NopCloser(bytes.NewReader(data)), err
}

func (b *memoryBlobs) Stage(name string, data []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.m[name] = bytes.Clone(data)
	return nil
}

func (b *memoryBlobs) Put(name string, data []byte) error { return b.Stage(name, data) }

func (b *memoryBlobs) Publish(string) error      { return nil }
func (b *memoryBlobs) Discard(string) error      { return nil }
func (b *memoryBlobs) Staged() ([]string, error) { return nil, nil }

func (b *memoryBlobs) Get(name string) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.m[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return data, nil
}

func (b *memoryBlobs) Shred(prefix string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name := range b.m {
		if len(name) > len(prefix) && name[:len(prefix)+1] == prefix+"/" {
			delete(b.m, name)
		}
	}
	return nil
}
