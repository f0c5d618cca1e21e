package engine

import (
	"fmt"
	"time"

	"tacit/audit"
	"tacit/id"
	"tacit/secureagg"
	"tacit/server/store"
)

// Phases of an epoch's row.
const (
	epochKeying  = "keying"
	epochLive    = "live"
	epochAborted = "aborted"
)

// epochConfig is what makes an epoch's bytes; a restarted server rebuilds the same.
func (e *Engine) epochConfig(number, start uint64) secureagg.EpochConfig {
	return secureagg.EpochConfig{
		Key: e.cfg.Key, Charter: e.cfg.Charter, Roster: e.cfg.Roster,
		Run: e.cfg.Run, Epoch: number, Start: start,
	}
}

// beginEpoch proposes a new epoch to everyone.
func (e *Engine) beginEpoch() error {
	if _, counting := e.timers[TimerDay]; !counting {
		e.setTimer(TimerDay, 24*time.Hour)
	}
	if e.epochTries++; e.epochTries > int(e.cfg.Charter.EpochsPerDay) {
		return e.finish(false, fmt.Sprintf("%d epochs were tried, as many as the charter allows in a day", e.epochTries-1))
	}
	e.epochNumber++
	e.epochStart = e.r + 1
	epoch, out, err := secureagg.NewEpoch(e.epochConfig(e.epochNumber, e.epochStart))
	if err != nil {
		return fmt.Errorf("engine: propose epoch %d: %w", e.epochNumber, err)
	}
	e.epoch, e.phase, e.attempt, e.e0 = epoch, Keying, nil, epochRow(e.epochStart, out)
	for _, m := range e.members {
		m.live, m.rekey, m.reentry = false, false, nil
	}
	e.write(&Write{Batch: store.Batch{
		Runs:   []store.Run{e.runRow(Keying, "")},
		Epochs: []store.Epoch{{Run: e.cfg.Run, Number: e.epochNumber, E0: e.e0, Phase: epochKeying}},
	}})
	e.sendStages(out)
	e.setTimer(TimerPhase, e.cfg.Plan.Federation.PhaseDeadline)
	return nil
}

// epochMessage takes E1, CtList, Confirm and Ready. They are rows of the store: a
// restarted server cannot ask for them again, because agents erase what made them.
func (e *Engine) epochMessage(from id.AgentID, msg []byte) error {
	if e.phase != Keying {
		return nil
	}
	before := e.epoch.Phase()
	out, err := e.epoch.Handle(from, msg)
	if err != nil {
		if abort := e.refusal(from, err); abort != nil {
			return e.rekey(abort.Error())
		}
		return nil
	}
	live := e.epoch.Phase() == secureagg.StageLive
	w := &Write{Batch: store.Batch{Messages: []store.Message{{
		Run: e.cfg.Run, Epoch: e.epochNumber, Stage: msg[0], From: from, Body: msg,
	}}}}
	if live && before != secureagg.StageLive {
		if err := e.epochOpened(w); err != nil {
			return err
		}
	}
	e.write(w)
	e.sendStages(out)
	if before != e.epoch.Phase() {
		e.setTimer(TimerPhase, e.cfg.Plan.Federation.PhaseDeadline)
	}
	if !live {
		return nil
	}
	p := e.epoch.Params()
	e.notice(NoticeText{Kind: "epoch-opened", Members: p.N, Text: fmt.Sprintf(
		"epoch %d: %d branches, quorum %d, shares of %d open a sum, no release below %d", e.epochNumber, p.N, p.Quorum, p.Threshold, p.MinRelease)})
	for _, m := range e.members {
		m.stood, m.live = m.presence == here, m.presence == here
	}
	return e.nextRound()
}

// epochOpened adds the epoch's entry and record to w.
func (e *Engine) epochOpened(w *Write) error {
	p := e.epoch.Params()
	rec := &audit.EpochRecord{
		Run: e.cfg.Run, Epoch: e.epochNumber, Root: id.EpochRoot(e.epoch.Root()),
		Charter: e.cfg.Charter.Hash(), Roster: e.cfg.Roster.Hash(), RosterVersion: e.cfg.Roster.Version,
		Quorum: uint16(p.Quorum), Threshold: uint16(p.Threshold), MinRelease: uint16(p.MinRelease),
		Live: uint16(p.Live), Private: uint16(p.Private),
	}
	for i := range e.cfg.Roster.Members {
		m := &e.cfg.Roster.Members[i]
		rec.Members = append(rec.Members, audit.EpochMember{
			Agent: m.Agent(), Org: m.Org, Site: m.Site, Fingerprint: m.Key.Fingerprint(),
		})
	}
	root := e.epoch.Root()
	w.Batch.Epochs = []store.Epoch{{Run: e.cfg.Run, Number: e.epochNumber, E0: e.e0, Phase: epochLive, Root: root[:]}}
	w.Log = []Entry{{Document: true, Payload: audit.EpochOpened{
		Epoch: e.epochNumber, Root: id.EpochRoot(root), Members: uint16(p.N),
		Quorum: uint16(p.Quorum), Threshold: uint16(p.Threshold), MinRelease: uint16(p.MinRelease),
	}}}
	w.Document = rec
	return nil
}

// rekey gives the epoch up and proposes the next as soon as everyone is here.
func (e *Engine) rekey(why string) error {
	e.notice(NoticeText{Kind: "epoch-aborted", Text: why})
	e.write(&Write{Batch: store.Batch{Epochs: []store.Epoch{{Run: e.cfg.Run, Number: e.epochNumber, E0: e.e0, Phase: epochAborted}}}})
	e.epoch, e.phase = nil, Gathering
	for _, m := range e.members {
		m.live, m.reentry = false, nil
	}
	return e.gatherIfComplete()
}

// rekeyWanted notes a member that lost its keys. During the setup that ends the
// epoch; later it waits for the boundary between two rounds.
func (e *Engine) rekeyWanted(m *member, msg []byte) error {
	reason, err := e.epoch.RekeyWanted(m.agent, msg)
	if err != nil {
		e.refusal(m.agent, err)
		return nil
	}
	if e.phase == Keying {
		return e.rekey(reason)
	}
	m.rekey, m.live = true, false
	e.notice(NoticeText{Kind: "rekey", Agent: m.agent, Text: reason})
	if e.phase == Waiting {
		return e.openIfReady(false)
	}
	return nil
}

// reentry passes a restarted member's request on. Whatever it has not reported in
// the open attempt it will not report: SECAGG, Hardening 6.
func (e *Engine) reentry(m *member, msg []byte) error {
	first := m.reentry == nil
	m.live, m.reentry = false, msg
	if e.attempt != nil && first {
		m.restartedIn = e.attempt.r
	}
	if err := e.relay(m.agent, msg); err != nil {
		return err
	}
	if e.phase == Collecting {
		return e.collectIfComplete()
	}
	return nil
}

func (e *Engine) relay(from id.AgentID, msg []byte) error {
	out, err := e.epoch.Relay(from, msg)
	if err != nil {
		e.refusal(from, err)
		return nil
	}
	e.sendStages(out)
	return nil
}

// standing acts on a member's word that it takes part, or is out.
func (e *Engine) standing(ev Standing) error {
	m := e.members[ev.Agent]
	if m == nil || !m.accepted {
		return nil
	}
	m.behind = false
	if m.current = ev.Round >= e.round; !m.current {
		e.out = append(e.out, &CatchUp{To: ev.Agent, Round: ev.Round})
	}
	e.forgetSums()
	if e.epoch == nil {
		return nil
	}
	if e.phase == Keying {
		e.resend(m)
		return nil
	}
	m.stood, m.live = true, !ev.Out && ev.Epoch == e.epochNumber
	if m.live {
		m.reentry = nil
		e.resend(m)
	} else if !ev.Out {
		m.rekey = true // it was not there when this epoch was made
	}
	if e.phase == Waiting {
		return e.openIfReady(false)
	}
	return nil
}

// resend gives a member that is back what it needs now, in the order in which it
// would have come: the epoch, how the attempts ended since it last reported, and
// what the open attempt asks of it.
func (e *Engine) resend(m *member) {
	stage := func(msgs [][]byte) {
		for _, msg := range msgs {
			e.sendStages([]secureagg.Outgoing{{To: m.agent, Msg: msg}})
		}
	}
	e.sendEpoch(m)
	for r := max(m.lastReported, 1); r <= e.r; r++ {
		if outcome := e.outcomes[r]; outcome != nil {
			stage([][]byte{outcome})
		}
	}
	if e.attempt != nil {
		e.sendOpen(m.agent)
		stage(e.attempt.proto.For(m.agent))
	}
}

// sendEpoch gives a member what its epoch has for it.
func (e *Engine) sendEpoch(m *member) {
	for _, msg := range e.epoch.For(m.agent) {
		e.sendStages([]secureagg.Outgoing{{To: m.agent, Msg: msg}})
	}
}

// resendStage repeats the attempt's open question to everyone who is here.
func (e *Engine) resendStage() {
	for _, a := range e.order {
		if m := e.members[a]; m.presence == here && m.live {
			for _, msg := range e.attempt.proto.For(a) {
				e.sendStages([]secureagg.Outgoing{{To: a, Msg: msg}})
			}
		}
	}
}
