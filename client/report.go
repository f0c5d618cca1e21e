package client

import (
	"context"
	"fmt"

	"tacit/id"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/wire"
)

// trained is what a training came to.
type trained struct {
	run    id.RunID
	at     *attempt
	result plan.Contribution
	masks  *secureagg.Masks // made meanwhile; nil if they are still to make
	err    error
}

// Masks are made while the agent trains, in slices between which it may stop, unless the
// vector is so long that holding it twice would hurt.
const (
	maskSlice = 1 << 20 // words
	maskAhead = 1 << 26 // words
)

// prepare makes masks until they are done or ctx is.
func prepare(ctx context.Context, masks *secureagg.Masks) {
	for ctx.Err() == nil && masks.Step(maskSlice) {
	}
}

// train starts the attempt's training in a goroutine of its own, so that votes,
// closes and floors are answered meanwhile. It gets what never changes: the record,
// the plan, the rows.
func (a *Agent) train(r *run, at *attempt) {
	ctx, cancel := context.WithCancel(a.ctx)
	at.cancel = cancel
	trainer, rec := r.trainer, r.model.rec
	task, round := at.task, at.round
	var masks *secureagg.Masks
	if r.plan.Dim(task) <= maskAhead {
		masks, _ = r.member.Masks() // what forbids them will forbid the report
	}
	a.status.stage("training")
	r.training.Add(1)
	a.training.Go(func() {
		defer cancel()
		defer r.training.Done()
		t := trained{run: r.id, at: at, masks: masks}
		made := make(chan struct{})
		go func() {
			defer close(made)
			if masks != nil {
				prepare(ctx, masks)
			}
		}()
		t.result, t.err = trainer.Train(ctx, rec, task, round)
		<-made
		select {
		case a.trained <- t:
		case <-ctx.Done():
			masks.Erase()
		}
	})
}

// onTrained reports a result, now or when the round is open in a session again.
func (a *Agent) onTrained(t trained) error {
	r := a.runs[t.run]
	if r == nil || r.attempt != t.at || t.at.stopped {
		return nil
	}
	if !t.at.live || a.active(t.run) == nil {
		t.at.result = &t
		return nil
	}
	return a.report(r, &t)
}

// report quantizes a training's result, masks it, journals it and sends it.
func (a *Agent) report(r *run, t *trained) error {
	at := t.at
	if t.err != nil {
		t.masks.Erase()
		return a.cannotReport(r, at, wire.RefusalResources, t.err)
	}
	x, err := quantize(r.plan, at.task, &t.result)
	if err != nil {
		t.masks.Erase()
		return a.cannotReport(r, at, wire.RefusalSchemaMismatch, err)
	}
	defer clear(x)
	pointPrepare.Hit()
	if t.masks != nil {
		if err := r.member.Prepared(t.masks); err != nil {
			a.log.Debug("masks made ahead are of no use", "run", r.id.Short(), "r", at.r, "reason", err)
		}
	}
	out, err := r.member.Report(x)
	if err != nil { // closed, voted on or out meanwhile
		a.log.Info("no report for this attempt", "run", r.id.Short(), "round", at.round, "r", at.r, "reason", err)
		return nil
	}
	return a.act(r, out)
}

// cannotReport gives the attempt up with a reason in the log, and says so with a
// code: the round need not wait for its deadline.
func (a *Agent) cannotReport(r *run, at *attempt, code wire.Refusal, err error) error {
	return a.refuse(r.id, r.hash, code, fmt.Errorf("round %d, attempt %d: %w", at.round, at.r, err))
}

// quantize turns a contribution into words of the ring, segment by segment. Only the
// update may be clamped, and how often is told in a masked count; a weight, count or
// statistic beyond its bound would falsify the sum, so the branch does not report.
func quantize(p *plan.Plan, task plan.Task, c *plan.Contribution) ([]uint32, error) {
	if err := checkContribution(p, task, c); err != nil {
		return nil, err
	}
	x := make([]uint32, p.Dim(task))
	for _, s := range p.Segments(task) {
		v := c.Segment(s.Name)
		n := secureagg.Quantize(x[s.Offset:s.Offset+s.Length], v, s.Scale, s.Bound)
		switch {
		case s.Name == plan.SegUpdate:
			c.ClampedUpdate = int64(n)
		case n > 0:
			clear(x)
			return nil, fmt.Errorf("segment %s: %d of its %d values are beyond the plan's bound", s.Name, n, s.Length)
		}
	}
	return x, nil
}

// sendReport sends a report and its vector, the same bytes every time.
func (a *Agent) sendReport(r *run, ev *secureagg.Masked) error {
	at := r.attempt
	words := wire.AppendWords(make([]byte, 0, 4*len(ev.Vector)), ev.Vector)
	if at != nil && at.r == ev.R {
		at.report, at.vector = id.SumDigest(ev.Report), id.SumDigest(words)
	}
	if err := a.ch.Send(&wire.Report{Run: r.id, R: ev.R, Report: ev.Report}); err != nil {
		return err
	}
	if err := a.ch.Send(&wire.Vector{Run: r.id, R: ev.R, Words: words}); err != nil {
		return err
	}
	a.log.Info("report sent", "run", r.id.Short(), "r", ev.R, "bytes", len(words), "again", ev.Again)
	a.status.stage("reported")
	return nil
}

// onAck keeps the server's receipt. One that does not verify is worth nothing and
// ends the session.
func (a *Agent) onAck(m *wire.ReportAck) error {
	r := a.active(m.Run)
	if r == nil || r.attempt == nil || r.attempt.r != m.R {
		return nil
	}
	at := r.attempt
	if err := m.Verify(a.trust.charter.Server, a.self); err != nil {
		return fmt.Errorf("the receipt for attempt %d: %w", m.R, err)
	}
	if at.report != m.Report || at.vector != m.Vector {
		return a.contradict("the server acknowledges another report than this agent sent", r.id, part{"receipt", m.Receipt},
			part{"report digest", m.Report[:]}, part{"vector digest", m.Vector[:]})
	}
	at.evidence.Receipt = &Receipt{Report: m.Report, Vector: m.Vector, TreeSize: m.TreeSize, Signature: m.Receipt}
	if err := a.keepEvidence(r.id, m.R, &at.evidence); err != nil {
		a.stall(r, err)
		return nil
	}
	pointAcked.Hit()
	a.status.stage("acknowledged")
	return nil
}
