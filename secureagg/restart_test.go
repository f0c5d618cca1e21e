package secureagg

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// TestServerRestart rebuilds the server at every stage from what it stored, and
// compares every byte it sends.
func TestServerRestart(t *testing.T) {
	w := newWorld(t, 4).setup()
	rebuild := func() *Epoch {
		t.Helper()
		e, out, err := NewEpoch(EpochConfig{Key: w.f.server, Charter: w.f.charter, Roster: w.f.roster, Run: w.run, Epoch: 1, Start: 1})
		if err != nil || !bytes.Equal(out[0].Msg, w.epoch.proposal) {
			t.Fatal("another E0: ", err)
		}
		for _, s := range w.log {
			if _, err := e.Handle(s.from, s.msg); err != nil {
				t.Fatal(err)
			}
		}
		if e.Root() != w.epoch.Root() || e.Phase() != StageLive || !bytes.Equal(e.readySets[0], w.epoch.readySets[0]) {
			t.Fatal("another epoch")
		}
		return e
	}
	for _, at := range []string{"reports", "set", "certificate"} {
		r := w.agents[0].m.Attempt() + 1
		in := w.inputs(r)
		w.begin(in)
		start := w.round.Start()
		for i := range 3 {
			if err := errors.Join(w.open(i, in), w.report(i, in)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.open(3, in); err != nil {
			t.Fatal(err)
		}
		reports := slices.Clone(w.queue)
		w.pump()
		restart := func() {
			t.Helper()
			w.epoch = rebuild()
			var err error
			if w.round, err = w.epoch.NewRound(in); err != nil || !bytes.Equal(w.round.Start(), start) {
				t.Fatal("another RoundStart: ", err)
			}
			for _, p := range reports {
				a := w.agents[p.frm].id
				if err := w.round.AcceptReport(a, p.msg, VectorHash(w.vectors[a])); err != nil {
					t.Fatal(err)
				}
			}
		}
		if at == "reports" {
			restart()
		}
		set, sets, err := w.round.CloseCollection()
		if err != nil {
			t.Fatal(err)
		}
		restore := func() {
			t.Helper()
			restart()
			out, err := w.round.RestoreSet(set)
			if err != nil || len(out) != len(sets) || !bytes.Equal(out[2].Msg, sets[2].Msg) {
				t.Fatal("another set: ", err)
			}
			if err := w.round.AcceptReport(w.agents[3].id, reports[0].msg, digest{}); err == nil {
				t.Fatal("a report after the set")
			}
		}
		if at == "set" {
			bad := bytes.Clone(set)
			bad[headerSize+1] |= 8
			restart()
			if _, err := w.round.RestoreSet(bad); err == nil {
				t.Fatal("a set with a report that is not stored")
			}
			bad = bytes.Clone(set)
			bad[len(bad)-1] ^= 1
			if _, err := w.round.RestoreSet(bad); err == nil {
				t.Fatal("a set of other reports")
			}
			restore()
		}
		w.post(sets)
		if at == "certificate" {
			for _, a := range w.agents {
				a.mute[KindShares] = true
			}
			w.pump()
			cert := w.certs[0]
			for _, a := range w.agents {
				delete(a.mute, KindShares)
			}
			restore()
			bad := bytes.Clone(cert)
			bad[len(bad)-1] ^= 1
			if _, err := w.round.RestoreCertificate(bad); err == nil {
				t.Fatal("a damaged certificate is restored")
			}
			out, err := w.round.RestoreCertificate(cert)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.round.AskClose(); err == nil {
				t.Fatal("gives up a certified attempt")
			}
			if !bytes.Equal(w.round.Outcome(), cert) {
				t.Fatal("another outcome")
			}
			w.post(out)
		}
		w.pump()
		if !w.done {
			t.Fatalf("%s: not done: %v", at, w.errors())
		}
		w.check()
	}
}

// TestSecondDropBeforeCertificate: two of four stop before they vote; the attempt
// ends with a typed abort, and the next opens once Q agents signed Close.
func TestSecondDropBeforeCertificate(t *testing.T) {
	w := newWorld(t, 4).setup()
	in := w.inputs(1)
	w.begin(in)
	for i := range 4 {
		if err := w.open(i, in); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		if err := w.report(i, in); err != nil {
			t.Fatal(err)
		}
	}
	w.pump()
	w.agents[2].dead, w.agents[3].dead = true, true
	if err := w.collect(); err != nil {
		t.Fatal(err)
	}
	w.pump()
	if why := w.round.Why(); !isAbort(why, StageVote, ReasonQuorum) {
		t.Fatal(why)
	}
	ask, err := w.round.AskClose()
	if err != nil {
		t.Fatal(err)
	}
	w.post(ask)
	w.pump()
	if len(w.aborts) > 0 {
		t.Fatal("two of four close an attempt")
	}
	for _, i := range []int{2, 3} { // both come back as new processes
		w.restart(i)
		w.reenter(i)
		for _, msg := range w.epoch.For(w.agents[i].id) { // 3 answers what 2 asked while 3 was away
			if out, err := w.agents[i].m.Handle(msg); err == nil {
				w.emit(i, out)
			}
		}
		w.pump()
	}
	for _, i := range []int{2, 3} {
		for _, msg := range w.round.For(w.agents[i].id) {
			out, err := w.agents[i].m.Handle(msg)
			if err != nil && err != ErrStale {
				t.Fatal(err)
			}
			w.emit(i, out)
		}
	}
	w.pump()
	if len(w.aborts) != 1 {
		t.Fatalf("no abort certificate: %v", w.errors())
	}
	// Whoever missed it gets the outcome before the next RoundStart, on the same model.
	next := in
	next.R = 2
	outcome := w.round.Outcome()
	w.begin(next)
	for i, a := range w.agents {
		if out, err := a.m.Handle(outcome); err == nil {
			w.emit(i, out)
		}
		if err := errors.Join(w.open(i, next), w.report(i, next)); err != nil {
			t.Fatal(err)
		}
	}
	w.pump()
	if err := w.collect(); err != nil {
		t.Fatal(err)
	}
	w.pump()
	w.check()
}

// TestSecondDropAfterCertificate: the attempt waits; a returning agent answers for
// the certified set, and the sum opens.
func TestSecondDropAfterCertificate(t *testing.T) {
	w := newWorld(t, 4).setup()
	in := w.inputs(1)
	w.begin(in)
	for i := range 3 {
		if err := errors.Join(w.open(i, in), w.report(i, in)); err != nil {
			t.Fatal(err)
		}
	}
	w.agents[3].dead = true
	w.pump()
	w.tamper = func(to int, msg []byte) []byte {
		if k, _ := Kind(msg); k == KindCertificate && to == 2 {
			w.agents[2].dead = true
		}
		return msg
	}
	if err := w.collect(); err != nil {
		t.Fatal(err)
	}
	w.pump()
	w.tamper = nil
	if w.done || len(w.certs) != 1 {
		t.Fatal("wrong point")
	}
	if why := w.round.Why(); !isAbort(why, StageShares, ReasonThreshold) {
		t.Fatal(why)
	}
	// Its process is new; all others must answer, so agent 3 is back too.
	w.agents[3].dead = false
	w.restart(2)
	w.reenter(2)
	out, err := w.agents[2].m.Open(w.round.Start(), in)
	if ev, ok := out.Event.(*Masked); err != nil || !ok || !ev.Again {
		t.Fatal(err)
	}
	for _, msg := range w.round.For(w.agents[2].id) {
		out, err := w.agents[2].m.Handle(msg)
		if err != nil {
			t.Fatal(err)
		}
		w.emit(2, out)
	}
	w.pump()
	if !w.done {
		t.Fatalf("not done: %v", w.errors())
	}
	w.check()
}
