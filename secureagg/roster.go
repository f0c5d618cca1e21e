package secureagg

import (
	"bytes"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
	"tacit/secureagg/internal/guard"
)

// rosterMsg is E2: every member's E1 in roster order, and the Merkle root over
// them, signed by the server so that two rosters of one epoch are evidence.
//
// With several cohorts it follows the coin and goes to one member of a cohort, which
// its header names: the shares of the coin, and the E1 of the member's slots, which
// the commitments bind.
type rosterMsg struct {
	header
	Root  digest
	Coins []digest // several cohorts: of all members
	Keys  [][]byte // E1 messages
	Sig   []byte   // one cohort: hybrid, by the server, over header and root
}

func (r *rosterMsg) body() []byte {
	b := newBuilder(headerSize + 32)
	r.add(b, KindRoster)
	b.AddBytes(r.Root[:])
	return b.BytesOrPanic()
}

func (r *rosterMsg) encode() []byte {
	if r.Cohort != 0 {
		b := newBuilder(headerSize + 64 + 32*len(r.Coins) + len(r.Keys)*epochKeySize)
		b.AddBytes(r.body())
		addMembers(b, true, len(r.Coins))
		addDigests(b, r.Coins)
		b.AddUint8(uint8(len(r.Keys)))
		for _, k := range r.Keys {
			b.AddBytes(k)
		}
		return b.BytesOrPanic()
	}
	b := newBuilder(headerSize + 64 + len(r.Keys)*epochKeySize + id.HybridSignatureSize)
	b.AddBytes(r.body())
	b.AddUint8(uint8(len(r.Keys)))
	for _, k := range r.Keys {
		b.AddBytes(k)
	}
	b.AddBytes(r.Sig)
	return b.BytesOrPanic()
}

func parseRoster(b []byte) (*rosterMsg, bool) {
	s := cryptobyte.String(b)
	r := new(rosterMsg)
	var n int
	if !r.read(&s, KindRoster, false) || !readDigest(&s, &r.Root) {
		return nil, false
	}
	if r.Cohort != 0 {
		var slots uint8
		if !readMembers(&s, true, &n) || !readDigests(&s, &r.Coins, n) || !s.ReadUint8(&slots) || len(s) != int(slots)*epochKeySize {
			return nil, false
		}
		for range slots {
			var k []byte
			s.ReadBytes(&k, epochKeySize)
			r.Keys = append(r.Keys, k)
		}
		return r, true
	}
	if !readCount(&s, &n) {
		return nil, false
	}
	for range n {
		var k []byte
		if !s.ReadBytes(&k, epochKeySize) {
			return nil, false
		}
		r.Keys = append(r.Keys, k)
	}
	if !s.ReadBytes(&r.Sig, id.HybridSignatureSize) || !s.Empty() {
		return nil, false
	}
	return r, true
}

// epochRoot is root_e, over the E1 messages with their signatures.
func epochRoot(keys [][]byte) digest {
	leaves := make([]digest, len(keys))
	for i, k := range keys {
		leaves[i] = leafHash("epochkey", k)
	}
	return merkleRoot(leaves)
}

// handleRoster checks every member's E1 and answers with the ciphertexts.
func (m *Member) handleRoster(r *rosterMsg) (Output, error) {
	refuse := func(why Reason, i int, detail string) (Output, error) {
		a := &Abort{Stage: StageRoster, Reason: why, Epoch: r.Epoch, Detail: detail}
		if i >= 0 {
			a.Culprit = m.c.ids[i]
		}
		return Output{}, a
	}
	ep := m.ep
	switch {
	case ep.stage == StageCommitments:
		return Output{}, ErrNotOpen
	case ep.stage != StageRoster:
		return resend(ep.ctList)
	case m.f.several():
		return m.handleCohort(r)
	case r.Cohort != 0:
		return Output{}, ErrStale
	}
	if len(r.Keys) != m.c.params.N {
		return refuse(ReasonRoster, -1, "the roster leaves members out")
	}
	if guard.RosterSignature && m.server.VerifyHybrid(id.LabelRosterE, r.body(), r.Sig) != nil {
		return refuse(ReasonSignature, -1, "the server's signature of the roster does not verify")
	}
	eks := make([][]byte, len(r.Keys))
	for i, raw := range r.Keys {
		k, ok := parseEpochKey(raw)
		if !ok {
			return refuse(ReasonMalformed, i, "")
		}
		if why := k.check(m.f, i, m.epochHeader(), ep.proposal); why != "" {
			return Output{}, &Abort{Stage: StageRoster, Reason: why, Epoch: r.Epoch, Evidence: [][]byte{r.encode()},
				Detail: "not the epoch key of agent " + m.c.ids[i].Short()}
		}
		for j := range i {
			if guard.EpochKeyDistinct && bytes.Equal(eks[j], k.Key) {
				return refuse(ReasonMismatch, i, "two members offer one epoch key")
			}
		}
		eks[i] = bytes.Clone(k.Key)
	}
	if !bytes.Equal(r.Keys[m.self], ep.epochKey) {
		return refuse(ReasonMismatch, -1, "the roster holds another epoch key than this agent sent")
	}
	if epochRoot(r.Keys) != r.Root {
		return refuse(ReasonMismatch, -1, "the roster does not have its root")
	}
	return m.makeCtList(r.Root, eks)
}

// handleCohort checks the shares of the coin, draws the cohorts as the server did, and
// checks the E1 of every slot.
func (m *Member) handleCohort(r *rosterMsg) (Output, error) {
	ep := m.ep
	refuse := func(why Reason, i int, detail string) (Output, error) {
		a := &Abort{Stage: StageRoster, Reason: why, Epoch: r.Epoch, Detail: detail}
		if i >= 0 {
			a.Culprit = m.f.ids[i]
		}
		return Output{}, a
	}
	if len(r.Coins) != len(m.f.ids) {
		return refuse(ReasonRoster, -1, "the coin leaves members out")
	}
	h := m.epochHeader()
	for i := range r.Coins {
		if coinCommitment(&h, m.f.ids[i], &r.Coins[i]) != ep.commitments[i].Rho {
			return refuse(ReasonCommitment, i, "a share of the coin is not the one committed to")
		}
	}
	rho := drawCoin(&ep.keysRoot, r.Coins)
	if r.Root != coinRoot(&ep.keysRoot, &rho) {
		return refuse(ReasonMismatch, -1, "the roster does not have its root")
	}
	l := m.f.arrange(&rho)
	at := l.places[m.index]
	c := l.cohorts[at.cohort]
	if r.Cohort != c.number || len(r.Keys) != c.slots(at.member) {
		return refuse(ReasonRoster, -1, "the roster is not that of this member's cohort")
	}
	eks := make([][]byte, len(r.Keys))
	for slot, raw := range r.Keys {
		i := c.partner(at.member, slot)
		k, ok := parseEpochKey(raw)
		if !ok {
			return refuse(ReasonMalformed, i, "")
		}
		if hashBytes(raw) != ep.commitments[i].Hash {
			return refuse(ReasonMismatch, i, "another epoch key than was committed to")
		}
		if why := k.check(m.f, i, h, ep.proposal); why != "" {
			return refuse(why, -1, "not the epoch key of agent "+m.f.ids[i].Short())
		}
		for j := range slot {
			if guard.EpochKeyDistinct && bytes.Equal(eks[j], k.Key) {
				return refuse(ReasonMismatch, i, "two members offer one epoch key")
			}
		}
		eks[slot] = bytes.Clone(k.Key)
	}
	m.enter(l)
	ep.rho = rho
	ep.coin, ep.commitments = digest{}, nil
	return m.makeCtList(r.Root, eks)
}

// rosterFor is what member i is sent once the root is known.
func (e *Epoch) rosterFor(i int) []byte {
	if !e.f.several() {
		return e.roster
	}
	at := e.layout.places[i]
	c := e.layout.cohorts[at.cohort]
	r := &rosterMsg{header: e.h, Root: e.root}
	r.Cohort = c.number
	for _, share := range e.coins {
		r.Coins = append(r.Coins, digest(share))
	}
	for slot := range c.slots(at.member) {
		r.Keys = append(r.Keys, e.epochKeys[c.partner(at.member, slot)])
	}
	return r.encode()
}
