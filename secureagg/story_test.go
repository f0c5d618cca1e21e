package secureagg

import (
	"bytes"
	"testing"
)

// TestStory tells the protocol from the first proposal to a sum, with one hospital
// that stops before its report, comes back, and takes part in the next attempt.
func TestStory(t *testing.T) {
	w := newWorld(t, 4)

	// The server proposes an epoch; the agents exchange keys until a quorum is Ready.
	w.setup()
	w.noErrors()
	for _, a := range w.agents {
		if ev, ok := lastEvent[*Ready](a); !ok || ev.Params.Quorum != 3 {
			t.Fatal("an agent did not see the epoch open")
		}
	}

	// Attempt 1: everybody reports, votes and releases.
	w.fullRound(1)
	w.noErrors()

	// Attempt 2: agent 3's process dies between RoundStart and Report.
	in := w.inputs(2)
	w.begin(in)
	for i := range w.agents {
		if err := w.open(i, in); err != nil {
			t.Fatal(err)
		}
	}
	w.agents[3].dead = true
	for i := range 3 {
		if err := w.report(i, in); err != nil {
			t.Fatal(err)
		}
	}
	w.pump()
	if err := w.collect(); err != nil {
		t.Fatal(err)
	}
	w.pump()
	if !w.done {
		t.Fatalf("three of four are enough: %v", w.errors())
	}
	w.check() // its pair seeds came from the others' shares

	// It comes back, asks the others what they saw of it, and is readmitted.
	w.restart(3)
	if !w.agents[3].m.Out() {
		t.Fatal("a restarted process must stay out")
	}
	w.reenter(3)
	if _, ok := lastEvent[*Readmitted](w.agents[3]); !ok || w.agents[3].m.Out() {
		t.Fatal("not readmitted")
	}

	// Attempt 3: all four, in the same epoch.
	w.fullRound(3)
	w.noErrors()

	// Anybody can check the certificate with the charter and the roster.
	cert := w.certs[0]
	roster, charter := w.f.roster.AppendBinary(nil), w.f.charter.AppendBinary(nil)
	f, err := VerifyCertificate(cert, roster, charter)
	if err != nil || f.R != 3 || len(f.Online) != 4 || len(f.Signers) < 3 {
		t.Fatalf("certificate: %v, %+v", err, f)
	}
	bad := bytes.Clone(cert)
	bad[len(bad)-1] ^= 1
	if _, err := VerifyCertificate(bad, roster, charter); err == nil {
		t.Fatal("a damaged certificate verifies")
	}
}
