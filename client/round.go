package client

import (
	"errors"
	"fmt"

	"tacit/audit"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/strategy"
	"tacit/vault"
	"tacit/wire"
)

// onRoundOpen takes an attempt up: the log must hold its entry, the entry must say
// what the message says and what this agent computes itself, and the policy must
// allow it now. Only then is a model asked for or trained.
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
	if code := a.judge(r); code != "" {
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
	if r.model.hash != m.Model {
		at.waiting = m
		return a.ch.Send(&wire.ModelRequest{Run: r.id, Model: m.Model})
	}
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
	case o.Model != m.Model, r.model.exact && r.model.next == m.Round && r.model.hash != m.Model:
		return "model"
	case o.Config != r.plan.Config(task):
		return "configuration"
	case o.Charter != a.trust.charter.Hash():
		return "charter"
	case o.Cohorts != 1 || o.Cohort != 0:
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
	at.waiting = nil
	task := plan.Task(m.Task)
	out, err := r.member.Open(m.Start, secureagg.RoundInputs{
		Run: r.id, Plan: r.hash, R: m.R, Round: m.Round, Task: m.Task, Model: r.model.hash, Config: r.plan.Config(task),
		Charter: a.trust.charter.Hash(), Cohorts: 1, Cohort: 0, Dim: r.plan.Dim(task),
	})
	var abort *secureagg.Abort
	switch {
	case err == nil:
	case errors.Is(err, secureagg.ErrOut), errors.Is(err, secureagg.ErrStale), errors.Is(err, secureagg.ErrOutcome):
		r.giveUp()
		a.log.Debug("a round waits", "run", r.id.Short(), "round", m.Round, "r", m.R, "reason", err)
		return nil // the server opens it again when this agent can take part
	case errors.Is(err, secureagg.ErrConsumed):
		r.giveUp()
		a.log.Warn("no further report on this model", "run", r.id.Short(), "round", m.Round, "r", m.R, "error", err)
		return nil
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
	held := at.heldBack
	at.heldBack = nil
	if err := a.act(r, out); err != nil {
		return err
	}
	for _, s := range held {
		if err := a.onStage(s); err != nil {
			return err
		}
	}
	return nil
}

// onModel takes the model that was asked for. Its hash, not its sender, decides.
func (a *Agent) onModel(m *wire.Model) error {
	r := a.active(m.Run)
	if r == nil || r.attempt == nil || r.attempt.waiting == nil || r.attempt.model != m.Model {
		return nil
	}
	rec, err := strategy.ParseRecord(m.Record)
	if err == nil && rec.Hash() != m.Model {
		err = fmt.Errorf("it has hash %s, the log names %s", rec.Hash().Short(), m.Model.Short())
	}
	if err == nil {
		err = rec.CheckPlan(r.plan)
	}
	if err != nil {
		return a.refuse(r.id, r.hash, wire.RefusalProofInvalid, fmt.Errorf("round %d: the model that the server sent: %w", r.attempt.round, err))
	}
	r.model = held{hash: m.Model, rec: rec, next: r.attempt.round}
	if r.start.Hash() == rec.State {
		r.model.state, r.model.known = r.start, true
	}
	if err := a.persist(vault.Record{Key: runKey(r.id, keyModel), Value: r.model.bytes()}); err != nil {
		a.stall(r, err)
		return nil
	}
	return a.openRound(r, r.attempt.waiting)
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
	case !ev.MayReport:
		a.log.Info("no report for this attempt: it was open when this agent started", "run", r.id.Short(), "round", at.round, "r", at.r)
		a.status.stage("committee only")
		return nil
	}
	a.train(r, at)
	return nil
}
