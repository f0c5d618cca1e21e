package secureagg

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
)

// certificate is R3: at least Q members vote for one set and one list of digests in
// one context. Two certificates of one attempt need more than f double votes.
type certificate struct {
	header
	N       int
	Online  bitmap
	Digests digest
	Votes   []memberSig // ascending
}

func (c *certificate) encode() []byte {
	b := newBuilder(headerSize + 128 + len(c.Votes)*(1+id.SignatureSize))
	c.add(b, KindCertificate)
	b.AddUint8(uint8(c.N))
	addBitmap(b, &c.Online, c.N)
	b.AddBytes(c.Digests[:])
	addSigs(b, c.Votes)
	return b.BytesOrPanic()
}

func parseCertificate(b []byte) (*certificate, bool) {
	s := cryptobyte.String(b)
	c := new(certificate)
	if !c.read(&s, KindCertificate, true) || !readCount(&s, &c.N) || !readBitmap(&s, &c.Online, c.N) ||
		!readDigest(&s, &c.Digests) || !readSigs(&s, &c.Votes, c.N) || !s.Empty() {
		return nil, false
	}
	return c, true
}

// verify checks the set's size and every vote.
func (c *certificate) verify(co *cohort) error {
	refuse := func(why Reason, culprit int) error {
		a := &Abort{Stage: StageCertificate, Reason: why, Epoch: c.Epoch, R: c.R}
		if culprit >= 0 {
			a.Culprit = co.ids[culprit]
		}
		return a
	}
	switch {
	case c.N != co.params.N:
		return refuse(ReasonMismatch, -1)
	case c.Online.count() < co.params.MinRelease:
		return refuse(ReasonBelowMinimum, -1)
	case len(c.Votes) < co.params.Quorum:
		return refuse(ReasonQuorum, -1)
	}
	set := setHash(&c.Online, c.N)
	for i := range c.Votes {
		v := &c.Votes[i]
		if co.keys[v.Member].Verify(id.LabelVote, voteBody(&c.header, v.Member, &set, &c.Digests), v.Sig) != nil {
			return refuse(ReasonSignature, v.Member)
		}
	}
	return nil
}

// handleCertificate releases this member's shares, once, for exactly the set that
// it voted on. A certificate of the last reported attempt settles its outcome.
func (m *Member) handleCertificate(c *certificate, raw []byte) (Output, error) {
	rd := m.rd
	current := rd != nil && rd.h == c.header
	if !current {
		if rd != nil && rd.h.Epoch == c.Epoch && rd.h.R == c.R {
			return Output{}, &Abort{Stage: StageCertificate, Reason: ReasonMismatch, Epoch: c.Epoch, R: c.R, Detail: "the certificate is of another context"}
		}
		return m.settle(&c.header, outcomeCertified, func() error { return c.verify(m.c) })
	}
	if rd.shares != nil {
		return Output{Send: [][]byte{rd.shares}}, nil
	}
	if err := c.verify(m.c); err != nil {
		return Output{}, err
	}
	if rd.over {
		return Output{}, &Abort{Stage: StageCertificate, Reason: ReasonConflict, Epoch: c.Epoch, R: c.R, Detail: "certified and aborted"}
	}
	ev := &Certified{R: c.R, Ctx: c.Ctx, Online: m.agents(&c.Online), Certificate: bytes.Clone(raw)}
	var out Output
	out.Event = ev
	if rd.close != nil { // never release after Close
		m.settleLast(&out, &c.header, outcomeCertified)
		return out, nil
	}
	v := rd.vote
	if v == nil {
		// The online set never came, so there is nothing to release; but how the
		// attempt ended is known now. Should it still wait for this member's shares,
		// the server sends the set and then the certificate again.
		m.settleLast(&out, &c.header, outcomeCertified)
		return out, nil
	}
	if v.online != c.Online || v.digests != c.Digests {
		return Output{}, &Abort{Stage: StageCertificate, Reason: ReasonConflict, Epoch: c.Epoch, R: c.R, Detail: "another set than this member voted on is certified"}
	}
	rd.shares = m.release(c).encode()
	ev.Released = true
	for i := range c.Votes {
		m.see(c.Votes[i].Member, c.R, roleVote)
	}
	m.sign(&out, roleRelease)
	m.settleLast(&out, &c.header, outcomeCertified)
	v.erase()
	rd.vote = nil
	m.ep.chain.advance(c.R - m.ep.start + 1) // nothing of this attempt needs CK^r any more
	out.put(keyMarks, m.marksRecord())
	out.put(keyShares, rd.shares)
	out.remove(keyVote)
	out.put(keyChain, m.chainRecord())
	out.Send = [][]byte{rd.shares}
	return out, nil
}

// CertificateFacts is what a certificate, or an abort certificate, proves.
type CertificateFacts struct {
	Run     id.RunID
	Epoch   uint64
	R       uint64
	Ctx     id.Ctx
	Online  []id.AgentID // empty for an abort certificate
	Digests [32]byte     // H(digests) of the reports
	Signers []id.AgentID
	Params  Params
}

// VerifyCertificate checks a certificate offline, from bytes alone: the charter's
// and the roster's own signatures, the cohort's numbers, the set's size and every
// vote. The caller must know the charter's hash from elsewhere.
func VerifyCertificate(cert, roster, charter []byte) (*CertificateFacts, error) {
	c, ok := parseCertificate(cert)
	if !ok {
		return nil, fmt.Errorf("secureagg: certificate: %w", errMalformed)
	}
	co, err := offlineCohort(roster, charter)
	if err != nil {
		return nil, err
	}
	if err := c.verify(co); err != nil {
		return nil, err
	}
	f := facts(&c.header, co, c.Votes)
	f.Online, f.Digests = co.agents(&c.Online), c.Digests
	return f, nil
}

// VerifyAbort does the same for an abort certificate.
func VerifyAbort(abort, roster, charter []byte) (*CertificateFacts, error) {
	c, ok := parseAbortCert(abort)
	if !ok {
		return nil, fmt.Errorf("secureagg: abort certificate: %w", errMalformed)
	}
	co, err := offlineCohort(roster, charter)
	if err != nil {
		return nil, err
	}
	if err := c.verify(co); err != nil {
		return nil, err
	}
	return facts(&c.header, co, c.Closes), nil
}

func facts(h *header, co *cohort, sigs []memberSig) *CertificateFacts {
	f := &CertificateFacts{Run: h.Run, Epoch: h.Epoch, R: h.R, Ctx: h.Ctx, Params: co.params}
	for i := range sigs {
		f.Signers = append(f.Signers, co.ids[sigs[i].Member])
	}
	return f
}

func offlineCohort(roster, charter []byte) (*cohort, error) {
	ch, err := id.ParseCharter(charter)
	if err != nil {
		return nil, err
	}
	ro, err := id.ParseRoster(roster)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(ch.Verify(), ro.Verify(ch)); err != nil {
		return nil, err
	}
	return newCohort(ch, ro)
}
