package secureagg

import (
	"bytes"

	"github.com/cloudflare/circl/kem/xwing"
	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
)

// ctList is E3: an agent's ciphertexts to every partner, in roster order without
// itself, under a hybrid signature of their Merkle root. Both sides of a pair
// encapsulate, so that a forged ciphertext alone yields nothing (SECAGG,
// Hardening 1).
type ctList struct {
	header
	N, Member int
	Root      digest // root_e
	Cts       [][]byte
	Sig       []byte // hybrid, over ctListBody
}

func (l *ctList) encode() []byte {
	b := newBuilder(headerSize + 64 + len(l.Cts)*xwing.CiphertextSize + id.HybridSignatureSize)
	l.add(b, KindCtList)
	b.AddUint8(uint8(l.N))
	b.AddUint8(uint8(l.Member))
	b.AddBytes(l.Root[:])
	for _, c := range l.Cts {
		b.AddBytes(c)
	}
	b.AddBytes(l.Sig)
	return b.BytesOrPanic()
}

func parseCtList(b []byte) (*ctList, bool) {
	s := cryptobyte.String(b)
	l := new(ctList)
	if !l.read(&s, KindCtList, false) || !readCount(&s, &l.N) || !readIndex(&s, &l.Member, l.N) || !readDigest(&s, &l.Root) {
		return nil, false
	}
	for range l.N - 1 {
		var c []byte
		if !s.ReadBytes(&c, xwing.CiphertextSize) {
			return nil, false
		}
		l.Cts = append(l.Cts, c)
	}
	if !s.ReadBytes(&l.Sig, id.HybridSignatureSize) || !s.Empty() {
		return nil, false
	}
	return l, true
}

// ctLeaf binds the ciphertext of i for j to session, epoch and root_e. An agent's
// own leaf has no ciphertext.
func ctLeaf(h *header, root *digest, i, j int, ct []byte) digest {
	var hash digest
	if ct != nil {
		hash = hashBytes(ct)
	}
	b := newBuilder(headerSize + 66)
	h.add(b, KindCtList)
	b.AddBytes(root[:])
	b.AddUint8(uint8(i))
	b.AddUint8(uint8(j))
	b.AddBytes(hash[:])
	return leafHash("ctlist", b.BytesOrPanic())
}

func (l *ctList) leaves() []digest {
	leaves := make([]digest, l.N)
	for j := range leaves {
		leaves[j] = ctLeaf(&l.header, &l.Root, l.Member, j, l.ct(j))
	}
	return leaves
}

// ct returns the ciphertext for member j, nil for the list's own member.
func (l *ctList) ct(j int) []byte {
	switch {
	case j < l.Member:
		return l.Cts[j]
	case j > l.Member:
		return l.Cts[j-1]
	}
	return nil
}

func ctListBody(h *header, member int, root, listRoot *digest) []byte {
	b := newBuilder(headerSize + 65)
	h.add(b, KindCtList)
	b.AddUint8(uint8(member))
	b.AddBytes(root[:])
	b.AddBytes(listRoot[:])
	return b.BytesOrPanic()
}

// ctDelivery routes to one member the ciphertexts of its partners, each with its
// path to the partner's signed root.
type ctDelivery struct {
	header
	N, To int
	Root  digest
	From  []delivered // roster order, without To
}

type delivered struct {
	Ct   []byte
	Path []digest
	Sig  []byte
}

func (d *ctDelivery) encode() []byte {
	b := newBuilder(headerSize + 64 + len(d.From)*(xwing.CiphertextSize+id.HybridSignatureSize+7*32))
	d.add(b, KindCtDelivery)
	b.AddUint8(uint8(d.N))
	b.AddUint8(uint8(d.To))
	b.AddBytes(d.Root[:])
	for i := range d.From {
		b.AddBytes(d.From[i].Ct)
		addDigests(b, d.From[i].Path)
		b.AddBytes(d.From[i].Sig)
	}
	return b.BytesOrPanic()
}

func parseCtDelivery(b []byte) (*ctDelivery, bool) {
	s := cryptobyte.String(b)
	d := new(ctDelivery)
	if !d.read(&s, KindCtDelivery, false) || !readCount(&s, &d.N) || !readIndex(&s, &d.To, d.N) || !readDigest(&s, &d.Root) {
		return nil, false
	}
	path := proofSize(d.N, only(d.To))
	for range d.N - 1 {
		var v delivered
		if !s.ReadBytes(&v.Ct, xwing.CiphertextSize) || !readDigests(&s, &v.Path, path) ||
			!s.ReadBytes(&v.Sig, id.HybridSignatureSize) {
			return nil, false
		}
		d.From = append(d.From, v)
	}
	return d, s.Empty()
}

// makeCtList encapsulates to every partner. The coins die with the call.
func (m *Member) makeCtList(root digest, eks [][]byte) (Output, error) {
	ep := m.ep
	rand, err := hedged(m.cfg.Rand, ep.dk, append([]byte("encapsulate"), root[:]...))
	if err != nil {
		return Output{}, err
	}
	l := &ctList{header: m.epochHeader(), N: m.c.params.N, Member: m.self, Root: root}
	sent := make([]secret, l.N)
	var coins [xwing.EncapsulationSeedSize]byte
	for j := range sent {
		rand.Read(coins[:])
		if j == m.self { // a key of its own, for the shares dealt to itself
			copy(sent[j][:], coins[:])
			continue
		}
		ss, ct, err := xwing.Encapsulate(eks[j], coins[:])
		if err != nil {
			return Output{}, &Abort{Stage: StageRoster, Reason: ReasonMalformed, Epoch: ep.number, Culprit: m.c.ids[j]}
		}
		copy(sent[j][:], ss)
		clear(ss)
		l.Cts = append(l.Cts, ct)
	}
	clear(coins[:])
	listRoot := merkleRoot(l.leaves())
	l.Sig = m.cfg.Key.SignHybrid(id.LabelCtList, ctListBody(&l.header, l.Member, &root, &listRoot))
	ep.root, ep.eks, ep.sent, ep.listRoots = root, eks, sent, make([]digest, l.N)
	ep.listRoots[m.self] = listRoot
	ep.cts = l.Cts
	ep.ctList = l.encode()
	ep.stage = StageCtList
	return resend(ep.ctList)
}

// handleCtDelivery verifies the partners' ciphertexts, derives every CK^0 and
// answers with the confirmation tags.
func (m *Member) handleCtDelivery(d *ctDelivery) (Output, error) {
	ep := m.ep
	switch {
	case ep.stage == StageRoster:
		return Output{}, ErrNotOpen
	case ep.stage != StageCtList:
		return resend(ep.confirm)
	case d.To != m.self || d.N != m.c.params.N || d.Root != ep.root:
		return Output{}, &Abort{Stage: StageCtList, Reason: ReasonMismatch, Epoch: ep.number, Detail: "the ciphertexts are for another roster or member"}
	}
	in := make([][]byte, d.N)
	roots := append([]digest(nil), ep.listRoots...)
	for k := range d.From {
		i := k
		if k >= m.self {
			i++
		}
		v := &d.From[k]
		listRoot, _ := rootFromProof(d.N, only(m.self), func(int) digest {
			return ctLeaf(&d.header, &d.Root, i, m.self, v.Ct)
		}, v.Path)
		if m.c.keys[i].VerifyHybrid(id.LabelCtList, ctListBody(&d.header, i, &d.Root, &listRoot), v.Sig) != nil {
			return Output{}, &Abort{Stage: StageCtList, Reason: ReasonSignature, Epoch: ep.number, Culprit: m.c.ids[i],
				Detail: "a ciphertext is not in its sender's signed list"}
		}
		in[i], roots[i] = v.Ct, listRoot
	}
	ep.listRoots = roots
	return m.makeConfirm(in)
}

// handleCtList collects the lists and routes the ciphertexts.
func (e *Epoch) handleCtList(i int, l *ctList, raw []byte) ([]Outgoing, error) {
	drop := func(r Reason) ([]Outgoing, error) {
		return nil, &Drop{Stage: StageCtList, Reason: r, Agent: e.c.ids[i]}
	}
	if prev := e.ctLists[i]; prev != nil {
		if !bytes.Equal(prev, raw) {
			return drop(ReasonSecond)
		}
		return nil, nil
	}
	if e.phase == StageEpochKey {
		return nil, ErrStale
	}
	if l.header != e.h || l.N != e.c.params.N || l.Member != i || l.Root != e.root {
		return drop(ReasonMismatch)
	}
	listRoot := merkleRoot(l.leaves())
	if e.c.keys[i].VerifyHybrid(id.LabelCtList, ctListBody(&e.h, i, &e.root, &listRoot), l.Sig) != nil {
		return drop(ReasonSignature)
	}
	e.ctLists[i] = bytes.Clone(raw)
	if e.phase != StageCtList || len(e.missing(e.ctLists)) > 0 {
		return nil, nil
	}
	lists := make([]*ctList, len(e.ctLists))
	leaves := make([][]digest, len(e.ctLists))
	for j, b := range e.ctLists {
		lists[j], _ = parseCtList(b)
		leaves[j] = lists[j].leaves()
	}
	e.deliveries = make([][]byte, len(lists))
	for to := range lists {
		d := &ctDelivery{header: e.h, N: e.c.params.N, To: to, Root: e.root}
		for j, l := range lists {
			if j != to {
				d.From = append(d.From, delivered{Ct: l.ct(to), Path: appendProof(nil, leaves[j], only(to)), Sig: l.Sig})
			}
		}
		e.deliveries[to] = d.encode()
	}
	e.phase = StageConfirm
	return e.each(e.deliveries), nil
}
