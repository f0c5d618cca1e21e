package client

import (
	"bytes"
	"strings"
	"testing"

	"tacit/dataset"
	"tacit/id"
	"tacit/plan"
	"tacit/wire"
)

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
