package secureagg

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
	"tacit/secureagg/internal/guard"
)

// report is R1 without the vector, which travels beside it.
//
// Leaves[u] commits, under the signed root, to the salted shares of member u
// (a Merkle root of its own), to the hash of the single-use key of u's blob and to
// the blob; so u, or anyone to whom u shows that key, can check the blob, and the
// server can check every share alone (SECAGG, Hardening 4 and 5).
type report struct {
	header
	N, Member int
	Slots     int      // one secret each
	Salt      digest   // fresh
	Vector    digest   // H(y)
	Coms      []digest // by slot: at Member the self seed b, elsewhere the pair seed with that partner
	Leaves    []reportLeaf
	Blobs     [][]byte
	Sig       []byte
}

type reportLeaf struct {
	Shares  digest // root over u's salted shares
	KeyHash digest // H(blob key)
}

const reportLeafSize = 64

// plainSize is the size of what a dealer with so many slots deals one member: salt and
// a share for each. blobSize is its size sealed, with GCM's tag.
func plainSize(slots int) int { return 32 + slots*elementSize }
func blobSize(slots int) int  { return plainSize(slots) + 16 }

func (r *report) encode() []byte {
	b := newBuilder(headerSize + 128 + 32*r.Slots + r.N*(reportLeafSize+blobSize(r.Slots)))
	r.add(b, KindReport)
	b.AddUint8(uint8(r.N))
	b.AddUint8(uint8(r.Member))
	addSlots(b, &r.header, r.N, r.Slots)
	b.AddBytes(r.Salt[:])
	b.AddBytes(r.Vector[:])
	addDigests(b, r.Coms)
	for i := range r.Leaves {
		r.Leaves[i].add(b)
	}
	for _, v := range r.Blobs {
		b.AddBytes(v)
	}
	b.AddBytes(r.Sig)
	return b.BytesOrPanic()
}

func (l *reportLeaf) add(b *cryptobyte.Builder) {
	b.AddBytes(l.Shares[:])
	b.AddBytes(l.KeyHash[:])
}

func (l *reportLeaf) read(s *cryptobyte.String) bool {
	return readDigest(s, &l.Shares) && readDigest(s, &l.KeyHash)
}

func parseReport(b []byte) (*report, bool) {
	s := cryptobyte.String(b)
	r := new(report)
	if !r.read(&s, KindReport, true) || !readCount(&s, &r.N) || !readIndex(&s, &r.Member, r.N) ||
		!readSlots(&s, &r.header, r.N, &r.Slots) || !readDigest(&s, &r.Salt) || !readDigest(&s, &r.Vector) ||
		len(s) != 32*r.Slots+r.N*(reportLeafSize+blobSize(r.Slots))+id.SignatureSize || !readDigests(&s, &r.Coms, r.Slots) {
		return nil, false
	}
	r.Leaves = make([]reportLeaf, r.N)
	r.Blobs = make([][]byte, r.N)
	for i := range r.Leaves {
		if !r.Leaves[i].read(&s) {
			return nil, false
		}
	}
	for i := range r.Blobs {
		if !s.ReadBytes(&r.Blobs[i], blobSize(r.Slots)) {
			return nil, false
		}
	}
	if !s.ReadBytes(&r.Sig, id.SignatureSize) || !s.Empty() {
		return nil, false
	}
	return r, true
}

// reportDigest is what a Report signs, and what members see of other reports.
type reportDigest struct {
	Vector digest
	Blobs  digest
	Coms   digest
	Root   digest
	Salt   digest
	Sig    []byte
}

const reportDigestSize = 5*32 + id.SignatureSize

func (d *reportDigest) add(b *cryptobyte.Builder) {
	for _, v := range []*digest{&d.Vector, &d.Blobs, &d.Coms, &d.Root, &d.Salt} {
		b.AddBytes(v[:])
	}
	b.AddBytes(d.Sig)
}

func (d *reportDigest) read(s *cryptobyte.String) bool {
	return readDigest(s, &d.Vector) && readDigest(s, &d.Blobs) && readDigest(s, &d.Coms) &&
		readDigest(s, &d.Root) && readDigest(s, &d.Salt) && s.ReadBytes(&d.Sig, id.SignatureSize)
}

func (d *reportDigest) body(h *header, member int) []byte {
	b := newBuilder(headerSize + 256)
	h.add(b, KindReport)
	b.AddUint8(uint8(member))
	for _, v := range []*digest{&d.Vector, &d.Blobs, &d.Coms, &d.Root, &d.Salt} {
		b.AddBytes(v[:])
	}
	return b.BytesOrPanic()
}

func (r *report) topLeaves() []digest {
	leaves := make([]digest, r.N)
	for u := range leaves {
		leaves[u] = r.Leaves[u].hash(u, r.Blobs[u])
	}
	return leaves
}

// hash is the leaf of member u in its dealer's tree.
func (l *reportLeaf) hash(u int, blob []byte) digest {
	h := hashBytes(blob)
	return leafHash("blob", []byte{byte(u)}, l.Shares[:], l.KeyHash[:], h[:])
}

func (r *report) digest() *reportDigest {
	var coms []byte
	for i := range r.Coms {
		coms = append(coms, r.Coms[i][:]...)
	}
	return &reportDigest{Vector: r.Vector, Blobs: hashParts("blobs", r.Blobs...), Coms: hashParts("coms", coms),
		Root: merkleRoot(r.topLeaves()), Salt: r.Salt, Sig: r.Sig}
}

// leafSalt blinds one share's leaf: SHA-256 under the member's secret salt, since
// shares of one member are opened one by one.
func leafSalt(salt []byte, secret int) digest {
	return leafHash("salt", salt, []byte{byte(secret)})
}

func shareLeaf(u, secret int, salt *digest, share []byte) digest {
	return leafHash("share", []byte{byte(u), byte(secret)}, salt[:], share)
}

// shareLeaves are the leaves of member u over its shares, in order of secret.
func shareLeaves(u int, salt, shares []byte) []digest {
	leaves := make([]digest, len(shares)/elementSize)
	for k := range leaves {
		s := leafSalt(salt, k)
		leaves[k] = shareLeaf(u, k, &s, shares[k*elementSize:(k+1)*elementSize])
	}
	return leaves
}

// pairSeed is s_ij of an attempt: HKDF-Expand(CK_ij^r, "pair" ‖ ctx, 32) in F_p.
func pairSeed(key *secret, ctx *id.Ctx) (z element) {
	var b [32]byte
	expand(b[:], key[:], "pair", ctx[:])
	reduceElement(&z, b[:])
	clear(b[:])
	return z
}

// blobKey is the single-use key of dealer i's blob for u: HKDF-Expand(CK_iu^r,
// "share" ‖ i ‖ u ‖ ctx ‖ salt_i) (SECAGG, Hardening 3).
func blobKey(key *secret, i, u int, ctx *id.Ctx, salt *digest) (k secret) {
	expand(k[:], key[:], "share", []byte{byte(i), byte(u)}, ctx[:], salt[:])
	return k
}

// blobAEAD is AES-256-GCM under a key that seals once, hence the zero nonce.
func blobAEAD(k *secret) cipher.AEAD {
	block, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err)
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return a
}

var zeroNonce [12]byte

func blobAD(h *header, i, u int) []byte {
	b := newBuilder(headerSize + 2)
	h.add(b, KindReport)
	b.AddUint8(uint8(i))
	b.AddUint8(uint8(u))
	return b.BytesOrPanic()
}

// selfCommitment and pairCommitment are com_i. Both seeds have 255 bits of entropy.
func selfCommitment(ctx *id.Ctx, b []byte) digest { return hashParts("b", ctx[:], b) }

func pairCommitment(ctx *id.Ctx, lo, hi, s []byte) digest {
	return hashParts("s", ctx[:], lo, hi, s)
}

// attemptKeys names an attempt for the keys of one cohort's members: pairs within the
// cohort are bound to its ctx, pairs across to that of all cohorts, which with one
// cohort is the same.
type attemptKeys struct{ all, own id.Ctx }

func (a *attemptKeys) of(c *cohort, slot int) *id.Ctx {
	if slot < c.params.N {
		return &a.own
	}
	return &a.all
}

// commitment is com of member i's secret at a slot, whose encoding is s.
func (c *cohort) commitment(a *attemptKeys, i, slot int, s []byte) digest {
	if slot == i {
		return selfCommitment(&a.own, s)
	}
	lo, hi := c.pairNames(i, slot)
	if !c.before(i, slot) {
		lo, hi = hi, lo
	}
	return pairCommitment(a.of(c, slot), lo, hi, s)
}

// Report masks x in place and makes the report of the current attempt. len(x) is
// the attempt's dimension. It happens at most once per attempt; the journal holds
// the bytes before they leave.
func (m *Member) Report(x []uint32) (Output, error) {
	if m.out != nil {
		return Output{}, ErrOut
	}
	rd := m.rd
	if rd == nil || m.ep == nil || rd.h.Epoch != m.ep.number {
		return Output{}, ErrNotOpen
	}
	if !rd.mayReport() {
		return Output{}, ErrMayNotReport
	}
	if len(x) != rd.inputs.Dim {
		return Output{}, fmt.Errorf("secureagg: the vector has %d words, the attempt %d", len(x), rd.inputs.Dim)
	}
	if err := m.checkUnused(&rd.inputs); err != nil {
		return Output{}, err // another run of the agent has reported meanwhile
	}
	keys := m.ep.chain.bytes()
	var rb [8]byte
	binary.BigEndian.PutUint64(rb[:], rd.h.R)
	rand, err := hedged(m.cfg.Rand, keys, append(append([]byte("report"), rb[:]...), rd.h.Ctx[:]...))
	clear(keys)
	if err != nil {
		return Output{}, err
	}
	rep, err := deal(m.c, m.self, &rd.h, rd.all, m.ep.chain.keys, x, rd.masks, rand)
	if err != nil {
		return Output{}, err
	}
	rd.masks.Erase()
	rd.masks = nil
	rep.Sig = m.cfg.Key.Sign(id.LabelReport, rep.digest().body(&rd.h, m.self))

	rd.report = rep.encode()
	rd.vector = append([]uint32(nil), x...)
	m.last = &lastReport{run: rd.h.Run, epoch: rd.h.Epoch, r: rd.h.R, ctx: rd.all, used: rd.inputs.consumes(), roster: m.f.roster}
	var out Output
	m.sign(&out, roleReport)
	out.put(keyReport, rd.report)
	out.put(keyVector, vectorBytes(x))
	m.mark(&out, m.last.used, func(t *trainedMark) { t.count, t.aborted = t.count+1, false })
	out.put(keyLast, m.last.bytes())
	out.Send = [][]byte{rd.report}
	out.Event = &Masked{R: rd.h.R, Report: rd.report, Vector: x}
	return out, nil
}

// deal draws the self seed, derives the pair seeds, masks x and shares all seeds
// with the cohort. all is the ctx of all cohorts, keys are by slot; prepared has the
// pair masks, unless it is nil.
func deal(c *cohort, self int, h *header, all id.Ctx, keys []secret, x []uint32, prepared *Masks, rand io.Reader) (*report, error) {
	n, slots := c.params.N, c.slots(self)
	at := attemptKeys{all: all, own: h.Ctx}
	r := &report{header: *h, N: n, Member: self, Slots: slots, Coms: make([]digest, slots), Leaves: make([]reportLeaf, n), Blobs: make([][]byte, n)}
	seeds := make([]element, slots)
	defer clear(seeds)
	var buf [32]byte
	if _, err := io.ReadFull(rand, buf[:]); err != nil {
		return nil, err
	}
	reduceElement(&seeds[self], buf[:])
	if _, err := io.ReadFull(rand, r.Salt[:]); err != nil {
		return nil, err
	}
	streams := newMasks(slots)
	defer streams.erase()
	for j := range slots {
		ctx := at.of(c, j)
		if j != self {
			seeds[j] = pairSeed(&keys[j], ctx)
		}
		putElement(buf[:], &seeds[j])
		r.Coms[j] = c.commitment(&at, self, j, buf[:])
		// y_i = x_i + stream(b_i) + Σ_j sgn(j − i)·stream(s_ij)
		if j == self || prepared == nil {
			streams.addSeed(&seeds[j], *ctx, j != self && !c.before(self, j))
		}
	}
	clear(buf[:])
	streams.apply(x, 0)
	if prepared != nil {
		AddVector(x, prepared.sum)
	}
	r.Vector = VectorHash(x)

	// plain[u] is what u's blob holds: its salt, then its share of every secret.
	plain := make([][]byte, n)
	for u := range plain {
		plain[u] = make([]byte, plainSize(slots), blobSize(slots))
		if _, err := io.ReadFull(rand, plain[u][:32]); err != nil {
			return nil, err
		}
	}
	sp := newSplitter(n, c.params.Threshold)
	defer sp.erase()
	shares := make([]element, n)
	defer clear(shares)
	for k := range slots {
		if err := sp.split(shares, &seeds[k], rand); err != nil {
			return nil, err
		}
		for u := range n {
			putElement(plain[u][32+k*elementSize:], &shares[u])
		}
	}
	for u := range n {
		r.Leaves[u].Shares = merkleRoot(shareLeaves(u, plain[u][:32], plain[u][32:]))
		k := blobKey(&keys[u], self, u, &h.Ctx, &r.Salt)
		r.Leaves[u].KeyHash = hashParts("blobkey", k[:])
		r.Blobs[u] = blobAEAD(&k).Seal(plain[u][:0], zeroNonce[:], plain[u], blobAD(h, self, u))
		clear(k[:])
	}
	return r, nil
}

// AcceptReport takes an agent's report and the digest of the vector that came with
// it. Repeats change nothing. A *Drop refuses the report and leaves the agent out
// of the set; ErrStale says that the set is fixed.
func (r *Round) AcceptReport(from id.AgentID, raw []byte, vector [32]byte) error {
	p, i := r.partOf(from)
	if p == nil {
		return fmt.Errorf("secureagg: agent %s is no member of epoch %d", from.Short(), r.h.Epoch)
	}
	drop := func(why Reason, detail string) error {
		return &Drop{Stage: StageReport, Reason: why, Agent: from, Detail: detail}
	}
	rep, ok := parseReport(raw)
	if !ok || len(raw) > MaxMessage {
		return drop(ReasonMalformed, "")
	}
	if rep.header != p.h {
		if rep.Run == r.h.Run && rep.R == r.h.R && rep.Epoch == r.h.Epoch {
			return drop(ReasonMismatch, "the report is of another context")
		}
		return ErrStale
	}
	if prev := p.reports[i]; guard.ReportOnce && prev != nil {
		if prev.hash != hashBytes(raw) {
			return &Drop{Stage: StageReport, Reason: ReasonSecond, Agent: from, Evidence: [][]byte{prev.report.encode(), bytes.Clone(raw)}}
		}
		return nil
	}
	if r.closed || r.abortCert != nil {
		return ErrStale
	}
	if rep.N != p.c.params.N || rep.Member != i || rep.Slots != p.c.slots(i) {
		return drop(ReasonMismatch, "")
	}
	if guard.ReportVector && rep.Vector != vector {
		return drop(ReasonMismatch, "the vector is not the one that the report signs")
	}
	d := rep.digest()
	if guard.ReportReceived && p.c.keys[i].Verify(id.LabelReport, d.body(&p.h, i), rep.Sig) != nil {
		return drop(ReasonSignature, "")
	}
	own, _ := parseReport(append([]byte(nil), raw...))
	d.Sig = own.Sig
	p.reports[i] = &heldReport{report: own, digest: d, hash: hashBytes(raw)}
	return nil
}
