package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"tacit/audit"
	"tacit/id"
	"tacit/nn/model"
	"tacit/plan"
	"tacit/server/store"
	"tacit/strategy"
	"tacit/vault"
)

// Submit queues a run of a plan. Runs follow one another.
func (s *Server) Submit(ctx context.Context, canonical []byte) (id.RunID, error) {
	p, err := plan.ParseCanonical(canonical)
	if err != nil {
		return id.RunID{}, err
	}
	if err := p.CheckCharter(s.charter); err != nil {
		return id.RunID{}, &DeniedError{Reason: err.Error()}
	}
	s.rosterMu.Lock()
	have := len(s.roster.Members)
	s.rosterMu.Unlock()
	if want := max(int(s.charter.MinCohort), p.Federation.MinBranches); have < want {
		return id.RunID{}, &TooFewError{Have: have, Want: want}
	}
	if have > p.Federation.MaxBranches {
		return id.RunID{}, &DeniedError{Reason: fmt.Sprintf("%d branches are enrolled, the plan's max_branches is %d", have, p.Federation.MaxBranches),
			Advice: "raise federation.max_branches in the plan: every enrolled branch takes part"}
	}
	var run id.RunID
	if _, err := rand.Read(run[:]); err != nil {
		return id.RunID{}, err
	}
	rec, _, err := strategy.Initial(p)
	if err != nil {
		return id.RunID{}, err
	}
	s.submitMu.Lock()
	defer s.submitMu.Unlock()
	if err := s.checkTries(ctx, p, rec.Hash()); err != nil {
		return id.RunID{}, err
	}
	err = s.write(&store.Batch{Runs: []store.Run{{
		ID: run, PlanHash: p.Hash(), Plan: canonical, Created: time.Now(), State: stateQueued, Model: rec.Hash(), Round: p.FirstRound(),
	}}})
	if err != nil {
		return id.RunID{}, err
	}
	s.events.add(Event{Time: time.Now().UTC(), Run: run, Kind: "queued", Text: p.Name})
	s.wake()
	return run, nil
}

// checkTries refuses a plan that branches would not report on. Within a plan a branch
// reports once on a round, or again after attempts that were given up, three in all:
// sums over different sets of branches would leak their difference (SECAGG, Hardening
// 2). So a plan has one run that comes to a sum.
func (s *Server) checkTries(ctx context.Context, p *plan.Plan, model id.ModelHash) error {
	task, _ := p.Task(p.FirstRound())
	advice := "give the plan another seed or name and submit that"
	runs, err := s.store.Runs(ctx)
	if err != nil {
		return err
	}
	tries := 0
	for _, r := range runs {
		if r.PlanHash != p.Hash() {
			continue
		}
		if r.State != stateDone && r.State != stateStopped {
			return &DeniedError{Reason: fmt.Sprintf("run %s of this very plan is %s", r.ID.Short(), r.State), Advice: advice}
		}
		attempts, err := s.store.Attempts(ctx, r.ID)
		if err != nil {
			return err
		}
		for _, a := range attempts {
			if a.Certificate != nil {
				return &DeniedError{Reason: fmt.Sprintf("this very plan has been run: run %s of %s", r.ID.Short(), r.Created.UTC().Format(time.DateOnly)), Advice: advice}
			}
			if a.Model == model && plan.Task(a.Task) == task {
				tries++
			}
		}
	}
	if tries < p.Federation.Attempts {
		return nil
	}
	return &DeniedError{Reason: fmt.Sprintf("the runs of this very plan have attempted its first round %d times, as often as a model may be", tries), Advice: advice}
}

// Runs lists every run, oldest first.
func (s *Server) Runs(ctx context.Context) ([]RunInfo, error) {
	if err := s.remember(ctx); err != nil {
		return nil, err
	}
	rows, err := s.store.Runs(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]RunInfo, 0, len(rows))
	for _, r := range rows {
		p, err := plan.ParseCanonical(r.Plan)
		if err != nil {
			return nil, err
		}
		info := RunInfo{Run: r.ID, Name: p.Name, Plan: r.PlanHash, State: r.State, Round: r.Round, Rounds: uint64(p.Federation.Rounds), R: r.R, Model: r.Model, Reason: r.Reason, Created: r.Created.UTC()}
		for _, ev := range s.events.of(r.ID) {
			if ev.Kind == "committed" && ev.Task != plan.Statistics.String() {
				info.Loss, info.Accuracy = ev.Loss, ev.Accuracy
			}
		}
		out = append(out, info)
	}
	return out, nil
}

// Watch calls f for what has happened in a run and then for what happens, until the
// run is over.
func (s *Server) Watch(ctx context.Context, run id.RunID, f func(Event) error) error {
	if _, err := s.store.LoadRun(ctx, run); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return &NotFoundError{What: "run " + run.String()}
		}
		return err
	}
	if err := s.remember(ctx); err != nil {
		return err
	}
	return s.events.watch(ctx, run, f)
}

// Traffic is what every branch has sent.
func (s *Server) Traffic(ctx context.Context) ([]SiteTraffic, error) {
	s.rosterMu.Lock()
	roster := s.roster
	s.rosterMu.Unlock()
	return s.traffic.bySite(roster), nil
}

// Status is the server at a glance.
func (s *Server) Status(ctx context.Context) (Status, error) {
	st := Status{Version: Version, Federation: s.charter.Federation, Name: s.charter.Name, URL: s.cfg.URL, LogKey: s.charter.LogKey,
		Charter: s.charter.Hash(), MinCohort: int(s.charter.MinCohort), Started: s.started.UTC(), Fence: uint64(s.fence), PID: pid()}
	s.commitMu.Lock()
	st.LogSize = s.head.Size
	s.commitMu.Unlock()
	s.rosterMu.Lock()
	roster := s.roster
	s.rosterMu.Unlock()
	st.Members = len(roster.Members)
	for i := range roster.Members {
		if s.connected(roster.Members[i].Agent()) {
			st.Connected = append(st.Connected, roster.Members[i].Site)
		}
	}
	if run, busy := s.busy(); busy {
		st.ActiveRun = run
	}
	return st, nil
}

// Export opens a finished run's model for its owner: an age file to the recipients,
// logged before it leaves. The payload is a safetensors file that torch loads (package
// nn/model).
func (s *Server) Export(ctx context.Context, run id.RunID, recipients []string) ([]byte, error) {
	row, err := s.store.LoadRun(ctx, run)
	if errors.Is(err, store.ErrNotFound) {
		return nil, &NotFoundError{What: "run " + run.String()}
	}
	if err != nil {
		return nil, err
	}
	if row.State != stateDone {
		return nil, &DeniedError{Reason: fmt.Sprintf("run %s is %s; only a finished run's model is exported", run.Short(), row.State), Advice: "tacit run watch shows how far it is"}
	}
	p, err := plan.ParseCanonical(row.Plan)
	if err != nil {
		return nil, err
	}
	if len(recipients) == 0 {
		recipients = p.Outputs.Owner
	}
	if len(recipients) == 0 {
		return nil, &DeniedError{Reason: "the plan names no owner of its model", Advice: "say to whom: --to RECIPIENT"}
	}
	models, err := s.store.Models(ctx, run)
	if err != nil {
		return nil, err
	}
	m := models[len(models)-1]
	file, err := s.blobs.Get(m.File)
	if err != nil {
		return nil, err
	}
	raw, err := s.keeper.OpenModel(m.Hash, file, m.Wrapped)
	if err != nil {
		return nil, fmt.Errorf("server: %s: %w", m.File, err)
	}
	rec, err := strategy.ParseRecord(raw)
	if err != nil {
		return nil, fmt.Errorf("server: %s: %w", m.File, err)
	}
	payload, err := exportTensors(p, row, rec)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := vault.Export(&out, payload, recipients...); err != nil {
		return nil, &DeniedError{Reason: err.Error()}
	}
	salt, err := newSalt()
	if err != nil {
		return nil, err
	}
	var entries []audit.Entry
	for _, to := range recipients {
		entries = append(entries, entry(id.RunID{}, 0, 0, id.Digest{}, audit.ModelExported{Model: m.Hash, Recipient: audit.Commit(salt, []byte(to))}))
	}
	b := &store.Batch{Settings: []store.Setting{{Name: fmt.Sprintf("export/%d", time.Now().UnixNano()), Value: salt[:]}}}
	if err := s.write(b, entries...); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// exportTensors is the model as safetensors, in torch's order.
func exportTensors(p *plan.Plan, row store.Run, rec *strategy.Record) ([]byte, error) {
	layout, err := p.Spec().Layout()
	if err != nil {
		return nil, err
	}
	m := &model.Model{Params: rec.Params, Metadata: map[string]string{
		"format": "tacit", "plan": row.PlanHash.String(), "run": row.ID.String(), "model": row.Model.String(),
	}}
	if std := rec.Standardisation; std != nil {
		m.Mean, m.Std = std.Mean, std.Std
	}
	return model.Append(nil, layout, m)
}

// runRecord is the record of a run's start: its plan, opaque and in full.
func runRecord(run *activeRun) (*audit.RunRecord, error) {
	p := run.plan
	values := []audit.Value{
		{Name: "attempts", Value: float64(p.Federation.Attempts)},
		{Name: "batch_size", Value: float64(p.Training.Batch)},
		{Name: "clip", Value: p.Federation.Clip},
		{Name: "learning_rate", Value: p.Training.LearningRate},
		{Name: "parameters", Value: float64(p.NumParams())},
		{Name: "rounds", Value: float64(p.Federation.Rounds)},
		{Name: "seed", Value: float64(p.Seed)},
		{Name: "steps", Value: float64(p.Training.Steps)},
	}
	for _, v := range values {
		if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) {
			return nil, fmt.Errorf("server: plan value %s is not finite", v.Name)
		}
	}
	return &audit.RunRecord{
		Run: run.id, Plan: run.hash, Name: p.Name, Purpose: "training", Family: p.Model.Family, Privacy: p.Privacy,
		Canonical: p.Canonical(), Text: p.YAML(), Values: values,
	}, nil
}

// past is what earlier processes left for people to see, until somebody looks.
type past struct {
	mu     sync.Mutex // guards what follows
	loaded bool
	runs   []store.Run // as this process found them
	size   int64       // of the log then
}

// remember loads the past when it is first asked for: a long log takes its time, and
// a server that starts again has other things to do.
func (s *Server) remember(ctx context.Context) error {
	s.past.mu.Lock()
	defer s.past.mu.Unlock()
	if s.past.loaded {
		return nil
	}
	if err := s.loadEvents(ctx, s.past.runs, s.past.size); err != nil {
		return err
	}
	s.past.loaded, s.past.runs = true, nil
	return nil
}

// loadEvents rebuilds what people see of earlier processes' rounds from the records
// of the log.
func (s *Server) loadEvents(ctx context.Context, runs []store.Run, size int64) error {
	if len(runs) == 0 {
		return nil
	}
	past := map[id.RunID][]Event{}
	for from := int64(0); from < size; from += 256 {
		raw, err := s.store.Entries(ctx, from, min(from+256, size))
		if err != nil {
			return err
		}
		for _, b := range raw {
			e, err := audit.ParseEntry(b)
			if err != nil {
				return err
			}
			if ev, ok := s.pastEvent(ctx, e); ok {
				past[e.Run] = append(past[e.Run], ev)
			}
		}
	}
	for _, r := range runs {
		over := r.State == stateDone || r.State == stateStopped
		events := append([]Event{{Time: r.Created.UTC(), Run: r.ID, Kind: "queued"}}, past[r.ID]...)
		if over {
			events = append(events, Event{Time: time.Now().UTC(), Run: r.ID, Kind: r.State, Round: r.Round, R: r.R, Model: r.Model.String(), Text: r.Reason})
		}
		s.events.preload(r.ID, events, over)
	}
	return nil
}

// pastEvent is the line of an entry, if people see one.
func (s *Server) pastEvent(ctx context.Context, e audit.Entry) (Event, bool) {
	ev := Event{Time: time.UnixMilli(e.Time).UTC(), Run: e.Run, Round: e.Round, R: e.R}
	switch p := e.Payload.(type) {
	case audit.EpochOpened:
		ev.Kind, ev.Members = "epoch-opened", int(p.Members)
	case audit.RoundAborted:
		ev.Kind, ev.Task, ev.Code = "aborted", p.Task.String(), p.Reason
	case audit.RoundCommitted:
		ev.Kind, ev.Task, ev.Reported, ev.Model = "committed", p.Task.String(), int(p.Size), p.After.String()
		raw, err := s.store.Record(ctx, e.Digest)
		if err != nil {
			return ev, true
		}
		rec, err := audit.ParseRoundRecord(raw)
		if err != nil {
			return ev, true
		}
		s.fillPast(&ev, rec)
	default:
		return ev, false
	}
	return ev, true
}

func (s *Server) fillPast(ev *Event, rec *audit.RoundRecord) {
	ev.Members = len(rec.Strip)
	for _, st := range rec.Strip {
		if st&audit.Voted != 0 {
			ev.Voted++
		}
		if st&audit.Released != 0 {
			ev.Released++
		}
	}
	ev.Recovered = ev.Reported < ev.Members
	values := map[string]float64{}
	for _, v := range rec.Metrics {
		values[v.Name] = v.Value
	}
	ev.Examples = uint64(values[audit.MetricExamples])
	if n := values[audit.MetricExamples]; n > 0 && rec.Task != audit.Statistics {
		ev.Loss, ev.Accuracy = values[audit.MetricLoss]/n, values[audit.MetricCorrect]/n
	}
	roster, err := s.runRoster(rec.Run)
	if err != nil {
		return
	}
	for i := range roster.Members {
		if i/8 < len(rec.Set) && rec.Set[i/8]&(1<<(i%8)) == 0 {
			ev.Dropped = append(ev.Dropped, roster.Members[i].Site)
		}
	}
}
