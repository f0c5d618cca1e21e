package secureagg

import (
	"bytes"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
	"tacit/secureagg/internal/guard"
)

// ready says that a member holds a confirmed key with every partner under one
// proposal, charter, root_e and coin list, and what root its own list has. With one
// cohort the coin list is 32 zero bytes.
type ready struct {
	header
	N, Member int
	Proposal  digest
	Charter   id.CharterHash
	Root      digest
	Rho       digest
	ListRoot  digest
	Sig       []byte // hybrid
}

func (r *ready) body() []byte {
	b := newBuilder(headerSize + 256 + id.HybridSignatureSize)
	r.add(b, KindReady)
	b.AddUint8(uint8(r.N))
	b.AddUint8(uint8(r.Member))
	b.AddBytes(r.Proposal[:])
	b.AddBytes(r.Charter[:])
	b.AddBytes(r.Root[:])
	b.AddBytes(r.Rho[:])
	b.AddBytes(r.ListRoot[:])
	return b.BytesOrPanic()
}

func (r *ready) encode() []byte { return append(r.body(), r.Sig...) }

func parseReady(b []byte) (*ready, bool) {
	s := cryptobyte.String(b)
	r := new(ready)
	if !r.read(&s, KindReady, false) || !readCount(&s, &r.N) || !readIndex(&s, &r.Member, r.N) ||
		!readDigest(&s, &r.Proposal) || !readDigest(&s, (*[32]byte)(&r.Charter)) || !readDigest(&s, &r.Root) ||
		!readDigest(&s, &r.Rho) || !readDigest(&s, &r.ListRoot) ||
		!s.ReadBytes(&r.Sig, id.HybridSignatureSize) || !s.Empty() {
		return nil, false
	}
	return r, true
}

// readySet is a quorum of Readys; only what differs between them travels.
type readySet struct {
	header
	N       int
	Root    digest
	Members []readyEntry // ascending
}

type readyEntry struct {
	Member   int
	ListRoot digest
	Sig      []byte
}

func (r *readySet) encode() []byte {
	b := newBuilder(headerSize + 64 + len(r.Members)*(33+id.HybridSignatureSize))
	r.add(b, KindReadySet)
	b.AddUint8(uint8(r.N))
	b.AddBytes(r.Root[:])
	b.AddUint8(uint8(len(r.Members)))
	for i := range r.Members {
		e := &r.Members[i]
		b.AddUint8(uint8(e.Member))
		b.AddBytes(e.ListRoot[:])
		b.AddBytes(e.Sig)
	}
	return b.BytesOrPanic()
}

func parseReadySet(b []byte) (*readySet, bool) {
	s := cryptobyte.String(b)
	r := new(readySet)
	var count uint8
	if !r.read(&s, KindReadySet, false) || !readCount(&s, &r.N) || !readDigest(&s, &r.Root) ||
		!s.ReadUint8(&count) || int(count) > r.N {
		return nil, false
	}
	last := -1
	for range count {
		var e readyEntry
		if !readIndex(&s, &e.Member, r.N) || e.Member <= last || !readDigest(&s, &e.ListRoot) ||
			!s.ReadBytes(&e.Sig, id.HybridSignatureSize) {
			return nil, false
		}
		last = e.Member
		r.Members = append(r.Members, e)
	}
	return r, s.Empty()
}

// makeReady is reached with every key confirmed.
func (m *Member) makeReady() (Output, error) {
	ep := m.ep
	r := &ready{header: m.cohortHeader(), N: m.c.params.N, Member: m.self, Proposal: ep.proposal,
		Charter: m.c.charter, Root: ep.root, Rho: ep.rho, ListRoot: ep.listRoots[m.self]}
	r.Sig = m.cfg.Key.SignHybrid(id.LabelReady, r.body())
	ep.ready = r.encode()
	ep.stage = StageReady
	ep.expect = nil
	var out Output
	out.put(keyEpoch, m.epochRecord())
	out.Send = [][]byte{ep.ready}
	return out, nil
}

// handleReadySet opens the epoch when a quorum agrees with this member on
// everything, list roots included.
func (m *Member) handleReadySet(r *readySet) (Output, error) {
	ep := m.ep
	refuse := func(why Reason, detail string) (Output, error) {
		return Output{}, &Abort{Stage: StageReady, Reason: why, Epoch: ep.number, Detail: detail}
	}
	switch ep.stage {
	case StageLive:
		return Output{}, nil
	case StageReady:
	default:
		return Output{}, ErrNotOpen
	}
	if r.header != m.cohortHeader() || r.N != m.c.params.N || r.Root != ep.root {
		return refuse(ReasonMismatch, "")
	}
	if guard.ReadyQuorum && len(r.Members) < m.c.params.Quorum {
		return refuse(ReasonQuorum, "")
	}
	for i := range r.Members {
		e := &r.Members[i]
		v := &ready{header: r.header, N: r.N, Member: e.Member, Proposal: ep.proposal,
			Charter: m.c.charter, Root: ep.root, Rho: ep.rho, ListRoot: e.ListRoot}
		if guard.ReadySignature && m.c.keys[e.Member].VerifyHybrid(id.LabelReady, v.body(), e.Sig) != nil {
			return refuse(ReasonSignature, "forged in the name of agent "+m.c.ids[e.Member].Short())
		}
		if guard.ReadyList && e.ListRoot != ep.listRoots[e.Member] {
			return refuse(ReasonMismatch, "agent "+m.c.ids[e.Member].Short()+" signed another list than its ciphertexts came from")
		}
	}
	ep.stage = StageLive
	var out Output
	out.put(keyEpoch, m.epochRecord())
	out.Event = &Ready{Epoch: ep.number, Members: append([]id.AgentID(nil), m.c.ids...), Params: m.c.params}
	return out, nil
}

// handleReady collects Readys; the quorum opens the epoch.
func (e *Epoch) handleReady(i int, r *ready, raw []byte) ([]Outgoing, error) {
	drop := func(why Reason) ([]Outgoing, error) {
		return nil, &Drop{Stage: StageReady, Reason: why, Agent: e.f.ids[i]}
	}
	if prev := e.readys[i]; prev != nil {
		if !bytes.Equal(prev, raw) {
			return drop(ReasonSecond)
		}
		return nil, nil
	}
	if e.phase != StageReady && e.phase != StageLive {
		return nil, ErrStale
	}
	l, _ := parseCtList(e.ctLists[i])
	c, own := e.at(i)
	if r.N != c.params.N || r.Member != own || r.Proposal != e.proposalHash ||
		r.Charter != c.charter || r.Root != e.root || r.Rho != e.rho || r.ListRoot != merkleRoot(l.leaves()) {
		return drop(ReasonMismatch)
	}
	if e.f.keys[i].VerifyHybrid(id.LabelReady, r.body(), r.Sig) != nil {
		return drop(ReasonSignature)
	}
	e.readys[i] = bytes.Clone(raw)
	k := e.layout.places[i].cohort
	if e.readySets[k] != nil {
		return nil, nil
	}
	set := &readySet{header: r.header, N: r.N, Root: e.root}
	for j, g := range c.members {
		if b := e.readys[g]; b != nil {
			v, _ := parseReady(b)
			set.Members = append(set.Members, readyEntry{Member: j, ListRoot: v.ListRoot, Sig: v.Sig})
		}
	}
	if len(set.Members) < c.params.Quorum {
		return nil, nil
	}
	e.readySets[k] = set.encode()
	var out []Outgoing
	if !e.f.several() {
		out = []Outgoing{{Msg: e.readySets[k]}}
	} else {
		for _, a := range c.ids {
			out = append(out, Outgoing{To: a, Msg: e.readySets[k]})
		}
	}
	if len(e.missing(e.readySets)) == 0 {
		e.phase = StageLive
	}
	return out, nil
}
