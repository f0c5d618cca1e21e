package secureagg

import (
	"bytes"
	"io"

	"github.com/cloudflare/circl/kem/xwing"
	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
	"tacit/secureagg/internal/guard"
)

// epochKey is E1: an agent's X-Wing public key for one epoch, bound to the proposal
// that it answers. Rho is the commitment to the agent's share of the public coin; with
// one cohort nothing is random and it is zero.
type epochKey struct {
	header
	Agent    id.AgentID
	Charter  id.CharterHash
	Proposal digest
	Rho      digest
	Key      []byte // 1216 bytes
	Sig      []byte // hybrid, by the agent
}

const epochKeySize = headerSize + 16 + 3*32 + xwing.PublicKeySize + id.HybridSignatureSize

func (k *epochKey) body() []byte {
	b := newBuilder(epochKeySize)
	k.add(b, KindEpochKey)
	b.AddBytes(k.Agent[:])
	b.AddBytes(k.Charter[:])
	b.AddBytes(k.Proposal[:])
	b.AddBytes(k.Rho[:])
	b.AddBytes(k.Key)
	return b.BytesOrPanic()
}

func (k *epochKey) encode() []byte { return append(k.body(), k.Sig...) }

func parseEpochKey(b []byte) (*epochKey, bool) {
	s := cryptobyte.String(b)
	k := new(epochKey)
	if !k.readGlobal(&s, KindEpochKey, false) || !s.CopyBytes(k.Agent[:]) || !readDigest(&s, (*[32]byte)(&k.Charter)) ||
		!readDigest(&s, &k.Proposal) || !readDigest(&s, &k.Rho) ||
		!s.ReadBytes(&k.Key, xwing.PublicKeySize) || !s.ReadBytes(&k.Sig, id.HybridSignatureSize) || !s.Empty() {
		return nil, false
	}
	return k, true
}

// check verifies E1 of member i of the federation for one proposal.
func (k *epochKey) check(f *membership, i int, epoch header, proposal digest) Reason {
	if k.header != epoch || k.Agent != f.ids[i] || k.Charter != f.charter || k.Proposal != proposal ||
		f.several() == (k.Rho == digest{}) {
		return ReasonMismatch
	}
	if guard.EpochKeySignature && f.keys[i].VerifyHybrid(id.LabelEpochKey, k.body(), k.Sig) != nil {
		return ReasonSignature
	}
	var pk xwing.PublicKey
	if pk.Unpack(k.Key) != nil {
		return ReasonMalformed
	}
	return ""
}

// makeEpochKey leaves whatever epoch there was and answers p.
func (m *Member) makeEpochKey(p *proposal, raw []byte) (Output, error) {
	seed := m.cfg.Key.Seed()
	h := header{Run: p.Run, Epoch: p.Epoch}
	rand, err := hedged(m.cfg.Rand, seed[:], append([]byte("epoch key"), raw...))
	clear(seed[:])
	if err != nil {
		return Output{}, err
	}
	dk, ek, err := xwing.GenerateKeyPairPacked(rand)
	if err != nil {
		return Output{}, err
	}
	k := &epochKey{header: h, Agent: m.f.ids[m.index], Charter: m.f.charter, Proposal: hashBytes(raw), Key: ek}
	var coin digest
	if m.f.several() {
		if _, err := io.ReadFull(rand, coin[:]); err != nil {
			return Output{}, err
		}
		k.Rho = coinCommitment(&h, k.Agent, &coin)
	}
	k.Sig = m.cfg.Key.SignHybrid(id.LabelEpochKey, k.body())
	var out Output
	m.leaveEpoch(&out)
	m.lowest = p.Epoch + 1
	out.put(keySeen, m.seenRecord())
	m.ep = &memberEpoch{
		number: p.Epoch, start: p.Start, stage: StageRoster, proposal: k.Proposal, offered: bytes.Clone(raw),
		dk: dk, epochKey: k.encode(), coin: coin,
	}
	if m.f.several() {
		m.ep.stage = StageCommitments
	}
	out.Send = [][]byte{m.ep.epochKey}
	return out, nil
}

// handleEpochKey collects E1 from every member, then sends the Roster.
func (e *Epoch) handleEpochKey(i int, k *epochKey, raw []byte) ([]Outgoing, error) {
	if prev := e.epochKeys[i]; prev != nil {
		if !bytes.Equal(prev, raw) {
			return nil, &Drop{Stage: StageEpochKey, Reason: ReasonSecond, Agent: e.f.ids[i]}
		}
		return nil, nil
	}
	if r := k.check(e.f, i, e.h, e.proposalHash); r != "" {
		return nil, &Drop{Stage: StageEpochKey, Reason: r, Agent: e.f.ids[i]}
	}
	e.epochKeys[i] = bytes.Clone(raw)
	if e.phase != StageEpochKey || len(e.missing(e.epochKeys)) > 0 {
		return nil, nil
	}
	if e.f.several() {
		return e.askCoins(), nil
	}
	e.root = epochRoot(e.epochKeys)
	ro := &rosterMsg{header: e.h, Root: e.root, Keys: e.epochKeys}
	ro.Sig = e.key.SignHybrid(id.LabelRosterE, ro.body())
	e.roster = ro.encode()
	e.phase = StageCtList
	return []Outgoing{{Msg: e.roster}}, nil
}
