package secureagg

import (
	"bytes"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
)

// Several cohorts are drawn by a public coin that no member and not the server can
// choose: each member commits to its share in E1, the commitments of all are fixed
// under one root, and only then all open theirs. A share that is not opened ends the
// epoch (SECAGG, Hardening 12).

// commitment is what Commitments tells of one E1.
type commitment struct {
	Rho  digest
	Hash digest // H(E1)
}

func coinCommitment(h *header, a id.AgentID, share *digest) digest {
	b := newBuilder(headerSize + 48)
	h.add(b, KindCoin)
	b.AddBytes(a[:])
	b.AddBytes(share[:])
	return hashParts("coin", b.BytesOrPanic())
}

// commitments is E2 of several cohorts: the root over the E1 of all members and what
// it is made of.
type commitments struct {
	header
	Root    digest
	Members []commitment // in roster order
	Sig     []byte       // hybrid, by the server, over header and root
}

func (c *commitments) body() []byte {
	b := newBuilder(headerSize + 32)
	c.add(b, KindCommitments)
	b.AddBytes(c.Root[:])
	return b.BytesOrPanic()
}

func (c *commitments) encode() []byte {
	b := newBuilder(headerSize + 64 + 64*len(c.Members) + id.HybridSignatureSize)
	b.AddBytes(c.body())
	addMembers(b, true, len(c.Members))
	for i := range c.Members {
		b.AddBytes(c.Members[i].Rho[:])
		b.AddBytes(c.Members[i].Hash[:])
	}
	b.AddBytes(c.Sig)
	return b.BytesOrPanic()
}

func parseCommitments(b []byte) (*commitments, bool) {
	s := cryptobyte.String(b)
	c := new(commitments)
	var n int
	if !c.readGlobal(&s, KindCommitments, false) || !readDigest(&s, &c.Root) || !readMembers(&s, true, &n) ||
		len(s) != 64*n+id.HybridSignatureSize {
		return nil, false
	}
	c.Members = make([]commitment, n)
	for i := range c.Members {
		readDigest(&s, &c.Members[i].Rho)
		readDigest(&s, &c.Members[i].Hash)
	}
	return c, s.ReadBytes(&c.Sig, id.HybridSignatureSize) && s.Empty()
}

func commitmentsRoot(members []commitment) digest {
	leaves := make([]digest, len(members))
	for i := range members {
		leaves[i] = leafHash("commitment", members[i].Rho[:], members[i].Hash[:])
	}
	return merkleRoot(leaves)
}

// coinMsg opens a member's share.
type coinMsg struct {
	header
	Agent id.AgentID
	Share digest
}

func (c *coinMsg) encode() []byte {
	b := newBuilder(headerSize + 48)
	c.add(b, KindCoin)
	b.AddBytes(c.Agent[:])
	b.AddBytes(c.Share[:])
	return b.BytesOrPanic()
}

func parseCoin(b []byte) (*coinMsg, bool) {
	s := cryptobyte.String(b)
	c := new(coinMsg)
	return c, c.readGlobal(&s, KindCoin, false) && s.CopyBytes(c.Agent[:]) && readDigest(&s, &c.Share) && s.Empty()
}

// drawCoin is rho = H(root over the E1 ‖ all shares in roster order).
func drawCoin(keysRoot *digest, shares []digest) digest {
	parts := make([][]byte, 0, 1+len(shares))
	parts = append(parts, keysRoot[:])
	for i := range shares {
		parts = append(parts, shares[i][:])
	}
	return hashParts("rho", parts...)
}

// coinRoot is root_e of several cohorts, so that ctx and every key bind who is in
// which cohort.
func coinRoot(keysRoot, rho *digest) digest { return hashParts("epoch", keysRoot[:], rho[:]) }

// drawn is what the cohorts of an epoch were drawn from, for those who were not there.
type drawn struct{ KeysRoot, Rho digest }

func (d *drawn) add(b *cryptobyte.Builder) {
	b.AddBytes(d.KeysRoot[:])
	b.AddBytes(d.Rho[:])
}

func (d *drawn) read(s *cryptobyte.String) bool {
	return readDigest(s, &d.KeysRoot) && readDigest(s, &d.Rho)
}

// root is root_e, zero with one cohort.
func (d *drawn) root() id.EpochRoot {
	if d == nil {
		return id.EpochRoot{}
	}
	return id.EpochRoot(coinRoot(&d.KeysRoot, &d.Rho))
}

// arrange is the layout, also for nil with one cohort.
func (d *drawn) arrange(f *membership) *layout {
	if d == nil {
		return f.arrange(nil)
	}
	return f.arrange(&d.Rho)
}

// drawn is nil with one cohort.
func (e *Epoch) drawn() *drawn {
	if !e.f.several() {
		return nil
	}
	return &drawn{KeysRoot: e.keysRoot, Rho: e.rho}
}

// handleCommitments opens this member's share once all commitments are fixed.
func (m *Member) handleCommitments(c *commitments) (Output, error) {
	ep := m.ep
	refuse := func(why Reason, detail string) (Output, error) {
		return Output{}, &Abort{Stage: StageCommitments, Reason: why, Epoch: c.Epoch, Detail: detail}
	}
	open := &coinMsg{header: m.epochHeader(), Agent: m.f.ids[m.index], Share: ep.coin}
	if !m.f.several() {
		return Output{}, ErrStale
	}
	if ep.stage != StageCommitments {
		if ep.stage == StageRoster && c.Root != ep.keysRoot {
			return refuse(ReasonSecond, "two lists of commitments of one epoch")
		}
		return resend(open.encode())
	}
	if len(c.Members) != len(m.f.ids) {
		return refuse(ReasonRoster, "the commitments leave members out")
	}
	if m.server.VerifyHybrid(id.LabelRosterE, c.body(), c.Sig) != nil {
		return refuse(ReasonSignature, "the server's signature of the commitments does not verify")
	}
	if own := c.Members[m.index]; own.Hash != hashBytes(ep.epochKey) || own.Rho != coinCommitment(&open.header, open.Agent, &ep.coin) {
		return refuse(ReasonMismatch, "the commitments hold another epoch key than this agent sent")
	}
	if commitmentsRoot(c.Members) != c.Root {
		return refuse(ReasonMismatch, "the commitments do not have their root")
	}
	ep.keysRoot, ep.commitments, ep.stage = c.Root, c.Members, StageRoster
	return resend(open.encode())
}

// askCoins fixes the commitments of all members.
func (e *Epoch) askCoins() []Outgoing {
	c := &commitments{header: e.h}
	for _, raw := range e.epochKeys {
		k, _ := parseEpochKey(raw)
		c.Members = append(c.Members, commitment{Rho: k.Rho, Hash: hashBytes(raw)})
	}
	c.Root = commitmentsRoot(c.Members)
	c.Sig = e.key.SignHybrid(id.LabelRosterE, c.body())
	e.keysRoot, e.commitments = c.Root, c.encode()
	e.phase = StageCoin
	return []Outgoing{{Msg: e.commitments}}
}

// handleCoin collects the shares, then draws the cohorts and sends each member the E1
// of its partners.
func (e *Epoch) handleCoin(i int, c *coinMsg) ([]Outgoing, error) {
	if e.coins == nil || e.phase == StageEpochKey {
		return nil, ErrStale
	}
	k, _ := parseEpochKey(e.epochKeys[i])
	if c.Agent != e.f.ids[i] || coinCommitment(&e.h, c.Agent, &c.Share) != k.Rho {
		return nil, &Drop{Stage: StageCoin, Reason: ReasonCommitment, Agent: e.f.ids[i]}
	}
	if e.coins[i] != nil {
		return nil, nil
	}
	e.coins[i] = bytes.Clone(c.Share[:])
	if len(e.missing(e.coins)) > 0 {
		return nil, nil
	}
	shares := make([]digest, len(e.coins))
	for j := range shares {
		shares[j] = digest(e.coins[j])
	}
	e.rho = drawCoin(&e.keysRoot, shares)
	e.root = coinRoot(&e.keysRoot, &e.rho)
	e.layout = e.f.arrange(&e.rho)
	e.phase = StageCtList
	return e.each(e.rosterFor), nil
}
