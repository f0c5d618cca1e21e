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

	"tacit/dataset"
	"tacit/id"
	"tacit/internal/durable"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/strategy"
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

// What was masked but never journaled is not sent, not even when the disk has room
// again while the round is still open.
func TestDiskFullWithinRound(t *testing.T) {
	c, all := federation(t, true)
	var full atomic.Bool
	b := all[0]
	b.disk.Fault = func(op durable.Op, path string) error {
		if full.Load() && strings.HasPrefix(path, b.cfg.State) && op == durable.OpWrite {
			return syscall.ENOSPC
		}
		return nil
	}
	release := make(chan struct{})
	slow := func(before func(uint64)) func(*plan.Plan, *dataset.Data) Trainer {
		return func(p *plan.Plan, d *dataset.Data) Trainer {
			return trainFunc(func(ctx context.Context, rec *strategy.Record, task plan.Task, round uint64) (plan.Contribution, error) {
				before(round)
				return NewTrainer(p, d).Train(ctx, rec, task, round)
			})
		}
	}
	b.opt.Trainer = slow(func(round uint64) { full.Store(round == 1) })
	all[3].opt.Trainer = slow(func(round uint64) {
		if round == 1 {
			<-release
		}
	})
	startAll(all)
	c.begin()
	eventually(t, func() bool { return strings.Contains(b.agent.Status().Error, "no space left") })
	full.Store(false)
	eventually(t, func() bool { return b.agent.Status().Stage == "committee only" })
	close(release)
	c.wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.reports[2][b.agent.self]; ok {
		t.Error("it reported in the attempt that its journal does not hold")
	}
	if c.r != 4 {
		t.Errorf("%d attempts", c.r)
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
