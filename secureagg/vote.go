package secureagg

import (
	"bytes"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
	"tacit/secureagg/internal/guard"
)

// vote is a member's only word on the online set of an attempt. The signature is
// what certificates collect; complaints are signed one by one.
type vote struct {
	header
	N, Member  int
	Set        digest // H(O)
	Digests    digest // H(digests)
	Sig        []byte
	Complaints []complaint // ascending by dealer
}

func voteBody(h *header, member int, set, digests *digest) []byte {
	b := newBuilder(headerSize + 80)
	h.add(b, KindVote)
	b.AddUint8(uint8(member))
	b.AddBytes(set[:])
	b.AddBytes(digests[:])
	return b.BytesOrPanic()
}

func (v *vote) encode() []byte {
	b := newBuilder(headerSize + 256 + len(v.Complaints)*complaintSize)
	v.add(b, KindVote)
	b.AddUint8(uint8(v.N))
	b.AddUint8(uint8(v.Member))
	b.AddBytes(v.Set[:])
	b.AddBytes(v.Digests[:])
	b.AddBytes(v.Sig)
	b.AddUint8(uint8(len(v.Complaints)))
	for i := range v.Complaints {
		c := &v.Complaints[i]
		b.AddUint8(uint8(c.Dealer))
		b.AddBytes(c.Key[:])
		b.AddBytes(c.Sig)
	}
	return b.BytesOrPanic()
}

func parseVote(b []byte) (*vote, bool) {
	s := cryptobyte.String(b)
	v := new(vote)
	var count uint8
	if !v.read(&s, KindVote, true) || !readCount(&s, &v.N) || !readIndex(&s, &v.Member, v.N) ||
		!readDigest(&s, &v.Set) || !readDigest(&s, &v.Digests) || !s.ReadBytes(&v.Sig, id.SignatureSize) ||
		!s.ReadUint8(&count) || len(s) != int(count)*complaintSize {
		return nil, false
	}
	last := -1
	for range count {
		var c complaint
		if !readIndex(&s, &c.Dealer, v.N) || c.Dealer <= last || !s.CopyBytes(c.Key[:]) || !s.ReadBytes(&c.Sig, id.SignatureSize) {
			return nil, false
		}
		last = c.Dealer
		v.Complaints = append(v.Complaints, c)
	}
	return v, true
}

// castVote is what a member keeps of R2 until the attempt ends: its vote and the
// opened shares of every dealer in the set.
type castVote struct {
	online  bitmap
	digests digest
	msg     []byte
	opened  [][]byte // by dealer: salt ‖ N shares; nil outside the set or complained of
}

func (v *castVote) erase() {
	for _, b := range v.opened {
		clear(b)
	}
	v.opened = nil
}

// Vote takes a member's vote. When votes suffice and no dealer has more complaints
// than the voters can spare, cert is the certificate: persist it, then send out.
// cert is non-nil exactly once. With several cohorts a vote is a member's word on its
// cohort's set, and then on the manifest of all. An *Abort says that complaints rule a release out.
func (r *Round) Vote(from id.AgentID, msg []byte) (cert []byte, out []Outgoing, err error) {
	p, i := r.partOf(from)
	if p == nil {
		return nil, nil, fmt.Errorf("secureagg: agent %s is no member of epoch %d", from.Short(), r.h.Epoch)
	}
	if k, _ := Kind(msg); k == KindManifestVote {
		return r.manifestVote(p, i, from, msg)
	}
	drop := func(why Reason, detail string) ([]byte, []Outgoing, error) {
		return nil, nil, &Drop{Stage: StageVote, Reason: why, Agent: from, Detail: detail}
	}
	v, ok := parseVote(msg)
	if !ok {
		return drop(ReasonMalformed, "")
	}
	if v.header != p.h || p.set == nil || r.abortCert != nil {
		return nil, nil, ErrStale
	}
	if v.N != p.c.params.N || v.Member != i || guard.VoteSet && (v.Set != setHash(p.set, v.N) || v.Digests != p.digestsHash) {
		return drop(ReasonMismatch, "the vote is for another set")
	}
	if guard.VoteReceived && p.c.keys[i].Verify(id.LabelVote, voteBody(&p.h, i, &v.Set, &v.Digests), v.Sig) != nil {
		return drop(ReasonSignature, "")
	}
	if prev := p.votes[i]; prev != nil {
		return nil, nil, nil
	}
	verdicts := make([]verdict, len(v.Complaints))
	for k := range v.Complaints {
		if verdicts[k], err = p.judge(i, &v.Complaints[k]); err != nil {
			return nil, nil, err
		}
		if guard.ComplaintFalse && verdicts[k] == complaintFalse {
			return nil, nil, &Drop{Stage: StageVote, Reason: ReasonComplaints, Agent: from, Detail: "the complaint is false: the blob opens",
				Evidence: [][]byte{p.onlineSetFor(i), bytes.Clone(msg)}}
		}
	}
	p.votes[i] = bytes.Clone(v.Sig)
	p.voted = append(p.voted, i)
	for k := range v.Complaints {
		d := v.Complaints[k].Dealer
		p.complaints[d] = append(p.complaints[d], heldComplaint{accuser: i, proven: verdicts[k] == complaintProven, vote: bytes.Clone(msg)})
	}
	if p.cert != nil {
		return nil, nil, nil
	}
	if len(p.voted) < p.c.params.Quorum {
		return nil, nil, p.hopeless()
	}
	for d := range p.complaints {
		// Whoever complained has no share of d to release.
		if guard.ComplaintLimit && len(p.complaints[d]) > len(p.voted)-p.c.params.Threshold {
			return nil, nil, p.hopeless()
		}
	}
	p.cert = &certificate{header: p.h, N: p.c.params.N, Online: *p.set, Digests: p.digestsHash}
	for _, j := range sorted(p.voted) {
		p.cert.Votes = append(p.cert.Votes, memberSig{Member: j, Sig: p.votes[j]})
	}
	if r.e.f.several() {
		return nil, r.propose(), nil
	}
	r.cert = p.cert.encode()
	return r.cert, []Outgoing{{Msg: r.cert}}, nil
}

// hopeless is the *Abort when some dealer has more complaints than even votes of
// every member could make up for, else nil.
func (p *part) hopeless() error {
	for d, held := range p.complaints {
		if !guard.ComplaintLimit || len(held) <= p.c.params.N-p.c.params.Threshold {
			continue
		}
		return p.complaintAbort(d)
	}
	return nil
}

func (p *part) complaintAbort(d int) *Abort {
	held := p.complaints[d]
	a := p.r.abort(StageVote, ReasonComplaints, p.c.ids[d], fmt.Sprintf("%d members cannot open this dealer's blobs", len(held)))
	a.Accuser = p.c.ids[held[0].accuser]
	for _, h := range held {
		a.Evidence = append(a.Evidence, p.onlineSetFor(h.accuser), h.vote)
	}
	if !slices.ContainsFunc(held, func(c heldComplaint) bool { return c.proven }) {
		a.Detail += ", or they lie"
	}
	return a
}

func sorted(s []int) []int {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}
