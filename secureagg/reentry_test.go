package secureagg

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"tacit/id"
)

// TestRestartAtEveryStage kills one process of four at each named point of an
// attempt, restarts it from its journal in the same attempt, and checks that it
// comes back to the same epoch, answers with identical bytes or stays out, and that
// the sum is exact.
func TestRestartAtEveryStage(t *testing.T) {
	const x = 1 // the member that restarts
	for _, at := range []string{"before RoundStart", "opened", "reported", "voted", "certified", "released"} {
		t.Run(at, func(t *testing.T) {
			w := newWorld(t, 4).setup()
			w.fullRound(1)
			in := w.inputs(2)
			w.begin(in)
			a := w.agents[x]
			var reportBefore, voteBefore, sharesBefore []byte
			back := func() {
				t.Helper()
				w.restart(x)
				if _, err := a.m.Open(w.round.Start(), in); err != ErrOut {
					t.Fatalf("opens while out: %v", err)
				}
				w.reenter(x)
				if a.m.Out() {
					t.Fatalf("not readmitted: %v", w.errors())
				}
			}
			for i := range w.agents {
				if i == x && at == "before RoundStart" {
					continue
				}
				if err := w.open(i, in); err != nil {
					t.Fatal(err)
				}
			}
			if at == "before RoundStart" || at == "opened" {
				back()
				if err := w.open(x, in); err != nil {
					t.Fatal(err)
				}
				ev, _ := lastEvent[*Opened](a)
				if ev.MayReport {
					t.Fatal("may report freshly on an attempt that was open when it restarted")
				}
				if err := w.report(x, in); err != ErrMayNotReport {
					t.Fatalf("reports: %v", err)
				}
			}
			for i := range w.agents {
				if i == x && (at == "before RoundStart" || at == "opened") {
					continue
				}
				if err := w.report(i, in); err != nil {
					t.Fatal(err)
				}
			}
			reportBefore = a.journal[keyReport]
			if at == "reported" {
				w.queue = slices.DeleteFunc(w.queue, func(p packet) bool { return p.frm == x }) // it never left
				back()
				if err := w.open(x, in); err != nil {
					t.Fatal(err)
				}
				ev, ok := lastEvent[*Masked](a)
				if !ok || !ev.Again || !bytes.Equal(ev.Report, reportBefore) || VectorHash(ev.Vector) != hashBytes(a.journal[keyVector]) {
					t.Fatal("does not resend the identical bytes")
				}
			}
			w.pump()
			if at == "voted" {
				a.mute[KindVote] = true // killed between journal and socket
			}
			if at == "certified" {
				w.tamper = func(to int, msg []byte) []byte {
					if k, _ := Kind(msg); to == x && k == KindCertificate {
						return nil
					}
					return msg
				}
			}
			if at == "released" {
				a.mute[KindShares] = true
			}
			if err := w.collect(); err != nil {
				t.Fatal(err)
			}
			w.pump()
			a.mute, w.tamper = map[MessageKind]bool{}, nil
			if v := a.m.rd.vote; v != nil {
				voteBefore = v.msg
			}
			sharesBefore = a.journal[keyShares]
			if at == "voted" || at == "certified" || at == "released" {
				back()
				if err := w.open(x, in); err != nil {
					t.Fatal(err)
				}
				for _, msg := range w.round.For(a.id) {
					out, err := a.m.Handle(msg)
					if err != nil && err != ErrStale {
						t.Fatal(err)
					}
					for _, s := range out.Send {
						k, _ := Kind(s)
						if k == KindVote && voteBefore != nil && !bytes.Equal(s, voteBefore) || k == KindShares && sharesBefore != nil && !bytes.Equal(s, sharesBefore) {
							t.Fatalf("%s differs after the restart", k)
						}
					}
					w.emit(x, out)
				}
				w.pump()
			}
			if !w.done {
				t.Fatalf("not done: %v", w.errors())
			}
			w.check()
			if got := slices.Contains(w.round.Online(), a.id); got == (at == "before RoundStart" || at == "opened") {
				t.Fatalf("in the set: %v", got)
			}
			// The same epoch goes on with all four.
			for _, msg := range w.round.For(a.id) {
				out, _ := a.m.Handle(msg)
				w.emit(x, out)
			}
			w.pump()
			w.fullRound(3)
		})
	}
}

// TestRestartDuringSetup: before CK^0 is durable a restart ends the epoch; after it
// the member goes on.
func TestRestartDuringSetup(t *testing.T) {
	for _, at := range []MessageKind{KindRoster, KindCtDelivery, KindConfirmSet, KindReadySet} {
		t.Run("before "+at.String(), func(t *testing.T) {
			const x = 2
			w := newWorld(t, 4)
			killed := false
			w.tamper = func(to int, msg []byte) []byte {
				if k, _ := Kind(msg); to == x && k == at && !killed {
					killed = true
					w.agents[x].dead = true
				}
				return msg
			}
			w.propose(1, 1)
			w.pump()
			if !killed {
				t.Fatal("never got there")
			}
			w.restart(x)
			w.reenter(x)
			if at == KindRoster || at == KindCtDelivery {
				if len(w.rekeys) != 1 || w.rekeys[0] != "keys lost" || w.epoch.Phase() == StageLive {
					t.Fatalf("rekeys %v, phase %s", w.rekeys, w.epoch.Phase())
				}
				if why := w.epoch.Why(); why == nil || why.Culprit != w.agents[x].id {
					t.Fatalf("the epoch waits for the wrong agent: %v", why)
				}
				w.propose(2, 1)
				w.pump()
			} else {
				for _, msg := range w.epoch.For(w.agents[x].id) {
					out, err := w.agents[x].m.Handle(msg)
					if err != nil {
						t.Fatal(err)
					}
					w.emit(x, out)
				}
				w.pump()
			}
			if w.epoch.Phase() != StageLive {
				t.Fatalf("phase %s: %v", w.epoch.Phase(), w.errors())
			}
			w.fullRound(1)
		})
	}
}

// TestAllRestartAtOnce: members answer Floor while they are out themselves.
func TestAllRestartAtOnce(t *testing.T) {
	w := newWorld(t, 4).setup()
	w.fullRound(1)
	for i := range w.agents {
		w.restart(i)
	}
	for i := range w.agents {
		w.reenter(i)
	}
	for _, a := range w.agents {
		if a.m.Out() {
			t.Fatal("somebody stays out")
		}
	}
	w.fullRound(2)
	w.noErrors()
}

// TestAwayUntilTheEnd: an agent reports, stops before the online set and comes back
// when the attempt is over. Its vector counted; the certificate alone settles the
// attempt for it, and it takes part in the next one.
func TestAwayUntilTheEnd(t *testing.T) {
	w := newWorld(t, 4).setup()
	in := w.inputs(1)
	w.begin(in)
	for i := range w.agents {
		if err := errors.Join(w.open(i, in), w.report(i, in)); err != nil {
			t.Fatal(err)
		}
	}
	w.pump()
	w.agents[2].dead = true
	if err := w.collect(); err != nil {
		t.Fatal(err)
	}
	w.pump()
	w.check()
	w.restart(2)
	w.reenter(2)
	next := w.inputs(2)
	outcome := w.round.Outcome()
	w.begin(next)
	if err := w.open(2, next); err != ErrOutcome {
		t.Fatalf("opens without the outcome: %v", err)
	}
	out, err := w.agents[2].m.Handle(outcome)
	if err != nil || len(out.Send) > 0 {
		t.Fatal(err)
	}
	w.emit(2, out)
	w.restart(2) // the outcome is durable
	w.reenter(2)
	w.begin(next)
	if err := w.open(2, next); err != nil {
		t.Fatal(err)
	}
	w.fullRound(3)
}

func TestReentryNeedsTheOthers(t *testing.T) {
	w := newWorld(t, 4).setup()
	w.fullRound(1)
	w.restart(0)
	w.agents[3].dead = true // two of three others answer; n = 4 asks for three
	w.reenter(0)
	if !w.agents[0].m.Out() {
		t.Fatal("readmitted by too few")
	}
	if _, err := w.agents[0].m.Report(input(0, 1)); err != ErrOut {
		t.Fatal(err)
	}
	w.agents[3].dead = false
	w.reenter(0) // the same Reentry, asked again
	if w.agents[0].m.Out() {
		t.Fatal("not readmitted")
	}
	w.fullRound(2)
}

// TestRollback restores yesterday's journal: the others saw more than it knows.
func TestRollback(t *testing.T) {
	w := newWorld(t, 4).setup()
	w.fullRound(1)
	old := maps.Clone(w.agents[0].journal)
	w.fullRound(2)
	w.agents[0].journal = old
	w.restart(0)
	w.reenter(0)
	if !w.agents[0].m.Out() || len(w.rekeys) != 1 || w.rekeys[0] != "rollback" {
		t.Fatalf("a rolled-back journal is readmitted (rekeys %v)", w.rekeys)
	}
	w.reenter(0)
	if len(w.rekeys) != 2 || !w.agents[0].m.Out() {
		t.Fatal("does not insist")
	}
	w.propose(2, 3) // a new epoch heals it
	w.pump()
	w.fullRound(3)
}

func TestFloorsAreCounted(t *testing.T) {
	w := newWorld(t, 5).setup()
	w.fullRound(1)
	w.restart(0)
	m := w.agents[0].m
	out, err := m.Reenter()
	if err != nil {
		t.Fatal(err)
	}
	var floors [][]byte
	for _, a := range w.agents[1:] {
		o, err := a.m.Handle(out.Send[0])
		if err != nil {
			t.Fatal(err)
		}
		floors = append(floors, o.Send[0])
	}
	// Its own answer is none.
	own, _ := parseFloor(floors[0])
	own.From = w.agents[0].id
	own.Sig = w.agents[0].cfg.Key.Sign(id.LabelFloor, own.body())
	if _, err := m.Handle(own.encode()); err != ErrStale {
		t.Errorf("answers itself: %v", err)
	}
	for range 10 { // one answer counts once
		if _, err := m.Handle(floors[0]); err != nil {
			t.Fatal(err)
		}
	}
	if !m.Out() {
		t.Fatal("one member readmits alone")
	}
	for i, f := range floors {
		if m.Out() == (i >= w.epoch.Params().floors()) {
			t.Fatal("wrong number of floors: ", i)
		}
		if _, err := m.Handle(f); err != nil && !errors.Is(err, ErrStale) {
			t.Fatal(err)
		}
	}
}

// TestJournalDamage: no flipped byte of any record gives a member that is in.
func TestJournalDamage(t *testing.T) {
	w := newWorld(t, 4).setup()
	in := w.inputs(1)
	w.begin(in)
	for i := range w.agents {
		if err := errors.Join(w.open(i, in), w.report(i, in)); err != nil {
			t.Fatal(err)
		}
	}
	w.pump()
	w.agents[0].mute[KindVote] = true
	if err := w.collect(); err != nil {
		t.Fatal(err)
	}
	w.pump()
	a := w.agents[0]
	for key, value := range a.journal {
		for _, cut := range []int{0, 1, len(value) - 1, len(value) / 2} {
			j := maps.Clone(a.journal)
			j[key] = value[:cut]
			m, err := RestoreMember(a.cfg, func(k string) ([]byte, bool) { v, ok := j[k]; return v, ok })
			if err == nil && !m.Out() {
				t.Errorf("%s cut to %d bytes: the member is in", key, cut)
			}
		}
		j := maps.Clone(a.journal)
		delete(j, key)
		m, err := RestoreMember(a.cfg, func(k string) ([]byte, bool) { v, ok := j[k]; return v, ok })
		if err == nil && !m.Out() && key != keySeen {
			t.Errorf("%s lost: the member is in", key)
		}
	}
	if len(a.journal) < 9 {
		t.Fatalf("only %d records: %v", len(a.journal), slices.Collect(maps.Keys(a.journal)))
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	s := secret{0xaa, 0xbb}
	for _, f := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
		if got := fmt.Sprintf(f, s); got != redacted {
			t.Errorf("%s prints %q", f, got)
		}
	}
	c := chain{keys: []secret{s}}
	if got := fmt.Sprintf("%x %v", c, c); bytes.Contains([]byte(got), []byte("aabb")) {
		t.Errorf("a chain prints %q", got)
	}
	m := newWorld(t, 3).setup().agents[0].m
	if got := fmt.Sprintf("%x %+v", m, m); bytes.Contains([]byte(got), fmt.Appendf(nil, "%x", m.ep.chain.keys[1][:4])) || len(got) > 100 {
		t.Errorf("a member prints %q", got)
	}
}

func TestRatchetErases(t *testing.T) {
	w := newWorld(t, 3).setup()
	before := w.agents[0].m.ep.chain.keys[1]
	w.fullRound(1)
	m := w.agents[0].m
	if m.ep.chain.index != 1 || m.ep.chain.keys[1] == before {
		t.Fatal("the chain stands still after a release")
	}
	for key, v := range w.agents[0].journal {
		if bytes.Contains(v, before[:]) {
			t.Errorf("CK^0 is still in %s", key)
		}
	}
	if m.ep.dk != nil || m.ep.sent != nil || m.rd.vote != nil {
		t.Error("setup secrets or opened shares are kept")
	}
	// Skipping attempts ratchets as far as taking them.
	other := w.agents[1].m.ep.chain
	other.keys = slices.Clone(other.keys)
	other.advance(5)
	w.fullRound(6)
	if m.ep.chain.index != 6 {
		t.Fatal("index is not r − r_start")
	}
	other.advance(6)
	if m.ep.chain.keys[1] != other.keys[0] {
		t.Error("two ends of a pair are out of step")
	}
}
