package secureagg

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// direct is a world whose epoch is live without the KEM: chain keys are given. It is
// for tests of attempts with many members.
func direct(t testing.TB, n int) *world {
	t.Helper()
	w := newWorld(t, n)
	w.propose(1, 1)
	w.queue = nil
	e := w.epoch
	e.root = digest{byte(n)}
	e.phase = StageLive
	for i, a := range w.agents {
		ep := &memberEpoch{number: 1, start: 1, stage: StageLive, root: e.root, proposal: e.proposalHash,
			listRoots: make([]digest, n), confirm: []byte{1}, marks: make([]mark, n), chain: chain{keys: make([]secret, n)}}
		for j := range n {
			ep.chain.keys[j] = hashParts("test", []byte{byte(min(i, j)), byte(max(i, j))})
		}
		a.m.ep, a.m.lowest = ep, 2
		var out Output
		out.put(keySeen, a.m.seenRecord())
		out.put(keyEpoch, a.m.epochRecord())
		out.put(keyChain, a.m.chainRecord())
		a.persist(out)
	}
	return w
}

func cloneMember(m *Member) *Member {
	c := *m
	c.counts = maps.Clone(m.counts)
	if m.ep != nil {
		ep := *m.ep
		ep.chain.keys = slices.Clone(ep.chain.keys)
		ep.marks = slices.Clone(ep.marks)
		c.ep = &ep
	}
	if m.rd != nil {
		rd := *m.rd
		if rd.vote != nil {
			v := *rd.vote
			v.opened = make([][]byte, len(rd.vote.opened))
			for i, b := range rd.vote.opened {
				v.opened[i] = bytes.Clone(b)
			}
			rd.vote = &v
		}
		c.rd = &rd
	}
	if m.last != nil {
		l := *m.last
		c.last = &l
	}
	return &c
}

func cloneRound(r *Round) *Round {
	c := *r
	c.parts, c.manifests = slices.Clone(r.parts), slices.Clone(r.manifests)
	for k, p := range r.parts {
		q := *p
		q.r = &c
		q.reports, q.votes, q.closes = slices.Clone(p.reports), slices.Clone(p.votes), slices.Clone(p.closes)
		q.released, q.voted, q.complaints = slices.Clone(p.released), slices.Clone(p.voted), slices.Clone(p.complaints)
		c.parts[k] = &q
	}
	return &c
}

func kindsOf(out Output) (kinds []MessageKind) {
	for _, m := range out.Send {
		k, _ := Kind(m)
		kinds = append(kinds, k)
	}
	return kinds
}

func isAbort(err error, stage Stage, why Reason) bool {
	var a *Abort
	return errors.As(err, &a) && a.Stage == stage && a.Reason == why
}

// TestEveryPatternOfStops walks the whole tree for cohorts of 3 to 6: every set of
// reporters, then every set of voters (who may not have reported), then every set
// of releasers among them. The result is the bit-exact sum of exactly the set, or
// the typed abort of the stage that failed; and no share leaves before a
// certificate.
func TestEveryPatternOfStops(t *testing.T) {
	for n := MinMembers; n <= 6; n++ {
		t.Run(fmt.Sprint(n, " members"), func(t *testing.T) {
			w := newWorld(t, n).setup()
			in := w.inputs(1)
			w.begin(in)
			silent, reported := make([]*Member, n), make([]*Member, n)
			reports, vectors := make([][]byte, n), make([][]uint32, n)
			for i, a := range w.agents {
				if err := w.open(i, in); err != nil {
					t.Fatal(err)
				}
				silent[i] = cloneMember(a.m)
				out, err := a.m.Report(input(i, 1))
				if err != nil {
					t.Fatal(err)
				}
				reported[i], reports[i], vectors[i] = a.m, out.Send[0], out.Event.(*Masked).Vector
			}
			p := w.epoch.Params()
			sums, aborts := 0, make(map[Stage]int)
			for o := range 1 << n {
				round := cloneRound(w.round)
				for i, a := range w.agents {
					if o>>i&1 == 1 {
						if err := round.AcceptReport(a.id, reports[i], VectorHash(vectors[i])); err != nil {
							t.Fatal(err)
						}
					}
				}
				_, sets, err := round.CloseCollection()
				if bitsOf(o) < p.MinRelease {
					if !isAbort(err, StageReport, ReasonBelowMinimum) || len(sets) > 0 {
						t.Fatalf("set %b: %v", o, err)
					}
					aborts[StageReport]++
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				voters, votes := make([]*Member, n), make([][]byte, n)
				for i := range voters {
					voters[i] = cloneMember(silent[i])
					if o>>i&1 == 1 {
						voters[i] = cloneMember(reported[i])
					}
					out, err := voters[i].Handle(sets[i].Msg)
					if err != nil || !slices.Equal(kindsOf(out), []MessageKind{KindVote}) {
						t.Fatalf("set %b, voter %d: %v %v", o, i, err, kindsOf(out))
					}
					votes[i] = out.Send[0]
				}
				for v := range 1 << n {
					sums += w.releases(t, p, round, o, v, voters, votes, vectors, aborts)
				}
			}
			if sums == 0 || aborts[StageReport] == 0 || aborts[StageVote] == 0 {
				t.Fatalf("%d sums, aborts %v: the tree was not walked", sums, aborts)
			}
			if p.Live > 0 && aborts[StageShares] == 0 {
				t.Fatal("no pattern fell below the threshold of shares")
			}
		})
	}
}

func bitsOf(v int) (n int) {
	for ; v > 0; v &= v - 1 {
		n++
	}
	return n
}

// releases continues one set of reporters o with the voters v.
func (w *world) releases(t *testing.T, p Params, round *Round, o, v int, members []*Member, votes [][]byte, vectors [][]uint32, aborts map[Stage]int) (sums int) {
	round = cloneRound(round)
	var cert []byte
	for i, a := range w.agents {
		if v>>i&1 == 0 {
			continue
		}
		c, out, err := round.Vote(a.id, votes[i])
		if err != nil {
			t.Fatal(err)
		}
		if c != nil {
			if cert != nil || len(out) != 1 || !bytes.Equal(out[0].Msg, c) {
				t.Fatal("a second certificate")
			}
			cert = c
		}
	}
	if (cert != nil) != (bitsOf(v) >= p.Quorum) {
		t.Fatalf("set %b, voters %b: certificate %v", o, v, cert != nil)
	}
	if cert == nil {
		if !isAbort(round.Why(), StageVote, ReasonQuorum) {
			t.Fatalf("no quorum, but %v", round.Why())
		}
		if err := round.Unmask(make([]uint32, testDim)); !isAbort(err, StageShares, ReasonThreshold) {
			t.Fatalf("unmasked without a certificate: %v", err)
		}
		aborts[StageVote]++
		return 0
	}
	shares := make([][]byte, len(members))
	for i := range members {
		if v>>i&1 == 1 {
			out, err := cloneMember(members[i]).Handle(cert)
			if err != nil || !slices.Equal(kindsOf(out), []MessageKind{KindShares}) {
				t.Fatalf("member %d: %v", i, err)
			}
			shares[i] = out.Send[0]
		}
	}
	want, sum := make([]uint32, testDim), make([]uint32, testDim)
	for i := range members {
		if o>>i&1 == 1 {
			AddVector(want, input(i, 1))
			AddVector(sum, vectors[i])
		}
	}
	for r := v; r >= 0; r = (r - 1) & v {
		rr := cloneRound(round)
		done := false
		for i, a := range w.agents {
			if r>>i&1 == 1 {
				var err error
				if done, err = rr.Shares(a.id, shares[i]); err != nil {
					t.Fatal(err)
				}
			}
		}
		if done != (bitsOf(r) >= p.Threshold) {
			t.Fatalf("releasers %b: done = %v", r, done)
		}
		acc := slices.Clone(sum)
		err := rr.Unmask(acc)
		if !done {
			if !isAbort(err, StageShares, ReasonThreshold) {
				t.Fatalf("below the threshold: %v", err)
			}
			aborts[StageShares]++
		} else if err != nil || !slices.Equal(acc, want) {
			t.Fatalf("set %b, voters %b, releasers %b: %v, wrong sum", o, v, r, err)
		} else {
			sums++
		}
		if r == 0 {
			break
		}
	}
	return sums
}

// TestRandomStops draws bigger cohorts and any pattern.
func TestRandomStops(t *testing.T) {
	t.Parallel()
	worlds := make(map[int]*world)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.SampledFrom([]int{7, 10, 13, 24}).Draw(rt, "n")
		if worlds[n] == nil {
			worlds[n] = direct(t, n)
		}
		w := worlds[n]
		p := w.epoch.Params()
		draw := func(least int, name string) []int {
			k := rapid.IntRange(max(0, least-1), n).Draw(rt, name+" count")
			return rapid.Permutation(indices(n)).Draw(rt, name)[:k]
		}
		in := w.inputs(1)
		w.begin(in)
		members := make([]*Member, n)
		for i, a := range w.agents {
			members[i] = cloneMember(a.m)
			if _, err := members[i].Open(w.round.Start(), in); err != nil {
				rt.Fatal(err)
			}
		}
		want, acc := make([]uint32, testDim), make([]uint32, testDim)
		reporters := draw(p.MinRelease, "reporters")
		for _, i := range reporters {
			x := input(i, 1)
			AddVector(want, x)
			out, err := members[i].Report(x)
			if err != nil {
				rt.Fatal(err)
			}
			AddVector(acc, x)
			if err := w.round.AcceptReport(w.agents[i].id, out.Send[0], VectorHash(x)); err != nil {
				rt.Fatal(err)
			}
		}
		_, sets, err := w.round.CloseCollection()
		if len(reporters) < p.MinRelease {
			if !isAbort(err, StageReport, ReasonBelowMinimum) {
				rt.Fatal(err)
			}
			return
		}
		voters := draw(p.Quorum, "voters")
		var cert []byte
		for _, i := range voters {
			out, err := members[i].Handle(sets[i].Msg)
			if err != nil {
				rt.Fatal(err)
			}
			c, _, err := w.round.Vote(w.agents[i].id, out.Send[0])
			if err != nil {
				rt.Fatal(err)
			}
			if c != nil {
				cert = c
			}
		}
		if len(voters) < p.Quorum {
			if cert != nil || !isAbort(w.round.Why(), StageVote, ReasonQuorum) {
				rt.Fatal("no quorum: ", w.round.Why())
			}
			return
		}
		releasing := voters[:rapid.IntRange(p.Threshold-1, len(voters)).Draw(rt, "releasers")]
		for _, i := range releasing {
			out, err := members[i].Handle(cert)
			if err != nil {
				rt.Fatal(err)
			}
			if _, err := w.round.Shares(w.agents[i].id, out.Send[0]); err != nil {
				rt.Fatal(err)
			}
		}
		err = w.round.Unmask(acc)
		if len(releasing) < p.Threshold {
			if !isAbort(err, StageShares, ReasonThreshold) {
				rt.Fatal(err)
			}
			return
		}
		if err != nil || !slices.Equal(acc, want) {
			rt.Fatal("wrong sum: ", err)
		}
	})
}

func indices(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// TestLargestCohort runs one attempt of 128 members with 25 that never report and
// exactly a quorum that votes and releases.
func TestLargestCohort(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("128 members")
	}
	w := direct(t, MaxMembers)
	p := w.epoch.Params()
	in := w.inputs(1)
	w.begin(in)
	for i, a := range w.agents {
		a.dead = i >= p.Quorum
		if i >= p.Quorum && i < MaxMembers-p.MinRelease+p.Quorum {
			continue // neither opens nor reports
		}
		if err := errors.Join(w.open(i, in), w.report(i, in)); err != nil {
			t.Fatal(err)
		}
	}
	w.pump()
	if err := w.collect(); err != nil {
		t.Fatal(err)
	}
	largest := 0
	for _, q := range w.queue {
		largest = max(largest, len(q.msg))
	}
	w.pump()
	if !w.done || len(w.round.Online()) != p.MinRelease {
		t.Fatalf("not done: %v", w.errors())
	}
	w.check()
	if largest > MaxMessage {
		t.Errorf("an online set of %d bytes exceeds MaxMessage", largest)
	}
}
