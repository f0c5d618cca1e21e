package secureagg

import (
	"bytes"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
)

// With several cohorts a certificate of one cohort's set releases nothing: a server that
// showed some cohorts' certificates and hid others' would choose which cohorts' masks
// cancel. So the certificates of all go into a manifest, on which each member votes
// once, and a release needs a quorum of every cohort in it, more than two thirds of all
// (SECAGG 2.6). SECAGG would let a cohort outside it vote; here it cannot, so that a
// quorum of Closes in a third of the cohorts ends an attempt for certain.

// manifestCore is what a manifest says: each cohort's set and digests.
type manifestCore struct {
	header
	Drawn  drawn
	Inside []bool // by cohort; the others are wholly offline
	Ns     []int
	Sets   []bitmap
	Digest []digest // H(digests)
}

func (c *manifestCore) append(b *cryptobyte.Builder) {
	c.Drawn.add(b)
	b.AddUint8(uint8(len(c.Ns)))
	for k, n := range c.Ns {
		b.AddUint8(uint8(n))
		b.AddUint8(uint8(b2i(c.Inside[k])))
		if c.Inside[k] {
			addBitmap(b, &c.Sets[k], n)
			b.AddBytes(c.Digest[k][:])
		}
	}
}

func (c *manifestCore) parse(s *cryptobyte.String, kind MessageKind) bool {
	var count uint8
	if !c.readGlobal(s, kind, true) || !c.Drawn.read(s) || !s.ReadUint8(&count) || count < 2 || count > MaxCohorts {
		return false
	}
	c.Inside, c.Ns, c.Sets, c.Digest = make([]bool, count), make([]int, count), make([]bitmap, count), make([]digest, count)
	for k := range c.Ns {
		var inside uint8
		if !readCount(s, &c.Ns[k]) || !s.ReadUint8(&inside) || inside > 1 {
			return false
		}
		c.Inside[k] = inside == 1
		if c.Inside[k] && (!readBitmap(s, &c.Sets[k], c.Ns[k]) || !readDigest(s, &c.Digest[k])) {
			return false
		}
	}
	return true
}

// hash is H(M), which a ManifestVote signs: over everything but the votes.
func (c *manifestCore) hash() digest {
	b := newBuilder(1024)
	c.add(b, KindManifest)
	c.append(b)
	return hashParts("manifest", b.BytesOrPanic())
}

// digests stands for the reports of all cohorts.
func (c *manifestCore) digests() digest {
	var all []byte
	for k := range c.Ns {
		if c.Inside[k] {
			all = append(all, c.Digest[k][:]...)
		}
	}
	return hashParts("cohorts", all)
}

// inside tells whether member g of the federation is in its cohort's set.
func (c *manifestCore) inside(l *layout) func(g int) bool {
	return func(g int) bool {
		at := l.places[g]
		return c.Inside[at.cohort] && c.Sets[at.cohort].has(at.member)
	}
}

func (c *manifestCore) online(l *layout) []id.AgentID {
	in := c.inside(l)
	var out []id.AgentID
	for g := range l.places {
		if in(g) {
			out = append(out, l.cohorts[0].membership.ids[g])
		}
	}
	return out
}

// check refuses a manifest whose sets may not be released together.
func (c *manifestCore) check(f *membership, l *layout) Reason {
	if len(c.Ns) != len(f.sizes) {
		return ReasonMismatch
	}
	count := 0
	for k, co := range l.cohorts {
		switch {
		case c.Ns[k] != co.params.N:
			return ReasonMismatch
		case !c.Inside[k]:
			continue
		case c.Sets[k].count() < co.params.MinRelease:
			return ReasonBelowMinimum
		}
		count++
	}
	if !f.enough(count) {
		return ReasonQuorum
	}
	return ""
}

// manifest is R2 of several cohorts, manifestCert its R3: under the same sets, the votes
// of each cohort inside for its own set, and for the manifest.
type manifest struct {
	manifestCore
	Votes [][]memberSig // by cohort; none outside
}

type manifestCert struct{ manifest }

func (m *manifest) encode() []byte     { return m.encodeAs(KindManifest) }
func (m *manifestCert) encode() []byte { return m.encodeAs(KindManifestCert) }

func (m *manifest) encodeAs(kind MessageKind) []byte {
	b := newBuilder(4096)
	m.add(b, kind)
	m.append(b)
	for k := range m.Ns {
		if m.Inside[k] {
			addSigs(b, m.Votes[k])
		}
	}
	return b.BytesOrPanic()
}

func (m *manifest) parseAs(b []byte, kind MessageKind) bool {
	s := cryptobyte.String(b)
	if !m.manifestCore.parse(&s, kind) {
		return false
	}
	m.Votes = make([][]memberSig, len(m.Ns))
	for k, n := range m.Ns {
		if m.Inside[k] && !readSigs(&s, &m.Votes[k], n) {
			return false
		}
	}
	return s.Empty()
}

func parseManifest(b []byte) (*manifest, bool) {
	m := new(manifest)
	return m, m.parseAs(b, KindManifest)
}

func parseManifestCert(b []byte) (*manifestCert, bool) {
	m := new(manifestCert)
	return m, m.parseAs(b, KindManifestCert)
}

// verify checks the sets and, by body, every vote, of which each cohort inside needs a
// quorum.
func (m *manifest) verify(stage Stage, f *membership, l *layout, body func(c *cohort, k, member int) (id.Label, []byte)) error {
	refuse := func(why Reason, detail string) error {
		return &Abort{Stage: stage, Reason: why, Epoch: m.Epoch, R: m.R, Detail: detail}
	}
	if why := m.check(f, l); why != "" {
		return refuse(why, "")
	}
	for k, c := range l.cohorts {
		if !m.Inside[k] {
			continue
		}
		if len(m.Votes[k]) < c.params.Quorum {
			return refuse(ReasonQuorum, "")
		}
		for i := range m.Votes[k] {
			v := &m.Votes[k][i]
			label, signed := body(c, k, v.Member)
			if c.keys[v.Member].Verify(label, signed, v.Sig) != nil {
				return refuse(ReasonSignature, "forged in the name of agent "+c.ids[v.Member].Short())
			}
		}
	}
	return nil
}

// verifySets checks that the manifest's sets are certified, each by its cohort.
func (m *manifest) verifySets(f *membership, l *layout) error {
	return m.verify(StageManifest, f, l, func(c *cohort, k, member int) (id.Label, []byte) {
		h := c.attempt(m.header)
		set := setHash(&m.Sets[k], m.Ns[k])
		return id.LabelVote, voteBody(&h, member, &set, &m.Digest[k])
	})
}

// verify checks that the manifest is certified.
func (m *manifestCert) verify(f *membership, l *layout) error {
	hash := m.hash()
	return m.manifest.verify(StageCertificate, f, l, func(c *cohort, _, member int) (id.Label, []byte) {
		h := c.attempt(m.header)
		return id.LabelManifest, manifestVoteBody(&h, member, &hash)
	})
}

// manifestVote is a member's only word on the sets of all cohorts.
type manifestVote struct {
	header    // of the member's cohort
	N, Member int
	Manifest  digest
	Sig       []byte
}

func manifestVoteBody(h *header, member int, hash *digest) []byte {
	b := newBuilder(headerSize + 40)
	h.add(b, KindManifestVote)
	b.AddUint8(uint8(member))
	b.AddBytes(hash[:])
	return b.BytesOrPanic()
}

func (v *manifestVote) encode() []byte {
	b := newBuilder(headerSize + 40 + id.SignatureSize)
	v.add(b, KindManifestVote)
	b.AddUint8(uint8(v.N))
	b.AddUint8(uint8(v.Member))
	b.AddBytes(v.Manifest[:])
	b.AddBytes(v.Sig)
	return b.BytesOrPanic()
}

func parseManifestVote(b []byte) (*manifestVote, bool) {
	s := cryptobyte.String(b)
	v := new(manifestVote)
	return v, v.read(&s, KindManifestVote, true) && readCount(&s, &v.N) && readIndex(&s, &v.Member, v.N) &&
		readDigest(&s, &v.Manifest) && s.ReadBytes(&v.Sig, id.SignatureSize) && s.Empty()
}

// castManifest is what a member keeps of its vote until the attempt ends.
type castManifest struct {
	hash digest
	msg  []byte
}

func (v *castManifest) bytes() []byte {
	return append([]byte{journalVersion}, v.msg...)
}

func (v *castManifest) parse(b []byte) bool {
	if len(b) == 0 || b[0] != journalVersion {
		return false
	}
	msg, ok := parseManifestVote(b[1:])
	if !ok {
		return false
	}
	v.hash, v.msg = msg.Manifest, bytes.Clone(b[1:])
	return true
}

// handleManifest votes for the sets of all cohorts, once, after this member's vote for
// its own, which must be among them.
func (m *Member) handleManifest(v *manifest) (Output, error) {
	rd := m.rd
	refuse := func(why Reason, detail string) (Output, error) {
		return Output{}, &Abort{Stage: StageManifest, Reason: why, Epoch: v.Epoch, R: v.R, Detail: detail}
	}
	switch {
	case !m.f.several() || rd != nil && v.R < rd.h.R:
		return Output{}, ErrStale
	case m.ep.stage != StageLive || rd == nil || v.R > rd.h.R:
		return Output{}, ErrNotOpen
	case !rd.isHeader(&v.header):
		return refuse(ReasonMismatch, "the manifest is of another context")
	case rd.close != nil || rd.over:
		return refuse(ReasonClosed, "this member gave the attempt up")
	case v.Drawn.root() != id.EpochRoot(m.ep.root) || v.Drawn.Rho != m.ep.rho:
		return refuse(ReasonMismatch, "the manifest is of other cohorts")
	}
	hash := v.hash()
	if rd.manifest != nil {
		if rd.manifest.hash != hash {
			return refuse(ReasonSecond, "two manifests of one attempt")
		}
		return resend(rd.manifest.msg)
	}
	if rd.shares != nil {
		return Output{}, ErrStale
	}
	if rd.vote == nil {
		return Output{}, ErrNotOpen
	}
	k := m.c.place()
	if why := v.check(m.f, m.l); why != "" {
		return refuse(why, "")
	}
	if !v.Inside[k] || v.Sets[k] != rd.vote.online || v.Digest[k] != rd.vote.digests {
		return refuse(ReasonConflict, "the manifest has another set of this cohort than this member voted on")
	}
	if err := v.verifySets(m.f, m.l); err != nil {
		return Output{}, err
	}
	msg := &manifestVote{header: rd.h, N: m.c.params.N, Member: m.self, Manifest: hash,
		Sig: m.cfg.Key.Sign(id.LabelManifest, manifestVoteBody(&rd.h, m.self, &hash))}
	rd.manifest = &castManifest{hash: hash, msg: msg.encode()}
	for i := range v.Votes[k] {
		m.see(v.Votes[k][i].Member, v.R, roleVote)
	}
	var out Output
	m.sign(&out, roleManifest)
	out.put(keyMarks, m.marksRecord())
	out.put(keyManifest, rd.manifest.bytes())
	out.Send = [][]byte{rd.manifest.msg}
	return out, nil
}

// handleManifestCert releases this member's shares for the sets of all cohorts.
func (m *Member) handleManifestCert(c *manifestCert, raw []byte) (Output, error) {
	if !m.f.several() {
		return Output{}, ErrStale
	}
	l := c.Drawn.arrange(m.f)
	f := &finding{
		online: func() []id.AgentID { return c.online(l) },
		agrees: func(rd *memberRound) bool { return rd.manifest.hash == c.hash() },
		inside: c.inside(l),
		role:   roleManifest,
	}
	if m.c != nil && m.c.place() < len(c.Votes) {
		f.votes = c.Votes[m.c.place()]
	}
	return m.certified(&c.header, func() error { return c.verify(m.f, l) }, f, raw)
}

// propose makes the manifest once every cohort inside has certified its set.
func (r *Round) propose() []Outgoing {
	for _, p := range r.parts {
		if p.set != nil && p.cert == nil {
			return nil
		}
	}
	r.manifest = &manifestCore{header: r.h, Drawn: *r.e.drawn()}
	for _, p := range r.parts {
		var set bitmap
		if p.set != nil {
			set = *p.set
		}
		r.manifest.Inside = append(r.manifest.Inside, p.set != nil)
		r.manifest.Ns = append(r.manifest.Ns, p.c.params.N)
		r.manifest.Sets = append(r.manifest.Sets, set)
		r.manifest.Digest = append(r.manifest.Digest, p.digestsHash)
	}
	msg := r.manifestMsg()
	var out []Outgoing
	for _, p := range r.parts {
		if p.set != nil {
			for _, a := range p.c.ids {
				out = append(out, Outgoing{To: a, Msg: msg})
			}
		}
	}
	return out
}

func (r *Round) manifestMsg() []byte {
	m := &manifest{manifestCore: *r.manifest, Votes: make([][]memberSig, len(r.parts))}
	for k, p := range r.parts {
		if p.cert != nil {
			m.Votes[k] = p.cert.Votes
		}
	}
	return m.encode()
}

// manifestVote takes a member's vote for the manifest; the last quorum makes the
// certificate.
func (r *Round) manifestVote(p *part, i int, from id.AgentID, msg []byte) (cert []byte, out []Outgoing, err error) {
	drop := func(why Reason) ([]byte, []Outgoing, error) {
		return nil, nil, &Drop{Stage: StageManifest, Reason: why, Agent: from}
	}
	v, ok := parseManifestVote(msg)
	if !ok {
		return drop(ReasonMalformed)
	}
	if v.header != p.h || r.manifest == nil || r.abortCert != nil || p.set == nil {
		return nil, nil, ErrStale
	}
	hash := r.manifest.hash()
	if v.N != p.c.params.N || v.Member != i || v.Manifest != hash {
		return drop(ReasonMismatch)
	}
	if p.c.keys[i].Verify(id.LabelManifest, manifestVoteBody(&p.h, i, &hash), v.Sig) != nil {
		return drop(ReasonSignature)
	}
	votes := r.manifests[p.place]
	at, voted := slices.BinarySearchFunc(votes, i, func(v memberSig, i int) int { return v.Member - i })
	if voted {
		return nil, nil, nil
	}
	r.manifests[p.place] = slices.Insert(votes, at, memberSig{Member: i, Sig: bytes.Clone(v.Sig)})
	if r.cert != nil {
		return nil, nil, nil
	}
	for k, p := range r.parts {
		if p.set != nil && len(r.manifests[k]) < p.c.params.Quorum {
			return nil, nil, nil
		}
	}
	r.cert = (&manifestCert{manifest{manifestCore: *r.manifest, Votes: r.manifests}}).encode()
	return r.cert, []Outgoing{{Msg: r.cert}}, nil
}

// restoreManifest takes the persisted certificate of all cohorts after a restart. What
// each cohort certified is not stored: a member that is asked again has voted already,
// or may stay out.
func (r *Round) restoreManifest(cert []byte) ([]Outgoing, error) {
	c, ok := parseManifestCert(cert)
	if !ok {
		return nil, errMalformed
	}
	if c.header != r.h || !r.closed || r.abortCert != nil {
		return nil, ErrStale
	}
	if err := c.verify(r.e.f, r.e.layout); err != nil {
		return nil, err
	}
	for k, p := range r.parts {
		if c.Inside[k] != (p.set != nil) || p.set != nil && (c.Sets[k] != *p.set || c.Digest[k] != p.digestsHash) {
			return nil, &Abort{Stage: StageCertificate, Reason: ReasonConflict, Epoch: r.h.Epoch, R: r.h.R, Detail: "the stored certificate is of other sets"}
		}
	}
	r.cert = bytes.Clone(cert)
	return []Outgoing{{Msg: r.cert}}, nil
}

// verifyManifest is VerifyCertificate with several cohorts.
func verifyManifest(cert []byte, fed *membership) (*CertificateFacts, error) {
	c, ok := parseManifestCert(cert)
	if !ok {
		return nil, fmt.Errorf("secureagg: certificate: %w", errMalformed)
	}
	l := c.Drawn.arrange(fed)
	if err := c.verify(fed, l); err != nil {
		return nil, err
	}
	var f *CertificateFacts
	for k, co := range l.cohorts {
		f = facts(&c.header, fed, f, co, c.Votes[k])
		if !c.Inside[k] {
			f.Outside = append(f.Outside, co.ids...)
		}
	}
	f.Online, f.Digests, f.Root = c.online(l), c.digests(), c.Drawn.root()
	return f, nil
}
