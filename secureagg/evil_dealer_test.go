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
	t.Run("many complaints abort before R3", func(t *testing.T) {
		w := reported(t, 4, map[int]func(*report){2: garble(0, 1)})
		w.post(w.sets())
		w.pump()
		if len(w.certs) > 0 || len(w.serverE) == 0 {
			t.Fatalf("certificate in spite of complaints: %v", w.serverE)
		}
		w.wantAbort(w.serverE[0], StageVote, ReasonComplaints, 2)
		if a := w.serverE[0].(*Abort); a.Accuser.IsZero() {
			t.Error("no accuser")
		}
		// The attempt is closed and the next one goes on.
		out, err := w.round.AskClose()
		if err != nil {
			t.Fatal(err)
		}
		w.post(out)
		w.pump()
		if len(w.aborts) != 1 {
			t.Fatal("no abort certificate")
		}
	})
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
	t.Run("false complaint", func(t *testing.T) {
		w := reported(t, 4, nil)
		m := w.agents[1].m
		o := w.sets()[1].Msg
		out, err := m.Handle(o)
		if err != nil {
			t.Fatal(err)
		}
		v, _ := parseVote(out.Send[0])
		h, set := &m.rd.h, w.round
		key := blobKey(&m.ep.chain.keys[2], 2, 1, &h.Ctx, &set.parts[0].reports[2].report.Salt)
		v.Complaints = []complaint{m.complain(h, 2, &set.parts[0].reports[2].digest.Root, &key)}
		_, _, err = w.round.Vote(w.agents[1].id, v.encode())
		w.wantDrop(err, ReasonComplaints, 1)
		v.Complaints[0].Sig[0] ^= 1
		_, _, err = w.round.Vote(w.agents[1].id, v.encode())
		w.wantDrop(err, ReasonSignature, 1)
	})
	t.Run("seed unlike its commitment", func(t *testing.T) {
		w := reported(t, 4, map[int]func(*report){2: func(r *report) { r.Coms[2][0] ^= 1 }})
		cert := w.votes()
		w.post([]Outgoing{{Msg: cert}})
		w.pump()
		acc := slices.Repeat([]uint32{7}, testDim)
		w.wantAbort(w.round.Unmask(acc), StageUnmask, ReasonCommitment, 2)
		if !slices.Equal(acc, make([]uint32, testDim)) {
			t.Error("something is left to publish")
		}
	})
	t.Run("pair seed unlike its commitment, partner dropped", func(t *testing.T) {
		w := direct(t, 4)
		in := w.inputs(1)
		w.begin(in)
		for i := range 3 {
			if err := w.open(i, in); err != nil {
				t.Fatal(err)
			}
			if i != 2 {
				if err := w.report(i, in); err != nil {
					t.Fatal(err)
				}
				continue
			}
			m := w.agents[2].m
			y := input(2, 1)
			r, err := deal(m.c, 2, &m.rd.h, m.rd.all, m.ep.chain.keys, y, nil, seeded(t, "evil", 2))
			if err != nil {
				t.Fatal(err)
			}
			r.Coms[3][0] ^= 1
			r.Sig = w.agents[2].cfg.Key.Sign(id.LabelReport, r.digest().body(&m.rd.h, 2))
			w.vectors[w.agents[2].id] = y
			w.emit(2, Output{Send: [][]byte{r.encode()}})
		}
		w.pump()
		w.agents[3].dead = true
		if err := w.collect(); err != nil {
			t.Fatal(err)
		}
		w.pump()
		w.wantAbort(w.round.Unmask(make([]uint32, testDim)), StageUnmask, ReasonCommitment, 2)
	})
	t.Run("two commitments of one pair", func(t *testing.T) {
		w := reported(t, 4, map[int]func(*report){2: func(r *report) { r.Coms[3][0] ^= 1 }})
		_, _, err := w.round.CloseCollection()
		w.wantAbort(err, StageReport, ReasonPair, 2)
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

	// A world that certified: who released never closes, and the server does not ask.
	w2 := reported(t, 4, nil)
	w2.round.AskClose()
	request := (&closeRequest{header: w2.round.h, Start: w2.round.start}).encode()
	cert := w2.votes()
	closed := cloneMember(w2.agents[1].m)
	if _, err := closed.Handle(request); err != nil {
		t.Fatal(err)
	}
	if out, err := closed.Handle(cert); err != nil || len(out.Send) > 0 {
		t.Fatalf("releases after Close: %v", err)
	}
	if _, err := w2.agents[0].m.Handle(cert); err != nil {
		t.Fatal(err)
	}
	out, err = w2.agents[0].m.Handle(request)
	w2.wantAbort(err, StageClose, ReasonConflict, -1)
	if len(out.Send) > 0 {
		t.Fatal("closes after releasing")
	}
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
	_, err := m.Handle(sign(w.round.h, 2).encode())
	w.wantAbort(err, StageClose, ReasonQuorum, -1)
	bad := sign(w.round.h, 3)
	bad.Closes[0][1].Sig[0] ^= 1
	_, err = m.Handle(bad.encode())
	w.wantAbort(err, StageClose, ReasonSignature, -1)
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
