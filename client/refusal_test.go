package client

import (
	"errors"
	"strings"
	"testing"

	"tacit/audit"
	"tacit/dataset"
	"tacit/id"
	"tacit/plan"
	"tacit/wire"
)

// A commit that never came: the branch names the round whose model it holds when it
// is back, replays what it missed, and goes on.
func TestMissedCommit(t *testing.T) {
	c, all := federation(t, false)
	c.patient = true
	startAll(all)
	dropped := false
	c.committed = func(a id.AgentID, m *wire.Committed) bool {
		if a != all[2].agent.self || m.Round != 1 || dropped {
			return true
		}
		dropped = true
		go func() {
			eventually(t, func() bool { return all[2].agent.Status().Stage == "committee only" })
			c.cut(a)
		}()
		return false
	}
	c.begin()
	c.wait()
	eventually(t, func() bool { return all[2].agent.Status().Stage == "run done" })
	if s := all[2].agent.Status(); s.Model != c.final || s.Committed != 4 {
		t.Errorf("%d rounds seen committed, model %s", s.Committed, s.Model.Short())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.reports[3]) != 4 {
		t.Errorf("%d reports in the attempt that it caught up with", len(c.reports[3]))
	}
}

// withholdFrom drops the commit of round 1 for one branch and delivers it once the
// branch serves on the committee of round 2.
func withholdFrom(t *testing.T, c *coordinator, b *branch) {
	first := true
	c.committed = func(a id.AgentID, m *wire.Committed) bool {
		if a != b.agent.self || m.Round != 1 || !first {
			return true
		}
		first = false
		go func() {
			eventually(t, func() bool { return b.agent.Status().Stage == "committee only" })
			c.events <- event{call: func() { c.committedFrom[1](a) }}
		}()
		return false
	}
}

// A commit that comes late, while the next round is open: the branch replays it and
// trains.
func TestLateCommit(t *testing.T) {
	c, all := federation(t, false)
	c.patient = true
	startAll(all)
	withholdFrom(t, c, all[2])
	c.begin()
	c.wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.reports[3]) != 4 || c.r != 4 {
		t.Errorf("%d reports in the attempt that it caught up with, %d attempts", len(c.reports[3]), c.r)
	}
}

// A round that was opened with another model than the commits before it lead to is
// found out as soon as the branch can tell.
func TestLateCommitOfAnotherModel(t *testing.T) {
	c, all := federation(t, false)
	c.patient = true
	startAll(all)
	withholdFrom(t, c, all[2])
	c.steer = func() {
		if c.index == 2 {
			c.rec = nudge(c.rec)
		}
	}
	c.begin()
	var contra *Contradiction
	if err := all[2].failed(); !errors.As(err, &contra) || !strings.Contains(contra.What, "the commits before it lead to") {
		t.Errorf("Run: %v", err)
	}
}

// The branch's policy is held against the epoch itself, whatever the plan promises and
// whichever process saw the epoch made.
func TestEpochSmallerThanPolicy(t *testing.T) {
	c, all := federation(t, false)
	p, err := plan.Parse([]byte(testPlan), "toy.yaml", "federation.min_branches=6")
	if err != nil {
		t.Fatal(err)
	}
	c.plan = p
	b := all[1]
	b.cfg.Policy.MinBranches = 5
	startAll(all)
	c.begin()
	wantRefusal(t, c, b, wire.RefusalMinCohort)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.reports) != 0 {
		t.Errorf("somebody reported: %v", c.reports)
	}
}

// A round is committed once.
func TestSecondCommit(t *testing.T) {
	r := &run{model: held{hash: id.ModelHash{2}, next: 2, r: 5}}
	for name, c := range map[string]struct {
		r     uint64
		after id.ModelHash
		bad   bool
	}{
		"the same again":  {5, id.ModelHash{2}, false},
		"another attempt": {6, id.ModelHash{2}, true},
		"another model":   {5, id.ModelHash{3}, true},
	} {
		next, err := replay(r, &wire.Committed{Round: 1, R: c.r}, &audit.RoundCommitted{After: c.after})
		if next != nil || (err != nil) != c.bad {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A server that withholds a commit does not choose the model that the branch trains
// on: the branch votes and releases, and reports nothing.
func TestWithheldCommit(t *testing.T) {
	c, all := federation(t, false)
	startAll(all)
	me := all[2].agent.self
	c.unawaited = map[id.AgentID]bool{}
	c.committed = func(a id.AgentID, m *wire.Committed) bool {
		c.unawaited[me] = m.Round >= 1
		return a != me || m.Round != 1
	}
	c.begin()
	c.wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for r, want := range map[uint64]bool{1: true, 2: true, 3: false, 4: false} {
		if _, ok := c.reports[r][me]; ok != want {
			t.Errorf("attempt %d: reported %v", r, ok)
		}
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
		}, wire.RefusalSchemaMismatch},
		"no file": {func(b *branch, c *coordinator) {
			b.opt.Load, b.cfg.Data = nil, map[string]dataset.Source{"rows": {Path: "/nonexistent/rows.csv"}}
		}, wire.RefusalResources},
		"no such data set": {func(b *branch, c *coordinator) {
			b.opt.Load, b.cfg.Data = nil, map[string]dataset.Source{"a": {Path: "a.csv"}, "b": {Path: "b.csv"}}
		}, wire.RefusalSchemaMismatch},
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
