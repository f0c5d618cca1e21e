package secureagg

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"tacit/id"
)

// A dealer whose blobs do not open: complaints name it before anything is released.
func TestEvilDealer(t *testing.T) {
	garble := func(members ...int) func(*report) {
		return func(r *report) {
			for _, u := range members {
				r.Blobs[u][3] ^= 1
			}
		}
	}
	t.Run("one complaint does not deadlock", func(t *testing.T) {
		w := reported(t, 4, map[int]func(*report){2: garble(0)})
		w.post(w.sets())
		w.pump()
		if !w.done {
			t.Fatalf("not done: %v", w.errors())
		}
		w.check()
	})
	t.Run("non-canonical share", func(t *testing.T) {
		w := direct(t, 4)
		in := w.inputs(1)
		w.begin(in)
		for i := range w.agents {
			if err := w.open(i, in); err != nil {
				t.Fatal(err)
			}
		}
		h := &w.agents[0].m.rd.h
		plain := make([]byte, 32+4*elementSize, blobSize(4))
		for i := range plain {
			plain[i] = 0xff
		}
		leaf := &reportLeaf{Shares: merkleRoot(shareLeaves(0, plain[:32], plain[32:]))}
		k := secret{1}
		if openBlob(h, 1, 0, 4, &k, leaf, blobAEAD(&k).Seal(nil, zeroNonce[:], plain, blobAD(h, 1, 0))) != nil {
			t.Error("a share above p is accepted")
		}
		clear(plain)
		blob := blobAEAD(&k).Seal(nil, zeroNonce[:], plain, blobAD(h, 1, 0))
		if openBlob(h, 1, 0, 4, &k, leaf, blob) != nil {
			t.Error("shares that are not the committed ones are accepted")
		}
		leaf.Shares = merkleRoot(shareLeaves(0, plain[:32], plain[32:]))
		if openBlob(h, 1, 0, 4, &k, leaf, blob) == nil || openBlob(h, 2, 0, 4, &k, leaf, blob) != nil || openBlob(h, 1, 3, 4, &k, leaf, blob) != nil {
			t.Error("a blob opens for other names, or not at all")
		}
	})
}

// A responder that releases a wrong share is named, and the others suffice.
func TestEvilResponder(t *testing.T) {
	w := reported(t, 4, nil)
	cert := w.votes()
	for i, a := range w.agents {
		out, err := a.m.Handle(cert)
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			s, _ := parseShares(bytes.Clone(out.Send[0]))
			e := smallElement(9)
			putElement(s.Released[2].Shares[0], &e)
			_, err := w.round.Shares(a.id, s.encode())
			w.wantDrop(err, ReasonSignature, 1)
			s.Sig = a.cfg.Key.Sign(id.LabelRelease, s.body())
			_, err = w.round.Shares(a.id, s.encode())
			w.wantDrop(err, ReasonShare, 1)
			_, err = w.round.Shares(w.agents[3].id, out.Send[0])
			w.wantDrop(err, ReasonMismatch, 3)
			continue
		}
		if _, err := w.round.Shares(a.id, out.Send[0]); err != nil {
			t.Fatal(err)
		}
		again, err := a.m.Handle(cert)
		if err != nil || !bytes.Equal(again.Send[0], out.Send[0]) {
			t.Fatal("a second release differs")
		}
	}
	w.check()
}

// No Shares message has a place for a dealer outside the set: its self seed stays
// closed whoever asks.
func TestEvilSharesOfAbsentDealer(t *testing.T) {
	w := direct(t, 4)
	in := w.inputs(1)
	w.begin(in)
	for i := range 4 {
		if err := errors.Join(w.open(i, in), w.report(i, in)); err != nil {
			t.Fatal(err)
		}
	}
	w.pump()
	s := &shares{header: w.round.h, N: 4, Online: bitmap{0x07}, Dealers: bitmap{0x0f}, Sig: make([]byte, id.SignatureSize)}
	for j := range 4 {
		want := secretsOf(j, 4, &s.Online, new(bitmap))
		d := releasedD{Slots: 4, Want: *want, Proof: make([]digest, proofSize(4, want))}
		for range want.count() {
			d.Shares, d.Salts = append(d.Shares, make([]byte, elementSize)), append(d.Salts, digest{})
		}
		s.Released = append(s.Released, d)
	}
	if _, ok := parseShares(s.encode()); ok {
		t.Fatal("shares of a dealer outside the set are a message")
	}
	s.Dealers, s.Released = bitmap{0x07}, s.Released[:3]
	if _, ok := parseShares(s.encode()); !ok {
		t.Fatal("the same without it is none")
	}
}

// Close: exclusive with releasing, and final.
func TestEvilClose(t *testing.T) {
	w := reported(t, 4, nil)
	sets := w.sets()
	ask, err := w.round.AskClose()
	if err != nil {
		t.Fatal(err)
	}
	// Member 0 votes, closes, and then never releases.
	m := w.agents[0].m
	if _, err := m.Handle(sets[0].Msg); err != nil {
		t.Fatal(err)
	}
	out, err := m.Handle(ask[0].Msg)
	if err != nil || !slices.Equal(kindsOf(out), []MessageKind{KindClose}) {
		t.Fatal(err)
	}
	w.agents[0].persist(out)
	again, err := m.Handle(ask[0].Msg)
	if err != nil || !bytes.Equal(again.Send[0], out.Send[0]) {
		t.Fatal("a second Close differs")
	}
	_, err = m.Handle(sets[0].Msg)
	w.wantAbort(err, StageVote, ReasonClosed, -1)
	// Member 1 closes before it votes, and its restarted process remembers.
	out, err = w.agents[1].m.Handle(ask[0].Msg)
	if err != nil {
		t.Fatal(err)
	}
	w.agents[1].persist(out)
	w.restart(1)
	w.reenter(1)
	_, err = w.agents[1].m.Handle(sets[1].Msg)
	w.wantAbort(err, StageVote, ReasonClosed, -1)
	if err := w.report(1, w.inputs(1)); err != ErrMayNotReport {
		t.Fatalf("reports after Close: %v", err)
	}

	// The server does not ask where it has certified.
	w2 := reported(t, 4, nil)
	w2.votes()
	if _, err := w2.round.AskClose(); err == nil {
		t.Fatal("the server gives up a certified attempt")
	}
}

// Abort certificates need a quorum of good Closes for this very attempt.
func TestEvilAbortCertificates(t *testing.T) {
	w := reported(t, 4, nil)
	sign := func(h header, n int) *abortCert {
		c := &abortCert{header: h, Ns: []int{4}, Closes: make([][]memberSig, 1)}
		for i := range n {
			c.Closes[0] = append(c.Closes[0], memberSig{i, w.agents[i].cfg.Key.Sign(id.LabelClose, closeBody(&h, i))})
		}
		return c
	}
	m := w.agents[3].m
	bad := sign(w.round.h, 3)
	bad.Closes[0][1].Sig[0] ^= 1
	other := w.round.h
	other.Ctx[0] ^= 1
	if _, err := m.Handle(sign(other, 4).encode()); err != ErrStale {
		t.Fatal(err)
	}
	out, err := m.Handle(sign(w.round.h, 3).encode())
	if _, ok := out.Event.(*Aborted); err != nil || !ok {
		t.Fatal(err)
	}
	roster, charter := w.f.roster.AppendBinary(nil), w.f.charter.AppendBinary(nil)
	if f, err := VerifyAbort(sign(w.round.h, 3).encode(), roster, charter); err != nil || len(f.Signers) != 3 {
		t.Fatal(err)
	}
	if _, err := VerifyAbort(bad.encode(), roster, charter); err == nil {
		t.Fatal("a forged Close verifies")
	}
}
