package secureagg

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"tacit/id"
)

// TestHonestTrafficProvesNothing: everything that the honest ever send, through retries,
// restarts and new epochs, convicts nobody.
func TestHonestTrafficProvesNothing(t *testing.T) {
	one := newWorld(t, 4).setup()
	one.fullRound(1)
	in := one.inputs(2)
	one.begin(in)
	for i := range one.agents {
		if err := errors.Join(one.open(i, in), one.report(i, in)); err != nil {
			t.Fatal(err)
		}
	}
	one.heard = append(one.heard, one.round.Start())
	one.pump()
	for i, o := range one.sets() { // votes, and then Closes
		out, err := one.agents[i].m.Handle(o.Msg)
		if err != nil {
			t.Fatal(err)
		}
		one.agents[i].persist(out)
		one.heard = append(one.heard, o.Msg, out.Send[0])
	}
	ask, err := one.round.AskClose()
	if err != nil {
		t.Fatal(err)
	}
	one.post(ask)
	one.pump()
	one.restart(0)
	one.reenter(0)
	again := one.inputs(2)
	again.R = 3
	one.begin(again)
	for i := range one.agents {
		if err := errors.Join(one.open(i, again), one.report(i, again)); err != nil {
			t.Fatal(err)
		}
	}
	one.heard = append(one.heard, one.round.Start())
	one.pump()
	if err := one.collect(); err != nil {
		t.Fatal(err)
	}
	one.pump()
	one.check()
	one.propose(2, 300) // beyond the attempts of epoch 1
	one.pump()
	one.fullRound(300)
	one.heard = append(one.heard, one.round.Start())

	several := split(t, 20, 5)
	lost := several.epoch.layout.cohorts[1].members[2]
	if !several.runAttempt(1, func(i int) bool { return i != lost }, everyone, everyone) {
		t.Fatal("no sum")
	}
	for name, w := range map[string]*world{"one cohort": one, "several": several} {
		w.noErrors()
		got, err := faults(w.epoch.f, w.heard)
		if err != nil || len(got) > 0 || len(w.heard) < 80 {
			t.Errorf("%s: %d messages prove %v, %v", name, len(w.heard), got, err)
		}
	}
}

// TestFaultsInCohorts: with several cohorts a wrong share is proved by a manifest, which
// says who is in which cohort, the OnlineSet and the Shares, and not without the manifest.
func TestFaultsInCohorts(t *testing.T) {
	w := split(t, 20, 5)
	c := w.epoch.layout.cohorts[2]
	liar := c.members[1]
	var set, lie []byte
	if !w.runAttempt(1, everyone, everyone, func(i int) bool { return i != liar }) {
		t.Fatal("no sum")
	}
	for _, m := range w.round.For(w.agents[liar].id) {
		if k, _ := Kind(m); k == KindOnlineSet {
			set = m
		}
	}
	s, ok := parseShares(bytes.Clone(w.agents[liar].m.rd.shares))
	if !ok {
		t.Fatal("no shares")
	}
	e := smallElement(9)
	putElement(s.Released[2].Shares[0], &e)
	s.Sig = w.agents[liar].cfg.Key.Sign(id.LabelRelease, s.body())
	lie = s.encode()
	want := []Fault{{Kind: FaultWrongShare, Epoch: 1, R: 1, Culprit: w.agents[liar].id}}
	got, err := faults(w.epoch.f, [][]byte{set, lie, w.round.Certificate()})
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %v, %v, want %v", got, err, want)
	}
	if got, err := faults(w.epoch.f, [][]byte{set, lie}); err != nil || len(got) > 0 {
		t.Fatalf("without a manifest: %v, %v", got, err)
	}
	_, err = w.round.Shares(w.agents[liar].id, lie)
	var d *Drop
	if !errors.As(err, &d) || d.Reason != ReasonShare {
		t.Fatalf("the server says %v", err)
	}
	if got, _ := faults(w.epoch.f, append(d.Evidence, w.round.Certificate())); !slices.Equal(got, want) {
		t.Fatalf("the refusal proves %v", got)
	}
	// A signature that does not verify proves nothing of whom it names.
	lie[len(lie)-1] ^= 1
	if got, err := faults(w.epoch.f, [][]byte{set, lie, w.round.Certificate()}); err != nil || len(got) > 0 {
		t.Fatalf("unsigned: %v, %v", got, err)
	}
}
