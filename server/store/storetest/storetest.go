package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"tacit/id"
	"tacit/server/store"
)

// Run holds a store to its contract. open returns a new, empty store with l as
// its log.
func Run(t *testing.T, open func(t *testing.T, l store.Log) store.Store) {
	for _, c := range []struct {
		name string
		run  func(*suite)
	}{
		{"empty", (*suite).empty},
		{"fence", (*suite).fence},
		{"log", (*suite).logs},
		{"atomic", (*suite).atomic},
		{"run", (*suite).runs},
		{"epoch", (*suite).epochs},
		{"attempt", (*suite).attempts},
		{"message", (*suite).messages},
		{"report", (*suite).reports},
		{"model", (*suite).models},
		{"record", (*suite).records},
		{"token", (*suite).tokens},
		{"candidate", (*suite).candidates},
		{"membership", (*suite).membership},
		{"receipt", (*suite).receipts},
		{"bytes", (*suite).bytes},
		{"setting", (*suite).settings},
		{"aliasing", (*suite).aliasing},
		{"concurrent", (*suite).concurrent},
		{"closed", (*suite).closed},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &Log{}
			s := open(t, l)
			t.Cleanup(func() { s.Close() })
			f, err := s.Acquire(context.Background(), "test")
			if err != nil {
				t.Fatal(err)
			}
			c.run(&suite{T: t, Store: s, f: f, ctx: context.Background(), log: l})
		})
	}
}

type suite struct {
	*testing.T
	store.Store
	f   store.Fence
	ctx context.Context
	log *Log
}

var (
	runA, runB     = id.RunID{0xa}, id.RunID{0xb}
	alice, bob     = id.AgentID{1}, id.AgentID{2}
	noon           = time.Date(2026, 1, 2, 12, 0, 0, 123456789, time.UTC)
	key1           = store.Key{Run: runA, R: 1}
	maxed          = ^uint64(0)
	errNoSignature = errors.New("no signature today")
)

// ok commits a batch that must be accepted.
func (s *suite) ok(b store.Batch) store.Head {
	s.Helper()
	h, err := s.Commit(s.ctx, s.f, &b)
	if err != nil {
		s.Fatalf("commit: %v", err)
	}
	return h
}

// refused commits a batch that must be refused with an error that is want.
func (s *suite) refused(want error, b store.Batch) {
	s.Helper()
	h, err := s.Commit(s.ctx, s.f, &b)
	if !errors.Is(err, want) {
		s.Fatalf("commit: %v, want %v", err, want)
	}
	if !reflect.DeepEqual(h, store.Head{}) {
		s.Errorf("a head beside an error: %+v", h)
	}
}

// check compares a read's results.
func check[T any](s *suite, what string, got T, err error, want T) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
	if !reflect.DeepEqual(got, want) {
		s.Fatalf("%s:\ngot  %+v\nwant %+v", what, got, want)
	}
}

func (s *suite) missing(what string, err error) {
	s.Helper()
	if !errors.Is(err, store.ErrNotFound) {
		s.Errorf("%s: %v, want ErrNotFound", what, err)
	}
}

func (s *suite) empty() {
	h, err := s.Head(s.ctx)
	check(s, "head", h, err, store.Head{})
	_, err = s.LoadRun(s.ctx, runA)
	s.missing("run", err)
	_, err = s.LoadAttempt(s.ctx, key1)
	s.missing("attempt", err)
	_, err = s.LoadModel(s.ctx, runA, 0)
	s.missing("model", err)
	_, err = s.Record(s.ctx, [32]byte{})
	s.missing("record", err)
	_, err = s.LoadToken(s.ctx, "x")
	s.missing("token", err)
	_, err = s.Roster(s.ctx, 1)
	s.missing("roster", err)
	_, _, err = s.LatestRoster(s.ctx)
	s.missing("latest roster", err)
	_, _, err = s.LatestCharter(s.ctx)
	s.missing("latest charter", err)
	_, err = s.Charter(s.ctx, [32]byte{})
	s.missing("charter", err)
	_, err = s.Setting(s.ctx, "x")
	s.missing("setting", err)
	_, err = s.Checkpoint(s.ctx, 0)
	s.missing("checkpoint", err)
	_, err = s.Entries(s.ctx, 0, 1)
	s.missing("entry", err)
	n, err := s.LastEpoch(s.ctx)
	check(s, "last epoch", n, err, 0)
	runs, err := s.Runs(s.ctx)
	check(s, "runs", runs, err, nil)
	s.ok(store.Batch{})
}

func (s *suite) fence() {
	old := s.f
	f, err := s.Acquire(s.ctx, "next")
	if err != nil || f <= old {
		s.Fatalf("acquire: %d after %d, %v", f, old, err)
	}
	for _, stale := range []store.Fence{old, 0, f + 1} {
		s.f = stale
		s.refused(store.ErrFenced, store.Batch{Settings: []store.Setting{{Name: "a", Value: []byte("stale")}}})
	}
	s.f = f
	_, err = s.Setting(s.ctx, "a")
	s.missing("a fenced writer's setting", err)
	s.ok(store.Batch{Settings: []store.Setting{{Name: "a", Value: []byte("1")}}})
}

func (s *suite) logs() {
	var all [][]byte
	for n := 1; n <= 9; n++ {
		var add [][]byte
		for i := range n {
			add = append(add, fmt.Appendf(nil, "entry %d.%d", n, i))
		}
		size := int64(len(all))
		all = append(all, add...)
		wrong := size + 1
		s.refused(store.ErrConflict, store.Batch{ExpectSize: &wrong, Entries: add})
		h := s.ok(store.Batch{ExpectSize: &size, Entries: add})
		got, err := s.Head(s.ctx)
		check(s, "head", got, err, h)
		root, err := tlog.TreeHash(h.Size, s.HashReader(s.ctx))
		check(s, "root from stored hashes", root, err, h.Root)
		if want := fmt.Sprintf("test\n%d\n%v\n", len(all), root); string(h.Checkpoint) != want {
			s.Fatalf("checkpoint %q, want %q", h.Checkpoint, want)
		}
		note, err := s.Checkpoint(s.ctx, h.Size)
		check(s, "checkpoint", note, err, h.Checkpoint)
	}
	h, _ := s.Head(s.ctx)
	entries, err := s.Entries(s.ctx, 0, h.Size)
	check(s, "entries", entries, err, all)
	entries, err = s.Entries(s.ctx, 3, 5)
	check(s, "entries 3 to 5", entries, err, all[3:5])
	entries, err = s.Entries(s.ctx, 5, 5)
	check(s, "no entries", entries, err, nil)
	for _, r := range [][2]int64{{0, h.Size + 1}, {-1, 1}, {5, 4}} {
		_, err = s.Entries(s.ctx, r[0], r[1])
		s.missing(fmt.Sprint("entries ", r), err)
	}
	_, err = s.HashReader(s.ctx).ReadHashes([]int64{0, tlog.StoredHashCount(h.Size)})
	s.missing("a hash beyond the log", err)
	proof, err := tlog.ProveRecord(h.Size, 7, s.HashReader(s.ctx))
	if err != nil || tlog.CheckRecord(proof, h.Size, h.Root, 7, tlog.RecordHash(all[7])) != nil {
		s.Errorf("inclusion proof: %v", err)
	}
	if got := s.ok(store.Batch{}); got.Size != h.Size {
		s.Errorf("a batch without entries moved the head to %d", got.Size)
	}
}

// atomic lets each kind of failure strike after everything else was written.
func (s *suite) atomic() {
	s.ok(store.Batch{Entries: [][]byte{[]byte("genesis")}, Runs: []store.Run{{ID: runA, Round: 5}}})
	before, _ := s.Head(s.ctx)
	full := func() store.Batch {
		return store.Batch{
			Entries: [][]byte{[]byte("x")}, Settings: []store.Setting{{Name: "a", Value: []byte("1")}},
			Runs: []store.Run{{ID: runB}}, Epochs: []store.Epoch{{Run: runB, Number: 9}},
			Attempts: []store.Attempt{{Key: store.Key{Run: runB, R: 1}}}, Messages: []store.Message{{Run: runB, Epoch: 9}},
			Reports: []store.Report{{Key: key1}}, Models: []store.Model{{Run: runB}}, Records: []store.Record{{Digest: [32]byte{1}}},
			Tokens: []store.Token{{ID: "t"}}, Candidates: []store.Candidate{{Agent: alice}}, Bytes: []store.ByteCount{{Agent: alice, Bytes: 1}},
			Rosters: []store.Roster{{Version: 1}}, Charters: []store.Charter{{Hash: [32]byte{1}}},
			Receipts: []store.Receipt{{Key: key1}}, Cosignatures: []store.Cosignature{{Size: 1}},
		}
	}
	untouched := func(when string) {
		s.Helper()
		h, err := s.Head(s.ctx)
		check(s, when+": head", h, err, before)
		entries, err := s.Entries(s.ctx, 0, 1)
		check(s, when+": entries", entries, err, [][]byte{[]byte("genesis")})
		_, err = s.HashReader(s.ctx).ReadHashes([]int64{tlog.StoredHashCount(1)})
		s.missing(when+": hash", err)
		runs, err := s.Runs(s.ctx)
		if err != nil || len(runs) != 1 || runs[0].Round != 5 {
			s.Fatalf("%s: runs %+v, %v", when, runs, err)
		}
		n, err := s.LastEpoch(s.ctx)
		check(s, when+": last epoch", n, err, 0)
		_, err = s.Setting(s.ctx, "a")
		s.missing(when+": setting", err)
		tokens, err := s.Tokens(s.ctx)
		check(s, when+": tokens", tokens, err, nil)
		counts, err := s.BytesOut(s.ctx)
		check(s, when+": bytes", counts, err, nil)
		m, err := s.Messages(s.ctx, runB, 9, 0)
		check(s, when+": messages", m, err, nil)
	}
	b := full()
	b.Runs = append(b.Runs, store.Run{ID: runA, Round: 4})
	s.refused(store.ErrConflict, b)
	untouched("conflict")
	b = full()
	b.Redeem = []store.Redemption{{ID: "none"}}
	var token *store.TokenError
	if _, err := s.Commit(s.ctx, s.f, &b); !errors.As(err, &token) {
		s.Fatalf("redeem: %v", err)
	}
	untouched("token")
	b = full()
	b.Bytes = append(b.Bytes, store.ByteCount{Agent: bob, Bytes: maxed})
	if _, err := s.Commit(s.ctx, s.f, &b); err == nil {
		s.Fatal("a number out of range was accepted")
	}
	untouched("range")
	s.log.Fail = errNoSignature
	s.refused(errNoSignature, full())
	untouched("signature")
	s.log.Fail = nil
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	b = full()
	if _, err := s.Commit(ctx, s.f, &b); !errors.Is(err, context.Canceled) {
		s.Fatalf("cancelled: %v", err)
	}
	untouched("cancelled")
	s.ok(full())
	if h, _ := s.Head(s.ctx); h.Size != 2 {
		s.Errorf("after all, the log has %d entries", h.Size)
	}
}

func (s *suite) runs() {
	a := store.Run{ID: runA, PlanHash: id.PlanHash{1}, Plan: []byte("plan"), Created: noon, State: "open", Epoch: 1, Round: 2, R: 3, Model: id.ModelHash{4}, Strategy: []byte("sealed")}
	b := store.Run{ID: runB, Created: noon.Add(-time.Nanosecond)}
	s.ok(store.Batch{Runs: []store.Run{a, b}})
	got, err := s.LoadRun(s.ctx, runA)
	check(s, "run", got, err, a)
	all, err := s.Runs(s.ctx)
	check(s, "runs by birth", all, err, []store.Run{b, a})
	a.State, a.Epoch, a.Round, a.R, a.Strategy, a.Reason = "stopped", 2, 3, 4, nil, "enough"
	a.Model = id.ModelHash{5}
	a.Created = noon.In(time.FixedZone("elsewhere", 3600)) // the same moment
	s.ok(store.Batch{Runs: []store.Run{a}})
	a.Created = noon
	got, err = s.LoadRun(s.ctx, runA)
	check(s, "changed run", got, err, a)
	for what, change := range map[string]func(*store.Run){
		"plan": func(r *store.Run) { r.Plan = []byte("x") }, "plan hash": func(r *store.Run) { r.PlanHash[0]++ },
		"birth": func(r *store.Run) { r.Created = noon.Add(1) }, "round": func(r *store.Run) { r.Round-- },
		"attempt": func(r *store.Run) { r.R-- }, "epoch": func(r *store.Run) { r.Epoch-- },
	} {
		bad := a
		change(&bad)
		if _, err := s.Commit(s.ctx, s.f, &store.Batch{Runs: []store.Run{bad}}); !errors.Is(err, store.ErrConflict) {
			s.Errorf("another %s: %v", what, err)
		}
	}
}

func (s *suite) epochs() {
	e1 := store.Epoch{Run: runA, Number: 1, E0: []byte("e0"), Phase: "keys"}
	e2 := store.Epoch{Run: runB, Number: 5, E0: []byte("e0b")}
	s.ok(store.Batch{Epochs: []store.Epoch{e1, e2}})
	n, err := s.LastEpoch(s.ctx)
	check(s, "last epoch", n, err, 5)
	s.refused(store.ErrConflict, store.Batch{Epochs: []store.Epoch{{Run: runA, Number: 5}}}) // another run's number
	s.refused(store.ErrConflict, store.Batch{Epochs: []store.Epoch{{Run: runA, Number: 4}}})
	s.refused(store.ErrConflict, store.Batch{Epochs: []store.Epoch{{Run: runA, Number: 1, E0: []byte("other")}}})
	e1.Phase, e1.Root = "ready", []byte("root")
	s.ok(store.Batch{Epochs: []store.Epoch{e1}})
	s.refused(store.ErrConflict, store.Batch{Epochs: []store.Epoch{{Run: runA, Number: 1, E0: []byte("e0"), Root: []byte("other")}}})
	keep := e1
	keep.Root = nil
	s.ok(store.Batch{Epochs: []store.Epoch{keep, {Run: runA, Number: 6}}})
	got, err := s.Epochs(s.ctx, runA)
	check(s, "epochs", got, err, []store.Epoch{e1, {Run: runA, Number: 6}})
}

func (s *suite) attempts() {
	a := store.Attempt{Key: key1, Epoch: 1, Task: 2, Round: 3, Model: id.ModelHash{4}, Start: []byte("start"), Phase: "collect"}
	s.ok(store.Batch{Attempts: []store.Attempt{a}})
	for what, change := range map[string]func(*store.Attempt){
		"epoch": func(a *store.Attempt) { a.Epoch++ }, "task": func(a *store.Attempt) { a.Task++ }, "round": func(a *store.Attempt) { a.Round++ },
		"model": func(a *store.Attempt) { a.Model[0]++ }, "start": func(a *store.Attempt) { a.Start = nil },
	} {
		bad := a
		change(&bad)
		if _, err := s.Commit(s.ctx, s.f, &store.Batch{Attempts: []store.Attempt{bad}}); !errors.Is(err, store.ErrConflict) {
			s.Errorf("another %s: %v", what, err)
		}
	}
	fields := []func(*store.Attempt) *[]byte{
		func(a *store.Attempt) *[]byte { return &a.SpoolKey },
		func(a *store.Attempt) *[]byte { return &a.OnlineSet },
		func(a *store.Attempt) *[]byte { return &a.Certificate },
	}
	for i, field := range fields {
		next := store.Attempt{Key: a.Key, Epoch: a.Epoch, Task: a.Task, Round: a.Round, Model: a.Model, Start: a.Start, Phase: fmt.Sprint(i), Reason: "r"}
		*field(&next) = []byte("first")
		s.ok(store.Batch{Attempts: []store.Attempt{next, next}})
		*field(&a) = []byte("first")
		*field(&next) = []byte("second")
		s.refused(store.ErrConflict, store.Batch{Attempts: []store.Attempt{next}})
		a.Phase, a.Reason = next.Phase, next.Reason
		got, err := s.LoadAttempt(s.ctx, key1)
		check(s, "attempt", got, err, a)
	}
	abort := a
	abort.AbortCertificate = []byte("abort")
	s.refused(store.ErrConflict, store.Batch{Attempts: []store.Attempt{abort}})
	abort = store.Attempt{Key: key1, Epoch: a.Epoch, Task: a.Task, Round: a.Round, Model: a.Model, Start: a.Start, AbortCertificate: []byte("abort")}
	s.refused(store.ErrConflict, store.Batch{Attempts: []store.Attempt{abort}})

	s.ok(store.Batch{ShredSpool: []store.Key{key1}})
	s.ok(store.Batch{ShredSpool: []store.Key{key1}})
	a.SpoolKey = nil
	got, err := s.LoadAttempt(s.ctx, key1)
	check(s, "shredded attempt", got, err, a)
	again := a
	again.SpoolKey = []byte("first")
	s.refused(store.ErrConflict, store.Batch{Attempts: []store.Attempt{again}})
	s.ok(store.Batch{Attempts: []store.Attempt{a}})
	s.refused(store.ErrNotFound, store.Batch{ShredSpool: []store.Key{{Run: runB}}})

	two := store.Attempt{Key: store.Key{Run: runA, R: 3, Cohort: 1}}
	three := store.Attempt{Key: store.Key{Run: runA, R: 3, Slice: 2}}
	other := store.Attempt{Key: store.Key{Run: runB, R: 1}}
	s.ok(store.Batch{Attempts: []store.Attempt{two, three, other}})
	s.refused(store.ErrConflict, store.Batch{Attempts: []store.Attempt{{Key: store.Key{Run: runA, R: 2}}}})
	all, err := s.Attempts(s.ctx, runA)
	check(s, "attempts", all, err, []store.Attempt{a, three, two})
}

func (s *suite) messages() {
	var want []store.Message
	for i, m := range []store.Message{
		{Run: runA, Epoch: 1, Stage: 1, From: bob, Body: []byte("b")},
		{Run: runA, Epoch: 1, Stage: 1, From: alice, Body: []byte("a")},
		{Run: runA, Epoch: 1, R: 1, Stage: 7, From: alice},
		{Run: runB, Epoch: 1},
		{Run: runA, Epoch: 2},
		{Run: runA, Epoch: 1, Cohort: 3, Slice: 4, Stage: 1, From: bob, Body: []byte("b")},
	} {
		m.Seq = uint64(99) // whatever the caller says
		s.ok(store.Batch{Messages: []store.Message{m}})
		m.Seq = uint64(i + 1)
		if m.Run == runA && m.Epoch == 1 && m.R == 0 {
			want = append(want, m)
		}
	}
	got, err := s.Messages(s.ctx, runA, 1, 0)
	check(s, "epoch's messages", got, err, want)
	got, err = s.Messages(s.ctx, runA, 1, 1)
	if err != nil || len(got) != 1 || got[0].Stage != 7 {
		s.Errorf("round's messages: %+v, %v", got, err)
	}
}

func (s *suite) reports() {
	b := store.Report{Key: key1, Agent: bob, Body: []byte("b"), Blob: "spool/b", Vector: [32]byte{1}, At: noon}
	a := store.Report{Key: key1, Agent: alice, Body: []byte("a"), At: noon.Add(1)}
	for _, r := range []store.Report{b, a} {
		if _, err := store.PutReport(s.ctx, s.Store, s.f, r); err != nil {
			s.Fatal(err)
		}
	}
	again := b
	again.Blob, again.At = "elsewhere", noon.Add(time.Hour)
	s.ok(store.Batch{Reports: []store.Report{again}})
	other := b
	other.Body = []byte("other")
	s.refused(store.ErrConflict, store.Batch{Reports: []store.Report{other}})
	other = b
	other.Vector[31] = 1
	s.refused(store.ErrConflict, store.Batch{Reports: []store.Report{other}})
	got, err := s.Reports(s.ctx, key1)
	check(s, "reports by arrival", got, err, []store.Report{b, a})
	got, err = s.Reports(s.ctx, store.Key{Run: runA, R: 2})
	check(s, "another attempt's", got, err, nil)
}

func (s *suite) models() {
	m0 := store.Model{Run: runA, Hash: id.ModelHash{1}, File: "models/0", Wrapped: []byte("key"), Manifest: []byte("m"), LogIndex: 7}
	m1 := m0
	m1.Round = 1
	s.ok(store.Batch{Models: []store.Model{m1, m0}})
	s.ok(store.Batch{Models: []store.Model{m0}})
	bad := m0
	bad.Hash[0]++
	s.refused(store.ErrConflict, store.Batch{Models: []store.Model{bad}})
	s.ok(store.Batch{ForgetModels: []store.ModelRef{{Run: runA, Round: 0}}})
	s.refused(store.ErrConflict, store.Batch{Models: []store.Model{m0}}) // a forgotten model stays forgotten
	s.refused(store.ErrNotFound, store.Batch{ForgetModels: []store.ModelRef{{Run: runB}}})
	m0.Wrapped = nil
	got, err := s.LoadModel(s.ctx, runA, 0)
	check(s, "forgotten model", got, err, m0)
	all, err := s.Models(s.ctx, runA)
	check(s, "models", all, err, []store.Model{m0, m1})
}

func (s *suite) records() {
	r := store.Record{Digest: [32]byte{9}, Body: bytes.Repeat([]byte("r"), 100_000)}
	s.ok(store.Batch{Records: []store.Record{r, {Digest: [32]byte{1}}}})
	s.ok(store.Batch{Records: []store.Record{r}})
	s.refused(store.ErrConflict, store.Batch{Records: []store.Record{{Digest: r.Digest, Body: []byte("x")}}})
	got, err := s.Record(s.ctx, r.Digest)
	check(s, "record", got, err, r.Body)
	all, err := s.Records(s.ctx)
	check(s, "records", all, err, []store.Record{{Digest: [32]byte{1}}, r})
}

func (s *suite) tokens() {
	t := store.Token{ID: "t", Hash: [32]byte{1}, Org: "o", Site: "s", Expires: noon}
	s.ok(store.Batch{Tokens: []store.Token{t, {ID: "u", Expires: noon}, {ID: "a", Expires: noon}}})
	s.refused(store.ErrConflict, store.Batch{Tokens: []store.Token{t}})
	redeem := func(tokenID string, at time.Time, want string) {
		s.Helper()
		_, err := s.Commit(s.ctx, s.f, &store.Batch{Redeem: []store.Redemption{{ID: tokenID, Agent: alice, At: at}}})
		var te *store.TokenError
		if want == "" && err != nil || want != "" && (!errors.As(err, &te) || te.Reason != want || te.ID != tokenID) {
			s.Fatalf("redeem %s: %v, want %q", tokenID, err, want)
		}
	}
	before := noon.Add(-1)
	redeem("none", before, "unknown")
	redeem("t", noon, "expired")
	for range store.MaxTries - 1 {
		s.ok(store.Batch{WrongTries: []string{"t", "u"}})
	}
	redeem("t", before, "")
	redeem("t", before, "redeemed")
	s.ok(store.Batch{WrongTries: []string{"u"}})
	redeem("u", before, "burnt")
	if _, err := s.Commit(s.ctx, s.f, &store.Batch{WrongTries: []string{"none"}}); err == nil {
		s.Error("a wrong try at no token was counted")
	}
	t.Tries, t.Redeemed, t.Agent = store.MaxTries-1, before, alice
	got, err := s.LoadToken(s.ctx, "t")
	check(s, "token", got, err, t)
	all, err := s.Tokens(s.ctx)
	check(s, "tokens", all, err, []store.Token{{ID: "a", Expires: noon}, t, {ID: "u", Expires: noon, Tries: store.MaxTries}})
}

func (s *suite) candidates() {
	a := store.Candidate{Agent: alice, Org: "o", Site: "s", Body: []byte("join"), Token: "t", At: noon}
	b := store.Candidate{Agent: bob}
	s.ok(store.Batch{Candidates: []store.Candidate{b, a}})
	b.Site = "moved"
	s.ok(store.Batch{Candidates: []store.Candidate{b}})
	got, err := s.Candidates(s.ctx)
	check(s, "candidates", got, err, []store.Candidate{a, b})
	s.ok(store.Batch{DropCandidates: []id.AgentID{alice, {0xff}}})
	got, err = s.Candidates(s.ctx)
	check(s, "after dropping one", got, err, []store.Candidate{b})
}

func (s *suite) membership() {
	s.ok(store.Batch{Rosters: []store.Roster{{Version: 1, Body: []byte("r1")}, {Version: 3, Body: []byte("r3")}}})
	s.ok(store.Batch{Rosters: []store.Roster{{Version: 3, Body: []byte("r3")}}})
	for _, bad := range []store.Roster{{Version: 3, Body: []byte("x")}, {Version: 2}, {Version: 1, Body: []byte("r1")}} {
		s.refused(store.ErrConflict, store.Batch{Rosters: []store.Roster{bad}})
	}
	body, err := s.Roster(s.ctx, 1)
	check(s, "roster", body, err, []byte("r1"))
	n, body, err := s.LatestRoster(s.ctx)
	check(s, "latest roster", body, err, []byte("r3"))
	check(s, "latest version", n, err, 3)
	a, b := store.Charter{Hash: [32]byte{9}, Body: []byte("a")}, store.Charter{Hash: [32]byte{1}, Body: []byte("b")}
	s.ok(store.Batch{Charters: []store.Charter{a, b, b}})
	h, body, err := s.LatestCharter(s.ctx)
	check(s, "latest charter", body, err, b.Body)
	check(s, "its hash", h, err, b.Hash)
	body, err = s.Charter(s.ctx, a.Hash)
	check(s, "charter", body, err, a.Body)
	s.refused(store.ErrConflict, store.Batch{Charters: []store.Charter{{Hash: a.Hash, Body: []byte("x")}}})
	s.ok(store.Batch{Charters: []store.Charter{a}})
	h, _, err = s.LatestCharter(s.ctx)
	check(s, "the old charter again", h, err, a.Hash)
}

func (s *suite) receipts() {
	b, a := store.Receipt{Key: key1, Agent: bob, Body: []byte("b")}, store.Receipt{Key: key1, Agent: alice, Body: []byte("a")}
	cb, ca := store.Cosignature{Agent: bob, Size: 3, Body: []byte("b")}, store.Cosignature{Agent: alice, Size: 3, Body: []byte("a")}
	batch := store.Batch{Receipts: []store.Receipt{b, a}, Cosignatures: []store.Cosignature{cb, ca}}
	s.ok(batch)
	s.ok(batch)
	got, err := s.Receipts(s.ctx, key1)
	check(s, "receipts", got, err, []store.Receipt{a, b})
	cos, err := s.Cosignatures(s.ctx, 3)
	check(s, "cosignatures", cos, err, []store.Cosignature{ca, cb})
	b.Body, cb.Body = []byte("x"), []byte("x")
	s.refused(store.ErrConflict, store.Batch{Receipts: []store.Receipt{b}})
	s.refused(store.ErrConflict, store.Batch{Cosignatures: []store.Cosignature{cb}})
}

func (s *suite) bytes() {
	c := store.ByteCount{Agent: alice, Class: "control", Kind: "ping", Bytes: 3, Messages: 1}
	d := store.ByteCount{Agent: alice, Class: "masked_updates", Kind: "vector", Bytes: 1 << 40, Messages: 1}
	s.ok(store.Batch{Bytes: []store.ByteCount{d, c, c}})
	s.ok(store.Batch{Bytes: []store.ByteCount{c}})
	c.Bytes, c.Messages = 9, 3
	got, err := s.BytesOut(s.ctx)
	check(s, "bytes", got, err, []store.ByteCount{c, d})
}

func (s *suite) settings() {
	s.ok(store.Batch{Settings: []store.Setting{{Name: "a", Value: []byte("1")}, {Name: "a", Value: []byte("2")}, {Name: "", Value: nil}}})
	got, err := s.Setting(s.ctx, "a")
	check(s, "setting", got, err, []byte("2"))
	got, err = s.Setting(s.ctx, "")
	check(s, "empty setting", got, err, nil)
}

// aliasing changes bytes given to and received from the store.
func (s *suite) aliasing() {
	in := []byte("value")
	s.ok(store.Batch{Settings: []store.Setting{{Name: "a", Value: in}}, Entries: [][]byte{in}})
	in[0] = 'X'
	for range 2 {
		got, err := s.Setting(s.ctx, "a")
		check(s, "setting", got, err, []byte("value"))
		got[0] = 'Y'
		entries, err := s.Entries(s.ctx, 0, 1)
		check(s, "entry", entries, err, [][]byte{[]byte("value")})
		entries[0][0] = 'Y'
		h, err := s.Head(s.ctx)
		if err != nil || !bytes.HasPrefix(h.Checkpoint, []byte("test")) {
			s.Fatal(h, err)
		}
		h.Checkpoint[0] = 'Y'
	}
}

// concurrent lets writers and readers at the store at once: every reader sees
// whole batches only.
func (s *suite) concurrent() {
	const writers, batches = 3, 8
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range batches {
				if _, err := s.Commit(s.ctx, s.f, &store.Batch{Entries: [][]byte{{1}, {2}}, Bytes: []store.ByteCount{{Bytes: 2}}}); err != nil {
					s.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range batches {
				h, err := s.Head(s.ctx)
				if err != nil || h.Size%2 != 0 {
					s.Errorf("head %d, %v", h.Size, err)
				}
				if root, err := tlog.TreeHash(h.Size, s.HashReader(s.ctx)); h.Size > 0 && (err != nil || root != h.Root) {
					s.Errorf("root %v at %d, checkpoint %v, %v", root, h.Size, h.Root, err)
				}
			}
		})
	}
	wg.Wait()
	h, err := s.Head(s.ctx)
	if err != nil || h.Size != 2*writers*batches {
		s.Errorf("%d entries, %v", h.Size, err)
	}
	counts, err := s.BytesOut(s.ctx)
	check(s, "bytes", counts, err, []store.ByteCount{{Bytes: uint64(h.Size)}})
}

func (s *suite) closed() {
	if err := s.Close(); err != nil {
		s.Fatal(err)
	}
	if err := s.Close(); err != nil {
		s.Errorf("second close: %v", err)
	}
	if _, err := s.Head(s.ctx); err == nil {
		s.Error("a closed store answers")
	}
	if _, err := s.Commit(s.ctx, s.f, &store.Batch{}); err == nil {
		s.Error("a closed store commits")
	}
	if _, err := s.Acquire(s.ctx, "x"); err == nil {
		s.Error("a closed store lends its lease")
	}
}
