package secureagg

import (
	"errors"
	"fmt"

	"tacit/id"
)

// EpochConfig fixes an epoch. The same configuration gives the same bytes, so that
// a restarted server rebuilds the epoch it had.
type EpochConfig struct {
	Key     *id.PrivateKey // the server's signing key, the one in the charter
	Charter *id.Charter
	Roster  *id.Roster // verified by the caller
	Run     id.RunID
	Epoch   uint64 // rises per federation, across runs; 1 first
	Start   uint64 // first attempt r of this epoch
}

// Epoch is the server's side of one epoch's setup. It is a deterministic function
// of its configuration and of the accepted messages in order. One goroutine owns
// it.
type Epoch struct {
	c            *cohort
	key          *id.PrivateKey
	h            header
	start        uint64
	phase        Stage
	proposal     []byte
	proposalHash digest
	root         digest
	epochKeys    [][]byte
	roster       []byte
	ctLists      [][]byte
	deliveries   [][]byte
	confirms     [][]byte
	confirmSets  [][]byte
	readys       [][]byte
	readySet     []byte
	// asking holds the Reentrys that too few members answered yet. It is lost in a
	// restart of the server: the agents then connect anew and ask again.
	asking map[int]*askingAgent
}

type askingAgent struct {
	msg     []byte
	nonce   digest
	answers bitmap
}

// Outgoing is a stage message for one agent, or for every member when To is zero.
type Outgoing struct {
	To  id.AgentID
	Msg []byte
}

// NewEpoch proposes an epoch to every member of the roster.
func NewEpoch(cfg EpochConfig) (*Epoch, []Outgoing, error) {
	c, err := newCohort(cfg.Charter, cfg.Roster)
	if err != nil {
		return nil, nil, err
	}
	if pub := cfg.Key.Public(); !pub.Equal(&c.server) {
		return nil, nil, errors.New("secureagg: the charter names another server key")
	}
	if cfg.Epoch == 0 || cfg.Start == 0 {
		return nil, nil, errors.New("secureagg: epochs and attempts begin at 1")
	}
	n := c.params.N
	e := &Epoch{
		c: c, key: cfg.Key, h: header{Run: cfg.Run, Epoch: cfg.Epoch}, start: cfg.Start, phase: StageEpochKey,
		epochKeys: make([][]byte, n), ctLists: make([][]byte, n), confirms: make([][]byte, n), readys: make([][]byte, n),
		asking: make(map[int]*askingAgent),
	}
	p := &proposal{header: e.h, Charter: c.charter, Roster: c.roster, Start: cfg.Start, Cohorts: 1, Agents: c.ids}
	p.Sig = cfg.Key.SignHybrid(id.LabelProposal, p.body())
	e.proposal = p.encode()
	e.proposalHash = hashBytes(e.proposal)
	return e, []Outgoing{{Msg: e.proposal}}, nil
}

// Handle takes an EpochKey, CtList, Confirm or Ready. Store accepted messages (nil
// error) before sending the result. Repeats change nothing. A *Drop refuses the
// message, ErrStale ignores it.
func (e *Epoch) Handle(from id.AgentID, msg []byte) ([]Outgoing, error) {
	i := e.c.index(from)
	if i < 0 {
		return nil, fmt.Errorf("secureagg: agent %s is no member of epoch %d", from.Short(), e.h.Epoch)
	}
	v, err := parseMessage(msg)
	if err != nil {
		return nil, &Drop{Stage: e.phase, Reason: ReasonMalformed, Agent: from}
	}
	switch v := v.(type) {
	case *epochKey:
		if v.header != e.h {
			return nil, ErrStale
		}
		return e.handleEpochKey(i, v, msg)
	case *ctList:
		if v.header != e.h {
			return nil, ErrStale
		}
		return e.handleCtList(i, v, msg)
	case *confirm:
		if v.header != e.h {
			return nil, ErrStale
		}
		return e.handleConfirm(i, v, msg)
	case *ready:
		if v.header != e.h {
			return nil, ErrStale
		}
		return e.handleReady(i, v, msg)
	}
	return nil, &Drop{Stage: e.phase, Reason: ReasonMalformed, Agent: from, Detail: "no message of an epoch's setup"}
}

// Phase is the stage whose messages the epoch waits for, or StageLive.
func (e *Epoch) Phase() Stage { return e.phase }

// Params returns the cohort's numbers.
func (e *Epoch) Params() Params { return e.c.params }

// Root returns root_e, zero before every member sent its EpochKey.
func (e *Epoch) Root() id.EpochRoot { return id.EpochRoot(e.root) }

// Members lists the members in roster order.
func (e *Epoch) Members() []id.AgentID { return append([]id.AgentID(nil), e.c.ids...) }

// Number is the epoch's number e.
func (e *Epoch) Number() uint64 { return e.h.Epoch }

// RoundsLeft is the number of attempts the charter still allows in this epoch when
// the next one is r.
func (e *Epoch) RoundsLeft(r uint64) uint64 {
	if r < e.start || r-e.start >= e.c.maxRounds {
		return 0
	}
	return e.c.maxRounds - (r - e.start)
}

// Waiting lists the members whose message of the current phase is missing.
func (e *Epoch) Waiting() []id.AgentID {
	switch e.phase {
	case StageEpochKey:
		return e.missing(e.epochKeys)
	case StageCtList:
		return e.missing(e.ctLists)
	case StageConfirm:
		return e.missing(e.confirms)
	case StageReady:
		return e.missing(e.readys)
	}
	return nil
}

// Why is the typed reason why the epoch does not open, for a deadline that passed;
// nil once it is live.
func (e *Epoch) Why() *Abort {
	w := e.Waiting()
	if len(w) == 0 {
		return nil
	}
	r := ReasonUnconfirmed
	if e.phase == StageReady {
		r = ReasonQuorum
	}
	return &Abort{Stage: e.phase, Reason: r, Epoch: e.h.Epoch, Culprit: w[0], Detail: fmt.Sprintf("%d of %d members did not answer", len(w), e.c.params.N)}
}

// For returns what a member needs that has just connected, in order: first the
// Reentrys of others that still lack answers, which it answers in any state, then the
// messages of its stage. It is safe to send more than once.
func (e *Epoch) For(agent id.AgentID) [][]byte {
	i := e.c.index(agent)
	if i < 0 {
		return nil
	}
	var out [][]byte
	for j := range e.c.ids {
		if a := e.asking[j]; a != nil && j != i && !a.answers.has(i) {
			out = append(out, a.msg)
		}
	}
	return append(out, e.stageFor(i)...)
}

func (e *Epoch) stageFor(i int) [][]byte {
	switch {
	case e.epochKeys[i] == nil:
		return [][]byte{e.proposal}
	case e.ctLists[i] == nil:
		return some(e.roster)
	case e.confirms[i] == nil:
		if e.deliveries == nil {
			return nil
		}
		return [][]byte{e.deliveries[i]}
	}
	if e.confirmSets == nil {
		return nil
	}
	return append([][]byte{e.confirmSets[i]}, some(e.readySet)...)
}

func some(b []byte) [][]byte {
	if b == nil {
		return nil
	}
	return [][]byte{b}
}

// missing lists the members without a message in got.
func (e *Epoch) missing(got [][]byte) []id.AgentID {
	var m []id.AgentID
	for i := range got {
		if got[i] == nil {
			m = append(m, e.c.ids[i])
		}
	}
	return m
}

// each addresses one message to each member.
func (e *Epoch) each(msgs [][]byte) []Outgoing {
	out := make([]Outgoing, len(msgs))
	for i := range msgs {
		out[i] = Outgoing{To: e.c.ids[i], Msg: msgs[i]}
	}
	return out
}
