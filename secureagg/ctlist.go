package secureagg

import (
	"bytes"

	"github.com/cloudflare/circl/kem/xwing"
	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
	"tacit/secureagg/internal/guard"
)

// ctList is E3: an agent's ciphertexts to every partner, by slot without its own, under a hybrid signature of their Merkle root. Both sides of a pair
// encapsulate, so that a forged ciphertext alone yields nothing (SECAGG,
// Hardening 1).
type ctList struct {
	header
	N, Member int
	Slots     int
	Root      digest // root_e
	Cts       [][]byte
	Sig       []byte // hybrid, over ctListBody
}

func (l *ctList) encode() []byte {
	b := newBuilder(headerSize + 64 + len(l.Cts)*xwing.CiphertextSize + id.HybridSignatureSize)
	l.add(b, KindCtList)
	b.AddUint8(uint8(l.N))
	b.AddUint8(uint8(l.Member))
	addSlots(b, &l.header, l.N, l.Slots)
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
	if !l.read(&s, KindCtList, false) || !readCount(&s, &l.N) || !readIndex(&s, &l.Member, l.N) ||
		!readSlots(&s, &l.header, l.N, &l.Slots) || !readDigest(&s, &l.Root) {
		return nil, false
	}
	for range l.Slots - 1 {
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

// ctLeaf binds the ciphertext of i for its slot j to session, epoch and root_e. An agent's
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
	leaves := make([]digest, l.Slots)
	for j := range leaves {
		leaves[j] = ctLeaf(&l.header, &l.Root, l.Member, j, l.ct(j))
	}
	return leaves
}

// ct returns the ciphertext for slot j, nil for the list's own member.
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
	Slots int
	Root  digest
	From  []delivered // by slot, without To's own
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
	addSlots(b, &d.header, d.N, d.Slots)
	b.AddBytes(d.Root[:])
	for i := range d.From {
		b.AddBytes(d.From[i].Ct)
		if d.Cohort != 0 { // lists of several cohorts differ in length
			b.AddUint8(uint8(len(d.From[i].Path)))
		}
		addDigests(b, d.From[i].Path)
		b.AddBytes(d.From[i].Sig)
	}
	return b.BytesOrPanic()
}

func parseCtDelivery(b []byte) (*ctDelivery, bool) {
	s := cryptobyte.String(b)
	d := new(ctDelivery)
	if !d.read(&s, KindCtDelivery, false) || !readCount(&s, &d.N) || !readIndex(&s, &d.To, d.N) ||
		!readSlots(&s, &d.header, d.N, &d.Slots) || !readDigest(&s, &d.Root) {
		return nil, false
	}
	path := proofSize(d.N, only(d.To))
	for range d.Slots - 1 {
		var v delivered
		var count uint8
		if !s.ReadBytes(&v.Ct, xwing.CiphertextSize) || d.Cohort != 0 && !s.ReadUint8(&count) {
			return nil, false
		}
		if d.Cohort != 0 {
			path = int(count)
		}
		if !readDigests(&s, &v.Path, path) ||
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
	l := &ctList{header: m.cohortHeader(), N: m.c.params.N, Member: m.self, Slots: m.c.slots(m.self), Root: root}
	sent := make([]secret, l.Slots)
	var coins [xwing.EncapsulationSeedSize]byte
	for j := range sent {
		rand.Read(coins[:])
		if j == m.self { // a key of its own, for the shares dealt to itself
			copy(sent[j][:], coins[:])
			continue
		}
		ss, ct, err := xwing.Encapsulate(eks[j], coins[:])
		if err != nil {
			return Output{}, &Abort{Stage: StageRoster, Reason: ReasonMalformed, Epoch: ep.number, Culprit: m.f.ids[m.c.partner(m.self, j)]}
		}
		copy(sent[j][:], ss)
		clear(ss)
		l.Cts = append(l.Cts, ct)
	}
	clear(coins[:])
	listRoot := merkleRoot(l.leaves())
	l.Sig = m.cfg.Key.SignHybrid(id.LabelCtList, ctListBody(&l.header, l.Member, &root, &listRoot))
	ep.root, ep.eks, ep.sent, ep.listRoots = root, eks, sent, make([]digest, l.Slots)
	ep.listRoots[m.self] = listRoot
	ep.cts = l.Cts
	ep.marks = make([]mark, l.N)
	ep.ctList = l.encode()
	ep.stage = StageCtList
	return resend(ep.ctList)
}

// handleCtDelivery verifies the partners' ciphertexts, derives every CK^0 and
// answers with the confirmation tags.
func (m *Member) handleCtDelivery(d *ctDelivery) (Output, error) {
	ep := m.ep
	switch {
	case ep.stage == StageCommitments || ep.stage == StageRoster:
		return Output{}, ErrNotOpen
	case ep.stage != StageCtList:
		return resend(ep.confirm)
	case d.header != m.cohortHeader() || d.To != m.self || d.N != m.c.params.N || d.Slots != m.c.slots(m.self) || d.Root != ep.root:
		return Output{}, &Abort{Stage: StageCtList, Reason: ReasonMismatch, Epoch: ep.number, Detail: "the ciphertexts are for another roster or member"}
	}
	in := make([][]byte, d.Slots)
	roots := append([]digest(nil), ep.listRoots...)
	for k := range d.From {
		slot := k + b2i(k >= m.self)
		v := &d.From[k]
		from := m.l.opposite(end{m.c, m.self, slot})
		h := d.header
		h.Cohort = from.number
		listRoot, ok := rootFromProof(from.slots(from.member), only(from.slot), func(int) digest {
			return ctLeaf(&h, &d.Root, from.member, from.slot, v.Ct)
		}, v.Path)
		if !ok || guard.CtListSignature && from.keys[from.member].VerifyHybrid(id.LabelCtList, ctListBody(&h, from.member, &d.Root, &listRoot), v.Sig) != nil {
			return Output{}, &Abort{Stage: StageCtList, Reason: ReasonSignature, Epoch: ep.number,
				Detail: "a ciphertext is not in the list that agent " + from.ids[from.member].Short() + " signed"}
		}
		in[slot], roots[slot] = v.Ct, listRoot
	}
	ep.listRoots = roots
	return m.makeConfirm(in)
}

// handleCtList collects the lists and routes the ciphertexts.
func (e *Epoch) handleCtList(i int, l *ctList, raw []byte) ([]Outgoing, error) {
	drop := func(r Reason) ([]Outgoing, error) {
		return nil, &Drop{Stage: StageCtList, Reason: r, Agent: e.f.ids[i]}
	}
	if prev := e.ctLists[i]; prev != nil {
		if !bytes.Equal(prev, raw) {
			return drop(ReasonSecond)
		}
		return nil, nil
	}
	if e.phase == StageEpochKey || e.phase == StageCoin {
		return nil, ErrStale
	}
	c, own := e.at(i)
	if l.N != c.params.N || l.Member != own || l.Slots != c.slots(own) || l.Root != e.root {
		return drop(ReasonMismatch)
	}
	listRoot := merkleRoot(l.leaves())
	if guard.CtListReceived && e.f.keys[i].VerifyHybrid(id.LabelCtList, ctListBody(&l.header, own, &e.root, &listRoot), l.Sig) != nil {
		return drop(ReasonSignature)
	}
	e.ctLists[i] = bytes.Clone(raw)
	if e.phase != StageCtList || len(e.missing(e.ctLists)) > 0 {
		return nil, nil
	}
	e.openLists()
	e.phase = StageConfirm
	return e.each(e.deliveryFor), nil
}

// openLists parses the lists of all members and keeps their leaves.
func (e *Epoch) openLists() {
	e.lists = make([]*ctList, len(e.ctLists))
	e.leaves = make([][]digest, len(e.ctLists))
	for j, b := range e.ctLists {
		e.lists[j], _ = parseCtList(b)
		e.leaves[j] = e.lists[j].leaves()
	}
}

// deliveryFor routes to member i the ciphertexts for its slots.
func (e *Epoch) deliveryFor(i int) []byte {
	c, own := e.at(i)
	d := &ctDelivery{header: e.headerOf(i), N: c.params.N, To: own, Slots: c.slots(own), Root: e.root}
	for slot := range d.Slots {
		if slot == own {
			continue
		}
		from := e.layout.opposite(end{c, own, slot})
		g := from.members[from.member]
		d.From = append(d.From, delivered{Ct: e.lists[g].ct(from.slot), Path: appendProof(nil, e.leaves[g], only(from.slot)), Sig: e.lists[g].Sig})
	}
	return d.encode()
}
