package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sort"
	"strings"
	"sync"
)

// Memory is a store that forgets everything at Close. It is for tests and
// simulation.
type Memory struct {
	reads
	log Log

	mu     sync.RWMutex // owns what follows
	tables map[*table]*memoryTable
	undo   []func() // of the commit in progress
	closed bool
}

// A memoryTable keeps rows under their ordered keys.
type memoryTable struct {
	keys []string // sorted
	rows map[string]row
}

var errClosed = errors.New("the store is closed")

// NewMemory returns an empty store. log may be nil if no entries are written.
func NewMemory(log Log) *Memory {
	m := &Memory{log: log, tables: map[*table]*memoryTable{}}
	for _, t := range tables {
		m.tables[t] = &memoryTable{rows: map[string]row{}}
	}
	m.reads.view = func(ctx context.Context, fn func(rows) error) error {
		m.mu.RLock()
		defer m.mu.RUnlock()
		if m.closed {
			return errClosed
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return fn(m)
	}
	return m
}

// Acquire raises the fencing epoch.
func (m *Memory) Acquire(ctx context.Context, holder string) (f Fence, err error) {
	err = m.change(ctx, func() error {
		f, err = acquire(m, holder)
		return err
	})
	return f, err
}

// Commit applies a batch.
func (m *Memory) Commit(ctx context.Context, f Fence, b *Batch) (head Head, err error) {
	err = m.change(ctx, func() error {
		head, err = apply(m, m.log, f, b)
		return err
	})
	if err != nil {
		return Head{}, err
	}
	return head, nil
}

// change runs fn and undoes what it wrote if it fails.
func (m *Memory) change(ctx context.Context, fn func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.undo = nil
	err := fn()
	if err != nil {
		for _, u := range slices.Backward(m.undo) {
			u()
		}
	}
	m.undo = nil
	return err
}

// Close forgets everything.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.tables = true, nil
	return nil
}

// orderedKey encodes key values so that strings compare as SQLite compares the
// values: integers by value, text and bytes byte by byte. A zero ends text; the
// bytes among keys have one length per column.
func orderedKey(key []any) string {
	var b []byte
	for _, v := range key {
		switch v := v.(type) {
		case int64:
			b = binary.BigEndian.AppendUint64(b, uint64(v)^1<<63)
		case string:
			b = append(append(b, v...), 0)
		case []byte:
			b = append(b, v...)
		}
	}
	return string(b)
}

func cloneRow(r row) row {
	out := slices.Clone(r)
	for i, v := range out {
		if b, ok := v.([]byte); ok {
			out[i] = bytes.Clone(b)
		}
	}
	return out
}

func (m *Memory) get(t *table, key ...any) (row, error) {
	r := m.tables[t].rows[orderedKey(key)]
	if r == nil {
		return nil, nil
	}
	return cloneRow(r), nil
}

func (m *Memory) put(t *table, r row) error {
	mt, key := m.tables[t], orderedKey(r[:len(t.keys)])
	old := mt.rows[key]
	mt.set(key, cloneRow(r))
	m.undo = append(m.undo, func() { mt.set(key, old) })
	return nil
}

func (m *Memory) remove(t *table, key ...any) error {
	mt, k := m.tables[t], orderedKey(key)
	old := mt.rows[k]
	mt.set(k, nil)
	m.undo = append(m.undo, func() { mt.set(k, old) })
	return nil
}

// set puts a row under key, or with nil removes it.
func (mt *memoryTable) set(key string, r row) {
	at, found := slices.BinarySearch(mt.keys, key)
	switch {
	case r == nil && found:
		mt.keys = slices.Delete(mt.keys, at, at+1)
		delete(mt.rows, key)
	case r != nil:
		if !found {
			mt.keys = slices.Insert(mt.keys, at, key)
		}
		mt.rows[key] = r
	}
}

func (mt *memoryTable) between(from, to int) (out []row) {
	for _, k := range mt.keys[from:to] {
		out = append(out, cloneRow(mt.rows[k]))
	}
	return out
}

func (mt *memoryTable) prefixed(prefix string) (from, to int) {
	from = sort.SearchStrings(mt.keys, prefix)
	to = from + sort.Search(len(mt.keys)-from, func(i int) bool { return !strings.HasPrefix(mt.keys[from+i], prefix) })
	return from, to
}

func (m *Memory) scan(t *table, prefix ...any) ([]row, error) {
	mt := m.tables[t]
	return mt.between(mt.prefixed(orderedKey(prefix))), nil
}

func (m *Memory) last(t *table, prefix ...any) (row, error) {
	mt := m.tables[t]
	from, to := mt.prefixed(orderedKey(prefix))
	if from == to {
		return nil, nil
	}
	return cloneRow(mt.rows[mt.keys[to-1]]), nil
}

func (m *Memory) span(t *table, from, to int64) ([]row, error) {
	mt := m.tables[t]
	return mt.between(sort.SearchStrings(mt.keys, orderedKey([]any{from})), sort.SearchStrings(mt.keys, orderedKey([]any{to}))), nil
}

var _ Store = (*Memory)(nil)
