package secureagg

import (
	"bytes"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
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

// abortCert is at least Q Closes: the attempt can never be released.
type abortCert struct {
	header
	N      int
	Closes []memberSig // ascending
}

func (c *abortCert) encode() []byte {
	b := newBuilder(headerSize + 8 + len(c.Closes)*(1+id.SignatureSize))
	c.add(b, KindAbortCert)
	b.AddUint8(uint8(c.N))
	addSigs(b, c.Closes)
	return b.BytesOrPanic()
}

func parseAbortCert(b []byte) (*abortCert, bool) {
	s := cryptobyte.String(b)
	c := new(abortCert)
	if !c.read(&s, KindAbortCert, true) || !readCount(&s, &c.N) || !readSigs(&s, &c.Closes, c.N) || !s.Empty() {
		return nil, false
	}
	return c, true
}

func (c *abortCert) verify(co *cohort) error {
	if c.N != co.params.N || len(c.Closes) < co.params.Quorum {
		return &Abort{Stage: StageClose, Reason: ReasonQuorum, Epoch: c.Epoch, R: c.R}
	}
	for i := range c.Closes {
		v := &c.Closes[i]
		if co.keys[v.Member].Verify(id.LabelClose, closeBody(&c.header, v.Member), v.Sig) != nil {
			return &Abort{Stage: StageClose, Reason: ReasonSignature, Epoch: c.Epoch, R: c.R, Culprit: co.ids[v.Member]}
		}
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
		case rd.h != rs.header:
			return Output{}, &Abort{Stage: StageClose, Reason: ReasonSecond, Epoch: rs.Epoch, R: rs.R, Detail: "two RoundStarts of one attempt"}
		case rd.shares != nil:
			return Output{}, &Abort{Stage: StageClose, Reason: ReasonConflict, Epoch: rs.Epoch, R: rs.R, Detail: "this member released its shares"}
		case rd.close != nil:
			return Output{Send: [][]byte{rd.close}}, nil
		}
	default: // an attempt that this member never opened
		m.enterRound(&out, rs, c.Start, false)
		m.rd.open = false
		rd = m.rd
	}
	msg := &closeMsg{header: rs.header, N: m.c.params.N, Member: m.self,
		Sig: m.cfg.Key.Sign(id.LabelClose, closeBody(&rs.header, m.self))}
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
	if m.rd.vote != nil {
		m.rd.vote.erase()
		m.rd.vote = nil
	}
	m.ep.chain.advance(m.rd.h.R - m.ep.start + 1)
	out.remove(keyVote)
	out.put(keyRound, m.roundRecord())
	out.put(keyChain, m.chainRecord())
}

// handleAbortCert ends the attempt: its model may be reported on again.
func (m *Member) handleAbortCert(c *abortCert, raw []byte) (Output, error) {
	rd := m.rd
	if rd == nil || rd.h != c.header {
		return m.settle(&c.header, outcomeAborted, func() error { return c.verify(m.c) })
	}
	if err := c.verify(m.c); err != nil {
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
	for i := range c.Closes {
		m.see(c.Closes[i].Member, c.R, roleClose)
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
	return []Outgoing{{Msg: (&closeRequest{header: r.h, Start: r.start}).encode()}}, nil
}

// CloseSigned takes a member's Close. At a quorum cert is the abort certificate:
// persist it, then send out.
func (r *Round) CloseSigned(from id.AgentID, msg []byte) (cert []byte, out []Outgoing, err error) {
	i := r.e.c.index(from)
	if i < 0 {
		return nil, nil, fmt.Errorf("secureagg: agent %s is no member of epoch %d", from.Short(), r.h.Epoch)
	}
	c, ok := parseClose(msg)
	if !ok {
		return nil, nil, &Drop{Stage: StageClose, Reason: ReasonMalformed, Agent: from}
	}
	if c.header != r.h || r.cert != nil {
		return nil, nil, ErrStale
	}
	if c.N != r.e.c.params.N || c.Member != i || r.e.c.keys[i].Verify(id.LabelClose, closeBody(&r.h, i), c.Sig) != nil {
		return nil, nil, &Drop{Stage: StageClose, Reason: ReasonSignature, Agent: from}
	}
	if r.closes[i] != nil || r.abortCert != nil {
		return nil, nil, nil
	}
	r.closes[i] = bytes.Clone(c.Sig)
	a := &abortCert{header: r.h, N: r.e.c.params.N}
	for j, sig := range r.closes {
		if sig != nil {
			a.Closes = append(a.Closes, memberSig{Member: j, Sig: sig})
		}
	}
	if len(a.Closes) < r.e.c.params.Quorum {
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
	if err := c.verify(r.e.c); err != nil {
		return err
	}
	r.abortCert = bytes.Clone(cert)
	return nil
}
