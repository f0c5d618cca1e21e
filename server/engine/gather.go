package engine

import (
	"tacit/audit"
	"tacit/id"
	"tacit/server/store"
	"tacit/wire"
)

// connected offers the plan to a member that came, or came back.
func (e *Engine) connected(a id.AgentID) error {
	m := e.members[a]
	if m == nil {
		return nil // a member since this run's roster was fixed; it joins the next run
	}
	m.presence, m.stood, m.live = here, false, false
	e.send(a, &wire.PlanOffer{Run: e.cfg.Run, Plan: e.canonical, Charter: e.cfg.Charter.Hash()}, EntryName{What: "run"})
	return nil
}

// gone notes a lost channel. Its process may be alive: what it has reported
// counts, and it goes on where it was when it is back.
func (e *Engine) gone(a id.AgentID) error {
	m := e.members[a]
	if m == nil || m.presence == away {
		return nil
	}
	m.presence, m.stood, m.live = away, false, false
	if e.attempt != nil {
		e.attempt.strip[a] |= audit.Dropped
	}
	e.notice(NoticeText{Kind: "gone", Agent: a, Round: e.round, R: e.r})
	switch e.phase {
	case Collecting:
		return e.collectIfComplete()
	case Voting:
		return e.abortIfHopeless()
	}
	return nil
}

// planAnswer keeps a member's decision. The branch decides: a refusal before the
// run has begun stops it, because every enrolled branch takes part; a later one
// takes the branch out as if it were away.
func (e *Engine) planAnswer(ev PlanAnswer) error {
	m := e.members[ev.Agent]
	if m == nil {
		return nil
	}
	if !ev.Accept {
		if !m.refused[ev.Code] { // one entry for each reason, however often it is repeated
			m.refused[ev.Code] = true
			e.write(&Write{
				Batch: store.Batch{Runs: []store.Run{e.runRow(e.phase, "")}},
				Log:   []Entry{{Federal: true, Payload: audit.PlanRefused{Plan: e.planHash, Agent: ev.Agent, Code: ev.Code}}},
			})
		}
		e.notice(NoticeText{Kind: "plan-refused", Agent: ev.Agent, Code: ev.Code})
		m.accepted = false
		if e.phase == Gathering {
			return e.finish(false, "a branch refused the plan: "+ev.Code)
		}
		m.live = false
		return e.gone(ev.Agent)
	}
	m.accepted, m.presence = true, here
	if !m.approved {
		m.approved = true
		e.write(&Write{
			Batch: store.Batch{Runs: []store.Run{e.runRow(e.phase, "")}},
			Log:   []Entry{{Federal: true, Payload: audit.PlanApproved{Plan: e.planHash, Agent: ev.Agent}}},
		})
		e.notice(NoticeText{Kind: "plan-accepted", Agent: ev.Agent})
	}
	if e.epoch != nil {
		e.sendEpoch(m) // with the requests of others that wait for its word
	}
	if e.phase == Gathering {
		return e.gatherIfComplete()
	}
	return nil
}

// gatherIfComplete opens the first epoch when every member is here and has
// accepted the plan.
func (e *Engine) gatherIfComplete() error {
	if e.count(func(m *member) bool { return m.presence == here && m.accepted }) < len(e.order) {
		return nil
	}
	return e.beginEpoch()
}

// waiting tells whom the run is waiting for.
func (e *Engine) waiting(what string) {
	var missing []id.AgentID
	for _, a := range e.order {
		if m := e.members[a]; m.presence != here || !m.accepted {
			missing = append(missing, a)
		}
	}
	e.notice(NoticeText{Kind: "waiting", Round: e.round, R: e.r, Members: len(e.order), Dropped: missing, Text: what})
}

// acknowledged notes that a member has verified the latest commit.
func (e *Engine) acknowledged(a id.AgentID) error {
	m := e.members[a]
	if m == nil || m.current {
		return nil
	}
	m.current = true
	e.forgetSums()
	return e.progress()
}

// forgetSums lets the opened sums go once every member holds the current model.
func (e *Engine) forgetSums() {
	if e.count(func(m *member) bool { return m.current }) == len(e.order) {
		e.out = append(e.out, &ForgetSums{})
	}
}

// progress goes on if the last word was the one that was waited for.
func (e *Engine) progress() error {
	switch e.phase {
	case Waiting:
		return e.openIfReady(false)
	case Collecting:
		return e.collectIfComplete()
	}
	return nil
}
