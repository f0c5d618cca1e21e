package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"tacit/audit"
	"tacit/id"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/server/store"
	"tacit/strategy"
)

// Stored is everything of a run that outlives the process.
type Stored struct {
	Run      store.Run
	Record   *strategy.Record // the current model
	State    strategy.State
	Epoch    *store.Epoch // the latest; nil if none was proposed
	Messages []store.Message
	Attempts []store.Attempt
	Reports  []store.Report // of the latest attempt
	Approved []id.AgentID   // members whose approval of the plan is in the log
}

// epochRow keeps an epoch's first r beside its E0 bytes, so that a restarted server
// can check that it rebuilds the same proposal.
func epochRow(start uint64, out []secureagg.Outgoing) []byte {
	row := binary.BigEndian.AppendUint64(nil, start)
	for _, o := range out {
		return append(row, o.Msg...)
	}
	return row
}

// Restore rebuilds the engine of a run after a restart from what its predecessor
// made durable. Every member is expected back until the grace is over.
func Restore(cfg Config, s Stored) (*Engine, []Effect, error) {
	e, err := newEngine(cfg)
	if err != nil {
		return nil, nil, err
	}
	e.record, e.state, e.model = s.Record, s.State, s.Record.Hash()
	if e.model != s.Run.Model {
		return nil, nil, errors.New("engine: the stored model is not the run's current one")
	}
	e.round, e.r = s.Run.Round, s.Run.R
	for _, m := range e.members {
		m.presence = expected
	}
	for _, a := range s.Approved {
		if m := e.members[a]; m != nil {
			m.approved = true
		}
	}
	for _, a := range s.Attempts {
		switch {
		case a.Certificate != nil:
			e.outcomes[a.R] = a.Certificate
		case a.AbortCertificate != nil:
			e.outcomes[a.R] = a.AbortCertificate
		}
		e.tried[Try{plan.Task(a.Task), a.Model}]++
	}
	if err := e.restoreReporters(); err != nil {
		return nil, nil, err
	}
	e.notice(NoticeText{Kind: "restarted", Round: e.round, R: e.r, Members: len(e.order)})
	if s.Epoch == nil || s.Epoch.Phase == epochAborted {
		if s.Epoch != nil {
			e.epochNumber = max(e.epochNumber, s.Epoch.Number)
		}
		e.setTimer(TimerGrace, cfg.Plan.Federation.StartGrace)
		return e, e.take(), nil
	}
	if err := e.restoreEpoch(s); err != nil {
		return nil, nil, err
	}
	if e.epoch.Phase() != secureagg.StageLive {
		e.phase = Keying
		e.setTimer(TimerGrace, cfg.Plan.Federation.StartGrace)
		e.setTimer(TimerPhase, cfg.Plan.Federation.StartGrace+cfg.Plan.Federation.PhaseDeadline)
		return e, e.take(), nil
	}
	var last *store.Attempt
	if n := len(s.Attempts); n > 0 {
		last = &s.Attempts[n-1]
	}
	if last == nil || last.Epoch != e.epochNumber || Ended(*last) {
		if err := e.nextRound(); err != nil {
			return nil, nil, err
		}
		return e, e.take(), nil
	}
	if err := e.restoreAttempt(last, s.Reports); err != nil {
		return nil, nil, err
	}
	e.setTimer(TimerGrace, cfg.Plan.Federation.StartGrace)
	if e.phase == Collecting { // everyone may have reported already
		if err := e.collectIfComplete(); err != nil {
			return nil, nil, err
		}
	}
	return e, e.take(), nil
}

// restoreReporters learns from the certificates, newest first, in which attempt each
// member last reported for certain.
func (e *Engine) restoreReporters() error {
	unknown := len(e.members)
	for r := e.r; r > 0 && unknown > 0; r-- {
		kind, ok := secureagg.Kind(e.outcomes[r])
		if !ok || kind != secureagg.KindCertificate && kind != secureagg.KindManifestCert {
			continue
		}
		facts, err := e.facts(e.outcomes[r])
		if err != nil {
			return fmt.Errorf("engine: stored certificate of attempt %d: %w", r, err)
		}
		for _, a := range facts.Online {
			if m := e.members[a]; m != nil && m.lastReported == 0 {
				m.lastReported = r
				unknown--
			}
		}
	}
	e.forgetOutcomes()
	return nil
}

func (e *Engine) restoreEpoch(s Stored) error {
	e.epochNumber = s.Epoch.Number
	if len(s.Epoch.E0) < 8 {
		return errors.New("engine: the stored epoch is damaged")
	}
	e.epochStart = binary.BigEndian.Uint64(s.Epoch.E0)
	epoch, out, err := secureagg.NewEpoch(e.epochConfig(e.epochNumber, e.epochStart))
	if err != nil {
		return fmt.Errorf("engine: rebuild epoch %d: %w", e.epochNumber, err)
	}
	if !bytes.Equal(epochRow(e.epochStart, out), s.Epoch.E0) {
		return fmt.Errorf("engine: epoch %d does not rebuild: its charter, roster or key has changed", e.epochNumber)
	}
	for _, m := range s.Messages {
		if _, err := epoch.Handle(m.From, m.Body); err != nil {
			return fmt.Errorf("engine: rebuild epoch %d from its messages: %w", e.epochNumber, err)
		}
	}
	e.epoch, e.e0 = epoch, s.Epoch.E0
	return nil
}

func (e *Engine) restoreAttempt(row *store.Attempt, reports []store.Report) error {
	e.r, e.round = row.R, row.Round
	if err := e.newAttempt(plan.Task(row.Task)); err != nil {
		return err
	}
	a := e.attempt
	if !bytes.Equal(a.proto.Start(), row.Start) {
		return fmt.Errorf("engine: attempt %d does not rebuild: its plan, model or charter has changed", row.R)
	}
	for _, who := range e.order {
		a.strip[who] |= audit.Opened
	}
	for _, r := range reports {
		if err := a.proto.AcceptReport(r.Agent, r.Body, r.Vector); err != nil {
			return fmt.Errorf("engine: rebuild attempt %d from its reports: %w", row.R, err)
		}
		a.blobs[r.Agent] = r.Blob
		a.strip[r.Agent] |= audit.Reported
		if m := e.members[r.Agent]; m != nil {
			m.lastReported = a.r
		}
	}
	fed := e.cfg.Plan.Federation
	if row.OnlineSet == nil && row.Phase != attemptClosing {
		e.phase = Collecting
		e.setTimer(TimerCollect, fed.StartGrace+fed.CollectDeadline)
		return nil
	}
	if row.OnlineSet != nil {
		if _, err := a.proto.RestoreSet(row.OnlineSet); err != nil {
			return fmt.Errorf("engine: rebuild the set of attempt %d: %w", row.R, err)
		}
		a.set, e.phase = row.OnlineSet, Voting
	}
	if row.Phase == attemptClosing {
		e.phase = Closing
		a.why = &secureagg.Abort{Stage: secureagg.StageVote, Reason: secureagg.ReasonQuorum, Epoch: e.epochNumber, R: a.r, Detail: row.Reason}
		if _, err := a.proto.AskClose(); err != nil {
			return fmt.Errorf("engine: rebuild attempt %d: %w", row.R, err)
		}
		e.setTimer(TimerPhase, fed.StartGrace+fed.PhaseDeadline)
		return nil
	}
	if row.Certificate != nil {
		if _, err := a.proto.RestoreCertificate(row.Certificate); err != nil {
			return fmt.Errorf("engine: rebuild the certificate of attempt %d: %w", row.R, err)
		}
		if err := e.certified(row.Certificate); err != nil {
			return err
		}
		e.phase = Releasing
	}
	e.setTimer(TimerPhase, fed.StartGrace+fed.PhaseDeadline)
	return nil
}
