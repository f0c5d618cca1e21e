package client

import (
	"errors"

	"tacit/id"
	"tacit/secureagg"
	"tacit/wire"
)

// errRoster ends a session whose roster is older than the one that the server builds
// an epoch on: the next welcome brings the newer one.
var errRoster = errors.New("the roster has changed")

// onStage hands a message of the protocol to the run's member.
func (a *Agent) onStage(m *wire.StageDown) error {
	r := a.active(m.Run)
	if r == nil {
		return nil
	}
	out, err := r.member.Handle(m.Stage)
	var abort *secureagg.Abort
	switch {
	case err == nil:
	case errors.Is(err, secureagg.ErrStale), errors.Is(err, secureagg.ErrNotOpen), errors.Is(err, secureagg.ErrOut):
		return nil // the server sends again what is needed
	case errors.As(err, &abort):
		if abort.Reason == secureagg.ReasonRoster && r.reread != id.SumDigest(m.Stage) {
			r.reread = id.SumDigest(m.Stage)
			return errRoster
		}
		a.log.Warn("the protocol stops", "run", r.id.Short(), "error", err)
		a.status.failed(err)
	default:
		kind, _ := secureagg.Kind(m.Stage)
		a.log.Warn("a message is refused", "run", r.id.Short(), "stage", kind.String(), "error", err)
		return nil
	}
	return a.act(r, out)
}

// onEvent acts on what a step of the protocol led to. sent tells whether its
// messages are out.
func (a *Agent) onEvent(r *run, event any, sent bool) error {
	switch ev := event.(type) {
	case *secureagg.Ready:
		a.log.Info("epoch is live", "run", r.id.Short(), "epoch", ev.Epoch, "branches", len(ev.Members),
			"quorum", ev.Params.Quorum, "min_release", ev.Params.MinRelease)
	case *secureagg.Opened:
		return a.onOpened(r, ev)
	case *secureagg.Masked:
		if sent {
			return a.sendReport(r, ev)
		}
	case *secureagg.Voted:
		a.log.Debug("voted", "run", r.id.Short(), "r", ev.R, "branches", len(ev.Online), "complaints", ev.Complaints)
		a.status.stage("voted")
	case *secureagg.Certified:
		if at := r.attempt; at != nil && at.r == ev.R {
			at.evidence.Certificate = ev.Certificate
			if err := a.keepEvidence(r.id, ev.R, &at.evidence); err != nil {
				a.stall(r, err)
				return nil
			}
		}
		a.log.Debug("set certified", "run", r.id.Short(), "r", ev.R, "branches", len(ev.Online), "released", ev.Released)
		a.status.stage("released")
	case *secureagg.Closed:
		if at := r.attempt; at != nil && at.r == ev.R {
			r.stopTraining()
		}
		a.log.Info("attempt closed", "run", r.id.Short(), "r", ev.R)
		a.status.stage("closed")
	case *secureagg.Aborted:
		if at := r.attempt; at != nil && at.r == ev.R {
			r.stopTraining()
		}
		a.status.stage("aborted")
	case *secureagg.Readmitted:
		a.log.Info("readmitted", "run", r.id.Short(), "epoch", ev.Epoch, "r", ev.R)
	case *secureagg.RekeyNeeded:
		a.log.Warn("out until the next epoch", "run", r.id.Short(), "epoch", ev.Epoch, "reason", ev.Reason)
	}
	return nil
}
