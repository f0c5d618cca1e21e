package secureagg

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"tacit/id"
)

// split makes a world of n agents in cohorts of at most limit, at the end of its setup.
func split(t testing.TB, n, limit int) *world {
	t.Helper()
	f := newFederation(t, n)
	f.limit = limit
	return newWorldOf(t, f).setup()
}

// runAttempt runs attempt r: those for whom the functions say no stay silent from that
// step on. It reports whether the sum was opened; if so, it was the exact one.
func (w *world) runAttempt(r uint64, reports, votes, releases func(i int) bool) bool {
	w.t.Helper()
	in := w.inputs(r)
	w.begin(in)
	for i, a := range w.agents {
		if err := w.open(i, in); err != nil {
			w.t.Fatalf("agent %d: %v", i, err)
		}
		if reports(i) {
			if err := w.report(i, in); err != nil {
				w.t.Fatalf("agent %d: %v", i, err)
			}
		}
		a.mute[KindVote] = !votes(i)
		a.mute[KindManifestVote] = !votes(i)
		a.mute[KindShares] = !releases(i)
	}
	w.pump()
	if err := w.collect(); err != nil {
		return false
	}
	w.pump()
	if !w.done {
		return false
	}
	w.check()
	return true
}

func everyone(int) bool { return true }

// TestSeveralCohorts: the exact sum over all cohorts, with members gone at every step,
// one cohort outside where that still leaves more than two thirds, and what an outsider
// makes of the certificate.
func TestSeveralCohorts(t *testing.T) {
	w := split(t, 20, 5)
	if w.epoch.Cohorts() != 4 {
		t.Fatalf("%d cohorts", w.epoch.Cohorts())
	}
	w.noErrors()
	if !w.runAttempt(1, everyone, everyone, everyone) {
		t.Fatal("nobody is missing and there is no sum", w.round.Why(), w.errors())
	}
	w.noErrors()
	at := func(k, i int) int { return w.epoch.layout.cohorts[k].members[i] }
	lost := map[int]bool{at(0, 1): true, at(2, 4): true}
	if !w.runAttempt(2, func(i int) bool { return !lost[i] }, everyone, everyone) || len(w.round.Online()) != 18 {
		t.Fatal("two of twenty are missing and there is no sum of eighteen", w.round.Why())
	}
	// Cohort 3 is below its minimum of 4: it stays outside, wholly.
	gone := map[int]bool{at(3, 0): true, at(3, 1): true}
	if !w.runAttempt(3, func(i int) bool { return !gone[i] }, func(i int) bool { return i != at(0, 0) }, func(i int) bool { return i != at(1, 2) }) {
		t.Fatal("three of four cohorts, and no sum", w.round.Why())
	}
	if got := w.round.Online(); len(got) != 15 || slices.ContainsFunc(got, func(a id.AgentID) bool { return w.epoch.layout.places[w.index(a)].cohort == 3 }) {
		t.Fatalf("%d members are in the sets", len(got))
	}
	w.noErrors()
	l, cert := w.epoch.layout, &manifestCert{}
	if !cert.parseAs(w.round.Certificate(), KindManifestCert) {
		t.Fatal("the certificate does not parse")
	}
	if err := cert.verify(w.epoch.f, l); err != nil {
		t.Fatal(err)
	}
	if root := cert.Drawn.root(); root != w.epoch.Root() || !slices.Equal(cert.online(l), w.round.Online()) {
		t.Fatal("the certificate is of other cohorts or sets")
	}
	// A vote taken away from a quorum, a set changed, a cohort moved outside: nothing
	// is certified.
	for name, spoil := range map[string]func(c *manifestCert){
		"no quorum": func(c *manifestCert) { c.Votes[1] = c.Votes[1][:3] },
		"other set": func(c *manifestCert) { c.Sets[0] = bitmap{0x0f} },
		"outside":   func(c *manifestCert) { c.Inside[2] = false },
		"too small": func(c *manifestCert) { c.Sets[0] = bitmap{0x07} },
		"epoch":     func(c *manifestCert) { c.Drawn.Rho[0] ^= 1 },
	} {
		bad := new(manifestCert)
		bad.parseAs(w.round.Certificate(), KindManifestCert)
		spoil(bad)
		if bad.verify(w.epoch.f, bad.Drawn.arrange(w.epoch.f)) == nil {
			t.Errorf("%s: verified", name)
		}
	}
}

// TestCohortsAbort: with a third of the cohorts given up, the attempt is over for all,
// and its model may be reported on again.
func TestCohortsAbort(t *testing.T) {
	w := split(t, 15, 5)
	first := w.epoch.layout.cohorts[0].members
	// Of one cohort, too few report: three cohorts need all three.
	if w.runAttempt(1, func(i int) bool { return !slices.Contains(first[:2], i) }, everyone, everyone) {
		t.Fatal("a sum over two of three cohorts")
	}
	var a *Abort
	if err := error(w.round.Why()); !errors.As(err, &a) || a.Reason != ReasonBelowMinimum {
		t.Fatal(err)
	}
	out, err := w.round.AskClose()
	if err != nil {
		t.Fatal(err)
	}
	// One cohort's quorum is enough: 2 of 3 are not more than two thirds.
	for i, a := range w.agents {
		a.mute[KindClose] = !slices.Contains(first[:4], i)
	}
	w.post(out)
	w.pump()
	if len(w.aborts) != 1 {
		t.Fatal("four of five Closes of one cohort in three do not end the attempt", w.errors())
	}
	w.noErrors()
	in := w.inputs(2)
	in.Round, in.Model = 1, id.ModelHash{3, 1}
	w.begin(in)
	for i := range w.agents {
		if err := errors.Join(w.open(i, in), w.report(i, in)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCohortsAnyStops: whatever stops, the sum is exact or there is none, and no
// honest agent meets an error.
func TestCohortsAnyStops(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	opened := 0
	for range 12 {
		limit := 3 + rng.IntN(4)
		w := split(t, limit*(2+rng.IntN(4))-rng.IntN(2)*(limit/4), limit)
		for r := uint64(1); r <= 6; r++ {
			chance := rng.Float64() * 0.12
			some := func() func(int) bool {
				silent := make(map[int]bool)
				for i := range w.agents {
					silent[i] = rng.Float64() < chance
				}
				return func(i int) bool { return !silent[i] }
			}
			if w.runAttempt(r, some(), some(), some()) {
				opened++
				continue
			}
			if w.round.Certificate() != nil {
				break // it waits for shares
			}
			out, err := w.round.AskClose()
			if err != nil {
				t.Fatal(err)
			}
			w.post(out)
			w.pump()
			if len(w.aborts) != 1 {
				t.Fatal("everyone closes and the attempt is not over")
			}
		}
		w.noErrors()
	}
	if opened < 20 {
		t.Fatalf("%d sums were opened: the test tests little", opened)
	}
}

// TestCohortsRestart: an agent that restarts at any point of an attempt is readmitted
// by its own cohort and goes on; a server that restarts gives out the same bytes.
func TestCohortsRestart(t *testing.T) {
	for _, stop := range []MessageKind{KindReport, KindVote, KindManifestVote, KindShares} {
		w := split(t, 10, 5)
		victim := w.epoch.layout.cohorts[1].members[2]
		in := w.inputs(1)
		w.begin(in)
		for i, a := range w.agents {
			if err := errors.Join(w.open(i, in), w.report(i, in)); err != nil {
				t.Fatal(err)
			}
			a.mute[stop] = i == victim
		}
		w.pump()
		if err := w.collect(); err != nil {
			t.Fatal(err)
		}
		w.pump()
		a := w.agents[victim]
		m, err := RestoreMember(a.cfg, a.get)
		if err != nil {
			t.Fatal(err)
		}
		a.m = m
		a.mute[stop] = false
		out, err := m.Reenter()
		if err != nil {
			t.Fatal(err)
		}
		w.emit(victim, out)
		w.pump()
		if m.Out() {
			t.Fatalf("stopped at %s: not readmitted: %v", stop, w.errors())
		}
		for _, msg := range w.round.For(a.id) {
			w.queue = append(w.queue, packet{to: victim, frm: -1, msg: msg})
		}
		w.pump()
		if !w.done {
			t.Fatalf("stopped at %s: no sum: %v", stop, w.errors())
		}
		w.check()

		// The server again, from what it stored.
		again, _, err := NewEpoch(EpochConfig{Key: w.f.server, Charter: w.f.charter, Roster: w.f.roster, Run: w.run, Epoch: 1, Start: 1, limit: 5})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range w.log {
			if _, err := again.Handle(s.from, s.msg); err != nil {
				t.Fatal(err)
			}
		}
		if again.Phase() != StageLive || again.Root() != w.epoch.Root() {
			t.Fatal("the epoch does not rebuild")
		}
		r, err := again.NewRound(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range w.round.parts {
			for i, h := range p.reports {
				if h != nil {
					if err := r.AcceptReport(p.c.ids[i], h.report.encode(), h.report.Vector); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if _, err := r.RestoreSet(w.round.setRecord()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.RestoreCertificate(w.round.Certificate()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLayout: every agent is in one cohort, cross edges are symmetric, at most one to
// each other cohort for a member, and as many as SECAGG 2.6 asks for.
func TestLayout(t *testing.T) {
	for _, n := range []int{129, 300, 1000, 1088, MaxCohorts * MaxMembers} {
		f := &membership{ids: make([]id.AgentID, n), keys: make([]id.PublicKey, n)}
		count := (n + MaxMembers - 1) / MaxMembers
		for k := range count {
			f.sizes = append(f.sizes, Params{N: sizeOf(n, count, k)})
		}
		l := f.arrange(&digest{1})
		if other := f.arrange(&digest{2}); slices.Equal(other.cohorts[0].members, l.cohorts[0].members) {
			t.Fatal("two coins give one layout")
		}
		seen, edges := make([]bool, n), 0
		for k, c := range l.cohorts {
			for i, g := range c.members {
				if seen[g] || l.places[g] != (place{k, i}) {
					t.Fatalf("agent %d", g)
				}
				seen[g] = true
				edges += len(c.cross[i])
				cohorts := make(map[int]bool)
				for slot := range c.slots(i) {
					e := end{c, i, slot}
					if back := l.opposite(l.opposite(e)); slot != i && back != e {
						t.Fatalf("the pair %v looks back as %v", e, back)
					}
					if slot < c.params.N {
						continue
					}
					k := l.places[c.partner(i, slot)].cohort
					if cohorts[k] || k == c.place() {
						t.Fatalf("two edges of one member to one cohort, or one to its own")
					}
					cohorts[k] = true
				}
			}
		}
		if slices.Contains(seen, false) {
			t.Fatal("someone is in no cohort")
		}
		if want := n * min(crossEdges, count-1); edges < want*98/100 {
			t.Errorf("n = %d: %d edges, want about %d", n, edges, want)
		}
	}
}
