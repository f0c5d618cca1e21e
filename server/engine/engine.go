package engine

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"tacit/audit"
	"tacit/id"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/server/store"
	"tacit/strategy"
	"tacit/wire"
)

// Phase is where a run stands.
type Phase string

// The phases, in the order of the package's picture.
const (
	Gathering  Phase = "gathering"
	Keying     Phase = "keying"
	Waiting    Phase = "waiting"
	Collecting Phase = "collecting"
	Voting     Phase = "voting"
	Releasing  Phase = "releasing"
	Summing    Phase = "summing"
	Closing    Phase = "closing"
	Finished   Phase = "finished"
)

// Config is what a run depends on.
type Config struct {
	Key     *id.PrivateKey // the server's signing key
	Charter *id.Charter
	Roster  *id.Roster // the roster in force; every member takes part
	Run     id.RunID
	Plan    *plan.Plan
	Epoch   uint64    // highest epoch that the federation has used
	Created time.Time // when the run was submitted
	// Tried counts the attempts of the plan's other runs: a model is trained a few
	// times under a plan, however often the plan is submitted.
	Tried map[Try]int
}

// A Try is what attempts are counted by, within a plan.
type Try struct {
	Task  plan.Task
	Model id.ModelHash
}

// presence of a member's channel.
type presence int

const (
	away presence = iota
	expected
	here
)

// member is what the engine knows of one member.
type member struct {
	agent        id.AgentID
	presence     presence
	accepted     bool
	approved     bool            // its approval is in the log
	refused      map[string]bool // codes of its refusals that are in the log
	stood        bool            // has said on this connection whether it takes part
	live         bool            // takes part in the current epoch, by its word on this connection
	current      bool            // holds the current model, by its word
	behind       bool            // cannot get the current model any more
	restartedIn  uint64          // attempt that was open when its process restarted; 0: none
	lastReported uint64          // latest attempt it reported in
	reentry      []byte          // its request to be let in again, until it is
	rekey        bool            // it asked for a new epoch
}

// Engine is one run. It is owned by one goroutine.
type Engine struct {
	cfg       Config
	planHash  id.PlanHash
	canonical []byte // the plan's bytes
	phase     Phase
	order     []id.AgentID
	members   map[id.AgentID]*member

	epochNumber uint64
	epoch       *secureagg.Epoch
	epochStart  uint64 // first r of the epoch
	epochTries  int
	e0          []byte // the epoch's row

	record  *strategy.Record
	state   strategy.State
	model   id.ModelHash
	round   uint64 // the round that the next or current attempt works on
	r       uint64 // the current or latest attempt
	tried   map[Try]int
	attempt *attempt

	outcomes map[uint64][]byte // certificate or abort certificate by attempt
	timers   map[TimerName]uint64
	number   uint64
	out      []Effect
}

// attempt is the attempt in progress.
type attempt struct {
	r, round uint64
	task     plan.Task
	inputs   secureagg.RoundInputs
	proto    *secureagg.Round
	blobs    map[id.AgentID]string
	refused  map[id.AgentID]bool // sent a report that cannot be taken, and none since that can
	strip    map[id.AgentID]audit.BranchState
	set      []byte
	cert     []byte
	digest   id.Digest // of the certified reports
	why      *secureagg.Abort
}

// New begins a run from its initial model.
func New(cfg Config) (*Engine, error) {
	e, err := newEngine(cfg)
	if err != nil {
		return nil, err
	}
	e.record, e.state, err = strategy.Initial(cfg.Plan)
	if err != nil {
		return nil, fmt.Errorf("engine: initial model: %w", err)
	}
	e.model = e.record.Hash()
	e.round = cfg.Plan.FirstRound()
	return e, nil
}

func newEngine(cfg Config) (*Engine, error) {
	e := &Engine{
		cfg: cfg, planHash: cfg.Plan.Hash(), canonical: cfg.Plan.Canonical(), phase: Gathering,
		members:  map[id.AgentID]*member{},
		outcomes: map[uint64][]byte{}, timers: map[TimerName]uint64{},
		epochNumber: cfg.Epoch, tried: map[Try]int{},
	}
	maps.Copy(e.tried, cfg.Tried)
	for i := range cfg.Roster.Members {
		a := cfg.Roster.Members[i].Agent()
		e.order = append(e.order, a)
		e.members[a] = &member{agent: a, refused: map[string]bool{}}
	}
	if err := secureagg.CheckMembership(cfg.Charter, cfg.Roster); err != nil {
		return nil, err
	}
	return e, nil
}

// Start returns the effects that begin a new run: its entry in the log and the
// wait for its members.
func (e *Engine) Start(record *audit.RunRecord) []Effect {
	e.write(&Write{
		Batch: store.Batch{Runs: []store.Run{e.runRow(Gathering, "")}},
		Log: []Entry{{
			Name: EntryName{What: "run"}, Document: true,
			Payload: audit.RunStarted{Plan: e.planHash, Model: e.model, Rounds: uint32(e.cfg.Plan.Federation.Rounds)},
		}},
		Document: record,
		Model:    &Model{Round: 0, Hash: e.model, Record: e.record, State: e.state},
	})
	e.setTimer(TimerGrace, e.cfg.Plan.Federation.StartGrace)
	return e.take()
}

// Phase returns where the run stands.
func (e *Engine) Phase() Phase { return e.phase }

// Position returns the round and attempt in work.
func (e *Engine) Position() (round, r uint64) { return e.round, e.r }

// Record returns the current model record. The caller must not change it.
func (e *Engine) Record() *strategy.Record { return e.record }

// Step takes one event and returns what has to be done. An error means that the
// run's integrity is lost: the server stops rather than guess.
func (e *Engine) Step(ev Event) ([]Effect, error) {
	if e.phase == Finished {
		return nil, nil
	}
	err := e.step(ev)
	return e.take(), err
}

func (e *Engine) step(ev Event) error {
	switch ev := ev.(type) {
	case Connected:
		return e.connected(ev.Agent)
	case Gone:
		return e.gone(ev.Agent)
	case PlanAnswer:
		return e.planAnswer(ev)
	case Standing:
		return e.standing(ev)
	case Acknowledged:
		return e.acknowledged(ev.Agent)
	case Behind:
		if m := e.members[ev.Agent]; m != nil {
			m.behind = true
			return e.progress()
		}
		return nil
	case Stage:
		return e.stage(ev.Agent, ev.Msg)
	case Report:
		return e.reported(ev)
	case Timer:
		if e.timers[ev.Name] != ev.Number {
			return nil // it was restarted or stopped meanwhile
		}
		delete(e.timers, ev.Name)
		return e.timer(ev.Name)
	case Summed:
		return e.summed(ev)
	}
	return fmt.Errorf("engine: unknown event %T", ev)
}

// timer acts on a deadline.
func (e *Engine) timer(name TimerName) error {
	switch name {
	case TimerGrace:
		for _, m := range e.members {
			if m.presence == expected {
				m.presence = away
			}
		}
		switch e.phase {
		case Gathering:
			e.waiting("for every branch to connect and accept the plan")
		case Waiting:
			return e.openIfReady(true)
		case Collecting:
			return e.collectIfComplete()
		case Voting:
			return e.abortIfHopeless()
		}
	case TimerDay:
		e.epochTries = 0
	case TimerCollect:
		if e.phase == Collecting {
			return e.closeCollection()
		}
	case TimerPhase:
		switch e.phase {
		case Keying:
			return e.rekey("no answer from every branch in time")
		case Voting:
			return e.beginClose(e.attempt.proto.Why())
		case Releasing, Closing:
			e.resendStage()
			e.setTimer(TimerPhase, e.cfg.Plan.Federation.PhaseDeadline)
		}
	}
	return nil
}

// stage routes a protocol message by what it is.
func (e *Engine) stage(from id.AgentID, msg []byte) error {
	m := e.members[from]
	kind, ok := secureagg.Kind(msg)
	if m == nil || !ok || e.epoch == nil {
		return nil
	}
	switch kind {
	case secureagg.KindEpochKey, secureagg.KindCoin, secureagg.KindCtList, secureagg.KindConfirm, secureagg.KindReady:
		return e.epochMessage(from, msg)
	case secureagg.KindReentry:
		return e.reentry(m, msg)
	case secureagg.KindFloor:
		return e.relay(from, msg)
	case secureagg.KindRekey:
		return e.rekeyWanted(m, msg)
	case secureagg.KindVote, secureagg.KindManifestVote:
		return e.vote(from, msg)
	case secureagg.KindShares:
		return e.shares(from, msg)
	case secureagg.KindClose:
		return e.closeSigned(from, msg)
	}
	return nil
}

// refusal sorts an error of the protocol: a refused or late message is noted and
// forgotten, an abort is returned, anything else is a defect of the sender's.
func (e *Engine) refusal(from id.AgentID, err error) *secureagg.Abort {
	var abort *secureagg.Abort
	if errors.As(err, &abort) {
		return abort
	}
	if err != nil && !errors.Is(err, secureagg.ErrStale) {
		e.notice(NoticeText{Kind: "refused", Agent: from, Round: e.round, R: e.r, Text: err.Error()})
	}
	return nil
}

func (e *Engine) take() []Effect {
	out := e.out
	e.out = nil
	return out
}

func (e *Engine) write(w *Write) { e.out = append(e.out, w) }

func (e *Engine) send(to id.AgentID, msg wire.Msg, entry EntryName) {
	e.out = append(e.out, &Send{To: to, Msg: msg, Entry: entry})
}

func (e *Engine) sendStages(out []secureagg.Outgoing) {
	for _, o := range out {
		e.send(o.To, &wire.StageDown{Run: e.cfg.Run, Stage: o.Msg}, EntryName{})
	}
}

func (e *Engine) notice(n NoticeText) { e.out = append(e.out, &Notice{n}) }

func (e *Engine) setTimer(name TimerName, after time.Duration) {
	e.number++
	e.timers[name] = e.number
	e.out = append(e.out, &SetTimer{Name: name, After: after, Number: e.number})
}

// stopTimers stops the timers of the attempt and its stages.
func (e *Engine) stopTimers() {
	maps.DeleteFunc(e.timers, func(name TimerName, _ uint64) bool { return name != TimerDay })
}

// runRow is the run as the store keeps it.
func (e *Engine) runRow(phase Phase, reason string) store.Run {
	return store.Run{
		ID: e.cfg.Run, PlanHash: e.planHash, Plan: e.canonical, Created: e.cfg.Created, State: string(phase), Epoch: e.epochNumber,
		Round: e.round, R: e.r, Model: e.model, Reason: reason,
	}
}

// count returns how many members satisfy f.
func (e *Engine) count(f func(*member) bool) (n int) {
	for _, m := range e.members {
		if f(m) {
			n++
		}
	}
	return n
}

// finish ends the run.
func (e *Engine) finish(done bool, reason string) error {
	state, outcome := wire.RunDoneState, "completed"
	if !done {
		state, outcome = wire.RunStoppedState, "stopped"
	}
	e.stopTimers()
	e.phase = Finished
	row := e.runRow("done", "")
	if !done {
		row = e.runRow("stopped", reason)
	}
	rounds := uint32(0)
	if last := e.cfg.Plan.Federation.Rounds; e.round > 0 {
		rounds = uint32(min(e.round-1, uint64(last)))
	}
	e.write(&Write{
		Batch:    store.Batch{Runs: []store.Run{row}},
		Log:      []Entry{{Payload: audit.RunFinished{Model: e.model, Rounds: rounds, Outcome: outcome}, Document: true}},
		Document: &audit.FinishRecord{Run: e.cfg.Run},
	})
	e.send(id.AgentID{}, &wire.RunDone{Run: e.cfg.Run, State: state, Reason: reason, Model: e.model}, EntryName{})
	kind := "done"
	if !done {
		kind = "stopped"
	}
	// Told last: who hears of the end finds nothing of the run under way.
	e.out = append(e.out, &Finish{Done: done, Reason: reason})
	e.notice(NoticeText{Kind: kind, Round: e.round, R: e.r, Model: e.model, Text: reason})
	return nil
}
