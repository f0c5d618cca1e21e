package secureagg

import (
	"crypto/subtle"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
	"tacit/secureagg/internal/guard"
)

// onlineSet is R2 for one member: the set O, the digest of every report in it, and
// this member's blobs with their paths to the dealers' signed roots.
type onlineSet struct {
	header
	N, To  int
	Online bitmap
	Dealt  []dealt // of the members of Online, ascending
}

type dealt struct {
	Slots  int // of the dealer
	Digest reportDigest
	Leaf   reportLeaf
	Path   []digest
	Blob   []byte
}

func (o *onlineSet) encode() []byte {
	b := newBuilder(headerSize + 64 + len(o.Dealt)*(reportDigestSize+reportLeafSize+7*32+blobSize(maxSlots)))
	o.add(b, KindOnlineSet)
	b.AddUint8(uint8(o.N))
	b.AddUint8(uint8(o.To))
	addBitmap(b, &o.Online, o.N)
	for i := range o.Dealt {
		d := &o.Dealt[i]
		addSlots(b, &o.header, o.N, d.Slots)
		d.Digest.add(b)
		d.Leaf.add(b)
		addDigests(b, d.Path)
		b.AddBytes(d.Blob)
	}
	return b.BytesOrPanic()
}

func parseOnlineSet(b []byte) (*onlineSet, bool) {
	s := cryptobyte.String(b)
	o := new(onlineSet)
	if !o.read(&s, KindOnlineSet, true) || !readCount(&s, &o.N) || !readIndex(&s, &o.To, o.N) || !readBitmap(&s, &o.Online, o.N) {
		return nil, false
	}
	path := proofSize(o.N, only(o.To))
	count := o.Online.count()
	if len(s) < count*(reportDigestSize+reportLeafSize+32*path+blobSize(o.N)) {
		return nil, false
	}
	o.Dealt = make([]dealt, count)
	for i := range o.Dealt {
		d := &o.Dealt[i]
		if !readSlots(&s, &o.header, o.N, &d.Slots) || !d.Digest.read(&s) || !d.Leaf.read(&s) || !readDigests(&s, &d.Path, path) || !s.ReadBytes(&d.Blob, blobSize(d.Slots)) {
			return nil, false
		}
	}
	return o, s.Empty()
}

// digests is H(digests): every report's signed digests and signature, in order.
func (o *onlineSet) digests() digest {
	b := newBuilder(len(o.Dealt) * reportDigestSize)
	for i := range o.Dealt {
		o.Dealt[i].Digest.add(b)
	}
	return hashParts("digests", b.BytesOrPanic())
}

func setHash(s *bitmap, n int) digest { return hashParts("set", []byte{byte(n)}, s[:(n+7)/8]) }

// openBlob opens the blob for u of dealer i, which has n slots, with its key and checks
// what it holds against the dealer's commitment. Nil means that the dealer cheated.
func openBlob(h *header, i, u, n int, key *secret, leaf *reportLeaf, blob []byte) []byte {
	plain, err := blobAEAD(key).Open(nil, zeroNonce[:], blob, blobAD(h, i, u))
	if err != nil {
		return nil
	}
	var e element
	for k := range n {
		if !parseElement(&e, plain[32+k*elementSize:32+(k+1)*elementSize]) {
			return nil
		}
	}
	root := merkleRoot(shareLeaves(u, plain[:32], plain[32:]))
	if guard.BlobShares && subtle.ConstantTimeCompare(root[:], leaf.Shares[:]) != 1 {
		return nil
	}
	return plain
}

// handleOnlineSet runs every check of R2 and answers with the vote. One attempt
// gets one set; the same set again gets the same bytes.
func (m *Member) handleOnlineSet(o *onlineSet) (Output, error) {
	rd := m.rd
	if m.ep.stage != StageLive || rd == nil || o.R > rd.h.R || !rd.open && o.R == rd.h.R && rd.close == nil {
		return Output{}, ErrNotOpen
	}
	if o.R < rd.h.R || rd.h.Epoch != o.Epoch {
		return Output{}, ErrStale
	}
	refuse := func(why Reason, detail string) (Output, error) {
		return Output{}, &Abort{Stage: StageVote, Reason: why, Epoch: o.Epoch, R: o.R, Detail: detail}
	}
	n := m.c.params.N
	switch {
	case o.header != rd.h:
		return refuse(ReasonMismatch, "the set is of another context")
	case o.N != n || o.To != m.self:
		return refuse(ReasonMismatch, "the set is for another member")
	case guard.VoteAfterClose && (rd.close != nil || rd.over):
		return refuse(ReasonClosed, "this member gave the attempt up")
	}
	digests := o.digests()
	if v := rd.vote; guard.OneVote && (v != nil || rd.shares != nil) {
		if v == nil || v.online != o.Online || v.digests != digests {
			if v == nil {
				return Output{}, ErrStale // released: nothing more to say
			}
			return refuse(ReasonSecond, "two online sets of one attempt")
		}
		return Output{Send: [][]byte{v.msg}}, nil
	}
	if guard.SetMinimum && o.Online.count() < m.c.params.MinRelease {
		return refuse(ReasonBelowMinimum, "")
	}
	for k, i := range o.Online.members() {
		if o.Dealt[k].Slots != m.c.slots(i) {
			return refuse(ReasonMismatch, "a blob is of another length than its dealer's")
		}
	}
	v := &castVote{online: o.Online, digests: digests, opened: make([][]byte, n)}
	msg := &vote{header: rd.h, N: n, Member: m.self, Set: setHash(&o.Online, n), Digests: digests}
	for k, i := range o.Online.members() {
		d := &o.Dealt[k]
		if guard.SetReportSignature && m.c.keys[i].Verify(id.LabelReport, d.Digest.body(&rd.h, i), d.Digest.Sig) != nil {
			v.erase()
			return refuse(ReasonSignature, "a report in the set is not signed by agent "+m.c.ids[i].Short())
		}
		root, _ := rootFromProof(n, only(m.self), func(int) digest { return d.Leaf.hash(m.self, d.Blob) }, d.Path)
		if guard.BlobPath && root != d.Digest.Root {
			v.erase()
			return refuse(ReasonMismatch, "a blob is not the one that its dealer signed")
		}
		key := blobKey(&m.ep.chain.keys[i], i, m.self, &rd.h.Ctx, &d.Digest.Salt)
		if d.Leaf.KeyHash == hashParts("blobkey", key[:]) {
			v.opened[i] = openBlob(&rd.h, i, m.self, d.Slots, &key, &d.Leaf, d.Blob)
		}
		if v.opened[i] == nil {
			msg.Complaints = append(msg.Complaints, m.complain(&rd.h, i, &d.Digest.Root, &key))
		}
		clear(key[:])
	}
	msg.Sig = m.cfg.Key.Sign(id.LabelVote, voteBody(&rd.h, m.self, &msg.Set, &digests))
	v.msg = msg.encode()
	rd.vote = v
	var out Output
	for _, i := range o.Online.members() {
		m.see(i, rd.h.R, roleReport)
	}
	m.sign(&out, roleVote)
	out.put(keyMarks, m.marksRecord())
	out.put(keyVote, v.bytes(m.c))
	out.Send = [][]byte{v.msg}
	out.Event = &Voted{R: rd.h.R, Online: m.c.agents(&o.Online), Complaints: len(msg.Complaints)}
	return out, nil
}

// CloseCollection fixes the online sets: all accepted reports. Persist set, then
// send out. A cohort below its minimum stays outside; with too few cohorts, and so
// with the only one, it is an *Abort, and the attempt must be closed (AskClose).
// Calling it again returns the same.
func (r *Round) CloseCollection() (set []byte, out []Outgoing, err error) {
	if r.abortCert != nil {
		return nil, nil, ErrStale
	}
	if !r.closed {
		sets := make([]bitmap, len(r.parts))
		for k, p := range r.parts {
			for i, h := range p.reports {
				if h != nil {
					sets[k].add(i)
				}
			}
		}
		if err := r.fix(sets); err != nil {
			return nil, nil, err
		}
	}
	return r.setRecord(), r.onlineSets(), nil
}

// fix takes the set of each cohort; a cohort with too few stays outside.
func (r *Round) fix(sets []bitmap) error {
	inside := 0
	for k, p := range r.parts {
		if sets[k].count() >= p.c.params.MinRelease {
			inside++
		}
	}
	if !r.e.f.enough(inside) {
		return r.abort(StageReport, ReasonBelowMinimum, id.AgentID{}, "")
	}
	in := func(p *part, i int) bool {
		return sets[p.place].count() >= p.c.params.MinRelease && sets[p.place].has(i)
	}
	// Two honest ends of a pair derive one seed and so commit alike. If they differ the
	// masks would not cancel; which of the two cheated cannot be told.
	for _, p := range r.parts {
		for i := range p.reports {
			for slot := range p.c.slots(i) {
				if slot == i || !in(p, i) || !p.c.before(i, slot) {
					continue
				}
				other := r.e.layout.opposite(end{p.c, i, slot})
				q := r.parts[other.place()]
				if guard.PairCommitments && in(q, other.member) && p.reports[i].report.Coms[slot] != q.reports[other.member].report.Coms[other.slot] {
					ab := r.abort(StageReport, ReasonPair, p.c.ids[i], "or the other agent of the pair")
					ab.Accuser = other.ids[other.member]
					ab.Evidence = [][]byte{p.reports[i].report.encode(), q.reports[other.member].report.encode()}
					return ab
				}
			}
		}
	}
	r.closed = true
	for k, p := range r.parts {
		if sets[k].count() >= p.c.params.MinRelease {
			p.fix(sets[k])
		}
	}
	return nil
}

func (p *part) fix(o bitmap) {
	p.set = &o
	for _, i := range o.members() {
		p.digests = append(p.digests, dealt{Digest: *p.reports[i].digest})
	}
	p.digestsHash = (&onlineSet{Dealt: p.digests}).digests()
}

// setRecord is what the server persists: header, N, set, H(digests) of each cohort,
// the set empty for a cohort that stays outside.
func (r *Round) setRecord() []byte {
	b := newBuilder(headerSize + 64)
	for _, p := range r.parts {
		var o bitmap
		if p.set != nil {
			o = *p.set
		}
		p.h.add(b, KindOnlineSet)
		b.AddUint8(uint8(p.c.params.N))
		addBitmap(b, &o, p.c.params.N)
		b.AddBytes(p.digestsHash[:])
	}
	return b.BytesOrPanic()
}

// RestoreSet fixes the persisted sets after a restart, once the stored reports were
// accepted again. Reports outside them stay outside.
func (r *Round) RestoreSet(set []byte) ([]Outgoing, error) {
	s := cryptobyte.String(set)
	sets := make([]bitmap, len(r.parts))
	want := make([]digest, len(r.parts))
	for k, p := range r.parts {
		var h header
		var n int
		if !h.read(&s, KindOnlineSet, true) || !readCount(&s, &n) || !readBitmap(&s, &sets[k], n) || !readDigest(&s, &want[k]) {
			return nil, errMalformed
		}
		if h != p.h || n != p.c.params.N || r.closed {
			return nil, ErrStale
		}
		for _, i := range sets[k].members() {
			if p.reports[i] == nil {
				return nil, &Drop{Stage: StageReport, Reason: ReasonMismatch, Agent: p.c.ids[i], Detail: "the stored set holds a report that is not stored"}
			}
		}
	}
	if !s.Empty() {
		return nil, errMalformed
	}
	if err := r.fix(sets); err != nil {
		return nil, err
	}
	for k, p := range r.parts {
		if p.digestsHash != want[k] {
			r.closed = false
			for _, q := range r.parts {
				q.set, q.digests = nil, nil
			}
			return nil, &Drop{Stage: StageReport, Reason: ReasonMismatch, Detail: "the stored set is of other reports"}
		}
	}
	return r.onlineSets(), nil
}

func (r *Round) onlineSets() []Outgoing {
	var out []Outgoing
	for _, p := range r.parts {
		if p.set == nil {
			continue
		}
		for u := range p.c.ids {
			out = append(out, Outgoing{To: p.c.ids[u], Msg: p.onlineSetFor(u)})
		}
	}
	return out
}

func (p *part) onlineSetFor(u int) []byte {
	o := &onlineSet{header: p.h, N: p.c.params.N, To: u, Online: *p.set}
	for _, i := range p.set.members() {
		h := p.reports[i]
		if h.leaves == nil {
			h.leaves = h.report.topLeaves()
		}
		o.Dealt = append(o.Dealt, dealt{Slots: h.report.Slots, Digest: *h.digest, Leaf: h.report.Leaves[u],
			Path: appendProof(nil, h.leaves, only(u)), Blob: h.report.Blobs[u]})
	}
	return o.encode()
}
