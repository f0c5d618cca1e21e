package secureagg

import (
	"bytes"
	"fmt"
	"io"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
	"tacit/secureagg/internal/guard"
)

// role orders what a member signs within one attempt.
type role uint8

const (
	roleNone role = iota
	roleReport
	roleVote
	roleClose
	roleRelease
	roleManifest // its vote for the sets of all cohorts, between vote and close
	roleEnd
)

// rank is a role's place in the order.
func (r role) rank() int { return [roleEnd]int{0, 1, 2, 4, 5, 3}[r] }

// mark is a point (r, role) of an epoch.
type mark struct {
	R    uint64
	Role role
}

func (a mark) less(b mark) bool { return a.R < b.R || a.R == b.R && a.Role.rank() < b.Role.rank() }

// sign raises this member's own mark, which the journal keeps for the whole epoch.
func (m *Member) sign(out *Output, what role) {
	if k := (mark{m.rd.h.R, what}); m.own.less(k) {
		m.own = k
	}
	out.put(keyMark, m.markRecord())
}

// see raises the highest mark seen of member i.
func (m *Member) see(i int, r uint64, what role) {
	if k := (mark{r, what}); m.ep.marks[i].less(k) {
		m.ep.marks[i] = k
	}
}

// reentry asks the other members what they saw of an agent whose process
// restarted (SECAGG, Hardening 6).
type reentry struct {
	header
	Agent id.AgentID
	Nonce digest
	Sig   []byte
}

func (r *reentry) body() []byte {
	b := newBuilder(headerSize + 48 + id.SignatureSize)
	r.add(b, KindReentry)
	b.AddBytes(r.Agent[:])
	b.AddBytes(r.Nonce[:])
	return b.BytesOrPanic()
}

func (r *reentry) encode() []byte { return append(r.body(), r.Sig...) }

func parseReentry(b []byte) (*reentry, bool) {
	s := cryptobyte.String(b)
	r := new(reentry)
	if !r.read(&s, KindReentry, false) || !s.CopyBytes(r.Agent[:]) || !readDigest(&s, &r.Nonce) ||
		!s.ReadBytes(&r.Sig, id.SignatureSize) || !s.Empty() {
		return nil, false
	}
	return r, true
}

// floor answers a reentry: the highest (r, role) seen signed by the asker, and the
// latest attempt that the answerer has open.
type floor struct {
	header
	Asker id.AgentID
	Nonce digest
	From  id.AgentID
	Seen  mark
	Open  uint64
	Sig   []byte
}

func (f *floor) body() []byte {
	b := newBuilder(headerSize + 128 + id.SignatureSize)
	f.add(b, KindFloor)
	b.AddBytes(f.Asker[:])
	b.AddBytes(f.Nonce[:])
	b.AddBytes(f.From[:])
	b.AddUint64(f.Seen.R)
	b.AddUint8(uint8(f.Seen.Role))
	b.AddUint64(f.Open)
	return b.BytesOrPanic()
}

func (f *floor) encode() []byte { return append(f.body(), f.Sig...) }

func parseFloor(b []byte) (*floor, bool) {
	s := cryptobyte.String(b)
	f := new(floor)
	var what uint8
	if !f.read(&s, KindFloor, false) || !s.CopyBytes(f.Asker[:]) || !readDigest(&s, &f.Nonce) || !s.CopyBytes(f.From[:]) ||
		!s.ReadUint64(&f.Seen.R) || !s.ReadUint8(&what) || what >= uint8(roleEnd) || (what == 0) != (f.Seen.R == 0) ||
		!s.ReadUint64(&f.Open) || !s.ReadBytes(&f.Sig, id.SignatureSize) || !s.Empty() {
		return nil, false
	}
	f.Seen.Role = role(what)
	return f, true
}

// reentering is the state of a member that is out.
type reentering struct {
	msg     []byte
	nonce   digest
	answers bitmap
	open    uint64 // highest attempt open at an answerer
	rekey   []byte // set once only a new epoch helps
}

// Reenter says what to send when a connection is made: nothing for a member that is
// in, the Reentry for one that is out, or a Rekey for one that lost its keys. It may
// be called again on every connection and gives the same bytes.
func (m *Member) Reenter() (Output, error) {
	switch {
	case m.out == nil:
		return Output{}, nil
	case m.out.rekey != nil:
		return Output{Send: [][]byte{m.out.rekey}, Event: &RekeyNeeded{Epoch: m.lowest - 1, Reason: m.rekeyReason()}}, nil
	}
	return Output{Send: [][]byte{m.out.msg}}, nil
}

func (m *Member) rekeyReason() string {
	if m.ep == nil {
		return "keys lost"
	}
	return "rollback"
}

// beginReentry puts a restored member out.
func (m *Member) beginReentry() error {
	r := &reentry{header: m.cohortHeader(), Agent: m.c.ids[m.self]}
	if _, err := io.ReadFull(m.cfg.Rand, r.Nonce[:]); err != nil {
		return fmt.Errorf("secureagg: draw a nonce: %w", err)
	}
	r.Sig = m.cfg.Key.Sign(id.LabelReentry, r.body())
	m.out = &reentering{msg: r.encode(), nonce: r.Nonce}
	return nil
}

// handleReentry answers another member, in any state.
func (m *Member) handleReentry(r *reentry) (Output, error) {
	if m.ep == nil || m.c == nil || r.header != m.cohortHeader() {
		return Output{}, ErrStale
	}
	i := m.c.index(r.Agent)
	if i < 0 || i == m.self {
		return Output{}, ErrStale
	}
	if guard.ReentrySignature && m.c.keys[i].Verify(id.LabelReentry, r.body(), r.Sig) != nil {
		return Output{}, &Drop{Stage: StageReentry, Reason: ReasonSignature, Detail: "forged in the name of agent " + r.Agent.Short()}
	}
	f := &floor{header: r.header, Asker: r.Agent, Nonce: r.Nonce, From: m.c.ids[m.self], Seen: m.ep.marks[i]}
	if m.rd != nil && m.rd.h.Epoch == r.Epoch {
		f.Open = m.rd.h.R
	}
	f.Sig = m.cfg.Key.Sign(id.LabelFloor, f.body())
	return Output{Send: [][]byte{f.encode()}}, nil
}

// handleFloor counts answers. Enough of them, none above this member's own mark,
// readmit it; one above means that the journal was rolled back.
func (m *Member) handleFloor(f *floor) (Output, error) {
	if m.out == nil || m.out.rekey != nil || m.ep == nil || f.Epoch != m.ep.number || f.Run != m.cfg.Run ||
		f.Asker != m.c.ids[m.self] || guard.FloorNonce && f.Nonce != m.out.nonce {
		return Output{}, ErrStale
	}
	i := m.c.index(f.From)
	if i < 0 || i == m.self {
		return Output{}, ErrStale
	}
	if guard.FloorSignature && m.c.keys[i].Verify(id.LabelFloor, f.body(), f.Sig) != nil {
		return Output{}, &Drop{Stage: StageReentry, Reason: ReasonSignature, Detail: "forged in the name of agent " + f.From.Short()}
	}
	if guard.FloorMark && m.own.less(f.Seen) {
		return m.askRekey(m.ep.number, rekeyRollback)
	}
	m.out.answers.add(i)
	m.out.open = max(m.out.open, f.Open)
	if guard.FloorCount && m.out.answers.count() < m.c.params.floors() {
		return Output{}, nil
	}
	m.noReport = max(m.noReport, m.out.open)
	m.out = nil
	var out Output
	switch m.ep.stage {
	case StageConfirm:
		out.Send = [][]byte{m.ep.confirm}
	case StageReady:
		out.Send = [][]byte{m.ep.ready}
	}
	out.Event = &Readmitted{Epoch: m.ep.number, R: m.Attempt()}
	return out, nil
}

func (e *Epoch) cohortOf(i int) *cohort {
	c, _ := e.at(i)
	return c
}

// asks reports whether member j still lacks the answer of i, which is in its cohort.
func (e *Epoch) asks(j, i int) bool {
	a, c := e.asking[j], e.cohortOf(j)
	k := c.index(e.f.ids[i])
	return a != nil && j != i && k >= 0 && !a.answers.has(k)
}

// Relay routes a Reentry to the other members of its cohort and a Floor to its asker. Members that
// are away get the Reentry from For when they connect. Nothing of it need be stored.
func (e *Epoch) Relay(from id.AgentID, msg []byte) ([]Outgoing, error) {
	v, err := e.f.parse(msg)
	if err != nil {
		return nil, &Drop{Stage: StageReentry, Reason: ReasonMalformed, Agent: from}
	}
	switch v := v.(type) {
	case *reentry:
		i := e.f.index(from)
		if i >= 0 && (e.layout == nil || v.header != e.headerOf(i)) {
			return nil, ErrStale
		}
		if i < 0 || guard.ReentryReceived && (v.Agent != from || e.f.keys[i].Verify(id.LabelReentry, v.body(), v.Sig) != nil) {
			return nil, &Drop{Stage: StageReentry, Reason: ReasonSignature, Agent: from}
		}
		if a := e.asking[i]; a == nil || a.nonce != v.Nonce {
			e.asking[i] = &askingAgent{msg: bytes.Clone(msg), nonce: v.Nonce}
		}
		var out []Outgoing
		c, own := e.at(i)
		for j, a := range c.ids {
			if j != own {
				out = append(out, Outgoing{To: a, Msg: msg})
			}
		}
		return out, nil
	case *floor:
		i := e.f.index(from)
		if i >= 0 && (e.layout == nil || v.header != e.headerOf(i)) {
			return nil, ErrStale
		}
		if i < 0 || e.cohortOf(i).index(v.Asker) < 0 || guard.FloorReceived && (v.From != from || e.f.keys[i].Verify(id.LabelFloor, v.body(), v.Sig) != nil) {
			return nil, &Drop{Stage: StageReentry, Reason: ReasonSignature, Agent: from}
		}
		if asker := e.f.index(v.Asker); e.asking[asker] != nil && e.asking[asker].nonce == v.Nonce {
			a := e.asking[asker]
			c, own := e.at(i)
			if a.answers.add(own); a.answers.count() >= c.params.floors() {
				delete(e.asking, asker)
			}
		}
		return []Outgoing{{To: v.Asker, Msg: msg}}, nil
	}
	return nil, &Drop{Stage: StageReentry, Reason: ReasonMalformed, Agent: from}
}
