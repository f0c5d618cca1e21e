package secureagg

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"

	"github.com/cloudflare/circl/kem/xwing"
	"golang.org/x/crypto/cryptobyte"

	"tacit/secureagg/internal/guard"
)

// tagSize is the size of a key-confirmation tag.
const tagSize = 16

// confirm carries one key-confirmation tag per partner: from a member to the
// server (KindConfirm, Member is the sender) or, regrouped, from the server to a
// member (KindConfirmSet, Member is the receiver).
type confirm struct {
	header
	Kind      MessageKind
	N, Member int
	Slots     int
	Root      digest
	Tags      []byte // (slots − 1)·16, by slot without the member's own
}

func (c *confirm) encode() []byte {
	b := newBuilder(headerSize + 64 + len(c.Tags))
	c.add(b, c.Kind)
	b.AddUint8(uint8(c.N))
	b.AddUint8(uint8(c.Member))
	addSlots(b, &c.header, c.N, c.Slots)
	b.AddBytes(c.Root[:])
	b.AddBytes(c.Tags)
	return b.BytesOrPanic()
}

func parseConfirm(b []byte) (*confirm, bool) {
	k, ok := Kind(b)
	if !ok || k != KindConfirm && k != KindConfirmSet {
		return nil, false
	}
	s := cryptobyte.String(b)
	c := &confirm{Kind: k}
	if !c.read(&s, k, false) || !readCount(&s, &c.N) || !readIndex(&s, &c.Member, c.N) ||
		!readSlots(&s, &c.header, c.N, &c.Slots) || !readDigest(&s, &c.Root) || !s.ReadBytes(&c.Tags, (c.Slots-1)*tagSize) || !s.Empty() {
		return nil, false
	}
	return c, true
}

// tag returns the tag from or for the partner at slot j.
func (c *confirm) tag(j int) []byte {
	if j > c.Member {
		j--
	}
	return c.Tags[j*tagSize : (j+1)*tagSize]
}

// pairKey is CK_ij^0 = HKDF(salt = root_e, ss_lo→hi ‖ ss_hi→lo, "ck" ‖ e ‖ lo ‖ hi ‖
// H(ek_lo ‖ ek_hi ‖ ct_lo→hi ‖ ct_hi→lo)) (SECAGG E4 and Hardening 1), the ends as
// [cohort.pairNames] has them.
func pairKey(h *header, root *digest, lo, hi []byte, ssLo, ssHi *secret, ekLo, ekHi, ctLo, ctHi []byte) (key secret) {
	ikm := make([]byte, 0, 64)
	ikm = append(append(ikm, ssLo[:]...), ssHi[:]...)
	prk, err := hkdf.Extract(sha256.New, ikm, root[:])
	if err != nil {
		panic(err)
	}
	transcript := hashParts("pair", ekLo, ekHi, ctLo, ctHi)
	var e [8]byte
	binary.BigEndian.PutUint64(e[:], h.Epoch)
	expand(key[:], prk, "ck", h.Run[:], e[:], lo, hi, transcript[:])
	clear(ikm)
	clear(prk)
	return key
}

// confirmTag is tag_ij = HKDF-Expand(CK_ij^0, "confirm" ‖ i ‖ j, 16), sent by i to j.
func confirmTag(key *secret, i, j []byte) (t [tagSize]byte) {
	expand(t[:], key[:], "confirm", i, j)
	return t
}

// makeConfirm derives every chain key from the ciphertexts in, by sender, journals
// them and only then lets the tags leave. The decapsulation key and the shared
// secrets are erased here, before the Ready quorum that SECAGG asks for.
func (m *Member) makeConfirm(in [][]byte) (Output, error) {
	ep := m.ep
	h := m.epochHeader()
	n := m.c.slots(m.self)
	var dk xwing.PrivateKey
	dk.Unpack(ep.dk)
	ep.chain = chain{keys: make([]secret, n)}
	c := &confirm{header: m.cohortHeader(), Kind: KindConfirm, N: m.c.params.N, Member: m.self, Slots: n, Root: ep.root}
	for j := range n {
		if j == m.self {
			ep.chain.keys[j] = ep.sent[j]
			continue
		}
		var got secret
		dk.DecapsulateTo(got[:], in[j])
		mine := ep.cts[j-b2i(j > m.self)]
		own, other := m.c.pairNames(m.self, j)
		if m.c.before(m.self, j) {
			ep.chain.keys[j] = pairKey(&h, &ep.root, own, other, &ep.sent[j], &got, ep.eks[m.self], ep.eks[j], mine, in[j])
		} else {
			ep.chain.keys[j] = pairKey(&h, &ep.root, other, own, &got, &ep.sent[j], ep.eks[j], ep.eks[m.self], in[j], mine)
		}
		clear(got[:])
		t := confirmTag(&ep.chain.keys[j], own, other)
		c.Tags = append(c.Tags, t[:]...)
	}
	// What each partner must send is kept instead of CK^0, which the ratchet erases.
	m.expectTags()
	clear(ep.dk)
	clear(ep.sent)
	dk = xwing.PrivateKey{}
	ep.dk, ep.sent, ep.eks, ep.cts = nil, nil, nil, nil
	ep.confirm = c.encode()
	ep.stage = StageConfirm
	var out Output
	out.put(keyEpoch, m.epochRecord())
	out.put(keyChain, m.chainRecord())
	out.Send = [][]byte{ep.confirm}
	return out, nil
}

// expectTags derives what each partner must send from CK^0.
func (m *Member) expectTags() {
	keys := m.ep.chain.keys
	m.ep.expect = make([][tagSize]byte, len(keys))
	for j := range keys {
		if j != m.self {
			own, other := m.c.pairNames(m.self, j)
			m.ep.expect[j] = confirmTag(&keys[j], other, own)
		}
	}
}

// handleConfirmSet checks every partner's tag and answers with Ready.
func (m *Member) handleConfirmSet(c *confirm) (Output, error) {
	ep := m.ep
	switch {
	case ep.stage == StageCommitments || ep.stage == StageRoster || ep.stage == StageCtList:
		return Output{}, ErrNotOpen
	case ep.stage != StageConfirm:
		return resend(ep.ready)
	case c.header != m.cohortHeader() || c.Member != m.self || c.N != m.c.params.N || c.Slots != m.c.slots(m.self) || c.Root != ep.root:
		return Output{}, &Abort{Stage: StageConfirm, Reason: ReasonMismatch, Epoch: ep.number, Detail: "the tags are for another roster or member"}
	}
	for j := range m.c.slots(m.self) {
		if guard.Confirmed && j != m.self && subtle.ConstantTimeCompare(c.tag(j), ep.expect[j][:]) != 1 {
			out, _ := m.askRekey(ep.number, rekeyUnconfirmed)
			return out, &Abort{Stage: StageConfirm, Reason: ReasonUnconfirmed, Epoch: ep.number, Culprit: m.f.ids[m.c.partner(m.self, j)]}
		}
	}
	return m.makeReady()
}

// handleConfirm collects the tags and regroups them by receiver.
func (e *Epoch) handleConfirm(i int, c *confirm, raw []byte) ([]Outgoing, error) {
	drop := func(r Reason) ([]Outgoing, error) {
		return nil, &Drop{Stage: StageConfirm, Reason: r, Agent: e.f.ids[i]}
	}
	if prev := e.confirms[i]; prev != nil {
		if !bytes.Equal(prev, raw) {
			return drop(ReasonSecond)
		}
		return nil, nil
	}
	if e.phase == StageEpochKey || e.phase == StageCoin || e.phase == StageCtList {
		return nil, ErrStale
	}
	co, own := e.at(i)
	if c.Kind != KindConfirm || c.N != co.params.N || c.Member != own || c.Slots != co.slots(own) || c.Root != e.root {
		return drop(ReasonMismatch)
	}
	e.confirms[i] = bytes.Clone(raw)
	if e.phase != StageConfirm || len(e.missing(e.confirms)) > 0 {
		return nil, nil
	}
	e.phase = StageReady
	return e.each(e.confirmSetFor), nil
}

// confirmSetFor regroups the tags for member i.
func (e *Epoch) confirmSetFor(i int) []byte {
	c, own := e.at(i)
	s := &confirm{header: e.headerOf(i), Kind: KindConfirmSet, N: c.params.N, Member: own, Slots: c.slots(own), Root: e.root}
	for slot := range s.Slots {
		if slot == own {
			continue
		}
		from := e.layout.opposite(end{c, own, slot})
		got, _ := parseConfirm(e.confirms[from.members[from.member]])
		s.Tags = append(s.Tags, got.tag(from.slot)...)
	}
	return s.encode()
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
