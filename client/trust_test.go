package client

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"tacit/audit"
	"tacit/dataset"
	"tacit/id"
	"tacit/plan"
	"tacit/strategy"
	"tacit/wire"
)

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
	type lies = func(c *coordinator, all []*branch)
	for name, lie := range map[string]struct {
		do   lies
		want string
	}{
		"a model that does not follow from the sum": {func(c *coordinator, _ []*branch) {
			c.lie = func(r *strategy.Record) { r.Params[0]++ }
		}, "the sum leads to model"},
		"another sum than logged": {func(c *coordinator, _ []*branch) {
			c.committed = func(_ id.AgentID, m *wire.Committed) bool {
				m.Sum = bytes.Clone(m.Sum)
				m.Sum[0] ^= 1
				return true
			}
		}, "differ: sum"},
		"another certificate": {func(c *coordinator, _ []*branch) {
			c.committed = func(_ id.AgentID, m *wire.Committed) bool {
				m.Certificate = bytes.Clone(m.Certificate)
				m.Certificate[len(m.Certificate)-1] ^= 1
				return true
			}
		}, "differ: certificate"},
		"another ctx than the start of the round has": {func(c *coordinator, _ []*branch) {
			c.logged = func(o *audit.RoundOpened) { o.Ctx[0] ^= 1 }
		}, "another ctx"},
		"another configuration than the plan's": {func(c *coordinator, _ []*branch) {
			c.logged = func(o *audit.RoundOpened) { o.Config[0] ^= 1 }
		}, "another configuration"},
		"a report acknowledged and left out": {func(c *coordinator, all []*branch) {
			c.forget = func(a id.AgentID, r uint64) bool { return r == 2 && a == all[0].agent.self }
		}, "leaves out this agent's report"},
		"a report acknowledged and left out, told late": {func(c *coordinator, all []*branch) {
			c.forget = func(a id.AgentID, r uint64) bool { return r == 2 && a == all[0].agent.self }
			held := false
			c.committed = func(a id.AgentID, m *wire.Committed) bool {
				if a != all[0].agent.self || m.Round != 1 || held {
					return true
				}
				held = true
				go func() {
					eventually(t, func() bool { return all[0].agent.Status().Stage == "committee only" })
					c.events <- event{call: func() { c.committedFrom[1](a) }}
				}()
				return false
			}
		}, "leaves out this agent's report"},
		"a receipt for another vector": {func(c *coordinator, _ []*branch) {
			c.ack = func(m *wire.ReportAck) { m.Vector[0] ^= 1 }
		}, "acknowledges another report"},
		"another model than logged": {func(c *coordinator, _ []*branch) {
			c.open = func(_ id.AgentID, m *wire.RoundOpen) { m.Model[0] ^= 1 }
		}, "another model"},
		"another round than logged": {func(c *coordinator, _ []*branch) {
			c.open = func(_ id.AgentID, m *wire.RoundOpen) { m.Round++ }
		}, "another round"},
	} {
		t.Run(name, func(t *testing.T) {
			c, all := federation(t, true)
			lie.do(c, all)
			startAll(all)
			c.begin()
			var contra *Contradiction
			if err := all[0].failed(); !errors.As(err, &contra) || contra.File == "" || !strings.Contains(err.Error(), lie.want) {
				t.Fatalf("Run: %v, want %q", err, lie.want)
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
	// A charter that is in order, only not the pinned one.
	t.Run("another federation's charter", func(t *testing.T) {
		other := newCoordinator(t)
		c.welcome = func(w *wire.Welcome) {
			key := other.key.Public()
			w.Charter, w.ServerKey, w.LogKey = other.charter.AppendBinary(nil), key.AppendBinary(nil), other.charter.LogKey
		}
		defer func() { c.welcome = nil }()
		b.start()
		if err := b.failed(); err == nil || !strings.Contains(err.Error(), "not the one that the joining string pinned") {
			t.Errorf("Run: %v", err)
		}
	})
	// A roster that was in force once.
	t.Run("an older roster", func(t *testing.T) {
		old := c.roster.AppendBinary(nil)
		c.approve("org", "another", c.admin.Public())
		b.start()
		eventually(t, func() bool { return b.agent.Status().Connected })
		b.stop()
		c.welcome = func(w *wire.Welcome) { w.Roster = old }
		defer func() { c.welcome = nil }()
		b.start()
		if err := b.failed(); err == nil || !strings.Contains(err.Error(), "roster version 1 after version 2") {
			t.Errorf("Run: %v", err)
		}
	})
	t.Run("channel key", func(t *testing.T) {
		c.channel = other
		b.start()
		if err := b.failed(); !errors.Is(err, wire.ErrServerKey) {
			t.Errorf("Run: %v", err)
		}
	})
}
