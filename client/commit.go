package client

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"tacit/audit"
	"tacit/id"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/strategy"
	"tacit/vault"
	"tacit/wire"
)

// onCommitted checks a round's outcome and replays it: from the model that this
// agent holds and the opened sum follows the next model, bit for bit, or somebody
// is lying.
func (a *Agent) onCommitted(m *wire.Committed) error {
	r := a.active(m.Run)
	if r == nil {
		return nil
	}
	lies := func(what string, err error) error {
		if err != nil {
			what += ": " + err.Error()
		}
		return a.violate(r, fmt.Sprintf("round %d, attempt %d: %s", m.Round, m.R, what), part{"entry", m.Entry},
			part{"checkpoint", m.Proof.Checkpoint}, part{"record", m.Record}, part{"certificate", m.Certificate}, part{"sum digest", digest(m.Sum)})
	}
	entry, err := a.trust.entry(m.Entry, &m.Proof)
	if err != nil {
		if stop := a.distrust(err); stop != nil {
			return stop
		}
		return fmt.Errorf("the outcome of round %d: %w", m.Round, err)
	}
	committed, ok := entry.Payload.(audit.RoundCommitted)
	if !ok || entry.Run != m.Run || entry.R != m.R || entry.Round != m.Round || uint8(committed.Task) != m.Task {
		return lies("the log entry is of something else", nil)
	}
	rec, err := audit.ParseRoundRecord(m.Record)
	if err != nil {
		return lies("the round's record", err)
	}
	if what := a.unlike(r, m, &entry, &committed, rec); what != "" {
		return lies("the round's record and its log entry differ: "+what, nil)
	}
	if err := a.checkCertificate(r, m, rec, &committed); err != nil {
		return lies("the certificate", err)
	}
	next, err := replay(r, m, &committed)
	if err != nil {
		return lies("replaying the round", err)
	}
	if err := a.keepCommit(r, m, next); err != nil {
		a.stall(r, err)
		return nil
	}
	pointKept.Hit()
	if at := r.attempt; at != nil && at.r <= m.R {
		r.giveUp()
	}
	a.commits++
	a.log.Info("round committed", "run", r.id.Short(), "round", m.Round, "r", m.R, "branches", int(committed.Size), "model", m.Next.Short(), "replayed", next != nil)
	a.status.committed(m.Round, m.Next)
	a.compact()
	if err := a.cosign(); err != nil {
		return err
	}
	return a.caughtUp(r)
}

// caughtUp begins the training that waited for a missed commit, once the model in
// hand is the one that the open attempt begins with.
func (a *Agent) caughtUp(r *run) error {
	at := r.attempt
	if at == nil || !at.behind || r.model.next != at.round {
		return nil
	}
	if r.model.hash != at.model {
		return a.violate(r, fmt.Sprintf("round %d was opened with model %s, the commits before it lead to %s", at.round, at.model.Short(), r.model.hash.Short()),
			part{"entry", at.evidence.Opened.Entry}, part{"checkpoint", at.evidence.Opened.Checkpoint})
	}
	at.behind = false
	if at.mayReport && at.cancel == nil && !at.stopped {
		a.train(r, at)
	}
	return nil
}

func digest(b []byte) []byte {
	d := id.SumDigest(b)
	return d[:]
}

// unlike names the first value on which message, log entry and record differ.
func (a *Agent) unlike(r *run, m *wire.Committed, e *audit.Entry, c *audit.RoundCommitted, rec *audit.RoundRecord) string {
	switch {
	case e.Digest != id.SumDigest(m.Record):
		return "record"
	case rec.Outcome != audit.Committed:
		return "outcome"
	case rec.Run != m.Run || rec.R != m.R || rec.Round != m.Round || uint8(rec.Task) != m.Task:
		return "attempt"
	case c.Sum != id.SumDigest(m.Sum) || rec.Sum != c.Sum:
		return "sum"
	case !bytes.Equal(rec.Set, m.Set):
		return "set"
	case !bytes.Equal(rec.Certificate, m.Certificate):
		return "certificate"
	case c.After != m.Next:
		return "model"
	case c.Task == audit.Evaluate && c.Before != c.After:
		return "model of an evaluate round"
	case r.attempt != nil && r.attempt.r == m.R && rec.Ctx != r.attempt.ctx:
		return "ctx"
	}
	return ""
}

// checkCertificate verifies the quorum's votes for exactly the committed set, unless
// the protocol's member has verified the same bytes.
func (a *Agent) checkCertificate(r *run, m *wire.Committed, rec *audit.RoundRecord, c *audit.RoundCommitted) error {
	facts, err := secureagg.VerifyCertificate(m.Certificate, r.rosterB, a.trust.charterBytes)
	if err != nil {
		return err
	}
	if facts.Run != m.Run || facts.R != m.R || facts.Ctx != rec.Ctx {
		return errors.New("it is of another attempt")
	}
	if len(facts.Online) != int(c.Size) {
		return fmt.Errorf("it certifies %d branches, the log says %d", len(facts.Online), c.Size)
	}
	ev := a.evidenceOf(r, m.R)
	if seen := ev.Certificate; seen != nil {
		before, err := secureagg.VerifyCertificate(seen, r.rosterB, a.trust.charterBytes)
		if err == nil && !slices.Equal(before.Online, facts.Online) {
			return errors.New("another set was certified to this agent")
		}
	}
	// "Every acknowledged masked input is in the committed sum, or the round is
	// aborted" (RELIABILITY I1); a cohort below its minimum is left out as a whole.
	if ev.Receipt != nil && !slices.Contains(facts.Online, a.self) && !slices.Contains(facts.Outside, a.self) {
		return errors.New("it leaves out this agent's report, which the server had acknowledged")
	}
	return nil
}

// replay recomputes the model that a round led to. It returns nil for a round that
// this agent has replayed already, and for one before which it misses another.
func replay(r *run, m *wire.Committed, c *audit.RoundCommitted) (*held, error) {
	switch {
	case m.Round > r.model.next:
		return nil, nil
	case m.Round+1 == r.model.next && (m.R != r.model.r || c.After != r.model.hash):
		return nil, fmt.Errorf("the round was committed before, by attempt %d to model %s", r.model.r, r.model.hash.Short())
	case m.Round < r.model.next:
		return nil, nil
	case c.Before != r.model.hash:
		return nil, fmt.Errorf("it began with model %s, this agent holds %s", c.Before.Short(), r.model.hash.Short())
	}
	task := plan.Task(m.Task)
	if want, ok := r.plan.Task(m.Round); !ok || want != task {
		return nil, fmt.Errorf("the plan has no %s in this round", task)
	}
	dim := r.plan.Dim(task)
	if len(m.Sum) != 4*dim {
		return nil, fmt.Errorf("the sum has %d bytes, the plan's %d", len(m.Sum), 4*dim)
	}
	sum := make([]uint32, dim)
	if err := wire.ParseWords(sum, m.Sum); err != nil {
		return nil, err
	}
	rec, state, _, err := strategy.Next(r.plan, r.model.rec, r.model.state, task, sum)
	if err != nil {
		return nil, err
	}
	if got := rec.Hash(); got != c.After {
		return nil, fmt.Errorf("the sum leads to model %s, the log says %s", got.Short(), c.After.Short())
	}
	return &held{hash: c.After, rec: rec, state: state, next: m.Round + 1, r: m.R}, nil
}

// keepCommit makes the new model and the round's evidence durable.
func (a *Agent) keepCommit(r *run, m *wire.Committed, next *held) error {
	ev := a.evidenceOf(r, m.R)
	ev.Round, ev.Task = m.Round, m.Task
	ev.Closed, ev.Certificate = proved(m.Entry, &m.Proof), m.Certificate
	if err := a.keepEvidence(r.id, m.R, &ev); err != nil {
		return err
	}
	var records []vault.Record
	if next != nil {
		records = append(records, vault.Record{Key: runKey(r.id, keyModel), Value: next.bytes()})
	}
	if err := a.persist(records...); err != nil {
		return err
	}
	if next != nil {
		r.model = *next
	}
	return nil
}

// cosign vouches for the newest checkpoint: it was consistent with every one that
// this agent has seen.
func (a *Agent) cosign() error {
	head, ok := a.trust.witness.Head()
	if !ok {
		return nil
	}
	line, err := audit.Cosign(head.Checkpoint, a.self, a.st.key.Ed25519(), time.Now().Unix())
	if err != nil {
		return err
	}
	note, err := audit.AddCosignature(head.Checkpoint, line)
	if err != nil {
		return err
	}
	return a.ch.Send(&wire.Cosign{Checkpoint: note})
}

// compact erases what the journal has deleted. A failure leaves more than needed on
// the disk, sealed, and is tried again after the next round.
func (a *Agent) compact() {
	if err := a.st.Compact(); err != nil && !a.stalled {
		a.log.Warn("the journal was not compacted", "error", err)
	}
}

// onRoundAborted ends an attempt that the log says was given up.
func (a *Agent) onRoundAborted(m *wire.RoundAborted) error {
	r := a.active(m.Run)
	if r == nil {
		return nil
	}
	entry, err := a.trust.entry(m.Entry, &m.Proof)
	if err != nil {
		if stop := a.distrust(err); stop != nil {
			return stop
		}
		return fmt.Errorf("the end of attempt %d: %w", m.R, err)
	}
	aborted, ok := entry.Payload.(audit.RoundAborted)
	if !ok || entry.Run != m.Run || entry.R != m.R || entry.Round != m.Round {
		return a.violate(r, fmt.Sprintf("attempt %d is said to be aborted with another log entry", m.R), part{"entry", m.Entry}, part{"checkpoint", m.Proof.Checkpoint})
	}
	ev := a.evidenceOf(r, m.R)
	if at := r.attempt; at != nil && at.r == m.R {
		r.giveUp()
	}
	ev.Round, ev.Task = m.Round, uint8(aborted.Task)
	ev.Closed = proved(m.Entry, &m.Proof)
	if ev.Certificate != nil && aborted.Stage != audit.StageUnmask {
		// A certified set is opened or fails to open; it is never given up (SEAMS).
		return a.violate(r, fmt.Sprintf("attempt %d was certified and is said to be aborted at %s", m.R, aborted.Stage),
			part{"entry", m.Entry}, part{"checkpoint", m.Proof.Checkpoint}, part{"certificate", ev.Certificate})
	}
	if err := a.keepEvidence(r.id, m.R, &ev); err != nil {
		a.stall(r, err)
		return nil
	}
	a.log.Info("attempt aborted", "run", r.id.Short(), "round", m.Round, "r", m.R, "stage", aborted.Stage.String(), "reason", aborted.Reason)
	a.status.stage("aborted: " + aborted.Reason)
	return nil
}

// onRunDone keeps the run's last model, sealed, and erases all that the protocol
// left in the journal but the epoch's number and what was reported on. The run is not
// taken up again.
func (a *Agent) onRunDone(m *wire.RunDone) error {
	r := a.runs[m.Run]
	if r == nil {
		return nil
	}
	r.giveUp()
	records := []vault.Record{{Key: keyEnded + r.id.String(), Value: []byte{1}}}
	for _, key := range a.st.Keys(keyRuns + r.id.String() + "/") {
		if key != runKey(r.id, keyViolated) {
			records = append(records, vault.Record{Key: key})
		}
	}
	if r.kept && r.model.rec != nil {
		records = append(records, vault.Record{Key: keyFinal + r.id.String(), Value: r.model.rec.AppendBinary(nil)})
	}
	if err := a.persist(records...); err != nil {
		a.stall(r, err)
		return nil
	}
	delete(a.runs, r.id)
	if a.opt.Load == nil && a.opt.Data == nil {
		r.leave()
	}
	a.compact()
	a.log.Info("run ended", "run", r.id.Short(), "state", string(m.State), "reason", m.Reason, "model", m.Model.Short())
	a.status.done(string(m.State), m.Model)
	return nil
}

// violate stops this agent's part in the run for good and keeps why.
func (a *Agent) violate(r *run, what string, parts ...part) error {
	r.giveUp()
	if err := a.persist(vault.Record{Key: runKey(r.id, keyViolated), Value: binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()))}); err != nil {
		a.log.Error("the journal cannot be written", "error", err)
	}
	return a.contradict(what, r.id, parts...)
}
