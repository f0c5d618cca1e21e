package client

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"tacit/dataset"
	"tacit/id"
	"tacit/plan"
	"tacit/strategy"
	"tacit/wire"
)

// A server that wants one branch's part alone needs two sums over the same rows and
// nearly the same model, one of them without that branch. These tests are such
// servers.

// own is what one site adds to the sum.
func own(t *testing.T, p *plan.Plan, site int, task plan.Task, rec *strategy.Record) []uint32 {
	d, err := dataset.Read(p, dataset.Files{Name: "x.csv", Rows: strings.NewReader(rows(site))})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewTrainer(p, d).Train(t.Context(), rec, task, 1)
	if err != nil {
		t.Fatal(err)
	}
	x, err := quantize(p, task, &c)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func minus(a, b []uint32) []uint32 {
	out := make([]uint32, len(a))
	for i := range a {
		out[i] = a[i] - b[i]
	}
	return out
}

// nudge moves a model by the least that changes its hash.
func nudge(r *strategy.Record) *strategy.Record {
	p := append([]float32(nil), r.Params...)
	p[0] = math.Nextafter32(p[0], 9)
	return &strategy.Record{Params: p, Standardisation: r.Standardisation, State: r.State}
}

// One run. Round 0 with all four, then round 0 again with a model one ulp away and
// without the victim: the difference is the victim's statistics.
func TestReopenRound0WithNudgedModel(t *testing.T) {
	c, all := federation(t, false)
	startAll(all)
	victim := all[3].agent.self
	n := 0
	got := make(chan struct{})
	c.steer = func() {
		if n++; n == 1 {
			rec, state, _ := strategy.Initial(c.plan)
			c.rec, c.state, c.index = nudge(rec), state, 0
			c.skip = map[id.AgentID]bool{victim: true}
		}
		if n == 2 {
			close(got)
		}
	}
	c.begin()
	select {
	case <-got:
	case <-all[0].ended:
		var contra *Contradiction
		if !errors.As(all[0].err, &contra) || !strings.Contains(contra.What, "one that is committed") {
			t.Errorf("Run: %v", all[0].err)
		}
		return
	case <-time.After(10 * time.Second):
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	rec, _, _ := strategy.Initial(c.plan)
	want := own(t, c.plan, 3, plan.Statistics, rec)
	if d := minus(c.sums[0], c.sums[1]); equalWords(d, want) {
		t.Fatalf("the server holds the statistics of one branch alone: %v", d)
	}
}

func equalWords(a, b []uint32) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

// Round 1 is trained, committed and replayed by all; then round 1 is opened again
// with its model nudged by one ulp and without the victim.
func TestReopenRound1WithNudgedModel(t *testing.T) {
	c, all := federation(t, false)
	startAll(all)
	victim := all[3].agent.self
	n := 0
	got := make(chan struct{})
	var before *strategy.Record
	c.steer = func() {
		n++
		switch n {
		case 1:
			before = c.rec
		case 2: // round 1 trained and committed: round 1 again
			c.rec, c.index = nudge(before), 1
			c.skip = map[id.AgentID]bool{victim: true}
		case 3:
			close(got)
		}
	}
	c.begin()
	select {
	case <-got:
	case <-all[0].ended:
		var contra *Contradiction
		if !errors.As(all[0].err, &contra) || !strings.Contains(contra.What, "one that is committed") {
			t.Errorf("Run: %v", all[0].err)
		}
		return
	case <-time.After(10 * time.Second):
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	want := own(t, c.plan, 3, plan.Train, before)
	d := minus(c.sums[1], c.sums[2])
	scale := c.plan.Segments(plan.Train)[0].Scale
	t.Fatalf("the server isolates one branch's update: %v, its own is %v", float64(int32(d[0]))/scale, float64(int32(want[0]))/scale)
}

// The same plan as a second run (new run id).
func TestSamePlanTwice(t *testing.T) { twice(t, id.RunID{4, 5, 6}) }

// The same run again after RunDone.
func TestSameRunTwice(t *testing.T) { twice(t, id.RunID{1, 2, 3}) }

func twice(t *testing.T, second id.RunID) {
	c, all := federation(t, false)
	startAll(all)
	victim := all[3].agent.self
	c.begin()
	c.wait()
	for _, b := range all {
		eventually(t, func() bool { return b.agent.Status().Stage == "run done" })
	}
	n := 0
	got := make(chan struct{})
	done := make(chan struct{})
	c.events <- event{call: func() {
		c.run, c.r, c.done, c.committedFrom, c.epoch = second, 0, done, nil, nil
		c.accepted, c.outcomes, c.reported = map[id.AgentID]bool{}, map[uint64][]byte{}, map[id.AgentID]uint64{}
		c.reports = map[uint64]map[id.AgentID][32]byte{}
		c.mu.Lock()
		c.replies = nil
		c.mu.Unlock()
		c.skip = map[id.AgentID]bool{victim: true}
		c.steer = func() {
			if n++; n == 1 {
				close(got)
			}
		}
	}}
	c.begin()
	for range 2000 {
		if s := all[0].agent.Status(); s.Refused != nil && s.Refused.Code == string(wire.RefusalPlanNotAllowed) {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, r := range c.replies {
				if r.Accept && second == (id.RunID{1, 2, 3}) {
					t.Error("a run that has ended is accepted again")
				}
			}
			return
		}
		select {
		case <-got:
		case <-time.After(5 * time.Millisecond):
			continue
		}
		break
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	rec, _, _ := strategy.Initial(c.plan)
	want := own(t, c.plan, 3, plan.Statistics, rec)
	if d := minus(c.sums[0], c.sums[4]); equalWords(d, want) {
		t.Fatalf("the server holds the statistics of one branch alone: %v", d)
	}
}
