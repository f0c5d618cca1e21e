package secureagg

import (
	"bytes"
	"fmt"

	"tacit/id"
)

// Round is the server's side of one attempt. It is a deterministic function of its
// inputs, the accepted messages in order and the two decisions CloseCollection and
// AskClose; a restarted server makes it again from what it stored. One goroutine
// owns it.
type Round struct {
	e           *Epoch
	in          RoundInputs
	h           header
	start       []byte
	reports     []*heldReport
	set         *bitmap // O, once fixed
	digests     []dealt
	digestsHash digest
	votes       [][]byte
	voted       []int // in order of arrival
	complaints  [][]heldComplaint
	cert        []byte
	released    []*heldShares
	closing     bool
	closes      [][]byte
	abortCert   []byte
	failed      *Abort // the last typed reason
}

type heldReport struct {
	report *report
	digest *reportDigest
	hash   digest
	leaves []digest
}

type heldComplaint struct {
	accuser int
	proven  bool
}

// NewRound opens an attempt of a live epoch. The same inputs give the same bytes.
func (e *Epoch) NewRound(in RoundInputs) (*Round, error) {
	if e.phase != StageLive {
		return nil, fmt.Errorf("secureagg: epoch %d is not live", e.h.Epoch)
	}
	if err := in.validate(); err != nil {
		return nil, err
	}
	if in.Run != e.h.Run || in.Charter != e.c.charter {
		return nil, fmt.Errorf("secureagg: attempt %d is of another run or charter than epoch %d", in.R, e.h.Epoch)
	}
	if e.RoundsLeft(in.R) == 0 {
		return nil, &Abort{Stage: StageRoundStart, Reason: ReasonCharter, Epoch: e.h.Epoch, R: in.R, Detail: "the epoch's attempts are used up"}
	}
	n := e.c.params.N
	r := &Round{e: e, in: in, h: e.h, reports: make([]*heldReport, n), votes: make([][]byte, n),
		complaints: make([][]heldComplaint, n), released: make([]*heldShares, n), closes: make([][]byte, n)}
	r.h.R = in.R
	r.h.Ctx = in.ctx(e.h.Epoch, &e.root)
	rs := &roundStart{header: r.h, Root: e.root, Inputs: in}
	rs.Sig = e.key.Sign(id.LabelRoundStart, rs.body())
	r.start = rs.encode()
	return r, nil
}

// Start returns the RoundStart, the same for every agent.
func (r *Round) Start() []byte { return bytes.Clone(r.start) }

// Ctx returns the attempt's context.
func (r *Round) Ctx() id.Ctx { return r.h.Ctx }

// Inputs returns what the attempt was opened with.
func (r *Round) Inputs() RoundInputs { return r.in }

// Reported lists the agents whose report was accepted.
func (r *Round) Reported() []id.AgentID {
	var out []id.AgentID
	for i, h := range r.reports {
		if h != nil {
			out = append(out, r.e.c.ids[i])
		}
	}
	return out
}

// Online lists the fixed set O, nil before.
func (r *Round) Online() []id.AgentID {
	if r.set == nil {
		return nil
	}
	return r.e.c.agents(r.set)
}

// Voted lists the members whose vote is held.
func (r *Round) Voted() []id.AgentID {
	var s bitmap
	for _, i := range r.voted {
		s.add(i)
	}
	return r.e.c.agents(&s)
}

// Released lists the members whose good shares are held.
func (r *Round) Released() []id.AgentID {
	var out []id.AgentID
	for i, h := range r.released {
		if h != nil {
			out = append(out, r.e.c.ids[i])
		}
	}
	return out
}

// ClosedBy lists the members that gave the attempt up.
func (r *Round) ClosedBy() []id.AgentID {
	var out []id.AgentID
	for i, sig := range r.closes {
		if sig != nil {
			out = append(out, r.e.c.ids[i])
		}
	}
	return out
}

// RestoreCertificate takes the persisted certificate after a restart, once the set
// is restored.
func (r *Round) RestoreCertificate(cert []byte) ([]Outgoing, error) {
	c, ok := parseCertificate(cert)
	if !ok {
		return nil, errMalformed
	}
	if c.header != r.h || r.set == nil || r.abortCert != nil {
		return nil, ErrStale
	}
	if err := c.verify(r.e.c); err != nil {
		return nil, err
	}
	if c.Online != *r.set || c.Digests != r.digestsHash {
		return nil, &Abort{Stage: StageCertificate, Reason: ReasonConflict, Epoch: r.h.Epoch, R: r.h.R, Detail: "the stored certificate is of another set"}
	}
	r.cert = bytes.Clone(cert)
	return []Outgoing{{Msg: r.cert}}, nil
}

// Certificate returns the certificate, nil before.
func (r *Round) Certificate() []byte { return bytes.Clone(r.cert) }

// Outcome returns the certificate or the abort certificate, nil while there is
// neither. An agent that reported needs it before the next RoundStart.
func (r *Round) Outcome() []byte {
	if r.abortCert != nil {
		return bytes.Clone(r.abortCert)
	}
	return r.Certificate()
}

// Why is the typed reason why the attempt cannot go on, for a deadline that passed;
// nil when it is finished.
func (r *Round) Why() *Abort {
	switch {
	case r.abortCert != nil && r.failed != nil:
		return r.failed
	case r.cert != nil && r.enough():
		return nil
	case r.cert != nil:
		return r.abort(StageShares, ReasonThreshold, -1, fmt.Sprintf("%d of %d shares", len(r.Released()), r.e.c.params.Threshold))
	case r.failed != nil:
		return r.failed
	case r.set == nil:
		return r.abort(StageReport, ReasonBelowMinimum, -1, fmt.Sprintf("%d of %d reports", len(r.Reported()), r.e.c.params.MinRelease))
	}
	for d, held := range r.complaints {
		if len(held) > 0 && len(r.voted) >= r.e.c.params.Quorum {
			return r.complaintAbort(d)
		}
	}
	return r.abort(StageVote, ReasonQuorum, -1, fmt.Sprintf("%d of %d votes", len(r.voted), r.e.c.params.Quorum))
}

// For returns the stage messages that a returning member needs, after RoundStart.
func (r *Round) For(agent id.AgentID) [][]byte {
	i := r.e.c.index(agent)
	switch {
	case i < 0:
		return nil
	case r.abortCert != nil:
		return [][]byte{r.abortCert}
	case r.cert != nil:
		return [][]byte{r.onlineSetFor(i), r.cert}
	case r.closing:
		return [][]byte{(&closeRequest{header: r.h, Start: r.start}).encode()}
	case r.set != nil:
		return [][]byte{r.onlineSetFor(i)}
	}
	return nil
}

func (r *Round) abort(stage Stage, why Reason, culprit int, detail string) *Abort {
	a := &Abort{Stage: stage, Reason: why, Epoch: r.h.Epoch, R: r.h.R, Detail: detail}
	if culprit >= 0 {
		a.Culprit = r.e.c.ids[culprit]
	}
	r.failed = a
	return a
}
