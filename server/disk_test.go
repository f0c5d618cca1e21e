package server

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tacit/internal/durable"
	"tacit/server/blob"
	"tacit/server/store"
)

// fullStore is a store whose disk is full from some commit on.
type fullStore struct {
	store.Store
	path string
	left *atomic.Int64
}

func (s fullStore) Commit(ctx context.Context, f store.Fence, b *store.Batch) (store.Head, error) {
	if s.left.Add(-1) < 0 {
		return store.Head{}, &durable.FullError{Path: s.path, Err: syscall.ENOSPC}
	}
	return s.Store.Commit(ctx, f, b)
}

// TestDiskFull: when the disk is full the server stops with one error that says so;
// when there is room again, it goes on where it was.
func TestDiskFull(t *testing.T) {
	for _, what := range []string{"store", "spool", "model"} {
		t.Run(what, func(t *testing.T) {
			if testing.Short() && what == "model" {
				t.Skip("the others tell the story")
			}
			f := newFederation(t, true)
			f.join()
			f.stop()
			f.before = func(s *Server) {
				if what == "store" {
					left := new(atomic.Int64)
					left.Store(30)
					s.store = fullStore{s.store, filepath.Join(s.cfg.Data, "tacit.db"), left}
					return
				}
				var writes atomic.Int64
				disk := &durable.Disk{Fault: func(op durable.Op, path string) error {
					rel, _ := filepath.Rel(filepath.Join(s.cfg.Data, "blobs", map[string]string{"spool": "spool", "model": "models"}[what]), path)
					if op == durable.OpWrite && filepath.IsLocal(rel) && writes.Add(1) > 2 {
						return syscall.ENOSPC
					}
					return nil
				}}
				dir, err := blob.OpenOn(disk, filepath.Join(s.cfg.Data, "blobs"))
				if err != nil {
					t.Fatal(err)
				}
				s.blobs = dir
			}
			f.start()
			run := f.submit(testPlan(t, 1))
			err := f.ended()
			var full *durable.FullError
			if !errors.As(err, &full) || full.Path == "" || full.Hint() == "" {
				t.Fatalf("the server stopped with %v", err)
			}
			f.stop()
			f.before = nil
			f.start()
			f.finish(run)
			f.checkDisk(run)
			f.checkEvidence()
		})
	}
}

// TestDiskFullOutsideARun: also where nobody but an operator writes, a refused commit
// stops the server.
func TestDiskFullOutsideARun(t *testing.T) {
	f := newFederation(t, true)
	f.stop()
	f.before = func(s *Server) {
		s.store = fullStore{s.store, filepath.Join(s.cfg.Data, "tacit.db"), new(atomic.Int64)}
	}
	f.start()
	var full *durable.FullError
	if _, err := f.current().Invite(t.Context(), "org", "north", time.Hour); !errors.As(err, &full) {
		t.Errorf("who asked was told %v", err)
	}
	if err := f.ended(); !errors.As(err, &full) {
		t.Errorf("the server stopped with %v", err)
	}
}

// A person who asks something of a server that has just met a full disk gets that
// error, over the socket too.
func TestDiskFullIsToldToWhoAsked(t *testing.T) {
	e := asReplyError(&durable.FullError{Path: "/var/x", Err: syscall.ENOSPC}).err()
	var full *durable.FullError
	if !errors.As(e, &full) || full.Path != "/var/x" || !errors.Is(e, durable.ErrDiskFull) {
		t.Errorf("%v", e)
	}
}
