package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"strings"

	"tacit/audit"
	"tacit/id"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/server/store"
	"tacit/strategy"
	"tacit/wire"
)

// summed opens the sum, computes the next model and commits both: the round's
// state, its model and its log entry become durable in one transaction or not at
// all.
func (e *Engine) summed(ev Summed) error {
	a := e.attempt
	if a == nil || e.phase != Summing || ev.R != a.r {
		return nil
	}
	if ev.Err != nil {
		return fmt.Errorf("engine: sum of attempt %d: %w", a.r, ev.Err)
	}
	if err := a.proto.Unmask(ev.Acc); err != nil {
		abort := e.refusal(id.AgentID{}, err)
		if abort == nil {
			return fmt.Errorf("engine: open the sum of attempt %d: %w", a.r, err)
		}
		return e.abortCertified(abort)
	}
	rec, state, metrics, err := strategy.Next(e.cfg.Plan, e.record, e.state, a.task, ev.Acc)
	if err != nil {
		var bad *strategy.SumError
		if errors.As(err, &bad) {
			return e.abortCertified(&secureagg.Abort{Stage: secureagg.StageUnmask, Reason: reasonSum, Epoch: e.epochNumber, R: a.r, Detail: bad.Error()})
		}
		return fmt.Errorf("engine: next model of attempt %d: %w", a.r, err)
	}
	return e.commit(ev.Acc, rec, state, &metrics)
}

func (e *Engine) commit(sum []uint32, rec *strategy.Record, state strategy.State, metrics *strategy.Metrics) error {
	a := e.attempt
	before, after := e.model, rec.Hash()
	online := a.proto.Online()
	words := make([]byte, 0, 4*len(sum))
	for _, x := range sum {
		words = binary.LittleEndian.AppendUint32(words, x)
	}
	doc, err := e.roundRecord(audit.Committed, metrics, id.SumDigest(words))
	if err != nil {
		return err
	}
	e.record, e.state, e.model = rec, state, after
	e.round++
	for _, m := range e.members {
		m.current = false
	}
	w := &Write{
		Batch: store.Batch{
			Runs:     []store.Run{e.runRow(Waiting, "")},
			Attempts: []store.Attempt{e.attemptRow(AttemptCommitted, store.Attempt{})},
		},
		Log: []Entry{{
			Name: EntryName{"end", a.r}, Round: a.round, R: a.r, Document: true,
			Payload: audit.RoundCommitted{Task: audit.Task(a.task), Size: uint16(len(online)), Sum: doc.Sum, Before: before, After: after},
		}},
		Document: doc,
		Sum:      words,
	}
	if after != before {
		w.Model = &Model{Round: e.round, Hash: after, Record: rec, State: state}
	}
	e.write(w)
	_, more := e.cfg.Plan.Task(e.round)
	e.send(id.AgentID{}, &wire.Committed{
		Run: e.cfg.Run, R: a.r, Round: a.round, Task: uint8(a.task), Set: doc.Set, Certificate: a.cert,
		Next: after, Done: !more, Sum: words,
	}, EntryName{"end", a.r})
	e.out = append(e.out, &Shred{R: a.r})
	missing := e.missing(online)
	e.notice(NoticeText{Kind: "committed", Round: a.round, R: a.r, Task: a.task, Members: len(e.order),
		Reported: len(online), Voted: e.bits(audit.Voted), Released: e.bits(audit.Released),
		Dropped: missing, Recovered: len(missing) > 0, Metrics: metrics, Model: after})
	return e.nextRound()
}

// abortCertified ends the run over an attempt whose sum does not open, or opens to
// something that no honest set of members can have sent. Nothing of it is published;
// it counts as opened, and no honest member reports on that model again (SECAGG,
// Hardening 2 and 11).
func (e *Engine) abortCertified(why *secureagg.Abort) error {
	a := e.attempt
	e.notice(NoticeText{Kind: "aborted", Round: a.round, R: a.r, Task: a.task, Agent: why.Culprit,
		Members: len(e.order), Reported: len(a.blobs), Code: token(why.Reason), Text: why.Error()})
	if err := e.aborted(why, store.Attempt{}, nil); err != nil {
		return err
	}
	e.attempt = nil
	return e.finish(false, why.Error())
}

// aborted commits the end of an attempt without a model.
func (e *Engine) aborted(why *secureagg.Abort, row store.Attempt, cert []byte) error {
	a := e.attempt
	doc, err := e.roundRecord(audit.Aborted, nil, id.Digest{})
	if err != nil {
		return err
	}
	row.Reason = why.Error()
	payload := audit.RoundAborted{Task: audit.Task(a.task), Stage: abortStage(why.Stage), Reason: token(why.Reason), Culprit: why.Culprit}
	if cert != nil {
		doc.AbortCertificate = cert
		payload.Certificate = id.SumDigest(cert)
	}
	e.write(&Write{
		Batch: store.Batch{
			Runs:     []store.Run{e.runRow(Waiting, why.Error())},
			Attempts: []store.Attempt{e.attemptRow(attemptAborted, row)},
		},
		Log:      []Entry{{Name: EntryName{"end", a.r}, Round: a.round, R: a.r, Document: true, Payload: payload}},
		Document: doc,
	})
	e.send(id.AgentID{}, &wire.RoundAborted{Run: e.cfg.Run, R: a.r, Round: a.round, Reason: why.Error()}, EntryName{"end", a.r})
	e.out = append(e.out, &Shred{R: a.r})
	return nil
}

// reasonSum is the engine's own reason: the sum opened to what no honest set sends.
const reasonSum secureagg.Reason = "impossible sum"

// token is a reason as the log writes it.
func token(r secureagg.Reason) string { return strings.ReplaceAll(string(r), " ", "-") }

// abortStage maps the protocol's stages to the log's.
func abortStage(s secureagg.Stage) audit.AbortStage {
	switch s {
	case secureagg.StageReport:
		return audit.StageCollection
	case secureagg.StageShares:
		return audit.StageShares
	case secureagg.StageUnmask:
		return audit.StageUnmask
	}
	return audit.StageVote
}

// roundRecord is the attempt's record; the shell adds the traffic and the seconds.
func (e *Engine) roundRecord(outcome audit.Outcome, metrics *strategy.Metrics, sum id.Digest) (*audit.RoundRecord, error) {
	a := e.attempt
	doc := &audit.RoundRecord{
		Run: e.cfg.Run, R: a.r, Round: a.round, Epoch: e.epochNumber, Task: audit.Task(a.task),
		Outcome: outcome, Ctx: a.proto.Ctx(), Sum: sum, Certificate: a.cert,
	}
	for _, who := range e.order {
		doc.Strip = append(doc.Strip, a.strip[who])
	}
	if a.cert != nil {
		doc.Online = a.digest
		doc.Set = make([]byte, (len(e.order)+7)/8)
		in := map[id.AgentID]bool{}
		for _, who := range a.proto.Online() {
			in[who] = true
		}
		for i, who := range e.order {
			if in[who] {
				doc.Set[i/8] |= 1 << (i % 8)
			}
		}
	}
	if metrics != nil {
		doc.Metrics = metricValues(a.task, metrics)
	}
	return doc, nil
}

// metricValues are the sums that the record keeps, by name.
func metricValues(task plan.Task, m *strategy.Metrics) []audit.Value {
	values := []audit.Value{{Name: audit.MetricExamples, Value: float64(m.Examples)}}
	if task != plan.Statistics {
		values = append(values,
			audit.Value{Name: audit.MetricLoss, Value: m.LossSum},
			audit.Value{Name: audit.MetricCorrect, Value: float64(m.Correct)})
	}
	switch task {
	case plan.Train:
		values = append(values, audit.Value{Name: audit.MetricClamped, Value: float64(m.ClampedUpdate)})
	case plan.Evaluate:
		values = append(values,
			audit.Value{Name: "true_positive", Value: float64(m.TruePositive)},
			audit.Value{Name: "false_positive", Value: float64(m.FalsePositive)},
			audit.Value{Name: "false_negative", Value: float64(m.FalseNegative)})
	}
	sort.Slice(values, func(i, j int) bool { return values[i].Name < values[j].Name })
	return values
}
