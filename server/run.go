package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"tacit/audit"
	"tacit/id"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/server/blob"
	"tacit/server/engine"
	"tacit/server/store"
	"tacit/strategy"
	"tacit/wire"
)

// States of a run as people see them, beside the engine's phases.
const (
	stateQueued  = "queued"
	stateDone    = "done"
	stateStopped = "stopped"
)

// activeRun is the run in progress. The engine and everything that is not under mu
// belongs to the loop.
type activeRun struct {
	id       id.RunID
	plan     *plan.Plan
	hash     id.PlanHash
	roster   *id.Roster
	engine   *engine.Engine
	timers   map[engine.TimerName]*time.Timer
	entries  map[engine.EntryName]logged
	opened   time.Time // of the current attempt
	strategy []byte    // the strategy's state, sealed, as the run's row holds it
	finished bool

	spoolMu sync.RWMutex
	spoolR  uint64    // attempt that takes reports; 0: none; under spoolMu
	spool   *blob.Key // its key; under spoolMu
	spooled sync.Map  // digest of each agent's first input of spoolR

	mu  sync.Mutex
	end uint64 // index of the latest entry that ended an attempt; under mu
}

// event is one event on its way to the loop.
type event struct {
	from *session // nil: not from a branch
	slot bool     // it occupies one of from's slots
	run  id.RunID // zero: whichever is active
	ev   engine.Event
}

// enqueue hands an event to the loop, in order.
func (s *Server) enqueue(e event) {
	s.queueMu.Lock()
	s.queue = append(s.queue, e)
	s.queueMu.Unlock()
	s.poke()
}

func (s *Server) poke() {
	select {
	case s.queueWake <- struct{}{}:
	default:
	}
}

// loop owns the engine: it starts queued runs and feeds the active one.
func (s *Server) loop(ctx context.Context) error {
	defer close(s.stopped)
	defer func() {
		if s.run != nil {
			s.run.stopTimers()
		}
	}()
	if err := s.loadEnded(); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.failed:
			return err
		default:
		}
		if s.run == nil && s.startable.Swap(false) {
			if err := s.startNext(); err != nil {
				return err
			}
		}
		s.queueMu.Lock()
		batch := s.queue
		s.queue = nil
		s.queueMu.Unlock()
		for _, e := range batch {
			if err := s.dispatch(e); err != nil {
				return err
			}
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.failed:
			return err
		case <-s.queueWake:
		}
	}
}

// dispatch gives one event to the engine if it still concerns it: of an agent's
// channels only the newest speaks for it.
func (s *Server) dispatch(e event) error {
	if e.slot {
		defer func() { <-e.from.slots }()
	}
	switch ev := e.ev.(type) {
	case engine.Connected:
		s.present[ev.Agent] = e.from
		for _, m := range s.over {
			e.from.send(outgoing{msg: m})
		}
	default:
		if e.from != nil && s.present[e.from.agent] != e.from {
			return nil
		}
		if gone, ok := ev.(engine.Gone); ok {
			delete(s.present, gone.Agent)
		}
	}
	run := s.run
	if run == nil || run.finished || !e.run.IsZero() && e.run != run.id {
		return nil
	}
	effects, err := run.engine.Step(e.ev)
	if err != nil {
		return err
	}
	return s.execute(run, effects)
}

// execute carries the effects out, in order.
func (s *Server) execute(run *activeRun, effects []engine.Effect) error {
	for _, e := range effects {
		var err error
		switch e := e.(type) {
		case *engine.Write:
			err = s.executeWrite(run, e)
		case *engine.Send:
			err = s.executeSend(run, e)
		case *engine.SetTimer:
			if t := run.timers[e.Name]; t != nil {
				t.Stop()
			}
			name, number := e.Name, e.Number
			run.timers[name] = time.AfterFunc(e.After, func() {
				s.enqueue(event{run: run.id, ev: engine.Timer{Name: name, Number: number}})
			})
		case *engine.Sum:
			err = s.executeSum(run, e)
		case *engine.CatchUp:
			err = s.executeCatchUp(run, e)
		case *engine.ForgetSums:
			err = s.blobs.Shred(sumsOf(run.id))
		case *engine.Shred:
			err = s.shredSpool(run, e.R)
		case *engine.Notice:
			s.notice(run, e.Notice)
		case *engine.Finish:
			s.finished(run)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// executeWrite makes one transaction of everything that belongs together: rows, log
// entries, the record they stand for and the new model. The sealed model is staged
// before and published after.
func (s *Server) executeWrite(run *activeRun, w *engine.Write) error {
	b := &w.Batch
	if w.Opened != 0 {
		if err := s.openSpool(run, w.Opened, b); err != nil {
			return err
		}
		run.opened = time.Now()
		maps.DeleteFunc(run.entries, func(n engine.EntryName, _ logged) bool { return n.R != 0 }) // of attempts that are over
	}
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	document, digest, err := s.document(run, w, b)
	if err != nil {
		return err
	}
	if w.Sum != nil {
		if err := s.keepSum(run, w); err != nil {
			return err
		}
	}
	var staged string
	if w.Model != nil {
		if staged, err = s.stageModel(run, w.Model, b); err != nil {
			return err
		}
		pointStaged.Hit()
	}
	for i := range b.Runs {
		b.Runs[i].Strategy = run.strategy
	}
	entries := make([]audit.Entry, len(w.Log))
	for i, l := range w.Log {
		entries[i] = entry(run.id, l.Round, l.R, l.Digest, l.Payload)
		if l.Federal {
			entries[i] = entry(id.RunID{}, 0, 0, l.Digest, l.Payload)
		}
		if l.Document {
			entries[i].Digest = digest
		}
		index := uint64(s.head.Size) + uint64(i)
		switch p := l.Payload.(type) {
		case audit.RunStarted:
			b.Settings = append(b.Settings, startSetting(run.id, index))
		case audit.RoundCommitted:
			b.Settings = append(b.Settings, endSetting(run.id, l.R, index))
		case audit.PlanApproved:
			b.Settings = append(b.Settings, approvalSetting(p.Plan, p.Agent))
		}
	}
	done, err := s.commit(b, entries...)
	if err != nil {
		return err
	}
	pointCommitted.Hit()
	if w.Model != nil {
		if staged != "" {
			if err := s.blobs.Publish(staged); err != nil {
				return err
			}
			pointPublished.Hit()
		}
	}
	for i, l := range w.Log {
		if l.Name != (engine.EntryName{}) {
			if l.Document {
				done[i].document = document
			}
			run.entries[l.Name] = done[i]
			if l.Name.What == "end" {
				run.mu.Lock()
				run.end = done[i].index
				run.mu.Unlock()
			}
		}
	}
	for _, a := range b.Attempts {
		switch {
		case a.Certificate != nil:
			pointCertificate.Hit()
		case a.OnlineSet != nil:
			pointSet.Hit()
		}
	}
	return nil
}

// document completes the record of a write with what the shell alone knows.
func (s *Server) document(run *activeRun, w *engine.Write, b *store.Batch) (raw []byte, digest id.Digest, err error) {
	if w.Document == nil {
		return nil, digest, nil
	}
	switch d := w.Document.(type) {
	case *audit.EpochRecord:
		d.Traffic = s.traffic.sinceRecord(run.roster)
	case *audit.RoundRecord:
		d.Traffic = s.traffic.sinceRecord(run.roster)
		if !run.opened.IsZero() {
			d.Seconds = uint32(time.Since(run.opened).Round(time.Second) / time.Second)
		}
	case *audit.FinishRecord:
		d.Traffic = s.traffic.sinceRecord(run.roster)
	}
	if raw, err = w.Document.AppendBinary(nil); err != nil {
		return nil, digest, fmt.Errorf("server: record: %w", err)
	}
	digest = id.SumDigest(raw)
	b.Records = append(b.Records, store.Record{Digest: digest, Body: raw})
	return raw, digest, nil
}

// stageModel seals a model record and puts its row into the batch.
func (s *Server) stageModel(run *activeRun, m *engine.Model, b *store.Batch) (staged string, err error) {
	record := m.Record.AppendBinary(nil)
	sealed, err := s.keeper.SealModel(m.Hash, record)
	if err != nil {
		return "", err
	}
	state, err := s.keeper.Seal(purposeState, m.State)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("models/%s/%d.age", run.id, m.Round)
	if err := s.blobs.Stage(name, sealed.File); err != nil {
		return "", err
	}
	manifest, err := s.keeper.Manifest(s.keys.sign, run, m, sealed, uint64(s.head.Size))
	if err != nil {
		return "", err
	}
	b.Models = append(b.Models, store.Model{
		Run: run.id, Round: m.Round, Hash: m.Hash, File: name, Wrapped: sealed.Wrapped, Manifest: manifest, LogIndex: uint64(s.head.Size),
	})
	run.strategy = state
	return name, nil
}

// executeSend queues a message for whom it is meant.
func (s *Server) executeSend(run *activeRun, e *engine.Send) error {
	o := outgoing{msg: e.Msg}
	if e.Entry != (engine.EntryName{}) {
		l, ok := run.entries[e.Entry]
		if !ok {
			var err error
			if l, err = s.find(run.id, e.Entry); err != nil {
				return err
			}
			run.entries[e.Entry] = l
		}
		o.entry = &l
	}
	switch m := e.Msg.(type) {
	case *wire.RunDone:
		s.ended(m)
	case *wire.RoundAborted:
		m.Reason = sendable(m.Reason)
	}
	if ack, ok := e.Msg.(*wire.ReportAck); ok {
		s.commitMu.Lock()
		ack.TreeSize = uint64(s.head.Size)
		s.commitMu.Unlock()
		ack.Sign(s.keys.sign, e.To)
		o.done = pointAcked.Hit
	}
	for agent, ss := range s.present {
		if e.To.IsZero() && run.roster.Lookup(agent) != nil || agent == e.To {
			ss.send(o)
		}
	}
	return nil
}

// executeSum adds the spooled vectors up, one at a time: memory is that of one
// vector and the sum.
func (s *Server) executeSum(run *activeRun, e *engine.Sum) error {
	acc := make([]uint32, e.Dim)
	err := s.sumSpool(run, acc, e.Blobs)
	if err == nil {
		pointSummed.Hit()
	}
	effects, err := run.engine.Step(engine.Summed{R: e.R, Acc: acc, Err: err})
	if err != nil {
		return err
	}
	return s.execute(run, effects)
}

// finished lets the next run begin.
func (s *Server) finished(run *activeRun) {
	run.finished = true
	if err := s.blobs.Shred(sumsOf(run.id)); err != nil {
		s.log.Warn("the sums of a finished run are still there", "run", run.id.Short(), "error", err)
	}
	run.stopTimers()
	s.setActive(nil)
	s.run = nil
	s.wake()
}

func (r *activeRun) stopTimers() {
	for _, t := range r.timers {
		t.Stop()
	}
}

// maxOver is how many runs a branch that connects is told are over.
const maxOver = 4

// ended remembers that a run is over, for branches that are away now.
func (s *Server) ended(m *wire.RunDone) {
	m.Reason = sendable(m.Reason)
	s.over = append(s.over, m)
	s.over = s.over[max(0, len(s.over)-maxOver):]
}

// sendable is a reason as a message may carry it: short and printable.
func sendable(reason string) string {
	reason = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(reason, "?"))
	const most = 300
	if len(reason) > most {
		reason = strings.ToValidUTF8(reason[:most], "") + "…"
	}
	return reason
}

// loadEnded learns which runs ended last in earlier processes.
func (s *Server) loadEnded() error {
	runs, err := s.store.Runs(context.Background())
	if err != nil {
		return err
	}
	for _, r := range runs {
		switch r.State {
		case stateDone:
			s.ended(&wire.RunDone{Run: r.ID, State: wire.RunDoneState, Model: r.Model})
		case stateStopped:
			s.ended(&wire.RunDone{Run: r.ID, State: wire.RunStoppedState, Reason: r.Reason, Model: r.Model})
		}
	}
	return nil
}

// wake lets the loop look for a run to start.
func (s *Server) wake() {
	s.startable.Store(true)
	s.poke()
}

// notice tells people what happened.
func (s *Server) notice(run *activeRun, n engine.NoticeText) {
	ev := Event{
		Time: time.Now().UTC(), Run: run.id, Kind: n.Kind, Round: n.Round, R: n.R,
		Members: n.Members, Reported: n.Reported, Voted: n.Voted, Released: n.Released,
		Recovered: n.Recovered, Code: n.Code, Text: n.Text, Bytes: s.traffic.sum(),
	}
	if n.Task != 0 {
		ev.Task = n.Task.String()
	}
	if m := run.roster.Lookup(n.Agent); m != nil {
		ev.Site = m.Site
	}
	for _, a := range n.Dropped {
		if m := run.roster.Lookup(a); m != nil {
			ev.Dropped = append(ev.Dropped, m.Site)
		}
	}
	slices.Sort(ev.Dropped)
	if !n.Model.IsZero() {
		ev.Model = n.Model.String()
	}
	if n.Metrics != nil {
		ev.Examples = n.Metrics.Examples
		if n.Task != plan.Statistics {
			ev.Loss, ev.Accuracy = n.Metrics.Loss(), n.Metrics.Accuracy()
		}
	}
	if n.Kind != "refused" { // a member can send any number of those: they are for the log alone
		s.events.add(ev)
	}
	s.log.Info(n.Kind, logFields(&ev)...)
}

// logFields are an event's fields that say something, for one line of a log.
func logFields(ev *Event) []any {
	fields := []any{"run", ev.Run.Short()}
	add := func(name string, value any, zero bool) {
		if !zero {
			fields = append(fields, name, value)
		}
	}
	if ev.R != 0 { // before its first attempt a run has no round to speak of
		fields = append(fields, "round", ev.Round, "r", ev.R)
	}
	add("task", ev.Task, ev.Task == "")
	add("site", ev.Site, ev.Site == "")
	switch ev.Kind {
	case "reported":
		fields = append(fields, "reported", fmt.Sprintf("%d/%d", ev.Reported, ev.Members))
	case "certified", "committed":
		fields = append(fields, "set", fmt.Sprintf("%d/%d", ev.Reported, ev.Members))
	}
	if len(ev.Dropped) > 0 {
		name := "without"
		if ev.Kind == "waiting" {
			name = "for"
		}
		fields = append(fields, name, strings.Join(ev.Dropped, ","))
	}
	if ev.Kind == "committed" && ev.Task != plan.Statistics.String() {
		fields = append(fields, "loss", fmt.Sprintf("%.4f", ev.Loss), "accuracy", fmt.Sprintf("%.3f", ev.Accuracy))
	}
	add("code", ev.Code, ev.Code == "")
	add("text", ev.Text, ev.Text == "")
	return fields
}

// interrupted reports whether an earlier process left the run in the middle.
func interrupted(r store.Run) bool {
	return r.State != stateQueued && r.State != stateDone && r.State != stateStopped
}

// startNext goes on with the run that an earlier process left, or begins the oldest
// queued one.
func (s *Server) startNext() error {
	runs, err := s.store.Runs(context.Background())
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(runs, interrupted); i >= 0 {
		return s.resumeRun(runs[i])
	}
	if i := slices.IndexFunc(runs, func(r store.Run) bool { return r.State == stateQueued }); i >= 0 {
		return s.startRun(runs[i])
	}
	return nil
}

func (s *Server) newRun(r store.Run, roster *id.Roster) (*activeRun, engine.Config, error) {
	p, err := plan.ParseCanonical(r.Plan)
	if err != nil {
		return nil, engine.Config{}, fmt.Errorf("server: run %s: %w", r.ID, err)
	}
	last, err := s.store.LastEpoch(context.Background())
	if err != nil {
		return nil, engine.Config{}, err
	}
	run := &activeRun{
		id: r.ID, plan: p, hash: p.Hash(), roster: roster,
		timers: map[engine.TimerName]*time.Timer{}, entries: map[engine.EntryName]logged{},
	}
	tried, err := s.tried(run.hash, r.ID)
	if err != nil {
		return nil, engine.Config{}, err
	}
	return run, engine.Config{Key: s.keys.sign, Charter: s.charter, Roster: roster, Run: r.ID, Plan: p, Epoch: last, Created: r.Created, Tried: tried}, nil
}

// tried counts the attempts that runs of a plan, except for one, have made on each
// model.
func (s *Server) tried(hash id.PlanHash, except id.RunID) (map[engine.Try]int, error) {
	ctx := context.Background()
	runs, err := s.store.Runs(ctx)
	if err != nil {
		return nil, err
	}
	n := map[engine.Try]int{}
	for _, r := range runs {
		if r.PlanHash != hash || r.ID == except || r.State == stateQueued {
			continue
		}
		attempts, err := s.store.Attempts(ctx, r.ID)
		if err != nil {
			return nil, err
		}
		for _, a := range attempts {
			n[engine.Try{Task: plan.Task(a.Task), Model: a.Model}]++
		}
	}
	return n, nil
}

// startRun begins a queued run with the roster of the moment.
func (s *Server) startRun(r store.Run) error {
	s.rosterMu.Lock() // no other roster comes into force meanwhile
	roster := s.roster
	run, cfg, err := s.newRun(r, roster)
	if err == nil {
		s.setActive(run)
	}
	s.rosterMu.Unlock()
	if err != nil {
		return err
	}
	run.engine, err = engine.New(cfg)
	if err != nil {
		s.setActive(nil)
		return s.refuseRun(r, err)
	}
	record, err := runRecord(run)
	if err != nil {
		return err
	}
	if err := s.write(&store.Batch{Settings: []store.Setting{rosterSetting(r.ID, roster.Version)}}); err != nil {
		return err
	}
	s.run = run
	if err := s.execute(run, run.engine.Start(record)); err != nil {
		return err
	}
	return s.introduce(run)
}

// introduce tells a new engine who is here.
func (s *Server) introduce(run *activeRun) error {
	for agent, ss := range s.present {
		if err := s.dispatch(event{from: ss, run: run.id, ev: engine.Connected{Agent: agent}}); err != nil {
			return err
		}
	}
	return nil
}

// refuseRun ends a run that cannot begin.
func (s *Server) refuseRun(r store.Run, why error) error {
	var abort *secureagg.Abort
	reason := why.Error()
	if errors.As(why, &abort) {
		reason = abort.Detail
	}
	r.State, r.Reason = stateStopped, reason
	if err := s.write(&store.Batch{Runs: []store.Run{r}}); err != nil {
		return err
	}
	s.events.add(Event{Time: time.Now().UTC(), Run: r.ID, Kind: "stopped", Text: reason})
	s.wake()
	return nil
}

// resumeRun rebuilds the engine of the run that an earlier process left unfinished.
func (s *Server) resumeRun(r store.Run) error {
	ctx := context.Background()
	roster, err := s.runRoster(r.ID)
	if err != nil {
		return err
	}
	run, cfg, err := s.newRun(r, roster)
	if err != nil {
		return err
	}
	stored := engine.Stored{Run: r}
	models, err := s.store.Models(ctx, r.ID)
	if err != nil {
		return err
	}
	if len(models) == 0 {
		return fmt.Errorf("server: run %s has no model", r.ID)
	}
	m := models[len(models)-1]
	file, err := s.blobs.Get(m.File)
	if err != nil {
		return err
	}
	raw, err := s.keeper.OpenModel(m.Hash, file, m.Wrapped)
	if err != nil {
		return fmt.Errorf("server: %s: %w", m.File, err)
	}
	if stored.Record, err = strategy.ParseRecord(raw); err != nil {
		return fmt.Errorf("server: %s: %w", m.File, err)
	}
	state, err := s.keeper.Open(purposeState, r.Strategy)
	if err != nil {
		return fmt.Errorf("server: strategy state of run %s: %w", r.ID, err)
	}
	stored.State = state
	epochs, err := s.store.Epochs(ctx, r.ID)
	if err != nil {
		return err
	}
	if n := len(epochs); n > 0 {
		stored.Epoch = &epochs[n-1]
		if stored.Messages, err = s.store.Messages(ctx, r.ID, stored.Epoch.Number, 0); err != nil {
			return err
		}
	}
	if stored.Attempts, err = s.store.Attempts(ctx, r.ID); err != nil {
		return err
	}
	if n := len(stored.Attempts); n > 0 {
		if stored.Reports, err = s.store.Reports(ctx, stored.Attempts[n-1].Key); err != nil {
			return err
		}
		if err := s.reopenSpool(run, stored.Attempts[n-1]); err != nil {
			return err
		}
	}
	if err := s.shredEnded(run, stored.Attempts); err != nil {
		return err
	}
	if stored.Approved, err = s.approvals(run.hash, roster); err != nil {
		return err
	}
	e, effects, err := engine.Restore(cfg, stored)
	if err != nil {
		return err
	}
	run.engine, run.strategy = e, r.Strategy
	s.run = run
	s.setActive(run)
	if err := s.execute(run, effects); err != nil {
		return err
	}
	return s.introduce(run)
}

// approvals lists whose approval of the plan is in the log.
func (s *Server) approvals(hash id.PlanHash, roster *id.Roster) (out []id.AgentID, err error) {
	for i := range roster.Members {
		agent := roster.Members[i].Agent()
		_, err := s.store.Setting(context.Background(), approvalSetting(hash, agent).Name)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, agent)
	}
	return out, nil
}
