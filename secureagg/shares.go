package secureagg

import (
	"bytes"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
	"tacit/secureagg/internal/guard"
)

// shares is what a member releases for a certified set O: of each dealer j in O its
// share of b_j, and of s_jk for every k outside O. The set decides which secrets a
// message can hold, so none can hold a share of b_j and of all of j's pair seeds.
type shares struct {
	header
	N, Member int
	Online    bitmap // of the cohort
	Digests   digest
	Dealers   bitmap      // dealers in O whose blob opened
	Released  []releasedD // of Dealers, ascending
	Sig       []byte
}

// releasedD is the shares of one dealer: by secret, ascending, with the digests that
// lead to the dealer's commitment to all shares of this member.
type releasedD struct {
	Slots  int
	Want   bitmap   // the secrets that the set opens, by slot
	Shares [][]byte // 32 bytes each
	Salts  []digest
	Proof  []digest
}

// secretsOf are the secrets of dealer j that a set opens: slot j stands for b_j, that
// of a partner outside the set for the seed of the pair. outside says which of the
// slots in other cohorts are outside.
func secretsOf(j, n int, online *bitmap, outside *bitmap) *bitmap {
	s := *outside
	s.add(j)
	for k := range n {
		if !guard.OneSecret || !online.has(k) {
			s.add(k)
		}
	}
	return &s
}

// outside are the slots of member j in other cohorts whose partners are outside the
// certified sets; in tells who is inside.
func (c *cohort) outside(j int, in func(g int) bool) *bitmap {
	var s bitmap
	for k, g := range c.cross[j] {
		if !in(g) {
			s.add(c.params.N + k)
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
		addSlots(b, &r.header, r.N, d.Slots)
		for k := r.N; k < d.Slots; k += 8 {
			b.AddUint8(d.Want.octet(k))
		}
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
		var d releasedD
		var outside bitmap
		if !readSlots(&s, &r.header, r.N, &d.Slots) {
			return nil, false
		}
		for k := r.N; k < d.Slots; k += 8 {
			var v uint8
			if !s.ReadUint8(&v) || v>>min(d.Slots-k, 8) != 0 {
				return nil, false
			}
			for i := range 8 {
				if v&(1<<i) != 0 {
					outside.add(k + i)
				}
			}
		}
		d.Want = *secretsOf(j, r.N, &r.Online, &outside)
		want := &d.Want
		for range want.count() {
			var share []byte
			var salt digest
			var e element
			if !s.ReadBytes(&share, elementSize) || !parseElement(&e, share) || !readDigest(&s, &salt) {
				return nil, false
			}
			d.Shares, d.Salts = append(d.Shares, share), append(d.Salts, salt)
		}
		if !readDigests(&s, &d.Proof, proofSize(d.Slots, want)) {
			return nil, false
		}
		r.Released = append(r.Released, d)
	}
	if !s.ReadBytes(&r.Sig, id.SignatureSize) || !s.Empty() {
		return nil, false
	}
	return r, true
}

// release builds this member's Shares from what it opened at R2. in tells who of the
// other cohorts is inside the certified sets.
func (m *Member) release(in func(g int) bool) *shares {
	v := m.rd.vote
	r := &shares{header: m.rd.h, N: m.c.params.N, Member: m.self, Online: v.online, Digests: v.digests}
	for _, j := range v.online.members() {
		plain := v.opened[j]
		if plain == nil {
			continue
		}
		r.Dealers.add(j)
		want := secretsOf(j, r.N, &v.online, m.c.outside(j, in))
		d := releasedD{Slots: m.c.slots(j), Want: *want, Proof: appendProof(nil, shareLeaves(m.self, plain[:32], plain[32:]), want)}
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
	msg     []byte
	dealers bitmap
	shares  map[int][]element
}

// Shares takes a member's release. A share that differs from its dealer's
// commitment refuses the whole message and names the responder. done says that
// every secret has a threshold of good shares.
func (r *Round) Shares(from id.AgentID, msg []byte) (done bool, err error) {
	p, u := r.partOf(from)
	if p == nil {
		return false, fmt.Errorf("secureagg: agent %s is no member of epoch %d", from.Short(), r.h.Epoch)
	}
	drop := func(why Reason, detail string) (bool, error) {
		return r.enough(), &Drop{Stage: StageShares, Reason: why, Agent: from, Detail: detail}
	}
	v, ok := parseShares(msg)
	if !ok {
		return drop(ReasonMalformed, "")
	}
	if v.header != p.h || p.set == nil || r.cert == nil {
		return false, ErrStale
	}
	if p.released[u] != nil {
		return r.enough(), nil
	}
	if v.N != p.c.params.N || v.Member != u || v.Online != *p.set || v.Digests != p.digestsHash {
		return drop(ReasonMismatch, "")
	}
	if guard.SharesReceived && p.c.keys[u].Verify(id.LabelRelease, v.body(), v.Sig) != nil {
		return drop(ReasonSignature, "")
	}
	held := &heldShares{msg: bytes.Clone(msg), dealers: v.Dealers, shares: make(map[int][]element)}
	for i, j := range v.Dealers.members() {
		d := &v.Released[i]
		want := p.opens(j)
		if d.Slots != p.c.slots(j) || d.Want != *want {
			return drop(ReasonMismatch, "")
		}
		elements := make([]element, len(d.Shares))
		for x := range d.Shares {
			parseElement(&elements[x], d.Shares[x])
		}
		if guard.ShareProof && !d.dealt(u, &p.reports[j].report.Leaves[u].Shares) {
			return r.enough(), &Drop{Stage: StageShares, Reason: ReasonShare, Agent: from,
				Detail: "a share of agent " + p.c.ids[j].Short() + " is not the one that was dealt", Evidence: [][]byte{p.onlineSetFor(u), bytes.Clone(msg)}}
		}
		held.shares[j] = elements
	}
	p.released[u] = held
	return r.enough(), nil
}

// dealt reports whether the shares are those that a dealer committed to for member u.
func (d *releasedD) dealt(u int, commitment *digest) bool {
	leaves := make(map[int]digest, len(d.Shares))
	for x, k := range d.Want.members() {
		leaves[k] = shareLeaf(u, k, &d.Salts[x], d.Shares[x])
	}
	root, ok := rootFromProof(d.Slots, &d.Want, func(k int) digest { return leaves[k] }, d.Proof)
	return ok && root == *commitment
}

// opens lists the secrets of dealer j that the certified sets open.
func (p *part) opens(j int) *bitmap {
	return secretsOf(j, p.c.params.N, p.set, p.c.outside(j, p.r.inside))
}

// inside reports whether member g of the federation is in its cohort's set.
func (r *Round) inside(g int) bool {
	at := r.e.layout.places[g]
	p := r.parts[at.cohort]
	return p.set != nil && p.set.has(at.member)
}

// enough reports whether every dealer in the sets has a threshold of responders.
func (r *Round) enough() bool {
	if r.cert == nil {
		return false
	}
	for _, p := range r.parts {
		if p.set == nil {
			continue
		}
		for _, j := range p.set.members() {
			if len(p.responders(j)) < p.c.params.Threshold {
				return false
			}
		}
	}
	return true
}

// responders lists the first T members whose shares of dealer j are held.
func (p *part) responders(j int) []int {
	var who []int
	for u, h := range p.released {
		if h != nil && h.dealers.has(j) && len(who) < p.c.params.Threshold {
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
	u, err := r.Unmasker()
	if err != nil {
		clear(acc)
		return err
	}
	defer u.Erase()
	u.Apply(acc, 0)
	return nil
}

// Unmasker takes the masks off a sum slice by slice, on as many cores as its caller has.
type Unmasker struct{ streams *masks }

// Unmasker opens every seed that the certified sets open. Its errors are Unmask's.
func (r *Round) Unmasker() (*Unmasker, error) {
	if !r.enough() {
		return nil, r.abort(StageShares, ReasonThreshold, id.AgentID{}, "")
	}
	// Each dealer in a set has a self mask and one for every partner outside.
	count := 0
	for _, p := range r.parts {
		if p.set != nil {
			for _, j := range p.set.members() {
				count += p.opens(j).count()
			}
		}
	}
	u := &Unmasker{newMasks(count)}
	for _, p := range r.parts {
		if p.set == nil {
			continue
		}
		if err := p.openSeeds(u.streams); err != nil {
			u.Erase()
			return nil, err
		}
	}
	return u, nil
}

// Apply takes the masks off part, whose first word is word offset of the sum. Calls for
// slices that do not overlap may run at the same time.
func (u *Unmasker) Apply(part []uint32, offset int) { u.streams.apply(part, uint64(offset)) }

// Erase forgets the seeds.
func (u *Unmasker) Erase() { u.streams.erase() }

// openSeeds reconstructs every seed of the cohort that the sets open and adds its mask
// to streams.
func (p *part) openSeeds(streams *masks) error {
	weights := make(map[bitmap][]element) // by responders, nearly always one set
	at := attemptKeys{all: p.r.h.Ctx, own: p.h.Ctx}
	var buf [elementSize]byte
	defer clear(buf[:])
	for _, j := range p.set.members() {
		who := p.responders(j)
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
		coms := p.reports[j].report.Coms
		for x, k := range p.opens(j).members() {
			for y, u := range who {
				got[y] = p.released[u].shares[j][x]
			}
			z := combine(w, got)
			putElement(buf[:], &z)
			if guard.SeedCommitment && p.c.commitment(&at, j, k, buf[:]) != coms[k] {
				what := "a pair seed"
				if k == j {
					what = "the self seed"
				}
				ab := p.r.abort(StageUnmask, ReasonCommitment, p.c.ids[j], what)
				ab.Evidence = [][]byte{p.reports[j].report.encode()}
				for _, u := range who {
					ab.Evidence = append(ab.Evidence, p.released[u].msg)
				}
				return ab
			}
			// y_j holds stream(b_j) and sgn(k − j)·stream(s_jk): take them away again.
			streams.addSeed(&z, *at.of(p.c, k), k == j || p.c.before(j, k))
		}
	}
	return nil
}
