package engine

import (
	"fmt"
	"testing"

	"tacit/id"
	"tacit/plan"
	"tacit/strategy"
)

// TestStory is a run that nothing disturbs: statistics, two training rounds and the
// evaluation, each with everyone.
func TestStory(t *testing.T) {
	w := newWorld(t, 4, nil)
	w.start()
	w.mustFinish()
	committed := w.noticed("committed")
	if len(committed) != 4 {
		t.Fatalf("%d rounds committed, want 4", len(committed))
	}
	for i, task := range []plan.Task{plan.Statistics, plan.Train, plan.Train, plan.Evaluate} {
		if c := committed[i]; c.Task != task || c.Reported != 4 || c.Round != uint64(i) || c.Recovered {
			t.Errorf("round %d: %+v", i, c)
		}
	}
	if committed[3].Model != committed[2].Model {
		t.Error("the evaluation changed the model")
	}
}

func TestOneDropsBeforeItsReport(t *testing.T) {
	w := newWorld(t, 4, nil)
	a := w.agent(1)
	a.dieBeforeReport = 2
	w.start()
	w.run()
	// The round that it left has committed without it; the next waits for it.
	if w.engine.Phase() != Waiting {
		t.Fatalf("the run stands in %s", w.engine.Phase())
	}
	c := w.noticed("committed")[1]
	if c.Reported != 3 || !c.Recovered || len(c.Dropped) != 1 || c.Dropped[0] != a.id {
		t.Errorf("round 1: %+v", c)
	}
	w.connect(a)
	w.mustFinish()
	for _, c := range w.noticed("committed")[2:] {
		if c.Reported != 4 {
			t.Errorf("round %d went on with %d", c.Round, c.Reported)
		}
	}
}

// A channel that is up again says nothing of the process behind it: the next round
// waits until the member has said that it takes part.
func TestNextRoundWaitsForAMembersWord(t *testing.T) {
	w := newWorld(t, 4, nil)
	a := w.agent(1)
	a.dieBeforeReport = 2
	w.start()
	w.run()
	a.here = true
	w.step(Connected{a.id})
	w.step(PlanAnswer{Agent: a.id, Accept: true})
	if w.engine.Phase() != Waiting {
		t.Fatalf("the run stands in %s before the member has spoken", w.engine.Phase())
	}
	w.mustFinish()
	if c := w.noticed("committed")[2]; c.Reported != 4 {
		t.Errorf("round 2: %+v", c)
	}
}

// A process that is back at once still stays out of the attempt that it left.
func TestRestartAtOnceStaysOutOfTheOpenAttempt(t *testing.T) {
	w := newWorld(t, 4, nil)
	a := w.agent(2)
	a.dieBeforeReport = 2
	w.start()
	for len(w.queue) > 0 {
		if err := w.deliver(0); err != nil {
			t.Fatal(err)
		}
		if !a.here {
			w.connect(a)
		}
	}
	w.mustFinish()
	if c := w.noticed("committed")[1]; c.Reported != 3 {
		t.Errorf("round 1: %+v", c)
	}
}

func TestOneDropsAfterItsReport(t *testing.T) {
	w := newWorld(t, 4, nil)
	a := w.agent(0)
	a.dieAfterReport = 2
	w.start()
	w.run()
	c := w.noticed("committed")[1]
	if c.Reported != 4 || c.Released != 3 || c.Recovered {
		t.Errorf("round 1: %+v", c)
	}
	w.connect(a)
	w.mustFinish()
}

// TestSecondDropBeforeTheCertificate: three reported and one of them goes before it
// votes. The attempt is given up at once, with its reason, and the next opens when
// three have signed Close.
func TestSecondDropBeforeTheCertificate(t *testing.T) {
	w := newWorld(t, 4, nil)
	a, b := w.agent(0), w.agent(3)
	a.dieBeforeReport = 2
	b.loseAtSet = 2
	w.start()
	w.run()
	aborted := w.noticed("aborted")
	if len(aborted) != 1 || aborted[0].R != 2 || aborted[0].Code != "no-quorum" {
		t.Fatalf("aborts: %+v", aborted)
	}
	if w.engine.Phase() != Closing {
		t.Fatalf("the run stands in %s, want closing until three have signed", w.engine.Phase())
	}
	b.loseAtSet = 0
	w.connect(b)
	w.run()
	if w.engine.Phase() != Waiting {
		t.Fatalf("the run stands in %s", w.engine.Phase())
	}
	w.connect(a)
	w.mustFinish()
	if r := w.noticed("committed")[1].R; r != 3 {
		t.Errorf("round 1 committed in attempt %d, want 3", r)
	}
}

// TestSecondDropAfterTheCertificate: the set is certified, so the attempt is never
// given up; it waits for the shares and then commits.
func TestSecondDropAfterTheCertificate(t *testing.T) {
	w := newWorld(t, 4, nil)
	a, b := w.agent(1), w.agent(2)
	a.dieBeforeReport = 2
	b.loseAtCertificate = 2
	w.start()
	w.run()
	if w.engine.Phase() != Releasing || len(w.noticed("aborted")) != 0 {
		t.Fatalf("the run stands in %s", w.engine.Phase())
	}
	w.fire(TimerPhase)
	if w.engine.Phase() != Releasing {
		t.Fatalf("a deadline gave a certified attempt up: %s", w.engine.Phase())
	}
	b.loseAtCertificate = 0
	w.connect(b)
	w.run()
	if c := w.noticed("committed"); len(c) != 2 || c[1].R != 2 || c[1].Reported != 3 {
		t.Fatalf("committed: %+v", c)
	}
	w.connect(a)
	w.mustFinish()
}

func TestTooFewCanReportAnyMore(t *testing.T) {
	w := newWorld(t, 4, nil)
	a, b := w.agent(0), w.agent(1)
	a.dieBeforeReport, b.dieBeforeReport = 2, 2
	w.start()
	w.run()
	if ab := w.noticed("aborted"); len(ab) != 1 || ab[0].Code != "below-the-minimum-set" {
		t.Fatalf("aborts: %+v", ab)
	}
	w.connect(a)
	w.connect(b)
	w.mustFinish()
}

// When two processes of four have died, neither is let in again before the other can
// vouch for it; then the attempt closes and the run goes on.
func TestTwoProcessesDieBeforeTheCertificate(t *testing.T) {
	w := newWorld(t, 4, nil)
	a, b := w.agent(0), w.agent(3)
	a.dieBeforeReport, b.dieAfterReport = 2, 2
	w.start()
	w.run()
	if w.engine.Phase() != Closing {
		t.Fatalf("the run stands in %s", w.engine.Phase())
	}
	w.connect(b)
	w.run()
	if w.engine.Phase() != Closing {
		t.Fatalf("%s: a process was let in with one other vouching for it too few", w.engine.Phase())
	}
	w.connect(a)
	w.mustFinish()
}

func TestCollectDeadline(t *testing.T) {
	w := newWorld(t, 4, nil)
	w.start()
	a := w.agent(1)
	a.mute = true // connected, but silent from the start: no epoch
	w.run()
	if w.engine.Phase() != Keying && w.engine.Phase() != Gathering {
		t.Fatalf("the run stands in %s", w.engine.Phase())
	}
	a.mute = false
	w.connect(a)
	for range 3 {
		w.run()
		if w.engine.Phase() == Keying {
			w.fire(TimerPhase)
		}
	}
	w.mustFinish()
}

func TestModelGetsThreeAttempts(t *testing.T) {
	w := newWorld(t, 4, nil)
	a, b := w.agent(0), w.agent(1)
	a.diesTraining, b.diesTraining = true, true
	w.start()
	for range 10 {
		w.run()
		w.connect(a)
		w.connect(b)
	}
	w.run()
	if w.done == nil || w.done.Done || len(w.noticed("aborted")) != 3 {
		t.Fatalf("finish %+v after %d aborts, want stopped after 3", w.done, len(w.noticed("aborted")))
	}
}

func TestRefusalStopsTheRunBeforeItBegins(t *testing.T) {
	w := newWorld(t, 4, nil)
	w.agent(2).refuse = "model-family"
	w.start()
	w.run()
	if w.done == nil || w.done.Done || w.done.Reason != "a branch refused the plan: model-family" {
		t.Fatalf("finish: %+v", w.done)
	}
}

// TestRefusalsAreLoggedOnce: a member that repeats its refusal fills no log.
func TestRefusalsAreLoggedOnce(t *testing.T) {
	w := newWorld(t, 4, nil)
	w.start()
	for len(w.queue) > 0 && w.engine.Phase() != Collecting {
		if err := w.deliver(0); err != nil {
			t.Fatal(err)
		}
	}
	before := w.writes
	for range 50 {
		w.step(PlanAnswer{Agent: w.agent(3).id, Code: "hours"})
	}
	if n := w.writes - before; n != 1 {
		t.Errorf("50 refusals made %d transactions", n)
	}
}

// TestCoordinatorDiesAfterEveryWrite restarts the engine from the store after each
// of its transactions in turn, with one agent dropping on the way: the run always
// ends with the model of the undisturbed one.
func TestCoordinatorDiesAfterEveryWrite(t *testing.T) {
	disturb := func(w *world) {
		w.agent(1).dieBeforeReport = 2
		w.agent(2).dieAfterReport = 3
	}
	finish := func(w *world) {
		for range 20 {
			w.run()
			if w.crashed {
				w.restart()
				w.run()
			}
			for _, a := range w.ids() {
				if !w.agents[a].here {
					w.connect(w.agents[a])
				}
			}
			w.run()
			if w.done != nil {
				break
			}
			if w.engine.Phase() == Keying {
				w.fire(TimerPhase)
			}
		}
		w.mustFinish()
	}
	w := newWorld(t, 4, nil)
	disturb(w)
	w.start()
	finish(w)
	want, writes := w.engine.Record().Hash(), w.writes
	step := 1
	if testing.Short() {
		step = 5
	}
	for at := 1; at < writes; at += step {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			w := newWorld(t, 4, nil)
			disturb(w)
			w.crashAfter = at
			w.start()
			finish(w)
			if got := w.engine.Record().Hash(); got != want {
				t.Errorf("the model is %s, undisturbed %s", got.Short(), want.Short())
			}
		})
	}
}

// TestStrangers checks that what comes from nobody, or out of turn, changes nothing.
func TestStrangers(t *testing.T) {
	w := newWorld(t, 4, nil)
	w.start()
	stranger := id.AgentID{9, 9}
	for _, ev := range []Event{
		Connected{stranger}, Gone{stranger}, PlanAnswer{Agent: stranger, Accept: true}, Standing{Agent: stranger},
		Stage{Agent: stranger, Msg: []byte{1, 2, 3}}, Stage{Agent: w.agent(0).id, Msg: nil}, Stage{Agent: w.agent(0).id, Msg: []byte("rubbish")},
		Report{Agent: stranger, R: 1}, Report{Agent: w.agent(0).id, R: 99}, Timer{TimerPhase, 12345}, Summed{R: 3},
	} {
		w.step(ev)
	}
	w.mustFinish()
}

// runTo delivers messages until the run is in the phase.
func (w *world) runTo(p Phase) {
	w.t.Helper()
	for w.engine.Phase() != p {
		if len(w.queue) == 0 {
			w.t.Fatalf("the run came to rest in %s, not %s", w.engine.Phase(), p)
		}
		if err := w.deliver(0); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestReportThatCannotBeTaken: the round does not wait for a branch whose report is
// refused, whether the report or its vector is wrong, and its sum is the others'.
func TestReportThatCannotBeTaken(t *testing.T) {
	for name, spoil := range map[string]func(*Report){
		"rubbish":           func(r *Report) { r.Report = []byte("rubbish") },
		"another's":         func(r *Report) { r.Vector[0] ^= 1 },
		"a short vector":    func(r *Report) { r.Words-- },
		"a bad signature":   func(r *Report) { r.Report[len(r.Report)-1] ^= 1 },
		"an endless vector": func(r *Report) { r.Words = 1 << 30 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 4, nil)
			w.agent(2).spoil = spoil
			w.start()
			w.mustFinish()
			for _, c := range w.noticed("committed") {
				if c.Reported != 3 || len(c.Dropped) != 1 || c.Dropped[0] != w.agent(2).id {
					t.Errorf("round %d: %+v", c.Round, c)
				}
			}
			if n := len(w.noticed("refused")); n != 4 {
				t.Errorf("%d refusals told, want one a round", n)
			}
		})
	}
}

// A branch that spoils its report and then sends the right one counts.
func TestReportMayBeMended(t *testing.T) {
	w := newWorld(t, 4, nil)
	a := w.agent(1)
	a.spoil = func(r *Report) {
		bad := *r
		bad.Words++
		w.step(bad)
	}
	w.start()
	w.mustFinish()
	for _, c := range w.noticed("committed") {
		if c.Reported != 4 {
			t.Errorf("round %d: %+v", c.Round, c)
		}
	}
}

// TestStalledBranch: one whose journal cannot be written says that it is out. The
// round goes on without it, and the next waits for it no longer than the grace.
func TestStalledBranch(t *testing.T) {
	w := newWorld(t, 4, nil)
	a := w.agent(3)
	w.start()
	w.runTo(Collecting)
	a.mute = true
	w.step(Standing{Agent: a.id, Epoch: a.member.Epoch(), Out: true})
	w.run()
	if c := w.noticed("committed"); len(c) != 1 || c[0].Reported != 3 {
		t.Fatalf("committed: %+v", c)
	}
	if w.engine.Phase() != Waiting {
		t.Fatalf("the run stands in %s", w.engine.Phase())
	}
	w.fire(TimerGrace)
	if n := len(w.noticed("committed")); n < 2 {
		t.Fatalf("%d rounds after the grace", n)
	}
	for range 6 {
		if w.done == nil && w.engine.Phase() == Waiting {
			w.fire(TimerGrace)
		}
	}
	w.mustFinish()
}

// TestEpochsADay: the charter's bound is on a day, not on a run.
func TestEpochsADay(t *testing.T) {
	w := newWorld(t, 4, nil)
	w.cfg.Charter.EpochsPerDay = 3
	a := w.agent(0)
	a.mute = true
	w.start()
	for range 2 {
		w.connect(a)
		w.step(PlanAnswer{Agent: a.id, Accept: true})
		w.run()
		w.fire(TimerPhase)
	}
	if w.done != nil {
		t.Fatalf("ended: %+v", w.done)
	}
	w.step(Timer{TimerDay, w.timers[TimerDay]})
	for range 2 {
		w.fire(TimerPhase)
	}
	if w.done != nil {
		t.Fatalf("epochs of yesterday count: %+v", w.done)
	}
	for range 2 {
		if w.done == nil {
			w.fire(TimerPhase)
		}
	}
	if w.done == nil || w.done.Done {
		t.Errorf("a fourth epoch in a day: %+v in %s", w.done, w.engine.Phase())
	}
}

// TestAttemptsOfOtherRunsCount: a model that other runs of the plan have attempted as
// often as it may be is not attempted again.
func TestAttemptsOfOtherRunsCount(t *testing.T) {
	for tried, want := range map[int]bool{2: true, 3: false} {
		w := newWorld(t, 4, nil)
		rec, _, err := strategy.Initial(w.cfg.Plan)
		if err != nil {
			t.Fatal(err)
		}
		w.cfg.Tried = map[Try]int{{plan.Statistics, rec.Hash()}: tried}
		if w.engine, err = New(w.cfg); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.run()
		if w.done == nil || w.done.Done != want || (len(w.noticed("round-opened")) > 0) != want {
			t.Errorf("after %d attempts elsewhere: %+v", tried, w.done)
		}
	}
}

// A timer that was set again, or stopped, has nothing to say.
func TestLateTimers(t *testing.T) {
	w := newWorld(t, 4, nil)
	w.start()
	w.runTo(Collecting)
	number := w.timers[TimerCollect]
	for _, late := range []Timer{{TimerCollect, number - 1}, {TimerCollect, number + 1}, {TimerPhase, 1}, {TimerGrace, 1}} {
		w.step(late)
		if w.engine.Phase() != Collecting {
			t.Fatalf("%+v: the run stands in %s", late, w.engine.Phase())
		}
	}
	w.step(Timer{TimerCollect, number})
	if w.engine.Phase() == Collecting {
		t.Error("the deadline was not heard")
	}
	w.mustFinish()
}
