package client

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"tacit/audit"
	"tacit/dataset"
	"tacit/id"
	"tacit/internal/durable"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/strategy"
	"tacit/wire"
)

// A run from the offer to its end: statistics, two rounds of training, evaluation;
// every agent replays every model and holds the last one; what a directory holds of
// it is sealed.
func TestRun(t *testing.T) {
	c, all := federation(t, true)
	startAll(all)
	c.begin()
	c.wait()
	for _, b := range all {
		eventually(t, func() bool { return b.agent.Status().Stage == "run done" })
		if s := b.agent.Status(); s.Model != c.final || s.Committed != 4 || s.Sent["masked_updates"] == 0 ||
			s.Sent["rows"] != 0 || s.Sent["plaintext_updates"] != 0 {
			t.Errorf("%s: status %+v, want model %s after 4 rounds", b.site, s, c.final.Short())
		}
	}
	first := all[0]
	fromDisk, err := ReadStatus(first.cfg.State)
	if err != nil || !fromDisk.Running || fromDisk.Model != c.final {
		t.Errorf("status on disk: %+v, %v", fromDisk, err)
	}
	for r := uint64(1); r <= 4; r++ {
		raw, err := os.ReadFile(filepath.Join(first.cfg.State, filepath.FromSlash(evidenceName(c.run, r))))
		if err != nil {
			t.Fatal(err)
		}
		e, err := ParseEvidence(raw)
		if err != nil || e.Opened == nil || e.Receipt == nil || e.Certificate == nil || e.Closed == nil {
			t.Errorf("attempt %d: evidence %+v, %v", r, e, err)
		}
		if len(raw) > 20<<10 {
			t.Errorf("attempt %d: %d bytes of evidence", r, len(raw))
		}
	}
	eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.cosigned == 16
	})
	first.stop()
	if first.err != nil {
		t.Errorf("Run: %v", first.err)
	}
	seed := first.agent.st.key.Seed()
	final := c.rec.AppendBinary(nil)
	canaries := map[string][]byte{"identity": seed[:], "model": final[len(final)-60:], "rows": []byte("\n7,1,")}
	filepath.WalkDir(first.cfg.State, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		for what, canary := range canaries {
			if bytes.Contains(b, canary) {
				t.Errorf("%s holds the %s in clear", path, what)
			}
		}
		return nil
	})
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("it did not happen")
}

// An agent killed at each of its crash points comes back by itself: before its report
// is journaled it stays out of that attempt, afterwards it sends the same bytes.
func TestRestart(t *testing.T) {
	for _, c := range []struct {
		point   string
		patient bool // the collection waits for the restarted branch
		reports bool // it reports in the attempt in which it was killed
	}{
		{"agent.round.prepare", false, false},
		{"agent.report.persisted", true, true},
		{"agent.report.acked", false, true},
		{"agent.vote.sent", false, true},
		{"agent.shares.sent", false, true},
		{"agent.commit.kept", false, true},
	} {
		t.Run(c.point, func(t *testing.T) {
			co, all := federation(t, true)
			co.patient = c.patient
			startAll(all)
			victim := all[0]
			victim.killAt(c.point, 2, true) // in the first round of training
			co.begin()
			co.wait()
			if len(co.commits) != 4 {
				t.Errorf("%d rounds committed", len(co.commits))
			}
			co.mu.Lock()
			defer co.mu.Unlock()
			me := victim.agent.self
			for r, want := range map[uint64]bool{1: true, 2: c.reports, co.r: true} {
				if _, reported := co.reports[r][me]; reported != want {
					t.Errorf("attempt %d: reported %v, want %v", r, reported, want)
				}
			}
		})
	}
}

// A disk that fills while a report is journaled costs the attempt and nothing else:
// the agent says so once, keeps its connection and goes on when there is room.
func TestDiskFull(t *testing.T) {
	c, all := federation(t, true)
	var full atomic.Bool
	b := all[0]
	b.disk.Fault = func(op durable.Op, path string) error {
		if full.Load() && strings.HasPrefix(path, b.cfg.State) && (op == durable.OpWrite || op == durable.OpCreate) {
			return syscall.ENOSPC
		}
		return nil
	}
	b.opt.Trainer = func(p *plan.Plan, d *dataset.Data) Trainer {
		return trainFunc(func(ctx context.Context, rec *strategy.Record, task plan.Task, round uint64) (plan.Contribution, error) {
			if round == 1 {
				full.Store(true)
			}
			return NewTrainer(p, d).Train(ctx, rec, task, round)
		})
	}
	startAll(all)
	c.begin()
	eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.commits) == 2 // without the branch whose disk is full
	})
	if s := b.agent.Status(); !s.Connected || !strings.Contains(s.Error, "no space left") {
		t.Errorf("status %+v", s)
	}
	full.Store(false)
	c.wait()
	me := b.agent.self
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.reports[2][me]; ok {
		t.Error("it reported in the attempt that its journal does not hold")
	}
	for _, r := range []uint64{1, 3, 4} {
		if _, ok := c.reports[r][me]; !ok {
			t.Errorf("no report in attempt %d", r)
		}
	}
}

type trainFunc func(ctx context.Context, rec *strategy.Record, task plan.Task, round uint64) (plan.Contribution, error)

func (f trainFunc) Train(ctx context.Context, rec *strategy.Record, task plan.Task, round uint64) (plan.Contribution, error) {
	return f(ctx, rec, task, round)
}

// Lost connections cost nothing: the same process goes on where it was, training
// included.
func TestReconnect(t *testing.T) {
	c, all := federation(t, false)
	c.patient = true
	b := all[1]
	b.opt.Trainer = func(p *plan.Plan, d *dataset.Data) Trainer {
		return trainFunc(func(ctx context.Context, rec *strategy.Record, task plan.Task, round uint64) (plan.Contribution, error) {
			c.cut(b.agent.self) // while training
			return NewTrainer(p, d).Train(ctx, rec, task, round)
		})
	}
	startAll(all)
	c.begin()
	c.wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for r := uint64(1); r <= 4; r++ {
		if len(c.reports[r]) != 4 {
			t.Errorf("attempt %d: %d reports", r, len(c.reports[r]))
		}
	}
	if c.r != 4 {
		t.Errorf("%d attempts", c.r)
	}
}

// A round that was committed while the branch did not hear of it: the next model is
// asked for by the hash that the log names.
func TestMissedCommit(t *testing.T) {
	c, all := federation(t, false)
	startAll(all)
	c.committed = func(a id.AgentID, m *wire.Committed) bool { return a != all[2].agent.self || m.Round != 1 }
	c.begin()
	c.wait()
	eventually(t, func() bool { return all[2].agent.Status().Stage == "run done" })
	if n := all[2].agent.Status().Committed; n != 3 {
		t.Errorf("%d rounds seen committed", n)
	}
}

func TestWrongModelBytes(t *testing.T) {
	c, all := federation(t, false)
	startAll(all)
	c.committed = func(a id.AgentID, m *wire.Committed) bool { return a != all[2].agent.self || m.Round != 1 }
	c.model = func(m *wire.Model) {
		m.Record = bytes.Clone(m.Record)
		m.Record[30] ^= 1
	}
	c.begin()
	wantRefusal(t, c, all[2], wire.RefusalProofInvalid)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.reports[3][all[2].agent.self]; ok {
		t.Error("it trained on a model that is not the logged one")
	}
}

func wantRefusal(t *testing.T, c *coordinator, b *branch, code wire.Refusal) {
	t.Helper()
	eventually(t, func() bool {
		s := b.agent.Status()
		return s.Refused != nil && s.Refused.Code == string(code)
	})
	eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, r := range c.replies {
			if r.Code == code {
				if r.Detail != "" {
					t.Errorf("the reason left the branch: %q", r.Detail)
				}
				return true
			}
		}
		return false
	})
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b *branch, c *coordinator)
		want   wire.Refusal
	}{
		"the default policy": {func(b *branch, c *coordinator) { b.cfg.Policy = Policy{} }, wire.RefusalPlanNotAllowed},
		"another family":     {func(b *branch, c *coordinator) { b.cfg.Policy.Allow = []string{"mlp"} }, wire.RefusalModelFamily},
		"too few branches":   {func(b *branch, c *coordinator) { b.cfg.Policy.MinBranches = 5 }, wire.RefusalMinCohort},
		"too many rounds":    {func(b *branch, c *coordinator) { b.cfg.Policy.MaxRounds = 1 }, wire.RefusalMaxRounds},
		"another schema": {func(b *branch, c *coordinator) {
			b.opt.Load = readText("a,z,y\n1,2,0\n")
		}, wire.RefusalSchemaMismatch},
		"a bad row": {func(b *branch, c *coordinator) {
			b.opt.Load = readText("a,b,y\n1,2,0\n1,2222,1\n")
		}, wire.RefusalRowsInvalid},
		"no file": {func(b *branch, c *coordinator) {
			b.opt.Load, b.cfg.Data.Path = nil, "/nonexistent/rows.csv"
		}, wire.RefusalResources},
		"another charter": {func(b *branch, c *coordinator) {
			c.offer = func(m *wire.PlanOffer) { m.Charter[0] ^= 1 }
		}, wire.RefusalCharterMismatch},
		"a proof of something else": {func(b *branch, c *coordinator) {
			c.offer = func(m *wire.PlanOffer) { m.Proof.Inclusion[0][0] ^= 1 }
		}, wire.RefusalProofInvalid},
		"another plan than logged": {func(b *branch, c *coordinator) {
			c.offer = func(m *wire.PlanOffer) {
				p, _ := plan.ParseCanonical(m.Plan)
				p.Seed++
				m.Plan = p.Canonical()
			}
		}, wire.RefusalProofInvalid},
		"no plan": {func(b *branch, c *coordinator) {
			c.offer = func(m *wire.PlanOffer) { m.Plan = []byte("plan") }
		}, wire.RefusalPlanInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			co := newCoordinator(t)
			b := newBranch(t, co, 0, false)
			b.join()
			c.change(b, co)
			b.start()
			co.begin()
			wantRefusal(t, co, b, c.want)
		})
	}
}

func readText(text string) func(*plan.Plan) (*dataset.Data, error) {
	return func(p *plan.Plan) (*dataset.Data, error) {
		return dataset.Read(p, dataset.Files{Name: "rows.csv", Rows: strings.NewReader(text)})
	}
}

// No agent trains in a round whose log proof does not hold.
func TestBadProofBeforeTraining(t *testing.T) {
	c, all := federation(t, false)
	var trainings atomic.Int32
	all[3].opt.Trainer = func(p *plan.Plan, d *dataset.Data) Trainer {
		return trainFunc(func(context.Context, *strategy.Record, plan.Task, uint64) (plan.Contribution, error) {
			trainings.Add(1)
			return plan.Contribution{}, errors.New("it trained")
		})
	}
	startAll(all)
	c.open = func(a id.AgentID, m *wire.RoundOpen) {
		if a == all[3].agent.self {
			m.Proof.Inclusion[0][0] ^= 1
		}
	}
	c.begin()
	wantRefusal(t, c, all[3], wire.RefusalProofInvalid)
	if n := trainings.Load(); n != 0 {
		t.Errorf("%d trainings", n)
	}
}

// A server that says one thing and logs another: the agent stops and keeps both.
func TestContradictions(t *testing.T) {
	for name, lie := range map[string]func(c *coordinator, all []*branch){
		"a model that does not follow from the sum": func(c *coordinator, _ []*branch) {
			c.lie = func(r *strategy.Record) { r.Params[0]++ }
		},
		"another sum than logged": func(c *coordinator, _ []*branch) {
			c.committed = func(_ id.AgentID, m *wire.Committed) bool {
				m.Sum = bytes.Clone(m.Sum)
				m.Sum[0] ^= 1
				return true
			}
		},
		"another certificate": func(c *coordinator, _ []*branch) {
			c.committed = func(_ id.AgentID, m *wire.Committed) bool {
				m.Certificate = bytes.Clone(m.Certificate)
				m.Certificate[len(m.Certificate)-1] ^= 1
				return true
			}
		},
		"another model than logged": func(c *coordinator, _ []*branch) {
			c.open = func(_ id.AgentID, m *wire.RoundOpen) { m.Model[0] ^= 1 }
		},
		"another round than logged": func(c *coordinator, _ []*branch) {
			c.open = func(_ id.AgentID, m *wire.RoundOpen) { m.Round++ }
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, all := federation(t, true)
			lie(c, all)
			startAll(all)
			c.begin()
			var contra *Contradiction
			if err := all[0].failed(); !errors.As(err, &contra) || contra.File == "" {
				t.Fatalf("Run: %v", err)
			}
			if _, err := os.Stat(contra.File); err != nil {
				t.Error(err)
			}
			if s := all[0].agent.Status(); !strings.Contains(s.Error, "contradicts") {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// A run that was left over a contradiction stays left after a restart.
func TestViolatedRunStaysLeft(t *testing.T) {
	c, all := federation(t, true)
	c.lie = func(r *strategy.Record) { r.Params[0]++ }
	startAll(all)
	c.begin()
	all[0].failed()
	all[0].start()
	wantRefusal(t, c, all[0], wire.RefusalProofInvalid)
}

// The log may not go back, nor tell two stories; what convicts it can be checked by
// anyone who has its key.
func TestRollback(t *testing.T) {
	c := newCoordinator(t)
	b := newBranch(t, c, 0, true)
	b.join()
	for range 3 {
		c.log.append(t, audit.Entry{Payload: audit.ServerStarted{Fence: c.log.size}})
	}
	b.start()
	eventually(t, func() bool { return b.agent.Status().Connected })
	b.stop()
	c.welcome = func(w *wire.Welcome) {
		root, err := tlog.TreeHash(2, &c.log)
		if err != nil {
			t.Error(err)
		}
		note, err := audit.SignCheckpoint(c.signer, 2, root)
		if err != nil {
			t.Error(err)
		}
		w.Proof = wire.Proof{TreeSize: 2, Checkpoint: note}
	}
	b.start()
	err := b.failed()
	var v *audit.Violation
	var contra *Contradiction
	if !errors.As(err, &v) || v.Kind != audit.Rollback || !errors.As(err, &contra) {
		t.Fatalf("Run: %v", err)
	}
	raw, err := os.ReadFile(contra.File)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := audit.ParseViolation(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := kept.Check(c.charter.LogKey); err != nil {
		t.Error(err)
	}
}

func TestWrongServer(t *testing.T) {
	c := newCoordinator(t)
	b := newBranch(t, c, 0, false)
	b.join()
	other, err := wire.GenerateChannelKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]struct {
		do   func(*wire.Welcome)
		want string
	}{
		"charter":    {func(w *wire.Welcome) { w.Charter[60] ^= 1 }, "charter"},
		"server key": {func(w *wire.Welcome) { w.ServerKey[3] ^= 1 }, "signing key"},
		"log key":    {func(w *wire.Welcome) { w.LogKey += "x" }, "log's key"},
		"roster":     {func(w *wire.Welcome) { w.Roster[len(w.Roster)-1] ^= 1 }, "roster"},
		"federation": {func(w *wire.Welcome) { w.Federation[0] ^= 1 }, "another federation"},
	} {
		t.Run(name, func(t *testing.T) {
			c.welcome = change.do
			defer func() { c.welcome = nil }()
			b.start()
			var stop *StopError
			if err := b.failed(); !errors.As(err, &stop) || stop.Hint() == "" || !strings.Contains(err.Error(), change.want) {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Run("channel key", func(t *testing.T) {
		c.channel = other
		b.start()
		if err := b.failed(); !errors.Is(err, wire.ErrServerKey) {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestJoin(t *testing.T) {
	c := newCoordinator(t)
	b := newBranch(t, c, 0, true)
	ctx := context.Background()
	opt := JoinOptions{Config: b.cfg, JoinString: c.joinString(b.site), Dial: c.dial}
	for name, change := range map[string]func(*JoinOptions){
		"damaged string": func(o *JoinOptions) { o.JoinString = o.JoinString[:len(o.JoinString)-2] },
		"another site":   func(o *JoinOptions) { o.JoinString = c.joinString("elsewhere") },
		"wrong token": func(o *JoinOptions) {
			js, _ := id.ParseJoinString(o.JoinString)
			js.Token[0]++
			o.JoinString = js.Encode()
		},
		"wrong server key": func(o *JoinOptions) {
			js, _ := id.ParseJoinString(o.JoinString)
			js.Channel[0]++
			o.JoinString = js.Encode()
		},
	} {
		o := opt
		o.Wait = true
		change(&o)
		var stop *StopError
		if _, err := Join(ctx, o); !errors.As(err, &stop) || stop.Hint() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(b.cfg, b.opt); err == nil || !strings.Contains(err.Error(), "not joined") {
		t.Errorf("open before joining: %v", err)
	}
	// Waiting ends with the approval; meanwhile the connection may be lost.
	opt.Wait = true
	opt.OnPending = func(fingerprint string) {
		go func() {
			st, err := os.ReadFile(filepath.Join(b.cfg.State, identityName))
			if err != nil || len(st) == 0 {
				t.Errorf("the identity is not kept before the application: %v", err)
			}
			c.approve("org "+b.site, b.site, mustKey(t, b, fingerprint))
		}()
	}
	j, err := Join(ctx, opt)
	if err != nil || j.Pending || j.Site != b.site {
		t.Fatalf("join: %+v, %v", j, err)
	}
	again, err := Join(ctx, opt)
	if err != nil || again.Agent != j.Agent {
		t.Errorf("joining again: %+v, %v", again, err)
	}
	other := *b.cfg
	other.Site = "elsewhere"
	if _, err := Open(&other, b.opt); err == nil || !strings.Contains(err.Error(), `joined as site "site0"`) {
		t.Errorf("another site's name: %v", err)
	}
}

// mustKey waits for the coordinator's view of a candidate: the key itself travels in
// the Join, which the test reads from the sealed identity.
func mustKey(t *testing.T, b *branch, fingerprint string) id.PublicKey {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(b.cfg.State)); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(filepath.Join(copied, rootKeyName), 0o600); err != nil { // CopyFS widens it
		t.Error(err)
	}
	st, err := openState(copied, nil, nil, nil)
	if err != nil {
		t.Error(err)
		return id.PublicKey{}
	}
	defer st.close()
	pub := st.key.Public()
	if pub.Fingerprint() != fingerprint {
		t.Errorf("fingerprint %s, want %s", fingerprint, pub.Fingerprint())
	}
	return pub
}

// A directory serves one agent at a time, and an agent leaves no goroutine behind.
func TestLockAndLeak(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("run", func(t *testing.T) {
		c, all := federation(t, true)
		startAll(all)
		var locked *durable.LockedError
		if _, err := Open(all[0].cfg, all[0].opt); !errors.As(err, &locked) {
			t.Errorf("a second agent on one directory: %v", err)
		}
		all[1].opt.Trainer = nil
		c.hold = func(_ id.AgentID, k secureagg.MessageKind) bool { return k == secureagg.KindOnlineSet } // stop in the middle
		c.begin()
		eventually(t, func() bool { return all[2].agent.Status().Stage == "acknowledged" })
	})
	eventually(t, func() bool { return runtime.NumGoroutine() <= before })
}
