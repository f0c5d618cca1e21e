package secureagg

import (
	"bytes"
	"fmt"

	"tacit/id"
)

// Round is the server's side of one attempt, in all cohorts. It is a deterministic function of its
// inputs, the accepted messages in order and the two decisions CloseCollection and
// AskClose; a restarted server makes it again from what it stored. One goroutine
// owns it.
type Round struct {
	e         *Epoch
	in        RoundInputs
	h         header
	start     []byte
	parts     []*part
	closed    bool          // the sets are fixed
	manifest  *manifestCore // several cohorts: once all are certified
	manifests [][]memberSig // votes for it, by cohort
	cert      []byte
	closing   bool
	abortCert []byte
	failed    *Abort // the last typed reason
}

// part is one cohort's part in an attempt.
type part struct {
	r           *Round
	c           *cohort
	place       int // in the layout
	h           header
	reports     []*heldReport
	set         *bitmap // O, once fixed; nil for a cohort that stays outside
	digests     []dealt
	digestsHash digest
	votes       [][]byte
	voted       []int // in order of arrival
	complaints  [][]heldComplaint
	cert        *certificate
	released    []*heldShares
	closes      [][]byte
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
	vote    []byte
}

// NewRound opens an attempt of a live epoch. The same inputs give the same bytes.
func (e *Epoch) NewRound(in RoundInputs) (*Round, error) {
	if e.phase != StageLive {
		return nil, fmt.Errorf("secureagg: epoch %d is not live", e.h.Epoch)
	}
	if err := in.validate(); err != nil {
		return nil, err
	}
	if in.Run != e.h.Run || in.Charter != e.f.charter {
		return nil, fmt.Errorf("secureagg: attempt %d is of another run or charter than epoch %d", in.R, e.h.Epoch)
	}
	if int(in.Cohorts) != len(e.f.sizes) {
		return nil, fmt.Errorf("secureagg: attempt %d is of %d cohorts, epoch %d has %d", in.R, in.Cohorts, e.h.Epoch, len(e.f.sizes))
	}
	if e.RoundsLeft(in.R) == 0 {
		return nil, &Abort{Stage: StageRoundStart, Reason: ReasonCharter, Epoch: e.h.Epoch, R: in.R, Detail: "the epoch's attempts are used up"}
	}
	r := &Round{e: e, in: in, h: e.h, manifests: make([][]memberSig, len(e.f.sizes))}
	r.h.R = in.R
	r.h.Ctx = in.ctx(e.h.Epoch, &e.root)
	for k, c := range e.layout.cohorts {
		n := c.params.N
		r.parts = append(r.parts, &part{r: r, c: c, place: k, h: c.attempt(r.h),
			reports: make([]*heldReport, n), votes: make([][]byte, n), complaints: make([][]heldComplaint, n),
			released: make([]*heldShares, n), closes: make([][]byte, n)})
	}
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

// partOf is the part and the index there of an agent, nil for a stranger.
func (r *Round) partOf(agent id.AgentID) (*part, int) {
	g := r.e.f.index(agent)
	if g < 0 {
		return nil, -1
	}
	at := r.e.layout.places[g]
	return r.parts[at.cohort], at.member
}

// which lists the agents of whom is says yes, in the roster's order.
func (r *Round) which(is func(p *part, i int) bool) []id.AgentID {
	var out []id.AgentID
	for g, a := range r.e.f.ids {
		if at := r.e.layout.places[g]; is(r.parts[at.cohort], at.member) {
			out = append(out, a)
		}
	}
	return out
}

// Reported lists the agents whose report was accepted.
func (r *Round) Reported() []id.AgentID {
	return r.which(func(p *part, i int) bool { return p.reports[i] != nil })
}

// Online lists the members of the fixed sets, nil before.
func (r *Round) Online() []id.AgentID {
	return r.which(func(p *part, i int) bool { return p.set != nil && p.set.has(i) })
}

// Voted lists the members whose vote on their cohort's set is held.
func (r *Round) Voted() []id.AgentID {
	return r.which(func(p *part, i int) bool { return p.votes[i] != nil })
}

// Released lists the members whose good shares are held.
func (r *Round) Released() []id.AgentID {
	return r.which(func(p *part, i int) bool { return p.released[i] != nil })
}

// Able reports whether the fixed sets could still be certified if just the agents of
// whom is says yes voted: a quorum of them in each cohort inside. If not, short says
// what is missing.
func (r *Round) Able(is func(id.AgentID) bool) (ok bool, short string) {
	for _, p := range r.parts {
		if n := count(p.c.ids, is); p.set != nil && n < p.c.params.Quorum {
			return false, fmt.Sprintf("%d of the %d branches that a quorum needs are left", n, p.c.params.Quorum)
		}
	}
	return true, ""
}

// ClosedBy lists the members that gave the attempt up.
func (r *Round) ClosedBy() []id.AgentID {
	return r.which(func(p *part, i int) bool { return p.closes[i] != nil })
}

// RestoreCertificate takes the persisted certificate after a restart, once the set
// is restored.
func (r *Round) RestoreCertificate(cert []byte) ([]Outgoing, error) {
	if r.e.f.several() {
		return r.restoreManifest(cert)
	}
	c, ok := parseCertificate(cert)
	if !ok {
		return nil, errMalformed
	}
	p := r.parts[0]
	if c.header != r.h || p.set == nil || r.abortCert != nil {
		return nil, ErrStale
	}
	if err := c.verify(p.c); err != nil {
		return nil, err
	}
	if c.Online != *p.set || c.Digests != p.digestsHash {
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
		return r.abort(StageShares, ReasonThreshold, id.AgentID{}, fmt.Sprintf("%d of %d shares", len(r.Released()), r.e.f.params().Threshold))
	case r.failed != nil:
		return r.failed
	case !r.closed:
		return r.abort(StageReport, ReasonBelowMinimum, id.AgentID{}, fmt.Sprintf("%d of %d reports", len(r.Reported()), r.e.f.params().MinRelease))
	}
	for _, p := range r.parts {
		if p.set == nil || p.cert != nil {
			continue
		}
		for d, held := range p.complaints {
			if len(held) > 0 && len(p.voted) >= p.c.params.Quorum {
				return p.complaintAbort(d)
			}
		}
		return r.abort(StageVote, ReasonQuorum, id.AgentID{}, fmt.Sprintf("%d of %d votes", len(p.voted), p.c.params.Quorum))
	}
	return r.abort(StageManifest, ReasonQuorum, id.AgentID{}, "too few members agree on the sets of all cohorts")
}

// For returns the stage messages that a returning member needs, after RoundStart.
func (r *Round) For(agent id.AgentID) [][]byte {
	p, i := r.partOf(agent)
	if p == nil {
		return nil
	}
	var out [][]byte
	switch {
	case r.abortCert != nil:
		return [][]byte{r.abortCert}
	case r.closing && r.cert == nil:
		return [][]byte{r.closeRequest()}
	}
	if p.set != nil {
		out = append(out, p.onlineSetFor(i))
	}
	if r.manifest != nil && p.set != nil {
		out = append(out, r.manifestMsg())
	}
	return append(out, some(r.cert)...)
}

func (r *Round) closeRequest() []byte { return (&closeRequest{header: r.h, Start: r.start}).encode() }

func (r *Round) abort(stage Stage, why Reason, culprit id.AgentID, detail string) *Abort {
	r.failed = &Abort{Stage: stage, Reason: why, Epoch: r.h.Epoch, R: r.h.R, Culprit: culprit, Detail: detail}
	return r.failed
}
