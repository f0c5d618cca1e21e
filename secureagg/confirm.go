package secureagg

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"

	"github.com/cloudflare/circl/kem/xwing"
	"golang.org/x/crypto/cryptobyte"
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
	Root      digest
	Tags      []byte // (N−1)·16, roster order without Member
}

func (c *confirm) encode() []byte {
	b := newBuilder(headerSize + 64 + len(c.Tags))
	c.add(b, c.Kind)
	b.AddUint8(uint8(c.N))
	b.AddUint8(uint8(c.Member))
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
	if !c.read(&s, k, false) || !readCount(&s, &c.N) || !readIndex(&s, &c.Member, c.N) || !readDigest(&s, &c.Root) ||
		!s.ReadBytes(&c.Tags, (c.N-1)*tagSize) || !s.Empty() {
		return nil, false
	}
	return c, true
}

// tag returns the tag from or for partner j.
func (c *confirm) tag(j int) []byte {
	if j > c.Member {
		j--
	}
	return c.Tags[j*tagSize : (j+1)*tagSize]
}

// pairKey is CK_ij^0 = HKDF(salt = root_e, ss_lo→hi ‖ ss_hi→lo, "ck" ‖ e ‖ lo ‖ hi ‖
// H(ek_lo ‖ ek_hi ‖ ct_lo→hi ‖ ct_hi→lo)) (SECAGG E4 and Hardening 1).
func pairKey(h *header, root *digest, lo, hi int, ssLo, ssHi *secret, ekLo, ekHi, ctLo, ctHi []byte) (key secret) {
	ikm := make([]byte, 0, 64)
	ikm = append(append(ikm, ssLo[:]...), ssHi[:]...)
	prk, err := hkdf.Extract(sha256.New, ikm, root[:])
	if err != nil {
		panic(err)
	}
	transcript := hashParts("pair", ekLo, ekHi, ctLo, ctHi)
	var e [8]byte
	binary.BigEndian.PutUint64(e[:], h.Epoch)
	expand(key[:], prk, "ck", h.Run[:], e[:], []byte{byte(lo), byte(hi)}, transcript[:])
	clear(ikm)
	clear(prk)
	return key
}

// confirmTag is tag_ij = HKDF-Expand(CK_ij^0, "confirm" ‖ i ‖ j, 16), sent by i to j.
func confirmTag(key *secret, i, j int) (t [tagSize]byte) {
	expand(t[:], key[:], "confirm", []byte{byte(i), byte(j)})
	return t
}

// makeConfirm derives every chain key from the ciphertexts in, by sender, journals
// them and only then lets the tags leave. The decapsulation key and the shared
// secrets are erased here, before the Ready quorum that SECAGG asks for.
func (m *Member) makeConfirm(in [][]byte) (Output, error) {
	ep := m.ep
	h := m.epochHeader()
	n := m.c.params.N
	var dk xwing.PrivateKey
	dk.Unpack(ep.dk)
	ep.chain = chain{keys: make([]secret, n)}
	c := &confirm{header: h, Kind: KindConfirm, N: n, Member: m.self, Root: ep.root}
	for j := range n {
		if j == m.self {
			ep.chain.keys[j] = ep.sent[j]
			continue
		}
		var got secret
		dk.DecapsulateTo(got[:], in[j])
		mine := ep.cts[j-b2i(j > m.self)]
		if m.self < j {
			ep.chain.keys[j] = pairKey(&h, &ep.root, m.self, j, &ep.sent[j], &got, ep.eks[m.self], ep.eks[j], mine, in[j])
		} else {
			ep.chain.keys[j] = pairKey(&h, &ep.root, j, m.self, &got, &ep.sent[j], ep.eks[j], ep.eks[m.self], in[j], mine)
		}
		clear(got[:])
		t := confirmTag(&ep.chain.keys[j], m.self, j)
		c.Tags = append(c.Tags, t[:]...)
	}
	// What each partner must send is kept instead of CK^0, which the ratchet erases.
	ep.expect = make([][tagSize]byte, n)
	for j := range n {
		if j != m.self {
			ep.expect[j] = confirmTag(&ep.chain.keys[j], j, m.self)
		}
	}
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

// handleConfirmSet checks every partner's tag and answers with Ready.
func (m *Member) handleConfirmSet(c *confirm) (Output, error) {
	ep := m.ep
	switch {
	case ep.stage == StageRoster || ep.stage == StageCtList:
		return Output{}, ErrNotOpen
	case ep.stage != StageConfirm:
		return resend(ep.ready)
	case c.Member != m.self || c.N != m.c.params.N || c.Root != ep.root:
		return Output{}, &Abort{Stage: StageConfirm, Reason: ReasonMismatch, Epoch: ep.number, Detail: "the tags are for another roster or member"}
	}
	for j := range m.c.params.N {
		if j != m.self && subtle.ConstantTimeCompare(c.tag(j), ep.expect[j][:]) != 1 {
			out, _ := m.askRekey(ep.number, rekeyUnconfirmed)
			return out, &Abort{Stage: StageConfirm, Reason: ReasonUnconfirmed, Epoch: ep.number, Culprit: m.c.ids[j]}
		}
	}
	return m.makeReady()
}

// handleConfirm collects the tags and regroups them by receiver.
func (e *Epoch) handleConfirm(i int, c *confirm, raw []byte) ([]Outgoing, error) {
	drop := func(r Reason) ([]Outgoing, error) {
		return nil, &Drop{Stage: StageConfirm, Reason: r, Agent: e.c.ids[i]}
	}
	if prev := e.confirms[i]; prev != nil {
		if !bytes.Equal(prev, raw) {
			return drop(ReasonSecond)
		}
		return nil, nil
	}
	if e.phase == StageEpochKey || e.phase == StageCtList {
		return nil, ErrStale
	}
	if c.Kind != KindConfirm || c.header != e.h || c.N != e.c.params.N || c.Member != i || c.Root != e.root {
		return drop(ReasonMismatch)
	}
	e.confirms[i] = bytes.Clone(raw)
	if e.phase != StageConfirm || len(e.missing(e.confirms)) > 0 {
		return nil, nil
	}
	got := make([]*confirm, len(e.confirms))
	for j, b := range e.confirms {
		got[j], _ = parseConfirm(b)
	}
	e.confirmSets = make([][]byte, len(got))
	for to := range got {
		s := &confirm{header: e.h, Kind: KindConfirmSet, N: e.c.params.N, Member: to, Root: e.root}
		for j := range got {
			if j != to {
				s.Tags = append(s.Tags, got[j].tag(to)...)
			}
		}
		e.confirmSets[to] = s.encode()
	}
	e.phase = StageReady
	return e.each(e.confirmSets), nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
