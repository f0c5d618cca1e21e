package server

import (
	"bytes"
	"database/sql"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tacit/id"
	"tacit/internal/durable"
	"tacit/server/store"
	"tacit/vault"
)

// TestInit looks at what `tacit init server` leaves: everything for its owner alone,
// the administrator's key apart and in no file of the server's.
func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fed")
	res := initDir(t, dir)
	admin, err := ReadAdministrator(res.AdminKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(res.AdminKeyFile, dir) {
		t.Errorf("the administrator's key lies in the server's directory: %s", res.AdminKeyFile)
	}
	seed := admin.Key.Seed()
	seen := 0
	err = filepath.WalkDir(filepath.Dir(dir), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		open := info.Mode().Perm() & 0o077
		switch {
		case e.IsDir() && filepath.Base(path) == "data", e.Type().IsRegular() && filepath.Base(path) != "server.yaml":
			if open != 0 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
		}
		if !e.Type().IsRegular() || path == res.AdminKeyFile {
			return nil
		}
		seen++
		b, err := os.ReadFile(path)
		if bytes.Contains(b, seed[:]) || bytes.Contains(b, []byte(strings.Split(string(mustRead(t, res.AdminKeyFile)), "tacit-admin-key-1 ")[1][:64])) {
			t.Errorf("%s holds the administrator's key", path)
		}
		return err
	})
	if err != nil || seen < 4 {
		t.Fatalf("%d files, %v", seen, err)
	}
	s, err := Open(readConfig(t, dir), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	pub := admin.Key.Public()
	if s.LogKey() != res.LogKey || s.charter.Hash() != res.Charter || !s.charter.Administrators[0].Equal(&pub) {
		t.Error("the server is of another federation than init said")
	}
	if s.tlsPin == (id.Digest{}) {
		t.Error("joining strings would pin no certificate")
	}
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestInitOverwritesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fed")
	res := initDir(t, dir)
	before := mustRead(t, res.AdminKeyFile)
	o := InitOptions{Dir: dir, Listen: "127.0.0.1:0", URL: "wss://127.0.0.1:1/tacit/v1", AdminKeyFile: filepath.Join(t.TempDir(), "other.key"), Rules: smallRules}
	if _, err := Init(o); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "server.yaml") {
		t.Errorf("an existing directory: %v", err)
	}
	o.Dir, o.AdminKeyFile = filepath.Join(t.TempDir(), "new"), res.AdminKeyFile
	if _, err := Init(o); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), res.AdminKeyFile) {
		t.Errorf("an existing administrator's key: %v", err)
	}
	if !bytes.Equal(before, mustRead(t, res.AdminKeyFile)) {
		t.Error("the administrator's key was overwritten")
	}
	for _, url := range []string{"", "http://a.example/", "wss://", "wss://:1/"} {
		o := InitOptions{Dir: filepath.Join(t.TempDir(), "new"), URL: url, AdminKeyFile: filepath.Join(t.TempDir(), "k"), Rules: smallRules}
		if _, err := Init(o); err == nil {
			t.Errorf("url %q", url)
		}
	}
}

// TestOpenRefuses: each thing that can be wrong with a directory is one error that
// names it, and nothing is changed.
func TestOpenRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fed")
	initDir(t, dir)
	cfg := readConfig(t, dir)
	open := func(t *testing.T) error {
		t.Helper()
		s, err := Open(cfg, Options{})
		if err == nil {
			s.Close()
		}
		return err
	}
	t.Run("a second server", func(t *testing.T) {
		first, err := Open(cfg, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var locked *durable.LockedError
		if err := open(t); !errors.As(err, &locked) || locked.PID != os.Getpid() || locked.Dir != cfg.Data {
			t.Errorf("got %v, want *durable.LockedError of %s", err, cfg.Data)
		}
		first.Close()
		if err := open(t); err != nil {
			t.Errorf("after the first is gone: %v", err)
		}
	})
	t.Run("another key file", func(t *testing.T) {
		right := mustRead(t, cfg.KeyFile)
		other := filepath.Join(t.TempDir(), "fed")
		initDir(t, other)
		if err := os.WriteFile(cfg.KeyFile, mustRead(t, readConfig(t, other).KeyFile), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(t); err == nil || !strings.Contains(err.Error(), "vault") {
			t.Errorf("got %v", err)
		}
		if err := os.WriteFile(cfg.KeyFile, right, 0o644); err != nil {
			t.Fatal(err)
		}
		os.Chmod(cfg.KeyFile, 0o644)
		var loose *vault.LooseModeError
		if err := open(t); !errors.As(err, &loose) {
			t.Errorf("a key that others may read: %v", err)
		}
		os.Chmod(cfg.KeyFile, 0o600)
	})
	t.Run("no directory", func(t *testing.T) {
		gone := *cfg
		gone.Data = filepath.Join(t.TempDir(), "nothing")
		gone.KeyFile = filepath.Join(gone.Data, "root.key")
		if _, err := Open(&gone, Options{}); err == nil || !strings.Contains(err.Error(), gone.Data) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a certificate that is not there", func(t *testing.T) {
		bad := *cfg
		bad.TLS.Certificate, bad.TLS.Key = "/nonexistent/a.crt", "/nonexistent/a.pem"
		if _, err := Open(&bad, Options{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "a.crt") {
			t.Errorf("got %v", err)
		}
		if err := open(t); err != nil {
			t.Errorf("the directory stayed locked: %v", err)
		}
	})
	t.Run("a newer schema", func(t *testing.T) {
		db, err := sql.Open("sqlite", filepath.Join(cfg.Data, "tacit.db"))
		if err != nil {
			t.Fatal(err)
		}
		set := func(v string) {
			if _, err := db.Exec("PRAGMA user_version = " + v); err != nil {
				t.Fatal(err)
			}
		}
		set("99")
		var newer *store.SchemaError
		if err := open(t); !errors.As(err, &newer) || newer.Have != 99 || newer.Hint() == "" {
			t.Errorf("got %v", err)
		}
		set("1")
		db.Close()
		if err := open(t); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
	t.Run("a port in use", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		busy := *cfg
		busy.Listen = l.Addr().String()
		s, err := Open(&busy, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Run(t.Context()); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), l.Addr().String()) {
			t.Errorf("got %v", err)
		}
	})
}
