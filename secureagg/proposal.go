package secureagg

import (
	"bytes"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
	"tacit/secureagg/internal/guard"
)

// proposal is E0: the server proposes epoch e of a run, for exactly the members of
// the administrators' signed roster, with Start as its first attempt.
type proposal struct {
	header
	Charter id.CharterHash
	Roster  id.RosterHash
	Start   uint64
	Cohorts uint32
	Agents  []id.AgentID
	Sig     []byte // hybrid, by the server
}

func (p *proposal) body() []byte {
	b := newBuilder(256 + 16*len(p.Agents) + id.HybridSignatureSize)
	p.add(b, KindProposal)
	b.AddBytes(p.Charter[:])
	b.AddBytes(p.Roster[:])
	b.AddUint64(p.Start)
	b.AddUint32(p.Cohorts)
	addMembers(b, p.Cohorts > 1, len(p.Agents))
	for _, a := range p.Agents {
		b.AddBytes(a[:])
	}
	return b.BytesOrPanic()
}

func (p *proposal) encode() []byte { return append(p.body(), p.Sig...) }

func parseProposal(b []byte) (*proposal, bool) {
	s := cryptobyte.String(b)
	p := new(proposal)
	var n int
	ok := p.readGlobal(&s, KindProposal, false) && readDigest(&s, (*[32]byte)(&p.Charter)) &&
		readDigest(&s, (*[32]byte)(&p.Roster)) && s.ReadUint64(&p.Start) && p.Start != 0 &&
		s.ReadUint32(&p.Cohorts) && p.Cohorts != 0 && p.Cohorts <= MaxCohorts && readMembers(&s, p.Cohorts > 1, &n)
	for i := 0; ok && i < n; i++ {
		var a id.AgentID
		ok = s.CopyBytes(a[:]) && (i == 0 || a.Compare(p.Agents[i-1]) > 0)
		p.Agents = append(p.Agents, a)
	}
	if !ok || !s.ReadBytes(&p.Sig, id.HybridSignatureSize) || !s.Empty() {
		return nil, false
	}
	return p, true
}

// handleProposal answers E0 with E1. The epoch number is journaled first, so that
// it never comes again.
func (m *Member) handleProposal(p *proposal, raw []byte) (Output, error) {
	refuse := func(r Reason, detail string) (Output, error) {
		return Output{}, &Abort{Stage: StageProposal, Reason: r, Epoch: p.Epoch, Detail: detail}
	}
	foreign := func(detail string) (Output, error) {
		return Output{}, &Abort{Stage: StageProposal, Reason: ReasonRoster, Epoch: p.Epoch, Detail: detail, Evidence: [][]byte{bytes.Clone(raw)}}
	}
	if err := m.server.VerifyHybrid(id.LabelProposal, p.body(), p.Sig); guard.ProposalSignature && err != nil {
		return refuse(ReasonSignature, "the server's signature of E0 does not verify")
	}
	if p.Run != m.cfg.Run {
		return Output{}, ErrStale
	}
	if guard.ProposalOnce && m.ep != nil && m.ep.number == p.Epoch {
		if m.ep.proposal != hashBytes(raw) {
			a := &Abort{Stage: StageProposal, Reason: ReasonSecond, Epoch: p.Epoch, Detail: "two proposals of one epoch"}
			if m.ep.offered != nil {
				a.Evidence = [][]byte{m.ep.offered, bytes.Clone(raw)}
			}
			return Output{}, a
		}
		if m.ep.epochKey != nil {
			return Output{Send: [][]byte{m.ep.epochKey}}, nil
		}
		return Output{}, ErrStale
	}
	if guard.EpochRises && p.Epoch < m.lowest {
		return m.askRekey(p.Epoch, rekeyKeysLost)
	}
	switch {
	case p.Charter != m.f.charter:
		return refuse(ReasonCharter, "the epoch is proposed under another charter")
	case guard.ProposalRoster && p.Roster != m.f.roster:
		return refuse(ReasonRoster, "the epoch is proposed for another roster than the administrators signed")
	case int(p.Cohorts) != len(m.f.sizes):
		return refuse(ReasonMismatch, "the epoch is proposed for another number of cohorts")
	case guard.ProposalRoster && len(p.Agents) != len(m.f.ids):
		return foreign("the candidate list leaves members out")
	case guard.StartRises && p.Start <= m.highR:
		return refuse(ReasonReplay, "the epoch begins at an attempt that is used")
	}
	for i, a := range p.Agents {
		if guard.ProposalRoster && a != m.f.ids[i] {
			return foreign("the candidate list is not the signed roster")
		}
	}
	return m.makeEpochKey(p, raw)
}
