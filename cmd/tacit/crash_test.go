package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tacit/audit"
	"tacit/internal/crashpoint"
	"tacit/plan"
	"tacit/server"
	heartdisease "tacit/testdata/heart-disease"
)

// hits says at which hit of a crash point the process dies, so that it is within a
// run: some points are passed at the start of a process already.
var hits = map[string]int{
	"checkpoint.signed": 12, "commit.applied": 13, "commit.durable": 14,
	"journal.appended": 9, "journal.compacted": 2,
	"server.model.staged": 2, "server.commit.done": 7, "server.model.published": 2,
}

// alone is why a run does not pass the points of a person who trains alone.
const alone = "no part of a run; TestScripts kills there"

// unreached are the points that no round of a small model passes; other tests kill
// processes there.
var unreached = map[string]string{
	"journal.value":   "only values over 64 KiB lie in files of their own",
	"solo.step":       alone,
	"solo.checkpoint": alone,
	"solo.model":      alone,
	"key.rotated":     "no key is rotated in a run",
}

// rearm kills a child and starts it again, to die at a crash point.
func rearm(h *household, c *child, crash string) error {
	c.mu.Lock()
	c.stopping = true
	cmd, exited := c.cmd, c.exited
	c.mu.Unlock()
	_ = cmd.Process.Kill()
	<-exited
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = false
	return h.spawn(c, crash)
}

// TestKilledAtEveryCrashPoint kills the server, or a branch, with SIGKILL at every
// named point of a run in turn. Each time the process comes back without anybody's
// help, every round commits, and at the end the evidence of all of it verifies
// (RELIABILITY, crash points).
func TestKilledAtEveryCrashPoint(t *testing.T) {
	before := crashes
	crashes = map[string]string{}
	defer func() { crashes = before }()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	home, err := newHousehold(ctx, cancel)
	if err != nil {
		t.Fatal(err)
	}
	home.exe = binary
	defer home.stop()
	c := &console{out: io.Discard, err: io.Discard}
	s := &story{c: c, ctx: ctx, dir: t.TempDir(), home: home, seen: map[string]bool{}}
	if err := s.found(); err != nil {
		t.Fatal(err)
	}
	for _, site := range heartdisease.Sites() {
		if err := s.admit(site); err != nil {
			t.Fatal(err)
		}
	}
	victims := map[string]*child{}
	for _, ch := range home.child {
		ch.died = nil
		victims[ch.name] = ch
	}
	killed := 0
	for i, point := range crashpoint.Names() {
		if why, ok := unreached[point]; ok {
			t.Logf("%s: %s", point, why)
			continue
		}
		if testing.Short() && i%5 != 0 {
			continue
		}
		killed++
		t.Run(point, func(t *testing.T) {
			victim := victims["server"]
			if strings.HasPrefix(point, "agent.") || strings.HasPrefix(point, "journal.") {
				victim = victims["switzerland"]
			}
			n := hits[point]
			if n == 0 {
				n = 2
			}
			was := victim.restarts
			if err := rearm(home, victim, fmt.Sprintf("%s:%d", point, n)); err != nil {
				t.Fatal(err)
			}
			if s.control, err = s.reach(); err != nil {
				t.Fatal(err)
			}
			p := mustPlan("heart-logreg")
			p.Name, p.Seed = "killed at "+point, uint64(100+i)
			p.Federation.Rounds, p.Training.Steps = 3, 5
			if err := p.Resolve(); err != nil {
				t.Fatal(err)
			}
			commits(t, s, p)
			victim.mu.Lock()
			restarts := victim.restarts - was
			victim.mu.Unlock()
			if restarts != 1 {
				t.Errorf("%s died %d times at its crash point, want once", victim.name, restarts)
			}
		})
	}
	if killed == 0 {
		t.Fatal("no crash point was reached")
	}
	archive, err := s.control.Evidence(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Verify(archive, server.VerifyOptions(s.status.LogKey)); err != nil {
		t.Error(err)
	}
	logs, err := filepath.Glob(filepath.Join(s.dir, "branches", "*", "state", "violations", "*"))
	if err != nil || len(logs) != 0 {
		t.Errorf("a branch saw a contradiction: %v %v", logs, err)
	}
}

// commits runs a plan to its end and wants every round committed.
func commits(t *testing.T, s *story, p *plan.Plan) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		run, err := s.control.Submit(s.ctx, p.Canonical())
		for err != nil && s.ctx.Err() == nil { // the server may die before it has answered
			time.Sleep(20 * time.Millisecond)
			if s.control, err = s.reach(); err != nil {
				break
			}
			runs, e := s.control.Runs(s.ctx)
			if err = e; e != nil {
				continue
			}
			for _, r := range runs {
				if r.Plan == p.Hash() {
					run = r.Run
				}
			}
			if run.IsZero() {
				run, err = s.control.Submit(s.ctx, p.Canonical())
			}
		}
		if err == nil {
			_, err = s.follow(p, run)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(60 * time.Second):
		t.Fatalf("the run does not end%s", tail(filepath.Join(s.dir, "server", "server.log")))
	}
}
