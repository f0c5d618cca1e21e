package audit

import (
	"errors"
	"fmt"
	"math"

	"tacit/id"
)

func (p *replay) openRound(e Entry, v RoundOpened) error {
	run, err := p.active(e)
	if err != nil {
		return err
	}
	if a := run.open(); a != nil {
		return fmt.Errorf("attempt %d is still open", a.r)
	}
	if len(run.epochs) == 0 {
		return errors.New("no epoch was opened for this run")
	}
	ep := run.epochs[len(run.epochs)-1]
	try := tryKey{v.Plan, v.Task, v.Model}
	p.tries[try]++
	switch {
	case e.R <= run.lastR:
		return fmt.Errorf("attempt %d after attempt %d", e.R, run.lastR)
	case v.Epoch != ep.payload.Epoch || v.Root != ep.payload.Root:
		return fmt.Errorf("it is not of epoch %d, the run's newest", ep.payload.Epoch)
	case v.Plan != run.payload.Plan:
		return errors.New("it is of another plan than the run")
	case v.Model != run.model:
		return fmt.Errorf("model %s, but the run is at %s", v.Model.Short(), run.model.Short())
	case v.Charter != ep.charter.charter.Hash():
		return errors.New("it names another charter than its epoch")
	case v.Ctx.IsZero() || p.ctxs[v.Ctx]:
		return errors.New("its ctx was used before")
	case int(v.Cohorts) != cohortsOf(int(ep.payload.Members)) || v.Cohort != 0 || v.Dim == 0:
		return fmt.Errorf("cohort %d of %d with %d coordinates", v.Cohort, v.Cohorts, v.Dim)
	case p.tries[try] > maxAttempts:
		return fmt.Errorf("attempt %d to %s model %s under one plan, at most %d", p.tries[try], v.Task, v.Model.Short(), maxAttempts)
	}
	if err := run.checkRound(v.Task, e.Round); err != nil {
		return err
	}
	p.ctxs[v.Ctx] = true
	run.lastR = e.R
	run.attempts = append(run.attempts, &attemptHistory{epoch: ep, round: e.Round, r: e.R, start: e.Sequence, opened: v})
	p.h.charges++
	return nil
}

// checkRound says whether the run may turn to a round of this task.
func (r *runHistory) checkRound(t Task, round uint64) error {
	ok := false
	switch t {
	case Statistics:
		ok = round == 0 && !r.stats && r.trained == 0
	case Train:
		ok = round == r.trained+1 && round <= uint64(r.payload.Rounds) && !r.judged
	case Evaluate:
		ok = (round == r.trained || round == r.trained+1) && !r.judged && (r.trained > 0 || r.stats)
	}
	if !ok {
		return fmt.Errorf("round %d (%s) cannot follow training round %d of %d", round, t, r.trained, r.payload.Rounds)
	}
	return nil
}

// attempt returns the open attempt that e belongs to.
func (p *replay) attempt(e Entry) (*runHistory, *attemptHistory, error) {
	run, err := p.active(e)
	if err != nil {
		return nil, nil, err
	}
	a := run.open()
	if a == nil || a.r != e.R || a.round != e.Round {
		return nil, nil, fmt.Errorf("attempt %d of round %d is not open", e.R, e.Round)
	}
	return run, a, nil
}

func (p *replay) certify(e Entry, v SetCertified) error {
	_, a, err := p.attempt(e)
	if err != nil {
		return err
	}
	switch {
	case a.certEntry != 0:
		return fmt.Errorf("attempt %d has a certificate already", e.R)
	case v.Size < a.epoch.payload.MinRelease:
		return fmt.Errorf("a set of %d, below the smallest release set of %d", v.Size, a.epoch.payload.MinRelease)
	case v.Size > a.epoch.payload.Members:
		return fmt.Errorf("a set of %d among %d members", v.Size, a.epoch.payload.Members)
	case v.Online.IsZero():
		return errors.New("a set without a digest")
	}
	// Two sums of one model, or of one round, over two sets tell what their difference
	// is; whatever run they are of.
	for _, key := range []any{tryKey{a.opened.Plan, a.opened.Task, a.opened.Model}, roundKey{a.opened.Plan, a.opened.Task, e.Round}} {
		if before, twice := p.summed[key]; twice {
			return fmt.Errorf("a set was certified for this plan, task and model or round in entry %d", before)
		}
		p.summed[key] = e.Sequence
	}
	a.certEntry, a.certified, a.cert = e.Sequence, v, e.Digest
	return nil
}

// roundRecord reads the record of e and holds it against its attempt.
func (p *replay) roundRecord(e Entry, a *attemptHistory, want Outcome) (*RoundRecord, error) {
	name := recordFile(e)
	raw, err := p.document(e, name)
	if err != nil {
		return nil, err
	}
	rec, err := ParseRoundRecord(raw)
	if err != nil {
		return nil, refuteFile(name, "%v", err)
	}
	switch {
	case rec.Run != e.Run || rec.R != e.R || rec.Round != e.Round || rec.Outcome != want || rec.Ctx != a.opened.Ctx ||
		rec.Task != a.opened.Task || rec.Epoch != a.opened.Epoch:
		return nil, refuteFile(name, "it is of another attempt")
	case len(rec.Strip) != int(a.epoch.payload.Members):
		return nil, refuteFile(name, "it has %d members and the epoch %d", len(rec.Strip), a.epoch.payload.Members)
	case (a.certEntry == 0) != (len(rec.Set) == 0) || (a.certEntry == 0) != (len(rec.Certificate) == 0):
		return nil, refuteFile(name, "it has a certified set and the log has none, or the other way round")
	case a.certEntry != 0 && (rec.setSize() != int(a.certified.Size) || rec.Online != a.certified.Online):
		return nil, refuteFile(name, "its set is not the certified one")
	case a.certEntry != 0 && id.SumDigest(rec.Certificate) != a.cert:
		return nil, refuteFile(name, "its certificate is not the one that was certified")
	case a.certEntry == 0 && !rec.Online.IsZero():
		return nil, refuteFile(name, "it has the digest of a set that was never certified")
	}
	rec.Traffic = p.h.count(rec.Traffic)
	a.record, a.end = rec, e.Sequence
	return rec, nil
}

func (p *replay) commit(e Entry, v RoundCommitted) error {
	run, a, err := p.attempt(e)
	if err != nil {
		return err
	}
	if a.certEntry == 0 {
		return fmt.Errorf("attempt %d was not certified", e.R)
	}
	rec, err := p.roundRecord(e, a, Committed)
	if err != nil {
		return err
	}
	switch {
	case v.Task != a.opened.Task || v.Size != a.certified.Size:
		return errors.New("task or set differ from what was opened and certified")
	case v.Before != a.opened.Model:
		return fmt.Errorf("it starts from model %s, but %s was opened", v.Before.Short(), a.opened.Model.Short())
	case v.After.IsZero() || v.Task == Evaluate && v.After != v.Before:
		return errors.New("an evaluation does not change the model, and no model is zero")
	case v.Sum.IsZero() || rec.Sum != v.Sum:
		return refuteFile(recordFile(e), "its sum is not the one that the entry carries")
	case len(rec.AbortCertificate) != 0:
		return refuteFile(recordFile(e), "a committed attempt with an abort certificate")
	}
	for _, m := range rec.Metrics {
		if (m.Name == MetricExamples || m.Name == MetricCorrect) && (m.Value < 0 || m.Value != math.Trunc(m.Value)) {
			return refuteFile(recordFile(e), "%s is %v, not a count", m.Name, m.Value)
		}
	}
	a.committed = &v
	run.model = v.After
	p.models[v.After] = true
	switch v.Task {
	case Statistics:
		run.stats = true
	case Train:
		run.trained = e.Round
	case Evaluate:
		run.judged = true
	}
	return nil
}

func (p *replay) abort(e Entry, v RoundAborted) error {
	_, a, err := p.attempt(e)
	if err != nil {
		return err
	}
	if a.certEntry != 0 && v.Stage != StageUnmask {
		return fmt.Errorf("attempt %d was certified: only a sum that does not open can end it", e.R)
	}
	if a.certEntry == 0 && v.Stage == StageUnmask {
		return fmt.Errorf("attempt %d was never certified, so nothing could be unmasked", e.R)
	}
	rec, err := p.roundRecord(e, a, Aborted)
	if err != nil {
		return err
	}
	switch {
	case v.Task != a.opened.Task:
		return errors.New("it is of another task than was opened")
	case !rec.Sum.IsZero() || len(rec.Metrics) != 0:
		return refuteFile(recordFile(e), "an aborted attempt publishes nothing")
	case v.Certificate.IsZero() != (len(rec.AbortCertificate) == 0):
		return refuteFile(recordFile(e), "the abort certificate is missing, or one too many")
	case !v.Certificate.IsZero() && id.SumDigest(rec.AbortCertificate) != v.Certificate:
		return refuteFile(recordFile(e), "its abort certificate is not the one that the entry carries")
	}
	a.aborted = &v
	return nil
}

func (p *replay) finishRun(e Entry, v RunFinished) error {
	run, err := p.active(e)
	if err != nil {
		return err
	}
	if a := run.open(); a != nil {
		return fmt.Errorf("attempt %d is still open", a.r)
	}
	name := recordFile(e)
	raw, err := p.document(e, name)
	if err != nil {
		return err
	}
	rec, err := ParseFinishRecord(raw)
	if err != nil {
		return refuteFile(name, "%v", err)
	}
	switch {
	case rec.Run != e.Run:
		return refuteFile(name, "it is of another run")
	case v.Model != run.model:
		return fmt.Errorf("it ends with model %s, but the run is at %s", v.Model.Short(), run.model.Short())
	case uint64(v.Rounds) != run.trained:
		return fmt.Errorf("it counts %d training rounds, but %d were committed", v.Rounds, run.trained)
	case v.Outcome != "completed" && v.Outcome != "stopped" && v.Outcome != "cancelled":
		return fmt.Errorf("unknown outcome %q", v.Outcome)
	case v.Outcome == "completed" && v.Rounds != run.payload.Rounds:
		return fmt.Errorf("completed after %d of %d rounds", v.Rounds, run.payload.Rounds)
	}
	rec.Traffic = p.h.count(rec.Traffic)
	run.finish, run.finished, run.closing = e.Sequence, &v, rec
	return nil
}
