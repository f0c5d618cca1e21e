package secureagg

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
)

// shares is what a member releases for a certified set O: of each dealer j in O its
// share of b_j, and of s_jk for every k outside O. The set decides which secrets a
// message can hold, so none can hold a share of b_j and of all of j's pair seeds.
type shares struct {
	header
	N, Member int
	Online    bitmap
	Digests   digest
	Dealers   bitmap      // dealers in O whose blob opened
	Released  []releasedD // of Dealers, ascending
	Sig       []byte
}

// releasedD is the shares of one dealer: by secret, ascending, with the digests that
// lead to the dealer's commitment to all shares of this member.
type releasedD struct {
	Shares [][]byte // 32 bytes each
	Salts  []digest
	Proof  []digest
}

// secretsOf are the secrets of dealer j that a set opens: j itself stands for b_j,
// k outside the set for s_jk.
func secretsOf(j, n int, online *bitmap) *bitmap {
	var s bitmap
	s.add(j)
	for k := range n {
		if !online.has(k) {
			s.add(k)
		}
	}
	return &s
}

func (r *shares) body() []byte {
	b := newBuilder(4096)
	r.add(b, KindShares)
	b.AddUint8(uint8(r.N))
	b.AddUint8(uint8(r.Member))
	addBitmap(b, &r.Online, r.N)
	b.AddBytes(r.Digests[:])
	addBitmap(b, &r.Dealers, r.N)
	for i := range r.Released {
		d := &r.Released[i]
		for k := range d.Shares {
			b.AddBytes(d.Shares[k])
			b.AddBytes(d.Salts[k][:])
		}
		addDigests(b, d.Proof)
	}
	return b.BytesOrPanic()
}

func (r *shares) encode() []byte { return append(r.body(), r.Sig...) }

func parseShares(b []byte) (*shares, bool) {
	s := cryptobyte.String(b)
	r := new(shares)
	if !r.read(&s, KindShares, true) || !readCount(&s, &r.N) || !readIndex(&s, &r.Member, r.N) ||
		!readBitmap(&s, &r.Online, r.N) || !readDigest(&s, &r.Digests) || !readBitmap(&s, &r.Dealers, r.N) {
		return nil, false
	}
	for _, j := range r.Dealers.members() {
		if !r.Online.has(j) {
			return nil, false
		}
		want := secretsOf(j, r.N, &r.Online)
		var d releasedD
		for range want.count() {
			var share []byte
			var salt digest
			var e element
			if !s.ReadBytes(&share, elementSize) || !parseElement(&e, share) || !readDigest(&s, &salt) {
				return nil, false
			}
			d.Shares, d.Salts = append(d.Shares, share), append(d.Salts, salt)
		}
		if !readDigests(&s, &d.Proof, proofSize(r.N, want)) {
			return nil, false
		}
		r.Released = append(r.Released, d)
	}
	if !s.ReadBytes(&r.Sig, id.SignatureSize) || !s.Empty() {
		return nil, false
	}
	return r, true
}

// release builds this member's Shares from what it opened at R2.
func (m *Member) release(c *certificate) *shares {
	v := m.rd.vote
	n := m.c.params.N
	r := &shares{header: c.header, N: n, Member: m.self, Online: c.Online, Digests: c.Digests}
	for _, j := range c.Online.members() {
		plain := v.opened[j]
		if plain == nil {
			continue
		}
		r.Dealers.add(j)
		want := secretsOf(j, n, &c.Online)
		d := releasedD{Proof: appendProof(nil, shareLeaves(m.self, plain[:32], plain[32:]), want)}
		for _, k := range want.members() {
			d.Shares = append(d.Shares, append([]byte(nil), plain[32+k*elementSize:32+(k+1)*elementSize]...))
			d.Salts = append(d.Salts, leafSalt(plain[:32], k))
		}
		r.Released = append(r.Released, d)
	}
	r.Sig = m.cfg.Key.Sign(id.LabelRelease, r.body())
	return r
}

// heldShares are one responder's good shares, by dealer and then by secret in the
// order of secretsOf.
type heldShares struct {
	dealers bitmap
	shares  map[int][]element
}

// Shares takes a member's release. A share that differs from its dealer's
// commitment refuses the whole message and names the responder. done says that
// every secret has a threshold of good shares.
func (r *Round) Shares(from id.AgentID, msg []byte) (done bool, err error) {
	u := r.e.c.index(from)
	if u < 0 {
		return false, fmt.Errorf("secureagg: agent %s is no member of epoch %d", from.Short(), r.h.Epoch)
	}
	drop := func(why Reason, detail string) (bool, error) {
		return r.enough(), &Drop{Stage: StageShares, Reason: why, Agent: from, Detail: detail}
	}
	v, ok := parseShares(msg)
	if !ok {
		return drop(ReasonMalformed, "")
	}
	if v.header != r.h || r.cert == nil {
		return false, ErrStale
	}
	if r.released[u] != nil {
		return r.enough(), nil
	}
	if v.N != r.e.c.params.N || v.Member != u || v.Online != *r.set || v.Digests != r.digestsHash {
		return drop(ReasonMismatch, "")
	}
	if r.e.c.keys[u].Verify(id.LabelRelease, v.body(), v.Sig) != nil {
		return drop(ReasonSignature, "")
	}
	held := &heldShares{dealers: v.Dealers, shares: make(map[int][]element)}
	for i, j := range v.Dealers.members() {
		d := &v.Released[i]
		want := secretsOf(j, v.N, &v.Online)
		elements := make([]element, len(d.Shares))
		leaves := make(map[int]digest, len(d.Shares))
		for x, k := range want.members() {
			parseElement(&elements[x], d.Shares[x])
			leaves[k] = shareLeaf(u, k, &d.Salts[x], d.Shares[x])
		}
		root, ok := rootFromProof(v.N, want, func(k int) digest { return leaves[k] }, d.Proof)
		if !ok || root != r.reports[j].report.Leaves[u].Shares {
			return drop(ReasonShare, "a share of agent "+r.e.c.ids[j].Short()+" is not the one that was dealt")
		}
		held.shares[j] = elements
	}
	r.released[u] = held
	return r.enough(), nil
}

// enough reports whether every dealer in the set has a threshold of responders.
func (r *Round) enough() bool {
	if r.cert == nil {
		return false
	}
	for _, j := range r.set.members() {
		if len(r.responders(j)) < r.e.c.params.Threshold {
			return false
		}
	}
	return true
}

// responders lists the first T members whose shares of dealer j are held.
func (r *Round) responders(j int) []int {
	var who []int
	for u, h := range r.released {
		if h != nil && h.dealers.has(j) && len(who) < r.e.c.params.Threshold {
			who = append(who, u)
		}
	}
	return who
}

// Unmask turns acc, the sum of the vectors of Online modulo 2^32, into the exact sum
// of their inputs. Seeds that differ from their dealer's commitment are an *Abort
// that names the dealer: every share was checked alone, so the dealer shared one
// seed and committed to another. acc is zero then: nothing is published.
func (r *Round) Unmask(acc []uint32) error {
	if len(acc) != r.in.Dim {
		return fmt.Errorf("secureagg: the sum has %d words, the attempt %d", len(acc), r.in.Dim)
	}
	if !r.enough() {
		return r.abort(StageShares, ReasonThreshold, -1, "")
	}
	// Each dealer in the set has a self mask and one for every member outside it.
	online := len(r.set.members())
	streams := newMasks(online * (1 + r.e.c.params.N - online))
	defer streams.erase()
	if err := r.openSeeds(streams); err != nil {
		clear(acc)
		return err
	}
	streams.apply(acc, 0)
	return nil
}

// openSeeds reconstructs every seed that the set opens and adds its mask to streams.
func (r *Round) openSeeds(streams *masks) error {
	n := r.e.c.params.N
	weights := make(map[bitmap][]element) // by responders, nearly always one set
	var buf [elementSize]byte
	defer clear(buf[:])
	for _, j := range r.set.members() {
		who := r.responders(j)
		var key bitmap
		for _, u := range who {
			key.add(u)
		}
		w, ok := weights[key]
		if !ok {
			var err error
			if w, err = lagrangeAtZero(who); err != nil {
				return err
			}
			weights[key] = w
		}
		got := make([]element, len(who))
		coms := r.reports[j].report.Coms
		for x, k := range secretsOf(j, n, r.set).members() {
			for y, u := range who {
				got[y] = r.released[u].shares[j][x]
			}
			z := combine(w, got)
			putElement(buf[:], &z)
			if k == j {
				if selfCommitment(&r.h.Ctx, buf[:]) != coms[k] {
					return r.abort(StageUnmask, ReasonCommitment, j, "the self seed")
				}
				streams.addSeed(&z, r.h.Ctx, true)
				continue
			}
			if pairCommitment(&r.h.Ctx, j, k, buf[:]) != coms[k] {
				return r.abort(StageUnmask, ReasonCommitment, j, "a pair seed")
			}
			// y_j holds sgn(k − j)·stream(s_jk): take it away again.
			streams.addSeed(&z, r.h.Ctx, k > j)
		}
	}
	return nil
}
