package secureagg

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
	"tacit/secureagg/internal/guard"
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
	refuse := func(why Reason, detail string) error {
		return &Abort{Stage: StageCertificate, Reason: why, Epoch: c.Epoch, R: c.R, Detail: detail}
	}
	switch {
	case c.N != co.params.N:
		return refuse(ReasonMismatch, "")
	case guard.CertificateMinimum && c.Online.count() < co.params.MinRelease:
		return refuse(ReasonBelowMinimum, "")
	case guard.CertificateQuorum && len(c.Votes) < co.params.Quorum:
		return refuse(ReasonQuorum, "")
	}
	set := setHash(&c.Online, c.N)
	for i := range c.Votes {
		v := &c.Votes[i]
		if guard.CertificateSignature && co.keys[v.Member].Verify(id.LabelVote, voteBody(&c.header, v.Member, &set, &c.Digests), v.Sig) != nil {
			return refuse(ReasonSignature, "forged in the name of agent "+co.ids[v.Member].Short())
		}
	}
	return nil
}

// handleCertificate releases this member's shares, once, for exactly the set that
// it voted on. A certificate of the last reported attempt settles its outcome.
func (m *Member) handleCertificate(c *certificate, raw []byte) (Output, error) {
	if m.f.several() {
		return Output{}, ErrStale
	}
	return m.certified(&c.header, func() error { return c.verify(m.c) }, &finding{
		online: func() []id.AgentID { return m.c.agents(&c.Online) },
		agrees: func(rd *memberRound) bool { return rd.vote.online == c.Online && rd.vote.digests == c.Digests },
		inside: func(int) bool { return false }, // there is nobody outside the cohort
		votes:  c.Votes, role: roleVote,
	}, raw)
}

// finding is what a certificate, of one cohort or of all, says.
type finding struct {
	online func() []id.AgentID
	agrees func(*memberRound) bool // with this member's own votes
	inside func(g int) bool        // is member g of the federation in its cohort's set?
	votes  []memberSig             // of this member's cohort
	role   role                    // of those votes
}

func (m *Member) certified(h *header, verify func() error, f *finding, raw []byte) (Output, error) {
	rd := m.rd
	if rd == nil || guard.CertificateContext && !rd.isHeader(h) {
		if rd != nil && rd.h.Epoch == h.Epoch && rd.h.R == h.R {
			return Output{}, &Abort{Stage: StageCertificate, Reason: ReasonMismatch, Epoch: h.Epoch, R: h.R, Detail: "the certificate is of another context"}
		}
		return m.settle(h, outcomeCertified, verify)
	}
	if guard.ReleaseOnce && rd.shares != nil {
		return Output{Send: [][]byte{rd.shares}}, nil
	}
	if err := verify(); err != nil {
		return Output{}, err
	}
	if rd.over {
		return Output{}, &Abort{Stage: StageCertificate, Reason: ReasonConflict, Epoch: h.Epoch, R: h.R, Detail: "certified and aborted"}
	}
	ev := &Certified{R: h.R, Ctx: h.Ctx, Online: f.online(), Certificate: bytes.Clone(raw)}
	var out Output
	out.Event = ev
	if guard.ReleaseAfterClose && rd.close != nil { // never release after Close
		m.settleLast(&out, h, outcomeCertified)
		return out, nil
	}
	if rd.vote == nil || m.f.several() && rd.manifest == nil {
		// The online set never came, so there is nothing to release; but how the
		// attempt ended is known now. Should it still wait for this member's shares,
		// the server sends the set and then the certificate again.
		m.settleLast(&out, h, outcomeCertified)
		return out, nil
	}
	if guard.CertifiedSet && !f.agrees(rd) {
		return Output{}, &Abort{Stage: StageCertificate, Reason: ReasonConflict, Epoch: h.Epoch, R: h.R, Detail: "another set than this member voted on is certified"}
	}
	rd.shares = m.release(f.inside).encode()
	ev.Released = true
	for i := range f.votes {
		m.see(f.votes[i].Member, h.R, f.role)
	}
	m.sign(&out, roleRelease)
	m.settleLast(&out, h, outcomeCertified)
	if guard.Erase {
		rd.vote.erase()
		rd.vote = nil
		m.ep.chain.advance(h.R - m.ep.start + 1) // nothing of this attempt needs CK^r any more
	}
	out.put(keyMarks, m.marksRecord())
	out.put(keyShares, rd.shares)
	out.remove(keyVote)
	out.put(keyChain, m.chainRecord())
	out.Send = [][]byte{rd.shares}
	return out, nil
}

// isHeader reports whether h begins messages of this attempt in all cohorts.
func (rd *memberRound) isHeader(h *header) bool {
	return h.Run == rd.h.Run && h.Epoch == rd.h.Epoch && h.R == rd.h.R && h.Cohort == 0 && h.Ctx == rd.all
}

// CertificateFacts is what a certificate, or an abort certificate, proves.
type CertificateFacts struct {
	Run     id.RunID
	Epoch   uint64
	R       uint64
	Ctx     id.Ctx
	Online  []id.AgentID // empty for an abort certificate
	Outside []id.AgentID // with several cohorts: the members of those left out as a whole
	Digests [32]byte     // H(digests) of the reports; with several cohorts over those of all
	Root    id.EpochRoot // with several cohorts: the epoch's, for which they were drawn
	Signers []id.AgentID
	Params  Params
}

// VerifyCertificate checks a certificate offline, from bytes alone: the charter's
// and the roster's own signatures, the cohort's numbers, the set's size and every
// vote. The caller must know the charter's hash from elsewhere.
func VerifyCertificate(cert, roster, charter []byte) (*CertificateFacts, error) {
	fed, err := offlineMembership(roster, charter)
	if err != nil {
		return nil, err
	}
	if fed.several() {
		return verifyManifest(cert, fed)
	}
	c, ok := parseCertificate(cert)
	if !ok {
		return nil, fmt.Errorf("secureagg: certificate: %w", errMalformed)
	}
	co := fed.arrange(nil).cohorts[0]
	if err := c.verify(co); err != nil {
		return nil, err
	}
	f := facts(&c.header, fed, nil, co, c.Votes)
	f.Online, f.Digests = co.agents(&c.Online), c.Digests
	return f, nil
}

// VerifyAbort does the same for an abort certificate.
func VerifyAbort(abort, roster, charter []byte) (*CertificateFacts, error) {
	c, ok := parseAbortCert(abort)
	if !ok {
		return nil, fmt.Errorf("secureagg: abort certificate: %w", errMalformed)
	}
	fed, err := offlineMembership(roster, charter)
	if err != nil {
		return nil, err
	}
	if err := c.verify(fed); err != nil {
		return nil, err
	}
	var f *CertificateFacts
	for k, co := range c.Drawn.arrange(fed).cohorts {
		f = facts(&c.header, fed, f, co, c.Closes[k])
	}
	f.Root = c.Drawn.root()
	return f, nil
}

// facts adds the signers of a cohort to f, which is new if it was nil.
func facts(h *header, fed *membership, f *CertificateFacts, co *cohort, sigs []memberSig) *CertificateFacts {
	if f == nil {
		f = &CertificateFacts{Run: h.Run, Epoch: h.Epoch, R: h.R, Ctx: h.Ctx, Params: fed.params()}
	}
	for i := range sigs {
		f.Signers = append(f.Signers, co.ids[sigs[i].Member])
	}
	return f
}

func offlineMembership(roster, charter []byte) (*membership, error) {
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
	return newMembership(ch, ro, MaxMembers)
}
