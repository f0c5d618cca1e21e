package client

import (
	"errors"
	"fmt"

	"tacit/audit"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/wire"
)

// onRoundOpen takes an attempt up: the log must hold its entry, the entry must say
// what the message says and what this agent computes itself, and the policy must
// allow it now. An agent trains on no model but the one that it derived itself; where
// it missed a commit it serves on the committee until it has replayed that.
func (a *Agent) onRoundOpen(m *wire.RoundOpen) error {
	r := a.active(m.Run)
	if r == nil {
		return nil
	}
	entry, err := a.trust.entry(m.Entry, &m.Proof)
	if err != nil {
		if stop := a.distrust(err); stop != nil {
			return stop
		}
		return a.refuse(r.id, r.hash, wire.RefusalProofInvalid, fmt.Errorf("round %d: %w", m.Round, err))
	}
	opened, ok := entry.Payload.(audit.RoundOpened)
	if !ok {
		return a.contradict("a round is opened with another kind of log entry", r.id, part{"entry", m.Entry}, part{"checkpoint", m.Proof.Checkpoint})
	}
	if what := a.differs(r, m, &entry, &opened); what != "" {
		return a.contradict("a round is opened with another "+what+" than the log and the plan say", r.id,
			part{"entry", m.Entry}, part{"start", m.Start}, part{"checkpoint", m.Proof.Checkpoint})
	}
	// One cohort is the whole roster; its size does not depend on what this process saw.
	if code := a.judge(r, len(a.trust.roster.Members)); code != "" {
		return a.refuse(r.id, r.hash, code, fmt.Errorf("round %d: the policy of this branch does not allow it", m.Round))
	}
	if at := r.attempt; at == nil || at.r != m.R {
		if at != nil && at.r > m.R {
			return nil // of the past
		}
		r.giveUp()
		r.attempt = &attempt{r: m.R, round: m.Round, task: plan.Task(m.Task), model: m.Model, evidence: a.evidence(r.id, m.R)}
	}
	at := r.attempt
	at.live, at.ctx = true, opened.Ctx
	at.evidence.Round, at.evidence.Task = m.Round, m.Task
	at.evidence.Opened = proved(m.Entry, &m.Proof)
	a.status.round(at)
	at.behind = m.Round > r.model.next
	return a.openRound(r, m)
}

// differs names the first value of a round's opening that is not what it should be,
// the values that this agent computes itself among them.
func (a *Agent) differs(r *run, m *wire.RoundOpen, e *audit.Entry, o *audit.RoundOpened) string {
	task, ok := r.plan.Task(m.Round)
	switch {
	case e.Run != m.Run:
		return "run"
	case e.R != m.R:
		return "attempt"
	case e.Round != m.Round || !ok:
		return "round"
	case m.Task != uint8(task) || uint8(o.Task) != m.Task:
		return "task"
	case o.Plan != r.hash:
		return "plan"
	case m.Round < r.model.next:
		// A round that this agent has replayed is over. Opened again, with a model that
		// differs in a bit and without one branch, its two sums would differ by that
		// branch's own part.
		return "round, one that is committed,"
	case o.Model != m.Model, m.Round == r.model.next && m.Model != r.model.hash:
		return "model"
	case o.Config != r.plan.Config(task):
		return "configuration"
	case o.Charter != a.trust.charter.Hash():
		return "charter"
	case int(o.Cohorts) != r.member.Cohorts() || o.Cohort != 0:
		return "cohort"
	case int(o.Dim) != r.plan.Dim(task):
		return "dimension"
	}
	return ""
}

// openRound gives the attempt to the protocol's member. The member recomputes ctx,
// the epoch's root included, and the log must have named the same.
func (a *Agent) openRound(r *run, m *wire.RoundOpen) error {
	at := r.attempt
	task := plan.Task(m.Task)
	out, err := r.member.Open(m.Start, secureagg.RoundInputs{
		Run: r.id, Plan: r.hash, R: m.R, Round: m.Round, Task: m.Task, Model: m.Model, Config: r.plan.Config(task),
		Charter: a.trust.charter.Hash(), Cohorts: uint32(r.member.Cohorts()), Dim: r.plan.Dim(task),
	})
	var abort *secureagg.Abort
	switch {
	case err == nil:
	case errors.Is(err, secureagg.ErrOut), errors.Is(err, secureagg.ErrStale), errors.Is(err, secureagg.ErrOutcome):
		r.giveUp()
		a.log.Debug("a round waits", "run", r.id.Short(), "round", m.Round, "r", m.R, "reason", err)
		return nil // the server opens it again when this agent can take part
	case errors.Is(err, secureagg.ErrConsumed):
		// The attempt need not wait for this branch.
		return a.refuse(r.id, r.hash, wire.RefusalPlanNotAllowed, fmt.Errorf("round %d: %w", m.Round, err))
	case errors.As(err, &abort) && (abort.Reason == secureagg.ReasonMismatch || abort.Reason == secureagg.ReasonSecond):
		return errors.Join(a.contradict("the signed start of a round does not fit its log entry: "+abort.Detail, r.id,
			part{"entry", m.Entry}, part{"start", m.Start}, part{"checkpoint", m.Proof.Checkpoint}))
	default:
		r.giveUp()
		a.log.Warn("a round is not opened", "run", r.id.Short(), "round", m.Round, "r", m.R, "error", err)
		return nil
	}
	if ev, ok := out.Event.(*secureagg.Opened); ok && ev.Ctx != at.ctx {
		r.member = nil // its memory has opened what the journal must not
		return a.contradict("a round is opened under another ctx than the log says", r.id,
			part{"entry", m.Entry}, part{"start", m.Start}, part{"checkpoint", m.Proof.Checkpoint})
	}
	return a.act(r, out)
}

// onOpened starts what the accepted attempt asks for.
func (a *Agent) onOpened(r *run, ev *secureagg.Opened) error {
	at := r.attempt
	if at == nil || at.r != ev.R {
		return nil
	}
	if !ev.Again {
		a.log.Info("round opened", "run", r.id.Short(), "round", at.round, "r", at.r, "task", at.task.String(), "model", at.model.Short())
	}
	switch {
	case at.result != nil:
		t := at.result
		at.result = nil
		return a.report(r, t)
	case at.cancel != nil, at.stopped:
		return nil // under way, or not wanted any more
	case at.behind:
		a.log.Info("no training yet: a commit before this round was missed", "run", r.id.Short(), "round", at.round, "r", at.r, "model_of_round", r.model.next)
		at.mayReport = ev.MayReport
		a.status.stage("committee only")
		return nil
	case !ev.MayReport:
		a.log.Info("no report for this attempt: it was open when this agent started", "run", r.id.Short(), "round", at.round, "r", at.r)
		a.status.stage("committee only")
		return nil
	}
	a.train(r, at)
	return nil
}
