package secureagg

import (
	"crypto/subtle"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
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
	Digest reportDigest
	Leaf   reportLeaf
	Path   []digest
	Blob   []byte
}

func (o *onlineSet) encode() []byte {
	b := newBuilder(headerSize + 64 + len(o.Dealt)*(reportDigestSize+reportLeafSize+7*32+blobSize(o.N)))
	o.add(b, KindOnlineSet)
	b.AddUint8(uint8(o.N))
	b.AddUint8(uint8(o.To))
	addBitmap(b, &o.Online, o.N)
	for i := range o.Dealt {
		d := &o.Dealt[i]
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
	if len(s) != count*(reportDigestSize+reportLeafSize+32*path+blobSize(o.N)) {
		return nil, false
	}
	o.Dealt = make([]dealt, count)
	for i := range o.Dealt {
		d := &o.Dealt[i]
		if !d.Digest.read(&s) || !d.Leaf.read(&s) || !readDigests(&s, &d.Path, path) || !s.ReadBytes(&d.Blob, blobSize(o.N)) {
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

// openBlob opens dealer i's blob for u with its key and checks what it holds
// against the dealer's commitment. Nil means that the dealer cheated.
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
	if subtle.ConstantTimeCompare(root[:], leaf.Shares[:]) != 1 {
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
	refuse := func(why Reason, culprit int, detail string) (Output, error) {
		a := &Abort{Stage: StageVote, Reason: why, Epoch: o.Epoch, R: o.R, Detail: detail}
		if culprit >= 0 {
			a.Culprit = m.c.ids[culprit]
		}
		return Output{}, a
	}
	n := m.c.params.N
	switch {
	case o.header != rd.h:
		return refuse(ReasonMismatch, -1, "the set is of another context")
	case o.N != n || o.To != m.self:
		return refuse(ReasonMismatch, -1, "the set is for another member")
	case rd.close != nil || rd.over:
		return refuse(ReasonClosed, -1, "this member gave the attempt up")
	}
	digests := o.digests()
	if v := rd.vote; v != nil || rd.shares != nil {
		if v == nil || v.online != o.Online || v.digests != digests {
			if v == nil {
				return Output{}, ErrStale // released: nothing more to say
			}
			return refuse(ReasonSecond, -1, "two online sets of one attempt")
		}
		return Output{Send: [][]byte{v.msg}}, nil
	}
	if o.Online.count() < m.c.params.MinRelease {
		return refuse(ReasonBelowMinimum, -1, "")
	}
	v := &castVote{online: o.Online, digests: digests, opened: make([][]byte, n)}
	msg := &vote{header: rd.h, N: n, Member: m.self, Set: setHash(&o.Online, n), Digests: digests}
	for k, i := range o.Online.members() {
		d := &o.Dealt[k]
		if m.c.keys[i].Verify(id.LabelReport, d.Digest.body(&rd.h, i), d.Digest.Sig) != nil {
			v.erase()
			return refuse(ReasonSignature, i, "a report in the set is not signed by its agent")
		}
		root, _ := rootFromProof(n, only(m.self), func(int) digest { return d.Leaf.hash(m.self, d.Blob) }, d.Path)
		if root != d.Digest.Root {
			v.erase()
			return refuse(ReasonMismatch, -1, "a blob is not the one that its dealer signed")
		}
		key := blobKey(&m.ep.chain.keys[i], i, m.self, &rd.h.Ctx, &d.Digest.Salt)
		if d.Leaf.KeyHash == hashParts("blobkey", key[:]) {
			v.opened[i] = openBlob(&rd.h, i, m.self, n, &key, &d.Leaf, d.Blob)
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
	out.put(keyVote, v.bytes(n))
	out.Send = [][]byte{v.msg}
	out.Event = &Voted{R: rd.h.R, Online: m.agents(&o.Online), Complaints: len(msg.Complaints)}
	return out, nil
}

func (m *Member) agents(s *bitmap) []id.AgentID { return m.c.agents(s) }

func (c *cohort) agents(s *bitmap) []id.AgentID {
	var out []id.AgentID
	for _, i := range s.members() {
		out = append(out, c.ids[i])
	}
	return out
}

// CloseCollection fixes the online set: all accepted reports. Persist set, then
// send out. Below the minimum it is an *Abort, and the attempt must be closed
// (AskClose). Calling it again returns the same.
func (r *Round) CloseCollection() (set []byte, out []Outgoing, err error) {
	if r.abortCert != nil {
		return nil, nil, ErrStale
	}
	if r.set != nil {
		return r.setRecord(), r.onlineSets(), nil
	}
	var o bitmap
	for i, h := range r.reports {
		if h != nil {
			o.add(i)
		}
	}
	return r.fix(o)
}

func (r *Round) fix(o bitmap) (set []byte, out []Outgoing, err error) {
	if o.count() < r.e.c.params.MinRelease {
		return nil, nil, r.abort(StageReport, ReasonBelowMinimum, -1, "")
	}
	// Two honest ends of a pair derive one seed and so commit alike. If they differ the
	// masks would not cancel; which of the two cheated cannot be told.
	in := o.members()
	for a, i := range in {
		for _, j := range in[a+1:] {
			if r.reports[i].report.Coms[j] != r.reports[j].report.Coms[i] {
				ab := r.abort(StageReport, ReasonPair, i, "or the other agent of the pair")
				ab.Accuser = r.e.c.ids[j]
				return nil, nil, ab
			}
		}
	}
	r.set = &o
	for _, i := range in {
		r.digests = append(r.digests, dealt{Digest: *r.reports[i].digest})
	}
	r.digestsHash = (&onlineSet{Dealt: r.digests}).digests()
	return r.setRecord(), r.onlineSets(), nil
}

// setRecord is what the server persists: header, N, set, H(digests).
func (r *Round) setRecord() []byte {
	b := newBuilder(headerSize + 64)
	r.h.add(b, KindOnlineSet)
	b.AddUint8(uint8(r.e.c.params.N))
	addBitmap(b, r.set, r.e.c.params.N)
	b.AddBytes(r.digestsHash[:])
	return b.BytesOrPanic()
}

// RestoreSet fixes the persisted set after a restart, once the stored reports were
// accepted again. Reports outside it stay outside.
func (r *Round) RestoreSet(set []byte) ([]Outgoing, error) {
	s := cryptobyte.String(set)
	var h header
	var n int
	var o bitmap
	var d digest
	if !h.read(&s, KindOnlineSet, true) || !readCount(&s, &n) || !readBitmap(&s, &o, n) || !readDigest(&s, &d) || !s.Empty() {
		return nil, errMalformed
	}
	if h != r.h || n != r.e.c.params.N || r.set != nil {
		return nil, ErrStale
	}
	for _, i := range o.members() {
		if r.reports[i] == nil {
			return nil, &Drop{Stage: StageReport, Reason: ReasonMismatch, Agent: r.e.c.ids[i], Detail: "the stored set holds a report that is not stored"}
		}
	}
	_, out, err := r.fix(o)
	if err == nil && r.digestsHash != d {
		r.set, r.digests = nil, nil
		return nil, &Drop{Stage: StageReport, Reason: ReasonMismatch, Detail: "the stored set is of other reports"}
	}
	return out, err
}

func (r *Round) onlineSets() []Outgoing {
	out := make([]Outgoing, r.e.c.params.N)
	for u := range out {
		out[u] = Outgoing{To: r.e.c.ids[u], Msg: r.onlineSetFor(u)}
	}
	return out
}

func (r *Round) onlineSetFor(u int) []byte {
	o := &onlineSet{header: r.h, N: r.e.c.params.N, To: u, Online: *r.set}
	for _, i := range r.set.members() {
		h := r.reports[i]
		if h.leaves == nil {
			h.leaves = h.report.topLeaves()
		}
		o.Dealt = append(o.Dealt, dealt{Digest: *h.digest, Leaf: h.report.Leaves[u],
			Path: appendProof(nil, h.leaves, only(u)), Blob: h.report.Blobs[u]})
	}
	return o.encode()
}
