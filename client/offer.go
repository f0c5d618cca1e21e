package client

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"tacit/audit"
	"tacit/dataset"
	"tacit/id"
	"tacit/plan"
	"tacit/strategy"
	"tacit/vault"
	"tacit/wire"
)

// onOffer answers a plan: proof, plan, first model, charter, policy and rows are
// checked in this order, and the same offer gets the same answer after a restart.
func (a *Agent) onOffer(m *wire.PlanOffer) error {
	entry, err := a.trust.entry(m.Entry, &m.Proof)
	if err != nil {
		if stop := a.distrust(err); stop != nil {
			return stop
		}
		return a.refuse(m.Run, id.PlanHash{}, wire.RefusalProofInvalid, err)
	}
	r, code, err := a.consider(m, entry)
	if err != nil && final(err) != nil {
		return err
	}
	if code != "" {
		hash := id.PlanHash{}
		if r != nil {
			hash = r.hash
		}
		return a.refuse(m.Run, hash, code, err)
	}
	return a.accept(r)
}

// consider returns the run of an offer, or the code of a refusal with a reason for
// this side's log.
func (a *Agent) consider(m *wire.PlanOffer, entry audit.Entry) (*run, wire.Refusal, error) {
	if _, violated, err := a.st.Get(runKey(m.Run, keyViolated)); err != nil {
		return nil, wire.RefusalResources, err
	} else if violated {
		return nil, wire.RefusalProofInvalid, errors.New("this agent stopped this run over a contradiction; see violations/ in its state directory")
	}
	if _, ended, err := a.st.Get(keyEnded + m.Run.String()); err != nil {
		return nil, wire.RefusalResources, err
	} else if ended {
		return nil, wire.RefusalPlanNotAllowed, errors.New("this run has ended here")
	}
	r := a.runs[m.Run]
	if r != nil && !bytes.Equal(r.canonical, m.Plan) {
		return r, "", a.contradict("two plans for one run", m.Run, part{"entry", m.Entry}, part{"plan", m.Plan}, part{"accepted plan", r.canonical})
	}
	if r == nil {
		p, err := plan.ParseCanonical(m.Plan)
		var newer *plan.NewerError
		switch {
		case errors.As(err, &newer):
			return nil, wire.RefusalPlanVersion, err
		case err != nil:
			return nil, wire.RefusalPlanInvalid, err
		}
		r = &run{id: m.Run, plan: p, hash: p.Hash(), canonical: m.Plan}
	}
	started, ok := entry.Payload.(audit.RunStarted)
	if !ok || entry.Run != m.Run || started.Plan != r.hash {
		return r, wire.RefusalProofInvalid, errors.New("the log entry is not that of this run and plan")
	}
	if m.Charter != a.trust.charter.Hash() {
		return r, wire.RefusalCharterMismatch, errors.New("the plan is offered under another charter")
	}
	if err := r.plan.CheckCharter(a.trust.charter); err != nil {
		return r, wire.RefusalCharterMismatch, err
	}
	r.first = started.Model
	a.runs[r.id] = r
	code, err := a.admissible(r)
	return r, code, err
}

// admissible decides about a plan that the server is entitled to offer: policy,
// first model, rows.
func (a *Agent) admissible(r *run) (wire.Refusal, error) {
	if code := a.judge(r, 0); code != "" {
		return code, errors.New("the policy of this branch does not allow it")
	}
	if r.model.rec == nil {
		if code, err := a.firstModel(r); code != "" {
			return code, err
		}
	}
	if r.data == nil {
		return a.loadRows(r)
	}
	return "", nil
}

// judge asks the policy. A run that only the hour forbids is looked at again.
func (a *Agent) judge(r *run, branches int) wire.Refusal {
	code := a.cfg.Policy.judge(r.plan, r.hash, branches, time.Now())
	if r.paused = code == wire.RefusalHours; r.paused {
		a.recheck.Reset(recheckHours)
	}
	return code
}

// firstModel loads the model that the journal holds for the run, or makes the first
// one, whose hash the log must name.
func (a *Agent) firstModel(r *run) (wire.Refusal, error) {
	rec, state, err := strategy.Initial(r.plan)
	if err != nil {
		return wire.RefusalPlanInvalid, err
	}
	h := held{rec: rec, state: state, hash: rec.Hash(), next: r.plan.FirstRound()}
	if h.hash != r.first {
		return wire.RefusalProofInvalid, fmt.Errorf("the log names first model %s, this plan makes %s", r.first.Short(), h.hash.Short())
	}
	b, ok, err := a.st.Get(runKey(r.id, keyModel))
	if err != nil {
		return wire.RefusalResources, err
	}
	if ok {
		if h, err = parseHeld(b); err != nil {
			return wire.RefusalResources, err
		}
	}
	r.model = h
	return "", nil
}

// loadRows reads the branch's rows as the plan describes them.
func (a *Agent) loadRows(r *run) (wire.Refusal, error) {
	load := a.opt.Load
	switch {
	case load != nil:
	case a.opt.Data != nil:
		load = func(*plan.Plan) (*dataset.Data, error) { return a.opt.Data, nil }
	default:
		load = func(p *plan.Plan) (*dataset.Data, error) {
			source, err := a.cfg.Source(p.Data.Source)
			if err != nil {
				return nil, err
			}
			return dataset.LoadContext(a.ctx, p, source)
		}
	}
	data, err := load(r.plan)
	var rows *dataset.Error
	var source *SourceError
	switch {
	case errors.As(err, &rows), errors.As(err, &source):
		// One code for whatever does not fit: which row or bound it was, or which data
		// sets there are, is for this side's log alone.
		return wire.RefusalSchemaMismatch, err
	case err != nil:
		return wire.RefusalResources, err
	}
	if _, err := r.plan.WeightShare(data.Train.Len()); err != nil {
		return wire.RefusalResources, err
	}
	make := NewTrainer
	if a.opt.Trainer != nil {
		make = a.opt.Trainer
	}
	r.data, r.trainer = data, make(r.plan, data)
	return "", nil
}

// accept keeps the plan, makes or restores the protocol's member and says yes.
func (a *Agent) accept(r *run) error {
	if r.member != nil && r.roster != a.trust.roster.Hash() {
		r.giveUp()
		r.member = nil // of an older roster: restored under the new one
	}
	if r.member == nil {
		if err := a.restore(r); err != nil {
			if have := a.trust.roster.Hash(); r.small != have {
				r.small = have
				return errRoster // branches may have joined since this one connected
			}
			return a.refuse(r.id, r.hash, wire.RefusalMinCohort, err)
		}
		r.told = nil
	}
	if !r.kept {
		if err := a.persist(vault.Record{Key: runKey(r.id, keyPlan), Value: r.canonical}); err != nil {
			a.stall(nil, err)
			return a.refuse(r.id, r.hash, wire.RefusalResources, err)
		}
		r.kept = true
		a.log.Info("plan accepted", "run", r.id.Short(), "plan", r.hash.Short(), "name", r.plan.Name,
			"rows", r.data.Rows, "train", r.data.Train.Len(), "dropped", r.data.Dropped)
	}
	r.active, r.paused = true, false
	a.status.run(r)
	if err := a.ch.Send(&wire.PlanReply{Run: r.id, Plan: r.hash, Accept: true}); err != nil {
		return err
	}
	return a.enter(r)
}

// refuse says no. Only the code leaves this machine; the reason is for this side.
func (a *Agent) refuse(run id.RunID, hash id.PlanHash, code wire.Refusal, reason error) error {
	if r := a.runs[run]; r != nil {
		r.active = false
		r.giveUp()
	}
	a.log.Warn("refused to take part", "run", run.Short(), "code", string(code), "reason", reason)
	refused := Refused{Run: run, Plan: hash, Code: string(code), Time: time.Now().UTC()}
	if reason != nil {
		refused.Reason = reason.Error()
	}
	a.status.refused(refused)
	return a.ch.Send(&wire.PlanReply{Run: run, Plan: hash, Code: code})
}

// recheckHours is how often a run that was refused for the hours is looked at again.
const recheckHours = time.Minute

// onRecheck accepts what the hours allow now.
func (a *Agent) onRecheck() error {
	for _, r := range a.runs {
		if !r.paused || r.active {
			continue
		}
		code, err := a.admissible(r)
		switch {
		case code == wire.RefusalHours: // admissible has set the timer again
		case code != "":
			if err := a.refuse(r.id, r.hash, code, err); err != nil {
				return err
			}
		default:
			if err := a.accept(r); err != nil {
				return err
			}
		}
	}
	return nil
}
