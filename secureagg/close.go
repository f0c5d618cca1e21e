package secureagg

import (
	"bytes"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
	"tacit/secureagg/internal/guard"
)

// closeRequest asks members to give an attempt up. It carries the RoundStart, so
// that a member that missed it knows what it closes.
type closeRequest struct {
	header
	Start []byte
}

func (c *closeRequest) encode() []byte {
	b := newBuilder(headerSize + roundStartSize)
	c.add(b, KindCloseRequest)
	b.AddBytes(c.Start)
	return b.BytesOrPanic()
}

func parseCloseRequest(b []byte) (*closeRequest, bool) {
	s := cryptobyte.String(b)
	c := new(closeRequest)
	if !c.read(&s, KindCloseRequest, true) || !s.ReadBytes(&c.Start, roundStartSize) || !s.Empty() {
		return nil, false
	}
	rs, ok := parseRoundStart(c.Start)
	return c, ok && rs.header == c.header
}

// closeMsg is Close{e, r, released = false}: its signer has released nothing and
// will never vote or release for r again (SECAGG, Hardening 2).
type closeMsg struct {
	header
	N, Member int
	Sig       []byte
}

func closeBody(h *header, member int) []byte {
	b := newBuilder(headerSize + 2)
	h.add(b, KindClose)
	b.AddUint8(uint8(member))
	b.AddUint8(0) // released = false
	return b.BytesOrPanic()
}

func (c *closeMsg) encode() []byte {
	b := newBuilder(headerSize + 2 + id.SignatureSize)
	c.add(b, KindClose)
	b.AddUint8(uint8(c.N))
	b.AddUint8(uint8(c.Member))
	b.AddBytes(c.Sig)
	return b.BytesOrPanic()
}

func parseClose(b []byte) (*closeMsg, bool) {
	s := cryptobyte.String(b)
	c := new(closeMsg)
	if !c.read(&s, KindClose, true) || !readCount(&s, &c.N) || !readIndex(&s, &c.Member, c.N) ||
		!s.ReadBytes(&c.Sig, id.SignatureSize) || !s.Empty() {
		return nil, false
	}
	return c, true
}

// abortCert is at least Q Closes: the attempt can never be released. With several
// cohorts it is a quorum of Closes in so many of them that the rest are no longer more
// than two thirds, and so in no certified manifest alone; Drawn says who is in which.
type abortCert struct {
	header
	Drawn  *drawn        // nil with one cohort
	Ns     []int         // by cohort: its members
	Closes [][]memberSig // by cohort, ascending
}

func (c *abortCert) encode() []byte {
	b := newBuilder(headerSize + 128)
	c.add(b, KindAbortCert)
	if c.Drawn != nil {
		b.AddUint8(0)
		c.Drawn.add(b)
		b.AddUint8(uint8(len(c.Ns)))
	}
	for k, n := range c.Ns {
		b.AddUint8(uint8(n))
		addSigs(b, c.Closes[k])
	}
	return b.BytesOrPanic()
}

func parseAbortCert(b []byte) (*abortCert, bool) {
	s := cryptobyte.String(b)
	c := new(abortCert)
	if !c.readGlobal(&s, KindAbortCert, true) || len(s) == 0 {
		return nil, false
	}
	count := uint8(1)
	if s[0] == 0 {
		c.Drawn = new(drawn)
		if !s.Skip(1) || !c.Drawn.read(&s) || !s.ReadUint8(&count) || count < 2 || count > MaxCohorts {
			return nil, false
		}
	}
	for range count {
		var n int
		var sigs []memberSig
		if !readCount(&s, &n) || !readSigs(&s, &sigs, n) {
			return nil, false
		}
		c.Ns, c.Closes = append(c.Ns, n), append(c.Closes, sigs)
	}
	return c, s.Empty()
}

func (c *abortCert) verify(f *membership) error {
	refuse := func(why Reason, detail string) error {
		return &Abort{Stage: StageClose, Reason: why, Epoch: c.Epoch, R: c.R, Detail: detail}
	}
	if len(c.Ns) != len(f.sizes) || f.several() != (c.Drawn != nil) {
		return refuse(ReasonQuorum, "")
	}
	left := 0
	for k, co := range c.Drawn.arrange(f).cohorts {
		if c.Ns[k] != co.params.N {
			return refuse(ReasonQuorum, "")
		}
		h := co.attempt(c.header)
		for i := range c.Closes[k] {
			v := &c.Closes[k][i]
			if guard.AbortSignature && co.keys[v.Member].Verify(id.LabelClose, closeBody(&h, v.Member), v.Sig) != nil {
				return refuse(ReasonSignature, "forged in the name of agent "+co.ids[v.Member].Short())
			}
		}
		if len(c.Closes[k]) < co.params.Quorum {
			left++
		}
	}
	if guard.AbortQuorum && f.enough(left) {
		return refuse(ReasonQuorum, "")
	}
	return nil
}

// handleCloseRequest gives the attempt up, unless shares left already.
func (m *Member) handleCloseRequest(c *closeRequest) (Output, error) {
	rs, err := m.checkStart(c.Start)
	if err != nil {
		return Output{}, err
	}
	rd := m.rd
	var out Output
	switch {
	case rd != nil && rd.h.Epoch == rs.Epoch && rs.R < rd.h.R:
		return Output{}, ErrStale
	case rd != nil && rd.h.Epoch == rs.Epoch && rs.R == rd.h.R:
		switch {
		case rd.all != rs.Ctx:
			return Output{}, &Abort{Stage: StageClose, Reason: ReasonSecond, Epoch: rs.Epoch, R: rs.R, Detail: "two RoundStarts of one attempt",
				Evidence: [][]byte{rd.start, bytes.Clone(c.Start)}}
		case guard.CloseAfterRelease && rd.shares != nil:
			return Output{}, &Abort{Stage: StageClose, Reason: ReasonConflict, Epoch: rs.Epoch, R: rs.R, Detail: "this member released its shares"}
		case rd.close != nil:
			return Output{Send: [][]byte{rd.close}}, nil
		}
	default: // an attempt that this member never opened
		m.enterRound(&out, rs, c.Start, false)
		m.rd.open = false
		rd = m.rd
	}
	msg := &closeMsg{header: rd.h, N: m.c.params.N, Member: m.self,
		Sig: m.cfg.Key.Sign(id.LabelClose, closeBody(&rd.h, m.self))}
	rd.close = msg.encode()
	m.sign(&out, roleClose)
	m.endRound(&out)
	out.put(keyClose, rd.close)
	out.Send = [][]byte{rd.close}
	out.Event = &Closed{R: rs.R}
	return out, nil
}

// endRound erases what only an open attempt needs: opened shares and CK^r.
func (m *Member) endRound(out *Output) {
	if guard.Erase {
		if m.rd.vote != nil {
			m.rd.vote.erase()
			m.rd.vote = nil
		}
		m.ep.chain.advance(m.rd.h.R - m.ep.start + 1)
	}
	if m.rd.manifest != nil {
		m.rd.manifest = nil
		out.remove(keyManifest)
	}
	out.remove(keyVote)
	out.put(keyRound, m.roundRecord())
	out.put(keyChain, m.chainRecord())
}

// handleAbortCert ends the attempt: its model may be reported on again.
func (m *Member) handleAbortCert(c *abortCert, raw []byte) (Output, error) {
	rd := m.rd
	if rd == nil || !rd.isHeader(&c.header) {
		return m.settle(&c.header, outcomeAborted, func() error { return c.verify(m.f) })
	}
	if err := c.verify(m.f); err != nil {
		return Output{}, err
	}
	ev := &Aborted{R: c.R, AbortCert: bytes.Clone(raw)}
	if rd.shares != nil {
		return Output{}, &Abort{Stage: StageClose, Reason: ReasonConflict, Epoch: c.Epoch, R: c.R, Detail: "certified and aborted"}
	}
	if rd.over {
		return Output{Event: ev}, nil
	}
	rd.over = true
	var out Output
	for _, v := range c.Closes[m.c.place()] {
		m.see(v.Member, c.R, roleClose)
	}
	m.endRound(&out)
	m.settleLast(&out, &c.header, outcomeAborted)
	out.put(keyMarks, m.marksRecord())
	out.Event = ev
	return out, nil
}

// AskClose asks every member to give the attempt up. It is refused once a
// certificate exists: then the attempt waits for shares.
func (r *Round) AskClose() ([]Outgoing, error) {
	if r.cert != nil {
		return nil, &Drop{Stage: StageClose, Reason: ReasonConflict, Detail: "a certificate exists: the attempt is never aborted"}
	}
	if r.abortCert != nil {
		return nil, ErrStale
	}
	r.closing = true
	return []Outgoing{{Msg: r.closeRequest()}}, nil
}

// CloseSigned takes a member's Close. At a quorum cert is the abort certificate:
// persist it, then send out.
func (r *Round) CloseSigned(from id.AgentID, msg []byte) (cert []byte, out []Outgoing, err error) {
	p, i := r.partOf(from)
	if p == nil {
		return nil, nil, fmt.Errorf("secureagg: agent %s is no member of epoch %d", from.Short(), r.h.Epoch)
	}
	c, ok := parseClose(msg)
	if !ok {
		return nil, nil, &Drop{Stage: StageClose, Reason: ReasonMalformed, Agent: from}
	}
	if c.header != p.h || r.cert != nil {
		return nil, nil, ErrStale
	}
	if c.N != p.c.params.N || c.Member != i || guard.CloseReceived && p.c.keys[i].Verify(id.LabelClose, closeBody(&p.h, i), c.Sig) != nil {
		return nil, nil, &Drop{Stage: StageClose, Reason: ReasonSignature, Agent: from}
	}
	if p.closes[i] != nil || r.abortCert != nil {
		return nil, nil, nil
	}
	p.closes[i] = bytes.Clone(c.Sig)
	a := &abortCert{header: r.h, Drawn: r.e.drawn()}
	left := 0
	for _, p := range r.parts {
		var sigs []memberSig
		for j, sig := range p.closes {
			if sig != nil {
				sigs = append(sigs, memberSig{Member: j, Sig: sig})
			}
		}
		if len(sigs) < p.c.params.Quorum {
			left++
		}
		a.Ns, a.Closes = append(a.Ns, p.c.params.N), append(a.Closes, sigs)
	}
	if r.e.f.enough(left) {
		return nil, nil, nil
	}
	r.abortCert = a.encode()
	return r.abortCert, []Outgoing{{Msg: r.abortCert}}, nil
}

// RestoreAbort takes a persisted abort certificate after a restart.
func (r *Round) RestoreAbort(cert []byte) error {
	c, ok := parseAbortCert(cert)
	if !ok {
		return errMalformed
	}
	if c.header != r.h || r.cert != nil {
		return ErrStale
	}
	if err := c.verify(r.e.f); err != nil {
		return err
	}
	r.abortCert = bytes.Clone(cert)
	return nil
}
