package store_test

import (
	"testing"

	"tacit/server/store"
	"tacit/server/store/storetest"
)

func openSQLite(t testing.TB, dir string) *store.SQLite {
	t.Helper()
	s, err := store.Open(dir, &storetest.Log{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T, l store.Log) store.Store {
		s, err := store.Open(t.TempDir(), l)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T, l store.Log) store.Store { return store.NewMemory(l) })
}
