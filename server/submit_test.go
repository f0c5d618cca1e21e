package server

import (
	"errors"
	"testing"

	"tacit/plan"
	heartdisease "tacit/testdata/heart-disease"
)

func TestSubmitRefusals(t *testing.T) {
	rules := smallRules
	rules.Families = []string{"logreg"}
	s, admin, err := NewMemory(rules, Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := &federation{t: t, admin: admin}
	f.run(s)
	t.Cleanup(func() { f.stop() })
	f.enrolKey("north", seededKey(1))

	if _, err := s.Submit(t.Context(), []byte("no plan")); err == nil {
		t.Error("rubbish was queued")
	}
	mlp, err := plan.Parse(heartdisease.Plan("heart-mlp"), "mlp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := mlp.Resolve(); err != nil {
		t.Fatal(err)
	}
	var denied *DeniedError
	if _, err := s.Submit(t.Context(), mlp.Canonical()); !errors.As(err, &denied) {
		t.Errorf("a model family that the charter does not allow: %v", err)
	}
	var few *TooFewError
	if _, err := s.Submit(t.Context(), testPlan(t, 1).Canonical()); !errors.As(err, &few) || few.Have != 1 || few.Want != 4 {
		t.Errorf("one branch: %v", err)
	}
	for i, site := range []string{"south", "east", "west"} {
		f.enrolKey(site, seededKey(byte(10+i)))
	}
	crowded := testPlan(t, 1, func(p *plan.Plan) { p.Federation.MinBranches, p.Federation.MaxBranches = 5, 5 })
	if _, err := s.Submit(t.Context(), crowded.Canonical()); !errors.As(err, &few) || few.Want != 5 {
		t.Errorf("fewer than the plan's min_branches: %v", err)
	}
	f.enrolKey("centre", seededKey(20))
	crowded = testPlan(t, 1, func(p *plan.Plan) { p.Federation.MaxBranches = 4 })
	if _, err := s.Submit(t.Context(), crowded.Canonical()); !errors.As(err, &denied) || denied.Hint() == "" {
		t.Errorf("more than max_branches: %v", err)
	}
	runs, err := s.Runs(t.Context())
	if err != nil || len(runs) != 0 {
		t.Errorf("refused plans are runs: %+v, %v", runs, err)
	}
}

// TestPlanRunsOnce: branches report once on a plan's rounds, so the same plan again
// is refused, with what to do about it; one with another seed is another plan.
func TestPlanRunsOnce(t *testing.T) {
	f := newFederation(t, false)
	f.join()
	p := testPlan(t, 1)
	run := f.submit(p)
	var denied *DeniedError
	if _, err := f.current().Submit(t.Context(), p.Canonical()); !errors.As(err, &denied) || denied.Hint() == "" {
		t.Errorf("while it runs: %v", err)
	}
	f.finish(run)
	if _, err := f.current().Submit(t.Context(), p.Canonical()); !errors.As(err, &denied) || denied.Hint() == "" {
		t.Errorf("after it ran: %v", err)
	}
	f.finish(f.submit(testPlan(t, 2)))
}

// TestRefusedPlanMayBeSubmittedAgain: a run that came to no attempt costs none.
func TestRefusedPlanMayBeSubmittedAgain(t *testing.T) {
	f := newFederation(t, false)
	f.join()
	b := f.branches[2]
	b.stop()
	b.policy.Allow = nil
	b.start()
	p := testPlan(t, 1)
	for range 2 {
		run := f.submit(p)
		end := f.watch(run, kind(stateStopped))
		if end.Text != "a branch refused the plan: plan-not-allowed" {
			t.Errorf("%q", end.Text)
		}
	}
	b.stop()
	b.policy.Allow = []string{"logreg"}
	b.start()
	f.finish(f.submit(p))
}

// TestQueueOrder: what was submitted first runs first.
func TestQueueOrder(t *testing.T) {
	f := newFederation(t, false)
	f.join()
	f.branches[0].stop()
	var last RunInfo
	for seed := range uint64(3) {
		f.submit(testPlan(t, seed+1, func(p *plan.Plan) { p.Federation.Rounds = 1 }))
	}
	f.branches[0].start()
	runs, err := f.current().Runs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		got := f.finish(r.Run)
		if last.Run != got.Run && got.Created.Before(last.Created) {
			t.Error("the list is not in order")
		}
		last = got
		for _, later := range runs {
			if info := f.info(later.Run); later.Created.After(r.Created) && info.State == stateDone && info.Run != r.Run {
				first := f.current().events.of(info.Run)
				mine := f.current().events.of(r.Run)
				if first[1].Time.Before(mine[len(mine)-1].Time) {
					t.Errorf("run %s began before run %s was over", info.Run.Short(), r.Run.Short())
				}
			}
		}
	}
}
