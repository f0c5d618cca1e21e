package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"tacit/id"
	"tacit/internal/crashpoint"
	"tacit/internal/durable"
	"tacit/server/store"
	"tacit/server/store/storetest"
)

var ctx = context.Background()

func TestSecondOpenerIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := openSQLite(t, dir)
	var held *durable.LockedError
	if _, err := store.Open(dir, nil); !errors.As(err, &held) || held.Dir != dir || held.PID != os.Getpid() {
		t.Errorf("second opener: %v", err)
	}
	s.Close()
	openSQLite(t, dir)
}

// rawSQL changes a database behind the store's back.
func rawSQL(t *testing.T, dir string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "tacit.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range statements {
		if _, err := db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	openSQLite(t, dir).Close()
	rawSQL(t, dir, "PRAGMA user_version = 2")
	before, _ := os.ReadFile(filepath.Join(dir, "tacit.db"))
	var newer *store.SchemaError
	if _, err := store.Open(dir, nil); !errors.As(err, &newer) || newer.Have != 2 || newer.Known != 1 || !strings.Contains(err.Error(), dir) {
		t.Errorf("newer schema: %v", err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, "tacit.db")); !bytes.Equal(before, after) {
		t.Error("a newer database was changed")
	}
	// The refusal let go of the lock.
	l, err := durable.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.Unlock()
}

func TestDamageIsRefused(t *testing.T) {
	for what, tamper := range map[string]string{
		"a run changed":      "UPDATE runs SET round = 7",
		"a key changed":      "UPDATE runs SET run = x'ff000000000000000000000000000000'",
		"a lease lowered":    "UPDATE lease SET fence = 0",
		"an entry changed":   "UPDATE entries SET body = x'00' WHERE idx = 1",
		"the last entry cut": "DELETE FROM entries WHERE idx = 2",
		"a hash cut":         "DELETE FROM hashes WHERE idx = (SELECT max(idx) FROM hashes)",
		"a checkpoint cut":   "DELETE FROM checkpoints WHERE size = 3",
		"a version removed":  "PRAGMA user_version = 0",
	} {
		dir := t.TempDir()
		s := openSQLite(t, dir)
		fill(t, s)
		s.Close()
		rawSQL(t, dir, tamper)
		var damaged *store.DamagedError
		if _, err := store.Open(dir, nil); !errors.As(err, &damaged) || damaged.Path != filepath.Join(dir, "tacit.db") {
			t.Errorf("%s: %v", what, err)
		}
	}
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "tacit.db"), bytes.Repeat([]byte("not a database"), 1000), 0o600)
	var damaged *store.DamagedError
	if _, err := store.Open(dir, nil); !errors.As(err, &damaged) {
		t.Errorf("another file: %v", err)
	}
}

// fill writes something of each kind; three entries.
func fill(t *testing.T, s store.Store) {
	t.Helper()
	f, err := s.Acquire(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1e9, 0)
	for r := uint64(1); r <= 3; r++ {
		k := store.Key{Run: id.RunID{1}, R: r}
		if _, err := s.Commit(ctx, f, &store.Batch{
			Entries:  [][]byte{fmt.Append(nil, "entry ", r)},
			Settings: []store.Setting{{Name: "s", Value: []byte{byte(r)}}},
			Charters: []store.Charter{{Hash: [32]byte{byte(r)}, Body: []byte("c")}},
			Rosters:  []store.Roster{{Version: r, Body: []byte("r")}},
			Runs:     []store.Run{{ID: id.RunID{1}, Plan: bytes.Repeat([]byte("plan"), 100), Created: at, Round: r, R: r}},
			Epochs:   []store.Epoch{{Run: id.RunID{1}, Number: r, E0: []byte("e0")}},
			Attempts: []store.Attempt{{Key: k, OnlineSet: []byte{1}, Certificate: bytes.Repeat([]byte("c"), 300), SpoolKey: []byte("key")}},
			Messages: []store.Message{{Run: id.RunID{1}, Epoch: r, Body: bytes.Repeat([]byte("m"), 500)}},
			Reports:  []store.Report{{Key: k, Agent: id.AgentID{byte(r)}, Body: []byte("report"), At: at}},
			Models:   []store.Model{{Run: id.RunID{1}, Round: r, Wrapped: []byte("w")}},
			Records:  []store.Record{{Digest: [32]byte{byte(r)}, Body: []byte("record")}},
			Tokens:   []store.Token{{ID: fmt.Sprint(r), Expires: at}},
			Bytes:    []store.ByteCount{{Agent: id.AgentID{1}, Class: "control", Kind: "ping", Bytes: r}},
			Receipts: []store.Receipt{{Key: k, Body: []byte("x")}}, Cosignatures: []store.Cosignature{{Size: int64(r)}},
			Candidates: []store.Candidate{{Agent: id.AgentID{byte(r)}}},
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// dump reads everything that a store can tell, errors included.
func dump(s store.Store) []any {
	var out []any
	add := func(v ...any) {
		for i, x := range v {
			if err, ok := x.(error); ok {
				v[i] = err.Error()
			}
		}
		out = append(out, v...)
	}
	both := func(v any, err error) { add(v, err) }
	h, err := s.Head(ctx)
	add(h, err)
	both(s.Entries(ctx, 0, h.Size))
	n := tlog.StoredHashCount(h.Size)
	for i := range n {
		both(s.HashReader(ctx).ReadHashes([]int64{i}))
	}
	for i := range h.Size {
		both(s.Checkpoint(ctx, i+1))
	}
	runs, err := s.Runs(ctx)
	add(runs, err)
	both(s.LastEpoch(ctx))
	for _, r := range runs {
		both(s.Epochs(ctx, r.ID))
		both(s.Models(ctx, r.ID))
		attempts, err := s.Attempts(ctx, r.ID)
		add(attempts, err)
		for _, a := range attempts {
			both(s.Reports(ctx, a.Key))
			both(s.Receipts(ctx, a.Key))
		}
		for e := range uint64(6) {
			for r2 := range uint64(4) {
				both(s.Messages(ctx, r.ID, e, r2))
			}
		}
	}
	both(s.Records(ctx))
	both(s.Tokens(ctx))
	both(s.Candidates(ctx))
	v, body, err := s.LatestRoster(ctx)
	add(v, body, err)
	hash, body, err := s.LatestCharter(ctx)
	add(hash, body, err)
	for i := range int64(4) {
		both(s.Cosignatures(ctx, i))
		both(s.Roster(ctx, uint64(i)))
		both(s.Charter(ctx, [32]byte{byte(i)}))
		both(s.Setting(ctx, fmt.Sprint("s", i)))
	}
	both(s.BytesOut(ctx))
	return out
}

// TestFlippedBits changes bits of a closed database all over the file: what the
// store then says is an error that names the file, or the truth.
func TestFlippedBits(t *testing.T) {
	dir := t.TempDir()
	s := openSQLite(t, dir)
	fill(t, s)
	want := dump(s)
	s.Close()
	path := filepath.Join(dir, "tacit.db")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused, trials := 0, 400
	rng := rand.New(rand.NewPCG(1, 2))
	for range trials {
		at, bit := rng.IntN(len(file)), byte(1)<<rng.IntN(8)
		if file[at] == 0 && rng.IntN(4) > 0 { // most zero bytes belong to nothing
			continue
		}
		bad := bytes.Clone(file)
		bad[at] ^= bit
		os.WriteFile(path, bad, 0o600)
		os.Remove(path + "-wal")
		os.Remove(path + "-shm")
		s, err := store.Open(dir, &storetest.Log{})
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("byte %d: %v does not name the file", at, err)
			}
			refused++
			continue
		}
		if got := dump(s); !reflect.DeepEqual(got, want) {
			for i := range got {
				if !reflect.DeepEqual(got[i], want[i]) && !strings.Contains(fmt.Sprint(got...), path) {
					t.Errorf("byte %d, bit %d: the store tells a different story: %v, was %v", at, bit, got[i], want[i])
				}
			}
		}
		s.Close()
	}
	if refused < 20 {
		t.Errorf("only %d changes were refused", refused)
	}
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	s := openSQLite(t, dir)
	fill(t, s)
	want := dump(s)
	f, _ := s.Acquire(ctx, "again")
	if err := store.LimitPages(s, 40); err != nil {
		t.Fatal(err)
	}
	_, err := s.Commit(ctx, f, &store.Batch{Entries: [][]byte{[]byte("x")}, Records: []store.Record{{Digest: [32]byte{9}, Body: make([]byte, 1<<20)}}})
	var full *durable.FullError
	if !errors.Is(err, durable.ErrDiskFull) || !errors.As(err, &full) || full.Path != filepath.Join(dir, "tacit.db") {
		t.Fatalf("full disk: %v", err)
	}
	if got := dump(s); !reflect.DeepEqual(got, want) {
		t.Error("a refused commit left something")
	}
	store.LimitPages(s, 1<<20)
	if _, err := s.Commit(ctx, f, &store.Batch{Entries: [][]byte{[]byte("x")}}); err != nil {
		t.Errorf("with space again: %v", err)
	}
}

// TestErasedSecrets looks for a shredded spool key and a forgotten identity in
// every file of the directory, first while the store is open.
func TestErasedSecrets(t *testing.T) {
	dir := t.TempDir()
	s := openSQLite(t, dir)
	f, _ := s.Acquire(ctx, "test")
	k := store.Key{Run: id.RunID{1}, R: 1}
	if _, err := s.Commit(ctx, f, &store.Batch{
		Attempts: []store.Attempt{{Key: k, SpoolKey: bytes.Repeat([]byte("SPOOLCANARY"), 20)}},
		Models:   []store.Model{{Run: k.Run, Wrapped: bytes.Repeat([]byte("MODELCANARY"), 300)}},
	}); err != nil {
		t.Fatal(err)
	}
	if !holds(t, dir, "SPOOLCANARY") || !holds(t, dir, "MODELCANARY") {
		t.Fatal("the scan does not find what is there")
	}
	if _, err := s.Commit(ctx, f, &store.Batch{ShredSpool: []store.Key{k}, ForgetModels: []store.ModelRef{{Run: k.Run}}}); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"open", "closed"} {
		for _, canary := range []string{"SPOOLCANARY", "MODELCANARY"} {
			if holds(t, dir, canary) {
				t.Errorf("store %s: %s outlived its erasure", when, canary)
			}
		}
		s.Close()
	}
}

func holds(t *testing.T, dir, word string) (found bool) {
	t.Helper()
	filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Contains(b, []byte(word))
		return nil
	})
	return found
}

func TestFileModes(t *testing.T) {
	dir := t.TempDir()
	s := openSQLite(t, dir)
	fill(t, s)
	for _, name := range []string{"tacit.db", "tacit.db-wal", "tacit.db-shm"} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
}

// TestMain doubles as a child that commits numbered transitions until a crash
// point kills it, printing each number once its commit has returned.
func TestMain(m *testing.M) {
	dir := os.Getenv("STORE_CHILD")
	if dir == "" {
		os.Exit(m.Run())
	}
	check := func(err error) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(9)
		}
	}
	check(crashpoint.Check())
	s, err := store.Open(dir, &storetest.Log{})
	check(err)
	f, err := s.Acquire(ctx, fmt.Sprint(os.Getpid()))
	check(err)
	head, err := s.Head(ctx)
	check(err)
	for i := uint64(head.Size) + 1; i <= 5; i++ {
		_, err := s.Commit(ctx, f, &store.Batch{
			Entries: [][]byte{fmt.Append(nil, i)}, Runs: []store.Run{{Round: i, R: i}},
			Models: []store.Model{{Round: i}}, ShredSpool: nil})
		check(err)
		fmt.Println(i)
	}
	os.Exit(0)
}

func TestKilledAtEveryPoint(t *testing.T) {
	points := 0
	for _, point := range crashpoint.Names() {
		for _, nth := range []int{1, 3} {
			dir := t.TempDir()
			run := func(arm string) (acked int, code int) {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), "STORE_CHILD="+dir, crashpoint.Env+"="+arm)
				out, _ := cmd.Output()
				return strings.Count(string(out), "\n"), cmd.ProcessState.ExitCode()
			}
			arm := fmt.Sprintf("%s:%d", point, nth)
			acked, code := run(arm)
			if code != -1 {
				t.Fatalf("%s: exit %d", arm, code)
			}
			points++
			s := openSQLite(t, dir) // at once: the lock died with the child
			head, err := s.Head(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if head.Size != int64(acked) && head.Size != int64(acked)+1 {
				t.Errorf("%s: %d acknowledged, %d in the log", arm, acked, head.Size)
			}
			var round uint64
			if run, err := s.LoadRun(ctx, id.RunID{}); err == nil {
				round = run.Round
			}
			models, _ := s.Models(ctx, id.RunID{})
			if round != uint64(head.Size) || len(models) != int(head.Size) {
				t.Errorf("%s: the log has %d entries, the run round %d, %d models", arm, head.Size, round, len(models))
			}
			if root, err := tlog.TreeHash(head.Size, s.HashReader(ctx)); head.Size > 0 && (err != nil || root != head.Root) {
				t.Errorf("%s: root %v, checkpoint %v, %v", arm, root, head.Root, err)
			}
			s.Close()
			if _, code := run(""); code != 0 {
				t.Errorf("%s: the next process exits %d", arm, code)
			}
		}
	}
	if points < 6 {
		t.Errorf("%d crash points were tried", points)
	}
}
