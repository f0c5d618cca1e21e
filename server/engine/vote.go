package engine

import (
	"fmt"

	"tacit/audit"
	"tacit/id"
	"tacit/secureagg"
	"tacit/server/store"
)

// vote counts a member's vote; the quorum makes the certificate, and from then on
// the attempt can no longer be given up.
func (e *Engine) vote(from id.AgentID, msg []byte) error {
	a := e.attempt
	if a == nil || e.phase != Voting && e.phase != Releasing {
		return nil
	}
	cert, out, err := a.proto.Vote(from, msg)
	if err != nil {
		if abort := e.refusal(from, err); abort != nil && e.phase == Voting {
			return e.beginClose(abort)
		}
		return nil
	}
	a.strip[from] |= audit.Voted
	if cert != nil {
		if err := e.certified(cert); err != nil {
			return err
		}
		e.outcomes[a.r] = cert
		e.phase = Releasing
		online := a.proto.Online()
		e.write(&Write{
			Batch: store.Batch{
				Runs:     []store.Run{e.runRow(Releasing, "")},
				Attempts: []store.Attempt{e.attemptRow(attemptReleasing, store.Attempt{Certificate: cert})},
			},
			Log: []Entry{{
				Round: a.round, R: a.r, Digest: id.SumDigest(cert),
				Payload: audit.SetCertified{Size: uint16(len(online)), Online: a.digest},
			}},
		})
		e.notice(NoticeText{Kind: "certified", Round: a.round, R: a.r, Task: a.task, Members: len(e.order),
			Reported: len(online), Voted: e.bits(audit.Voted), Dropped: e.missing(online)})
		e.setTimer(TimerPhase, e.cfg.Plan.Federation.PhaseDeadline)
	}
	e.sendStages(out)
	return nil
}

// certified keeps a certificate after checking it as an outsider would.
func (e *Engine) certified(cert []byte) error {
	a := e.attempt
	facts, err := e.facts(cert)
	if err != nil {
		return fmt.Errorf("engine: own certificate of attempt %d: %w", a.r, err)
	}
	for _, who := range facts.Signers {
		a.strip[who] |= audit.Voted
	}
	for _, who := range facts.Online {
		a.strip[who] |= audit.InSet
	}
	a.cert, a.digest = cert, facts.Digests
	return nil
}

// facts is what a certificate proves to an outsider.
func (e *Engine) facts(cert []byte) (*secureagg.CertificateFacts, error) {
	return secureagg.VerifyCertificate(cert, e.cfg.Roster.AppendBinary(nil), e.cfg.Charter.AppendBinary(nil))
}

// bits counts the members whose strip has the bit.
func (e *Engine) bits(b audit.BranchState) (n int) {
	for _, s := range e.attempt.strip {
		if s&b != 0 {
			n++
		}
	}
	return n
}

// missing lists the members outside set.
func (e *Engine) missing(set []id.AgentID) (out []id.AgentID) {
	in := map[id.AgentID]bool{}
	for _, a := range set {
		in[a] = true
	}
	for _, a := range e.order {
		if !in[a] {
			out = append(out, a)
		}
	}
	return out
}

// abortIfHopeless gives the vote up as soon as too few members are left to reach
// the quorum.
func (e *Engine) abortIfHopeless() error {
	a := e.attempt
	ok, short := a.proto.Able(func(who id.AgentID) bool {
		return a.strip[who]&audit.Voted != 0 || e.members[who].presence != away
	})
	if !ok {
		return e.beginClose(&secureagg.Abort{
			Stage: secureagg.StageVote, Reason: secureagg.ReasonQuorum, Epoch: e.epochNumber, R: a.r,
			Detail: short,
		})
	}
	return nil
}

// shares takes a member's shares; with T of them the sum can be opened.
func (e *Engine) shares(from id.AgentID, msg []byte) error {
	a := e.attempt
	if a == nil || e.phase != Releasing {
		return nil
	}
	done, err := a.proto.Shares(from, msg)
	if err != nil {
		e.refusal(from, err)
		return nil
	}
	a.strip[from] |= audit.Released
	if !done {
		return nil
	}
	e.stopTimers()
	e.phase = Summing
	sum := &Sum{R: a.r, Dim: a.inputs.Dim}
	for _, who := range a.proto.Online() {
		sum.Blobs = append(sum.Blobs, a.blobs[who])
	}
	e.out = append(e.out, sum)
	return nil
}

// beginClose gives the attempt up for the reason given: no member that signs Close
// votes or releases for it any more, and with Q signatures that is proved.
func (e *Engine) beginClose(why *secureagg.Abort) error {
	a := e.attempt
	if why == nil {
		why = &secureagg.Abort{Stage: secureagg.StageVote, Reason: secureagg.ReasonQuorum, Epoch: e.epochNumber, R: a.r}
	}
	a.why = why
	out, err := a.proto.AskClose()
	if err != nil {
		return fmt.Errorf("engine: give attempt %d up: %w", a.r, err)
	}
	e.stopTimers()
	e.phase = Closing
	e.write(&Write{Batch: store.Batch{
		Runs:     []store.Run{e.runRow(Closing, why.Error())},
		Attempts: []store.Attempt{e.attemptRow(attemptClosing, store.Attempt{Reason: why.Error()})},
	}})
	e.notice(NoticeText{Kind: "aborted", Round: a.round, R: a.r, Task: a.task, Agent: why.Culprit,
		Members: len(e.order), Reported: len(a.blobs), Code: token(why.Reason), Text: why.Error()})
	e.sendStages(out)
	e.setTimer(TimerPhase, e.cfg.Plan.Federation.PhaseDeadline)
	return nil
}

// closeSigned counts signatures of Close; with Q of them the next attempt may open.
func (e *Engine) closeSigned(from id.AgentID, msg []byte) error {
	a := e.attempt
	if a == nil || e.phase != Closing {
		return nil
	}
	cert, out, err := a.proto.CloseSigned(from, msg)
	if err != nil {
		e.refusal(from, err)
		return nil
	}
	a.strip[from] |= audit.Closed
	if cert == nil {
		e.sendStages(out)
		return nil
	}
	e.outcomes[a.r] = cert
	if err := e.aborted(a.why, store.Attempt{AbortCertificate: cert}, cert); err != nil {
		return err
	}
	e.sendStages(out)
	return e.nextRound()
}
