package secureagg

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"tacit/id"
)

// wantAbort checks a typed abort and its culprit (−1: nobody among the agents).
func (w *world) wantAbort(err error, stage Stage, why Reason, culprit int) {
	w.t.Helper()
	var a *Abort
	if !errors.As(err, &a) || a.Stage != stage || a.Reason != why {
		w.t.Fatalf("got %v, want an abort at %s: %s", err, stage, why)
	}
	var want id.AgentID
	if culprit >= 0 {
		want = w.agents[culprit].id
	}
	if a.Culprit != want {
		w.t.Fatalf("%v blames %s, want %s", err, a.Culprit.Short(), want.Short())
	}
}

// proves checks that an abort carries evidence of a fault (−1: of the server).
func (w *world) proves(err error, kind FaultKind, culprit int) {
	w.t.Helper()
	var a *Abort
	if !errors.As(err, &a) {
		w.t.Fatal(err)
	}
	want := Fault{Kind: kind, Epoch: a.Epoch, R: a.R}
	if culprit >= 0 {
		want.Culprit = w.agents[culprit].id
	}
	got, err := faults(w.epoch.f, a.Evidence)
	if err != nil || !slices.Contains(got, want) {
		w.t.Fatalf("%d messages prove %v, %v, want %v", len(a.Evidence), got, err, want)
	}
}

func (w *world) wantDrop(err error, why Reason, agent int) {
	w.t.Helper()
	var d *Drop
	if !errors.As(err, &d) || d.Reason != why || d.Agent != w.agents[agent].id {
		w.t.Fatalf("got %v, want a drop of agent %d: %s", err, agent, why)
	}
}

// reported returns a world with attempt 1 open and all reports in, but for those
// that evil replaces: a report of that agent, changed before it is signed.
func reported(t *testing.T, n int, evil map[int]func(*report)) *world {
	t.Helper()
	w := direct(t, n)
	in := w.inputs(1)
	w.begin(in)
	for i, a := range w.agents {
		if err := w.open(i, in); err != nil {
			t.Fatal(err)
		}
		change := evil[i]
		if change == nil {
			if err := w.report(i, in); err != nil {
				t.Fatal(err)
			}
			continue
		}
		y := input(i, 1)
		r, err := deal(a.m.c, i, &a.m.rd.h, a.m.rd.all, a.m.ep.chain.keys, y, nil, seeded(t, "evil", i))
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		r.Sig = a.cfg.Key.Sign(id.LabelReport, r.digest().body(&a.m.rd.h, i))
		w.vectors[a.id] = y
		w.emit(i, Output{Send: [][]byte{r.encode()}})
	}
	w.pump()
	w.noErrors()
	return w
}

func (w *world) sets() []Outgoing {
	w.t.Helper()
	_, out, err := w.round.CloseCollection()
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// votes lets every member vote and returns the certificate.
func (w *world) votes() []byte {
	w.t.Helper()
	for i, o := range w.sets() {
		out, err := w.agents[i].m.Handle(o.Msg)
		if err != nil {
			w.t.Fatal(err)
		}
		w.emit(i, out)
	}
	tamper := w.tamper
	w.tamper = func(int, []byte) []byte { return nil }
	w.pump()
	w.tamper = tamper
	if len(w.certs) != 1 {
		w.t.Fatalf("no certificate: %v", w.errors())
	}
	return w.certs[0]
}

// A coordinator that shows a member two online sets gets one vote, and the same bytes
// for the same set, also where the member restarts in between. What it may try beyond
// that, package evil does.
func TestEvilTwoOnlineSetsAcrossRestart(t *testing.T) {
	w := reported(t, 5, nil)
	first := w.sets()[0].Msg
	out, err := w.agents[0].m.Handle(first)
	if err != nil {
		t.Fatal(err)
	}
	w.agents[0].persist(out)
	again, err := w.agents[0].m.Handle(first)
	if err != nil || !bytes.Equal(again.Send[0], out.Send[0]) || len(again.Journal) > 0 {
		t.Fatal("the same set does not get the same bytes")
	}
	w.restart(0)
	w.reenter(0)
	o, _ := parseOnlineSet(first)
	o.Online[0] &^= 1 << 4
	o.Dealt = o.Dealt[:4]
	_, err = w.agents[0].m.Handle(o.encode())
	w.wantAbort(err, StageVote, ReasonSecond, -1)
	again, err = w.agents[0].m.Handle(first)
	if err != nil || !bytes.Equal(again.Send[0], out.Send[0]) {
		t.Fatal("the same set does not get the same bytes after a restart")
	}
}

func TestEvilOnlineSets(t *testing.T) {
	w := reported(t, 5, nil)
	good := w.sets()[0].Msg
	for _, c := range []struct {
		name    string
		change  func(*onlineSet)
		why     Reason
		culprit int
	}{
		{"another member's blob", func(o *onlineSet) { o.Dealt[1].Blob = o.Dealt[2].Blob }, ReasonMismatch, -1},
		{"wrong key commitment", func(o *onlineSet) { o.Dealt[1].Leaf.KeyHash[0] ^= 1 }, ReasonMismatch, -1},
		{"wrong path", func(o *onlineSet) { o.Dealt[1].Path[0][0] ^= 1 }, ReasonMismatch, -1},
		{"another context", func(o *onlineSet) { o.Ctx[0] ^= 1 }, ReasonMismatch, -1},
		{"for another member", func(o *onlineSet) { o.To = 1 }, ReasonMismatch, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			m := cloneMember(w.agents[0].m)
			o, ok := parseOnlineSet(bytes.Clone(good))
			if !ok {
				t.Fatal("unreadable set")
			}
			c.change(o)
			if c.name == "for another member" {
				// Paths differ in length between members only in odd cohorts; 0 and 1 agree.
				o.To = 1
			}
			out, err := m.Handle(o.encode())
			w.wantAbort(err, StageVote, c.why, c.culprit)
			if len(out.Send)+len(out.Journal) > 0 || m.rd.vote != nil {
				t.Fatal("voted all the same")
			}
			if _, err := m.Handle(good); err != nil {
				t.Fatalf("the good set is refused afterwards: %v", err)
			}
		})
	}
}

// Certificates: only a quorum for the very set that the member checked opens it.
func TestEvilCertificates(t *testing.T) {
	w := reported(t, 5, nil)
	cert := w.votes()
	// All five keys are ours, so even a fully signed certificate of another set exists.
	forge := func(change func(*certificate), signers int) []byte {
		c, _ := parseCertificate(cert)
		change(c)
		c.Votes = nil
		set := setHash(&c.Online, c.N)
		for i := range signers {
			c.Votes = append(c.Votes, memberSig{i, w.agents[i].cfg.Key.Sign(id.LabelVote, voteBody(&c.header, i, &set, &c.Digests))})
		}
		return c.encode()
	}
	for _, c := range []struct {
		name string
		msg  []byte
		why  Reason
		who  int
	}{
		{"other reports, signed by all", forge(func(c *certificate) { c.Digests[0] ^= 1 }, 5), ReasonConflict, -1},
		{"below the minimum", forge(func(c *certificate) { c.Online[0] = 0x07 }, 5), ReasonBelowMinimum, -1},
		{"other context", forge(func(c *certificate) { c.Ctx[0] ^= 1 }, 5), ReasonMismatch, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			m := cloneMember(w.agents[0].m)
			out, err := m.Handle(c.msg)
			w.wantAbort(err, StageCertificate, c.why, c.who)
			if len(out.Send) > 0 {
				t.Fatal("released")
			}
		})
	}
	// Without R2 there is no release either, only the knowledge of how it ended.
	m := cloneMember(w.agents[0].m)
	m.rd.vote = nil
	out, err := m.Handle(cert)
	if ev, ok := out.Event.(*Certified); err != nil || !ok || ev.Released || len(out.Send) > 0 || m.last.outcome != outcomeCertified {
		t.Fatalf("released without a vote: %v", err)
	}
	sets := w.sets()
	if out, err = m.Handle(sets[0].Msg); err != nil || !slices.Equal(kindsOf(out), []MessageKind{KindVote}) {
		t.Fatalf("no late vote: %v", err)
	}
	if out, err = m.Handle(cert); err != nil || !slices.Equal(kindsOf(out), []MessageKind{KindShares}) {
		t.Fatalf("no release after the late vote: %v", err)
	}
}

// RoundStart: an agent names what differs from what it holds, and takes one of an attempt.
func TestEvilRoundStart(t *testing.T) {
	w := direct(t, 4)
	in := w.inputs(3)
	w.begin(in)
	m := w.agents[0].m
	swapped := in
	swapped.Model[0] ^= 1
	for name, own := range map[string]func(*RoundInputs){
		"run": func(i *RoundInputs) { i.Run[0] ^= 1 }, "plan": func(i *RoundInputs) { i.Plan[0] ^= 1 },
		"attempt": func(i *RoundInputs) { i.R++ }, "round": func(i *RoundInputs) { i.Round++ }, "task": func(i *RoundInputs) { i.Task++ },
		"model": func(i *RoundInputs) { i.Model[0] ^= 1 }, "configuration": func(i *RoundInputs) { i.Config[0] ^= 1 },
		"charter": func(i *RoundInputs) { i.Charter[0] ^= 1 }, "dimension": func(i *RoundInputs) { i.Dim++ },
	} {
		mine := in
		own(&mine)
		_, err := m.Open(w.round.Start(), mine)
		if w.wantAbort(err, StageRoundStart, ReasonMismatch, -1); !bytes.Contains([]byte(err.Error()), []byte(name)) {
			t.Errorf("%v does not name the %s", err, name)
		}
	}

	evil, err := w.epoch.NewRound(swapped)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.open(1, in); err != nil {
		t.Fatal(err)
	}

	// The same attempt again with another model, then an earlier attempt.
	_, err = w.agents[1].m.Open(evil.Start(), swapped)
	w.wantAbort(err, StageRoundStart, ReasonSecond, -1)
	w.proves(err, FaultTwoStarts, -1)
	early, err := w.epoch.NewRound(w.inputs(2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.agents[1].m.Open(early.Start(), w.inputs(2)); err != ErrStale {
		t.Fatalf("a replayed attempt: %v", err)
	}
	// Beyond the charter's attempts per epoch, whatever the server thinks of them.
	far := w.inputs(257)
	if _, err := w.epoch.NewRound(far); err == nil {
		t.Fatal("attempt 257 of 256")
	}
}

// How often a model was reported on outlives the process, and is counted by task.
func TestSameModelAgain(t *testing.T) {
	w := direct(t, 4)
	same := w.inputs(1)
	attempt := func(r uint64) error {
		in := same
		in.R, in.Round = r, 1
		w.begin(in)
		for i := range w.agents {
			if err := w.open(i, in); err != nil {
				return err
			}
		}
		for i := range w.agents {
			out, err := w.agents[i].m.Report(input(i, r))
			if err != nil {
				return err
			}
			w.agents[i].persist(out)
			w.vectors[w.agents[i].id] = out.Event.(*Masked).Vector
			w.emit(i, Output{Send: out.Send})
		}
		w.pump()
		return nil
	}
	giveUp := func() {
		out, err := w.round.AskClose()
		if err != nil {
			t.Fatal(err)
		}
		w.post(out)
		w.pump()
		if len(w.aborts) != 1 {
			t.Fatalf("no abort certificate: %v", w.errors())
		}
	}
	for r := uint64(1); r <= maxAttempts; r++ {
		if err := attempt(r); err != nil {
			t.Fatalf("attempt %d: %v", r, err)
		}
		giveUp()
	}
	w.restart(0)
	w.reenter(0)
	if err := attempt(5); err != ErrConsumed {
		t.Fatalf("a fifth attempt after a restart: %v", err)
	}
	w = direct(t, 4)
	w.fullRound(1)
	again := w.inputs(1)
	// Another task on the same model is another matter.
	again.Task, again.R = 2, 3
	w.begin(again)
	if err := w.open(0, again); err != nil {
		t.Fatal(err)
	}
}

// That a round was released outlives the process, and is counted by plan.
func TestSameRoundAgain(t *testing.T) {
	w := direct(t, 4)
	w.fullRound(1)
	again := w.inputs(1)
	again.R, again.Model[9] = 2, 1
	w.begin(again)
	w.restart(0)
	w.reenter(0)
	w.pump()
	if err := w.open(0, again); err != ErrConsumed {
		t.Fatalf("after a restart: %v", err)
	}
	again.Plan[0]++
	w.begin(again)
	if err := w.open(1, again); err != nil {
		t.Fatalf("the round of another plan: %v", err)
	}
}

// Two runs of one plan, whose members share the journal's records of what was
// trained, give one report between them, in whatever order they open and report.
func TestEvilTwoRuns(t *testing.T) {
	w, other := direct(t, 4), direct(t, 4)
	for i, a := range other.agents {
		first := w.agents[i]
		a.m.get = func(key string) ([]byte, bool) {
			if strings.HasPrefix(key, "trained/") {
				return first.get(key)
			}
			return a.get(key)
		}
	}
	for i, x := range []*world{w, other} {
		in := x.inputs(1)
		x.begin(in)
		if err := x.open(i, in); err != nil { // agent 0 in the first run, agent 1 in the second
			t.Fatal(err)
		}
	}
	if err := errors.Join(other.open(0, other.inputs(1)), w.report(0, w.inputs(1))); err != nil {
		t.Fatal(err)
	}
	if err := other.report(0, other.inputs(1)); err != ErrConsumed {
		t.Fatalf("open in both runs, reported in one: %v", err)
	}
	if err := errors.Join(w.open(1, w.inputs(1)), w.report(1, w.inputs(1))); err != nil {
		t.Fatal(err)
	}
	other.agents[1].m.rd = nil
	if err := other.open(1, other.inputs(1)); err != ErrConsumed {
		t.Fatalf("opened after the other run's report: %v", err)
	}
}

func TestEvilReports(t *testing.T) {
	w := direct(t, 4)
	in := w.inputs(1)
	w.begin(in)
	for i := range w.agents {
		if err := w.open(i, in); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.report(0, in); err != nil {
		t.Fatal(err)
	}
	if err := w.report(0, in); err != ErrMayNotReport {
		t.Fatalf("a second report: %v", err)
	}
	out, err := w.agents[1].m.Report(make([]uint32, 5))
	if err == nil || len(out.Send) > 0 {
		t.Fatal("a vector of another size")
	}
	good := w.queue[0].msg
	a := w.agents[0]
	v := VectorHash(w.vectors[a.id])
	w.wantDrop(w.round.AcceptReport(a.id, good[:len(good)-1], v), ReasonMalformed, 0)
	w.wantDrop(w.round.AcceptReport(a.id, good, digest{}), ReasonMismatch, 0)
	w.wantDrop(w.round.AcceptReport(w.agents[1].id, good, v), ReasonMismatch, 1)
	bad := bytes.Clone(good)
	bad[len(bad)-1] ^= 1
	w.wantDrop(w.round.AcceptReport(a.id, bad, v), ReasonSignature, 0)
	for _, at := range []int{headerSize + 10, headerSize + 70, headerSize + 300, len(good) - 100} { // salt, commitments, blobs
		bad = bytes.Clone(good)
		bad[at] ^= 1
		w.wantDrop(w.round.AcceptReport(a.id, bad, v), ReasonSignature, 0)
	}
	if err := w.round.AcceptReport(id.AgentID{1}, good, v); err == nil {
		t.Fatal("a stranger's report")
	}
	if err := errors.Join(w.round.AcceptReport(a.id, good, v), w.round.AcceptReport(a.id, good, v)); err != nil {
		t.Fatal(err)
	}
	w.wantDrop(w.round.AcceptReport(a.id, bad, v), ReasonSecond, 0)
	if _, _, err := w.round.CloseCollection(); !isAbort(err, StageReport, ReasonBelowMinimum) {
		t.Fatal(err)
	}
}
