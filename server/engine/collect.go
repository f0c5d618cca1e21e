package engine

import (
	"errors"
	"fmt"
	"maps"

	"tacit/audit"
	"tacit/id"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/server/store"
	"tacit/wire"
)

// Phases of an attempt's row.
const (
	AttemptCommitted = "committed" // the round has its model

	attemptCollecting = "collecting"
	attemptVoting     = "voting"
	attemptReleasing  = "releasing"
	attemptClosing    = "closing"
	attemptAborted    = "aborted"
)

// Ended reports whether an attempt is over: committed or given up.
func Ended(a store.Attempt) bool { return a.Phase == AttemptCommitted || a.Phase == attemptAborted }

// nextRound waits for the members and then opens the next attempt, or ends the run
// when there is none.
func (e *Engine) nextRound() error {
	e.attempt = nil
	e.stopTimers()
	if _, ok := e.cfg.Plan.Task(e.round); !ok {
		return e.finish(true, "")
	}
	e.forgetOutcomes()
	if n := e.tried[e.next()]; n >= e.cfg.Plan.Federation.Attempts {
		return e.finish(false, fmt.Sprintf("round %d: its model was attempted %d times under this plan, as often as a model may be", e.round, n))
	}
	e.phase = Waiting
	e.setTimer(TimerGrace, e.cfg.Plan.Federation.StartGrace)
	return e.openIfReady(false)
}

// next is what the next attempt counts as.
func (e *Engine) next() Try {
	task, _ := e.cfg.Plan.Task(e.round)
	return Try{task, e.model}
}

// forgetOutcomes drops what nobody can ask for any more: a member needs to know how
// the attempts ended from the last one that it reported in.
func (e *Engine) forgetOutcomes() {
	oldest := e.r
	for _, m := range e.members {
		oldest = min(oldest, m.lastReported)
	}
	maps.DeleteFunc(e.outcomes, func(r uint64, _ []byte) bool { return r < oldest })
}

// openIfReady opens the next attempt when every member is back and has verified the
// commit before, or when the grace is over and enough are back. Waiting for their word
// costs a round trip and spares a round that a branch just lost would be missing from.
func (e *Engine) openIfReady(graceOver bool) error {
	everyone := e.count(func(m *member) bool { return m.presence == here && m.accepted }) == len(e.order)
	renew := e.count(func(m *member) bool { return m.rekey }) > 0 ||
		e.r+1-e.epochStart >= uint64(e.cfg.Charter.RoundsPerEpoch)
	if renew && everyone {
		return e.beginEpoch()
	}
	if e.r+1-e.epochStart >= uint64(e.cfg.Charter.RoundsPerEpoch) {
		e.waiting("for every branch, to renew the epoch")
		return nil
	}
	enough, short := e.epoch.Able(func(a id.AgentID) bool { return e.members[a].presence == here && e.members[a].live })
	_, graceRuns := e.timers[TimerGrace]
	current := e.count(func(m *member) bool { return m.presence == here && m.live && (m.current || m.behind) })
	if current == len(e.order) || (graceOver || !graceRuns) && enough {
		return e.open()
	}
	if graceOver {
		e.waiting("for more branches; here are " + short)
	}
	return nil
}

// open begins an attempt.
func (e *Engine) open() error {
	task, _ := e.cfg.Plan.Task(e.round)
	e.r++
	e.tried[e.next()]++
	if err := e.newAttempt(task); err != nil {
		return err
	}
	a := e.attempt
	for _, m := range e.members {
		if m.presence == here && m.live {
			a.strip[m.agent] |= audit.Opened
		}
	}
	e.phase = Collecting
	e.write(&Write{
		Batch: store.Batch{
			Runs:     []store.Run{e.runRow(Collecting, "")},
			Attempts: []store.Attempt{{Key: e.key(), Epoch: e.epochNumber, Task: uint8(task), Round: e.round, Model: e.model, Start: a.proto.Start(), Phase: attemptCollecting}},
		},
		Log: []Entry{{
			Name: EntryName{"open", a.r}, Round: a.round, R: a.r,
			Payload: audit.RoundOpened{
				Epoch: e.epochNumber, Task: audit.Task(task), Plan: e.planHash, Model: e.model, Ctx: a.proto.Ctx(),
				Config: a.inputs.Config, Charter: a.inputs.Charter, Root: id.EpochRoot(e.epoch.Root()),
				Cohorts: a.inputs.Cohorts, Cohort: a.inputs.Cohort, Dim: uint32(a.inputs.Dim),
			},
		}},
		Opened: a.r,
	})
	for _, who := range e.order {
		if m := e.members[who]; m.presence == here && m.live { // others get it when they are, after what comes before it
			e.sendOpen(who)
		}
	}
	e.notice(NoticeText{Kind: "round-opened", Round: a.round, R: a.r, Task: task, Members: len(e.order),
		Reported: 0, Model: e.model})
	e.setTimer(TimerCollect, e.cfg.Plan.Federation.CollectDeadline)
	return nil
}

// newAttempt builds the attempt e.r of e.round.
func (e *Engine) newAttempt(task plan.Task) error {
	a := &attempt{
		r: e.r, round: e.round, task: task,
		inputs: secureagg.RoundInputs{
			Run: e.cfg.Run, Plan: e.planHash, R: e.r, Round: e.round, Task: uint8(task),
			Model: e.model, Config: e.cfg.Plan.Config(task), Charter: e.cfg.Charter.Hash(),
			Cohorts: uint32(e.epoch.Cohorts()), Dim: e.cfg.Plan.Dim(task),
		},
		blobs: map[id.AgentID]string{}, refused: map[id.AgentID]bool{}, strip: map[id.AgentID]audit.BranchState{},
	}
	round, err := e.epoch.NewRound(a.inputs)
	if err != nil {
		return fmt.Errorf("engine: round %d, attempt %d: %w", e.round, e.r, err)
	}
	a.proto = round
	e.attempt = a
	return nil
}

func (e *Engine) key() store.Key { return store.Key{Run: e.cfg.Run, R: e.attempt.r} }

func (e *Engine) sendOpen(to id.AgentID) {
	a := e.attempt
	e.send(to, &wire.RoundOpen{
		Run: e.cfg.Run, R: a.r, Round: a.round, Task: uint8(a.task), Model: a.inputs.Model, Start: a.proto.Start(),
	}, EntryName{"open", a.r})
}

// reported takes a report whose vector is in the spool. Its row is durable before
// the acknowledgement leaves; the same report again is acknowledged again.
func (e *Engine) reported(ev Report) error {
	a, m := e.attempt, e.members[ev.Agent]
	if m == nil || a == nil || ev.R != a.r || a.set != nil || e.phase != Collecting {
		return nil
	}
	_, again := a.blobs[ev.Agent]
	if err := e.accept(ev); err != nil {
		e.refusal(ev.Agent, err)
		// The round need not wait for one that sends what cannot be taken.
		if !again && !errors.Is(err, secureagg.ErrStale) {
			a.refused[ev.Agent] = true
			return e.collectIfComplete()
		}
		return nil
	}
	delete(a.refused, ev.Agent)
	if !again {
		a.blobs[ev.Agent] = ev.Blob
		a.strip[ev.Agent] |= audit.Opened | audit.Reported
		m.lastReported = a.r
		e.write(&Write{Batch: store.Batch{Reports: []store.Report{{
			Key: e.key(), Agent: ev.Agent, Body: ev.Report, Blob: ev.Blob, Vector: ev.Vector,
		}}}})
	}
	e.send(ev.Agent, &wire.ReportAck{Run: e.cfg.Run, R: a.r, Report: id.SumDigest(ev.Report), Vector: ev.Vector}, EntryName{})
	if again {
		return nil
	}
	e.notice(NoticeText{Kind: "reported", Agent: ev.Agent, Round: a.round, R: a.r, Task: a.task, Members: len(e.order), Reported: len(a.blobs)})
	return e.collectIfComplete()
}

// accept gives a report to the protocol if its vector has the attempt's length.
func (e *Engine) accept(ev Report) error {
	if dim := e.attempt.inputs.Dim; ev.Words != dim {
		return &secureagg.Drop{Stage: secureagg.StageReport, Reason: secureagg.ReasonMismatch, Agent: ev.Agent,
			Detail: fmt.Sprintf("a vector of %d words, the attempt's have %d", ev.Words, dim)}
	}
	return e.attempt.proto.AcceptReport(ev.Agent, ev.Report, ev.Vector)
}

// collectIfComplete closes the collection when nobody else can report any more,
// and gives the attempt up as soon as too few can.
func (e *Engine) collectIfComplete() error {
	a := e.attempt
	pending := func(m *member) bool {
		_, done := a.blobs[m.agent]
		return !done && !a.refused[m.agent] && !m.behind && (m.presence == expected || m.presence == here && (m.live || !m.stood) && m.restartedIn != a.r)
	}
	enough, short := e.epoch.Able(func(who id.AgentID) bool {
		_, done := a.blobs[who]
		return done || pending(e.members[who])
	})
	if !enough {
		return e.beginClose(&secureagg.Abort{
			Stage: secureagg.StageReport, Reason: secureagg.ReasonBelowMinimum, Epoch: e.epochNumber, R: a.r,
			Detail: short + " that a release needs can still report",
		})
	}
	if e.count(pending) > 0 {
		return nil
	}
	return e.closeCollection()
}

// closeCollection fixes the online set and asks the committee to vote on it. The
// set is durable before anyone sees it.
func (e *Engine) closeCollection() error {
	a := e.attempt
	set, out, err := a.proto.CloseCollection()
	if err != nil {
		if abort := e.refusal(id.AgentID{}, err); abort != nil {
			return e.beginClose(abort)
		}
		return fmt.Errorf("engine: close the collection of attempt %d: %w", a.r, err)
	}
	a.set = set
	e.stopTimers()
	e.phase = Voting
	e.write(&Write{Batch: store.Batch{
		Runs:     []store.Run{e.runRow(Voting, "")},
		Attempts: []store.Attempt{e.attemptRow(attemptVoting, store.Attempt{OnlineSet: set})},
	}})
	e.sendStages(out)
	e.setTimer(TimerPhase, e.cfg.Plan.Federation.PhaseDeadline)
	return e.abortIfHopeless()
}

// attemptRow is the attempt's row in a phase, with the given write-once fields.
func (e *Engine) attemptRow(phase string, with store.Attempt) store.Attempt {
	a := e.attempt
	with.Key, with.Epoch, with.Task, with.Round, with.Model = e.key(), e.epochNumber, uint8(a.task), a.round, a.inputs.Model
	with.Start, with.Phase = a.proto.Start(), phase
	return with
}
