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

	limit int // largest cohort; zero but in tests
}

// Epoch is the server's side of one epoch's setup. It is a deterministic function
// of its configuration and of the accepted messages in order. One goroutine owns
// it.
type Epoch struct {
	f            *membership
	layout       *layout // once it is drawn
	key          *id.PrivateKey
	h            header
	start        uint64
	phase        Stage
	proposal     []byte
	proposalHash digest
	root         digest
	epochKeys    [][]byte
	keysRoot     digest // several cohorts: over the commitments,
	commitments  []byte
	coins        [][]byte // nil with one cohort
	rho          digest
	roster       []byte
	ctLists      [][]byte
	lists        []*ctList // parsed, and their leaves, once all are here
	leaves       [][]digest
	confirms     [][]byte
	readys       [][]byte
	readySets    [][]byte // by cohort
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
	f, err := newMembership(cfg.Charter, cfg.Roster, cfg.limit)
	if err != nil {
		return nil, nil, err
	}
	if pub := cfg.Key.Public(); !pub.Equal(&f.server) {
		return nil, nil, errors.New("secureagg: the charter names another server key")
	}
	if cfg.Epoch == 0 || cfg.Start == 0 {
		return nil, nil, errors.New("secureagg: epochs and attempts begin at 1")
	}
	n := len(f.ids)
	e := &Epoch{
		f: f, key: cfg.Key, h: header{Run: cfg.Run, Epoch: cfg.Epoch}, start: cfg.Start, phase: StageEpochKey,
		epochKeys: make([][]byte, n), ctLists: make([][]byte, n), confirms: make([][]byte, n), readys: make([][]byte, n),
		readySets: make([][]byte, len(f.sizes)), asking: make(map[int]*askingAgent),
	}
	if f.several() {
		e.coins = make([][]byte, n)
	} else {
		e.layout = f.arrange(nil)
	}
	p := &proposal{header: e.h, Charter: f.charter, Roster: f.roster, Start: cfg.Start, Cohorts: uint32(len(f.sizes)), Agents: f.ids}
	p.Sig = cfg.Key.SignHybrid(id.LabelProposal, p.body())
	e.proposal = p.encode()
	e.proposalHash = hashBytes(e.proposal)
	return e, []Outgoing{{Msg: e.proposal}}, nil
}

// Handle takes an EpochKey, CtList, Confirm or Ready. Store accepted messages (nil
// error) before sending the result. Repeats change nothing. A *Drop refuses the
// message, ErrStale ignores it.
func (e *Epoch) Handle(from id.AgentID, msg []byte) ([]Outgoing, error) {
	i := e.f.index(from)
	if i < 0 {
		return nil, fmt.Errorf("secureagg: agent %s is no member of epoch %d", from.Short(), e.h.Epoch)
	}
	v, err := e.f.parse(msg)
	if err != nil {
		return nil, &Drop{Stage: e.phase, Reason: ReasonMalformed, Agent: from}
	}
	switch v := v.(type) {
	case *epochKey:
		if v.header != e.h {
			return nil, ErrStale
		}
		return e.handleEpochKey(i, v, msg)
	case *coinMsg:
		if v.header != e.h {
			return nil, ErrStale
		}
		return e.handleCoin(i, v)
	case *ctList:
		if v.header != e.headerOf(i) {
			return nil, ErrStale
		}
		return e.handleCtList(i, v, msg)
	case *confirm:
		if v.header != e.headerOf(i) {
			return nil, ErrStale
		}
		return e.handleConfirm(i, v, msg)
	case *ready:
		if v.header != e.headerOf(i) {
			return nil, ErrStale
		}
		return e.handleReady(i, v, msg)
	}
	return nil, &Drop{Stage: e.phase, Reason: ReasonMalformed, Agent: from, Detail: "no message of an epoch's setup"}
}

// headerOf begins the messages of member i's cohort.
func (e *Epoch) headerOf(i int) header {
	h := e.h
	if e.layout != nil {
		h.Cohort = e.layout.cohorts[e.layout.places[i].cohort].number
	}
	return h
}

// at is the cohort of member i and its index there.
func (e *Epoch) at(i int) (*cohort, int) {
	p := e.layout.places[i]
	return e.layout.cohorts[p.cohort], p.member
}

// Phase is the stage whose messages the epoch waits for, or StageLive.
func (e *Epoch) Phase() Stage { return e.phase }

// Params returns the numbers of the smallest cohort, with N of the whole federation.
func (e *Epoch) Params() Params { return e.f.params() }

// Cohorts is the number of cohorts.
func (e *Epoch) Cohorts() int { return len(e.f.sizes) }

// Able reports whether an attempt could be released if just the agents of whom is
// says yes took part: a smallest release set of them in each of enough cohorts. If
// not, short says what is missing.
func (e *Epoch) Able(is func(id.AgentID) bool) (ok bool, short string) {
	have, best := 0, 0
	for _, c := range e.layout.cohorts {
		n := count(c.ids, is)
		if n >= c.params.MinRelease {
			have++
		}
		best = max(best, n)
	}
	if e.f.enough(have) {
		return true, ""
	}
	if !e.f.several() {
		return false, fmt.Sprintf("%d of %d branches", best, e.f.params().MinRelease)
	}
	return false, fmt.Sprintf("enough branches in %d of %d cohorts, more than two thirds are needed", have, len(e.f.sizes))
}

func count(agents []id.AgentID, is func(id.AgentID) bool) (n int) {
	for _, a := range agents {
		if is(a) {
			n++
		}
	}
	return n
}

// Root returns root_e, zero before every member sent its EpochKey and, with several
// cohorts, its share of the coin.
func (e *Epoch) Root() id.EpochRoot { return id.EpochRoot(e.root) }

// Members lists the members in roster order.
func (e *Epoch) Members() []id.AgentID { return append([]id.AgentID(nil), e.f.ids...) }

// Number is the epoch's number e.
func (e *Epoch) Number() uint64 { return e.h.Epoch }

// RoundsLeft is the number of attempts the charter still allows in this epoch when
// the next one is r.
func (e *Epoch) RoundsLeft(r uint64) uint64 {
	if r < e.start || r-e.start >= e.f.maxRounds {
		return 0
	}
	return e.f.maxRounds - (r - e.start)
}

// Waiting lists the members whose message of the current phase is missing.
func (e *Epoch) Waiting() []id.AgentID {
	switch e.phase {
	case StageEpochKey:
		return e.missing(e.epochKeys)
	case StageCoin:
		return e.missing(e.coins)
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
	return &Abort{Stage: e.phase, Reason: r, Epoch: e.h.Epoch, Culprit: w[0], Detail: fmt.Sprintf("%d of %d members did not answer", len(w), len(e.f.ids))}
}

// For returns what a member needs that has just connected, in order: first the
// Reentrys of others that still lack answers, which it answers in any state, then the
// messages of its stage. It is safe to send more than once.
func (e *Epoch) For(agent id.AgentID) [][]byte {
	i := e.f.index(agent)
	if i < 0 {
		return nil
	}
	var out [][]byte
	for j := range e.f.ids {
		if a := e.asking[j]; a != nil && e.asks(j, i) {
			out = append(out, a.msg)
		}
	}
	return append(out, e.stageFor(i)...)
}

func (e *Epoch) stageFor(i int) [][]byte {
	switch {
	case e.epochKeys[i] == nil:
		return [][]byte{e.proposal}
	case e.coins != nil && e.ctLists[i] == nil && e.commitments != nil:
		// A member keeps its share only in memory, so it begins at the commitments.
		out := [][]byte{e.commitments}
		if e.root != (digest{}) {
			out = append(out, e.rosterFor(i))
		}
		return out
	case e.ctLists[i] == nil:
		return some(e.roster)
	case e.confirms[i] == nil:
		if e.phase == StageCtList {
			return nil
		}
		return [][]byte{e.deliveryFor(i)}
	}
	if e.phase == StageConfirm {
		return nil
	}
	return append([][]byte{e.confirmSetFor(i)}, some(e.readySets[e.layout.places[i].cohort])...)
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
			m = append(m, e.f.ids[i])
		}
	}
	return m
}

// each addresses a message to each member.
func (e *Epoch) each(msg func(i int) []byte) []Outgoing {
	out := make([]Outgoing, len(e.f.ids))
	for i := range out {
		out[i] = Outgoing{To: e.f.ids[i], Msg: msg(i)}
	}
	return out
}
