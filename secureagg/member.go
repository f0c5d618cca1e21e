package secureagg

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"tacit/id"
)

// MemberConfig is what an agent brings.
type MemberConfig struct {
	Key      *id.PrivateKey
	Server   id.PublicKey // zero: the charter's
	Charter  *id.Charter  // verified by the caller
	Roster   *id.Roster   // verified by the caller
	Run      id.RunID
	MinEpoch uint64    // lowest epoch to accept, if other records know better than the journal
	Rand     io.Reader // crypto/rand.Reader

	limit int // largest cohort; zero but in tests
}

// Record is one write of the agent's journal; a nil Value deletes the key. Values
// hold live secrets: seal them.
type Record struct {
	Key   string
	Value []byte
}

// Output is what a step asks of the caller, in this order: make all of Journal
// durable in one transaction, then send Send, then act on Event. If the journal
// cannot be written, discard the Member and restore one from the journal.
type Output struct {
	Journal []Record
	Send    [][]byte
	Event   any
}

func (o *Output) put(key string, value []byte) {
	if value == nil {
		value = []byte{}
	}
	o.Journal = append(o.Journal, Record{Key: key, Value: value})
}

func (o *Output) remove(keys ...string) {
	for _, k := range keys {
		o.Journal = append(o.Journal, Record{Key: k})
	}
}

// Events.
type (
	// Ready: the epoch is live.
	Ready struct {
		Epoch   uint64
		Members []id.AgentID
		Params  Params
	}
	// Opened: the attempt is accepted. Train and call Report if MayReport; Again says
	// that this was told before.
	Opened struct {
		R         uint64
		Ctx       id.Ctx
		MayReport bool
		Again     bool
	}
	// Masked: the report and its masked vector are ready to send, or to send Again.
	Masked struct {
		R      uint64
		Report []byte
		Vector []uint32
		Again  bool
	}
	// Voted: the online set passed every check.
	Voted struct {
		R          uint64
		Online     []id.AgentID
		Complaints int
	}
	// Certified: a quorum certified the set. Released tells whether this member's
	// shares are in Send.
	Certified struct {
		R           uint64
		Ctx         id.Ctx
		Online      []id.AgentID
		Certificate []byte
		Released    bool
	}
	// Closed: this member gave the attempt up.
	Closed struct{ R uint64 }
	// Aborted: a quorum gave the attempt up.
	Aborted struct {
		R         uint64
		AbortCert []byte
	}
	// Readmitted: this process may take part again. R is the latest attempt that its
	// journal knows.
	Readmitted struct{ Epoch, R uint64 }
	// RekeyNeeded: only a new epoch lets this agent take part again.
	RekeyNeeded struct {
		Epoch  uint64
		Reason string
	}
)

// Member is the agent's side of the protocol: one epoch and at most one attempt at
// a time. One goroutine owns it. After an error its state is unchanged.
type Member struct {
	cfg    MemberConfig
	f      *membership
	index  int     // in the federation
	l      *layout // nil while several cohorts are not drawn
	c      *cohort // of l
	self   int     // in the cohort
	server id.PublicKey
	get    func(string) ([]byte, bool)
	counts map[digest]trainedMark // of this member's own reports; see trained

	lowest   uint64 // lowest epoch to accept
	highR    uint64 // highest attempt accepted in the run, across epochs
	noReport uint64 // attempts up to this one were open when the process started
	ep       *memberEpoch
	rd       *memberRound
	last     *lastReport
	own      mark // highest signed in this epoch
	out      *reentering
}

// memberEpoch is what a member holds of its epoch. Fields up to expect live only
// until their stage is over.
type memberEpoch struct {
	number, start uint64
	stage         Stage // whose server message comes next; StageLive at the end
	proposal      digest
	offered       []byte // the Proposal itself; nil after a restart
	epochKey      []byte

	coin        digest // this member's share of the public coin; zero with one cohort
	keysRoot    digest // over all E1
	commitments []commitment
	rho         digest // the public coin; zero with one cohort

	dk     []byte // X-Wing decapsulation seed
	eks    [][]byte
	cts    [][]byte
	sent   []secret
	ctList []byte
	expect [][tagSize]byte // the partners' tags

	root      digest
	listRoots []digest
	confirm   []byte
	ready     []byte
	chain     chain
	marks     []mark // highest seen of each member
}

// memberRound is what a member holds of its current attempt.
type memberRound struct {
	h         header // of this member's cohort
	all       id.Ctx // of all cohorts
	inputs    RoundInputs
	start     []byte
	open      bool // accepted through Open, not only closed
	canReport bool
	masks     *Masks // prepared by the caller; not journaled
	report    []byte
	vector    []uint32
	vote      *castVote
	manifest  *castManifest
	shares    []byte // the sent Shares
	close     []byte // the sent Close
	over      bool   // an abort certificate was seen
}

func (rd *memberRound) mayReport() bool {
	return rd.open && rd.canReport && rd.report == nil && rd.vote == nil && rd.shares == nil && rd.close == nil && !rd.over
}

// NewMember starts an agent that has no journal.
func NewMember(cfg MemberConfig) (*Member, error) {
	return newMember(cfg, func(string) ([]byte, bool) { return nil, false })
}

func newMember(cfg MemberConfig, get func(string) ([]byte, bool)) (*Member, error) {
	if cfg.Key == nil || cfg.Charter == nil || cfg.Roster == nil || cfg.Rand == nil {
		return nil, errors.New("secureagg: a member needs a key, a charter, a roster and randomness")
	}
	f, err := newMembership(cfg.Charter, cfg.Roster, cfg.limit)
	if err != nil {
		return nil, err
	}
	pub := cfg.Key.Public()
	index := f.index(pub.AgentID())
	if index < 0 {
		return nil, errors.New("secureagg: this agent is not on the roster")
	}
	m := &Member{cfg: cfg, f: f, index: index, server: cfg.Server, get: get,
		counts: make(map[digest]trainedMark), lowest: max(cfg.MinEpoch, 1)}
	if m.server.IsZero() {
		m.server = f.server
	}
	if !f.several() {
		m.enter(f.arrange(nil))
	}
	return m, nil
}

// enter takes this member's place in an epoch's cohorts.
func (m *Member) enter(l *layout) {
	at := l.places[m.index]
	m.l, m.c, m.self = l, l.cohorts[at.cohort], at.member
}

// Epoch returns the number of the current epoch, zero without one.
func (m *Member) Epoch() uint64 {
	if m.ep == nil {
		return 0
	}
	return m.ep.number
}

// Cohorts is the number of cohorts that the roster falls into.
func (m *Member) Cohorts() int { return len(m.f.sizes) }

// Live reports whether the epoch is open for attempts.
func (m *Member) Live() bool { return m.ep != nil && m.ep.stage == StageLive && m.out == nil }

// Attempt returns the latest attempt r that this member accepted, zero without one.
func (m *Member) Attempt() uint64 {
	if m.rd == nil {
		return 0
	}
	return m.rd.h.R
}

// Out reports whether this process still waits to be readmitted.
func (m *Member) Out() bool { return m.out != nil }

// String, Format and LogValue show nothing but the agent's name.
func (m *Member) String() string { return "secureagg.Member(" + m.f.ids[m.index].Short() + ")" }

// Format implements fmt.Formatter.
func (m *Member) Format(f fmt.State, _ rune) { io.WriteString(f, m.String()) }

// LogValue implements slog.LogValuer.
func (m *Member) LogValue() slog.Value { return slog.StringValue(m.String()) }

// epochHeader begins messages of all cohorts, cohortHeader those of this member's.
func (m *Member) epochHeader() header { return header{Run: m.cfg.Run, Epoch: m.ep.number} }

func (m *Member) cohortHeader() header {
	h := m.epochHeader()
	h.Cohort = m.c.number
	return h
}

func resend(b []byte) (Output, error) {
	if b == nil {
		return Output{}, ErrStale
	}
	return Output{Send: [][]byte{b}}, nil
}

// Handle takes every message from the server but RoundStart. An *Abort says that
// the epoch or attempt must end; its Output may still hold a Rekey to send. ErrOut,
// ErrStale and ErrNotOpen leave everything as it was.
func (m *Member) Handle(msg []byte) (Output, error) {
	v, err := m.f.parse(msg)
	if err != nil {
		return Output{}, err
	}
	switch v := v.(type) {
	case *proposal:
		return m.handleProposal(v, msg)
	case *reentry:
		return m.handleReentry(v)
	case *floor:
		return m.handleFloor(v)
	case *commitments:
		return m.inEpoch(&v.header, func() (Output, error) { return m.handleCommitments(v) })
	case *rosterMsg:
		return m.inEpoch(&v.header, func() (Output, error) { return m.handleRoster(v) })
	case *ctDelivery:
		return m.inEpoch(&v.header, func() (Output, error) { return m.handleCtDelivery(v) })
	case *confirm:
		if v.Kind == KindConfirmSet {
			return m.inEpoch(&v.header, func() (Output, error) { return m.handleConfirmSet(v) })
		}
	case *readySet:
		return m.inEpoch(&v.header, func() (Output, error) { return m.handleReadySet(v) })
	case *onlineSet:
		return m.inEpoch(&v.header, func() (Output, error) { return m.handleOnlineSet(v) })
	case *manifest:
		return m.inEpoch(&v.header, func() (Output, error) { return m.handleManifest(v) })
	case *manifestCert:
		return m.outcome(&v.header, func() (Output, error) { return m.handleManifestCert(v, msg) })
	case *certificate:
		return m.outcome(&v.header, func() (Output, error) { return m.handleCertificate(v, msg) })
	case *abortCert:
		return m.outcome(&v.header, func() (Output, error) { return m.handleAbortCert(v, msg) })
	case *closeRequest:
		return m.inEpoch(&v.header, func() (Output, error) { return m.handleCloseRequest(v) })
	}
	return Output{}, errors.New("secureagg: a message that no agent receives: " + MessageKind(msg[0]).String())
}

// inEpoch runs a handler of the current epoch. A member without that epoch's keys
// asks for a new one.
func (m *Member) inEpoch(h *header, f func() (Output, error)) (Output, error) {
	if h.Run != m.cfg.Run {
		return Output{}, ErrStale
	}
	if m.ep == nil || m.ep.number != h.Epoch {
		if h.Epoch >= m.lowest || m.ep == nil && h.Epoch+1 == m.lowest {
			return m.askRekey(h.Epoch, rekeyKeysLost)
		}
		return Output{}, ErrStale
	}
	if m.out != nil {
		return Output{}, ErrOut
	}
	return f()
}

// outcome runs the handler of a certificate, which may be of an earlier epoch.
func (m *Member) outcome(h *header, f func() (Output, error)) (Output, error) {
	if h.Run != m.cfg.Run {
		return Output{}, ErrStale
	}
	if m.out != nil {
		return Output{}, ErrOut
	}
	return f()
}

// leaveEpoch erases the epoch and its attempt.
func (m *Member) leaveEpoch(out *Output) {
	if ep := m.ep; ep != nil {
		ep.chain.erase()
		clear(ep.dk)
		clear(ep.sent)
	}
	m.leaveRound(out)
	m.ep, m.rd, m.out, m.own, m.noReport = nil, nil, nil, mark{}, 0
	if m.f.several() {
		m.l, m.c = nil, nil
	}
	out.remove(keyEpoch, keyChain, keyMark, keyMarks, keyRound)
}

// leaveRound erases what is kept of the attempt. The marks stay for the epoch.
func (m *Member) leaveRound(out *Output) {
	if rd := m.rd; rd != nil {
		rd.masks.Erase()
		if rd.vote != nil {
			rd.vote.erase()
		}
		out.remove(keyReport, keyVector, keyVote, keyShares, keyClose)
		if m.f.several() {
			out.remove(keyManifest)
		}
	}
	m.rd = nil
}
