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

// cohortMessages is one message of every kind of a federation of several cohorts.
func cohortMessages(t testing.TB) map[MessageKind][]byte {
	f := newFederation(t, 10)
	f.limit = 5
	w := newWorldOf(t, f)
	w.seen = make(map[MessageKind][]byte)
	w.setup()
	away := w.epoch.layout.cohorts[0].members[3]
	if !w.runAttempt(1, func(i int) bool { return i != away }, everyone, everyone) {
		t.Fatal(w.round.Why())
	}
	w.seen[KindRoundStart] = w.round.Start()
	in := w.inputs(2)
	w.begin(in)
	for i := range w.agents {
		if err := w.open(i, in); err != nil {
			t.Fatal(err)
		}
	}
	out, err := w.round.AskClose()
	if err != nil {
		t.Fatal(err)
	}
	w.post(out)
	w.pump()
	a := w.agents[2]
	if a.m, err = RestoreMember(a.cfg, a.get); err != nil {
		t.Fatal(err)
	}
	o, err := a.m.Reenter()
	if err != nil {
		t.Fatal(err)
	}
	w.emit(2, o)
	w.pump()
	return w.seen
}

// TestCohortMessages: one encoding of each message, nothing cut, longer or of another
// kind, and a message with one bit changed is no message or another one.
func TestCohortMessages(t *testing.T) {
	msgs := cohortMessages(t)
	for k := KindProposal; k < kindEnd; k++ {
		msg := msgs[k]
		if k == KindCertificate || k == KindRekey {
			continue // of one cohort; of a member without keys
		}
		if msg == nil {
			t.Errorf("no %s", k)
			continue
		}
		v, err := parseAny(msg)
		if err != nil || !slices.Equal(v.encode(), msg) {
			t.Fatalf("%s is not what it encodes to: %v", k, err)
		}
		if _, err := parseAny(append(slices.Clone(msg), 0)); err == nil {
			t.Errorf("%s: a byte too many", k)
		}
		rng := rand.New(rand.NewPCG(uint64(k), 1))
		for range 300 {
			if _, err := parseAny(msg[:rng.IntN(len(msg))]); err == nil {
				t.Errorf("%s: cut short", k)
			}
			bad := slices.Clone(msg)
			bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
			if v, err := parseAny(bad); err == nil && !slices.Equal(v.encode(), bad) {
				t.Errorf("%s: two encodings of one message", k)
			}
		}
		if _, err := parseMessage(msg); (err == nil) != (cohortOf(msg) == 0 && k != KindEpochKey) {
			t.Errorf("%s in a federation of one cohort: %v", k, err)
		}
	}
}

// FuzzCohortMessages: hostile bytes never panic, and have one encoding.
func FuzzCohortMessages(f *testing.F) {
	for _, msg := range cohortMessages(f) {
		f.Add(msg)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := parseAny(b); err == nil && !slices.Equal(v.encode(), b) {
			t.Fatalf("%T: two encodings", v)
		}
	})
}

// TestEvilManifests: what a server may not do with several cohorts. Every refusal leaves
// the member as it was.
func TestEvilManifests(t *testing.T) {
	f := newFederation(t, 20)
	f.limit = 5
	w := newWorldOf(t, f).setup()
	in := w.inputs(1)
	w.begin(in)
	for i := range w.agents {
		if err := errors.Join(w.open(i, in), w.report(i, in)); err != nil {
			t.Fatal(err)
		}
	}
	w.pump()
	victim := w.epoch.layout.cohorts[1].members[0]
	var good []byte
	w.tamper = func(to int, msg []byte) []byte {
		if k, _ := Kind(msg); k == KindManifest && to == victim {
			good = msg
			return nil
		}
		return msg
	}
	if err := w.collect(); err != nil {
		t.Fatal(err)
	}
	w.pump()
	w.noErrors()
	m := w.agents[victim].m
	change := func(f func(v *manifest)) []byte {
		v, ok := parseManifest(slices.Clone(good))
		if !ok {
			t.Fatal("the manifest does not parse")
		}
		f(v)
		return v.encode()
	}
	for name, v := range map[string]struct {
		msg []byte
		why Reason
	}{
		"a cohort hidden, this member's own": {change(func(v *manifest) { v.Inside[1] = false }), ReasonConflict},
		"two of four cohorts":                {change(func(v *manifest) { v.Inside[2], v.Inside[3] = false, false }), ReasonQuorum},
		"a set below the minimum":            {change(func(v *manifest) { v.Sets[2] = bitmap{0x07} }), ReasonBelowMinimum},
		"another set of another cohort":      {change(func(v *manifest) { v.Sets[2] = bitmap{0x0f} }), ReasonSignature},
		"too few votes":                      {change(func(v *manifest) { v.Votes[3] = v.Votes[3][:3] }), ReasonQuorum},
		"another context":                    {change(func(v *manifest) { v.Ctx[0] ^= 1 }), ReasonMismatch},
		"other cohorts":                      {change(func(v *manifest) { v.Drawn.Rho[0] ^= 1 }), ReasonMismatch},
	} {
		out, err := m.Handle(v.msg)
		if !isAbort(err, StageManifest, v.why) || len(out.Send) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A certificate of one cohort alone releases nothing.
	if _, err := m.Handle(w.round.parts[1].cert.encode()); !errors.Is(err, ErrStale) {
		t.Error("a cohort's own certificate:", err)
	}
	if m.rd.shares != nil {
		t.Fatal("shares left")
	}
	out, err := m.Handle(good)
	if err != nil || len(out.Send) != 1 {
		t.Fatal("the good manifest:", err)
	}
	first := out.Send[0]
	// With a cohort fewer it would still be enough: but a member votes once.
	if _, err := m.Handle(change(func(v *manifest) { v.Inside[3] = false })); !isAbort(err, StageManifest, ReasonSecond) {
		t.Error("a second manifest:", err)
	}
	if out, err := m.Handle(good); err != nil || !slices.Equal(out.Send[0], first) {
		t.Error("the same manifest again:", err)
	}
}

// TestEvilCoins: a share that is not the one committed to, on either side.
func TestEvilCoins(t *testing.T) {
	f := newFederation(t, 10)
	f.limit = 5
	w := newWorldOf(t, f)
	w.propose(1, 1)
	var refused error
	w.tamper = func(to int, msg []byte) []byte {
		if k, _ := Kind(msg); k == KindRoster && to == 3 {
			r, _ := parseRoster(slices.Clone(msg))
			r.Coins[7][0] ^= 1
			_, refused = w.agents[3].m.Handle(r.encode())
		}
		return msg
	}
	w.pump()
	w.wantAbort(refused, StageRoster, ReasonCommitment, 7)
	if w.epoch.Phase() != StageLive {
		t.Fatal("the epoch did not open")
	}
	again, _, err := NewEpoch(EpochConfig{Key: f.server, Charter: f.charter, Roster: f.roster, Run: w.run, Epoch: 1, Start: 1, limit: 5})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range w.log {
		if k, _ := Kind(s.msg); k != KindCoin {
			again.Handle(s.from, s.msg)
			continue
		}
		c, _ := parseCoin(s.msg)
		c.Share[5] ^= 1
		var drop *Drop
		if _, err := again.Handle(s.from, c.encode()); !errors.As(err, &drop) || drop.Reason != ReasonCommitment || drop.Agent != s.from {
			t.Fatal("another share than committed to:", err)
		}
	}
	if again.Phase() != StageCoin || len(again.Waiting()) != 10 || again.Why() == nil {
		t.Fatalf("the epoch is at %s", again.Phase())
	}
}
