package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"tacit/audit"
	"tacit/id"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/server/store"
	"tacit/server/store/storetest"
	"tacit/strategy"
	heartdisease "tacit/testdata/heart-disease"
	"tacit/wire"
)

// world runs an Engine against real protocol members over a store in memory, one
// message at a time. It stands for the shell: effects in order, writes durable
// before what follows.
type world struct {
	t       testing.TB
	cfg     Config
	engine  *Engine
	store   store.Store
	fence   store.Fence
	agents  map[id.AgentID]*agent
	blobs   map[string][]uint32
	queue   []delivery
	timers  map[TimerName]uint64
	notices []NoticeText
	writes  int
	// crashAfter stops the engine after that many writes; 0: never.
	crashAfter int
	crashed    bool
	restarted  bool
	// sums of what each attempt's set really held, by attempt.
	plain map[uint64]map[id.AgentID][]uint32
	sums  map[uint64][]uint32
	done  *Finish
	// kept are the commits that members away may still need, by round.
	kept          map[uint64]*wire.Committed
	lastCommitted uint64
	state         []byte // the strategy's, as the run's row holds it
}

// delivery is a message on its way to an agent, over one of its connections.
type delivery struct {
	to   *agent
	conn int
	msg  wire.Msg
}

// agent is one branch: its member, its journal and its connection.
type agent struct {
	id      id.AgentID
	key     *id.PrivateKey
	here    bool
	conn    int // counts its connections
	acked   map[uint64]bool
	member  *secureagg.Member
	journal map[string][]byte
	round   uint64 // it holds the model of
	refuse  string
	// beforeReport and afterReport kill the agent in an attempt.
	// loseAtSet and loseAtCertificate cut its connection in an attempt.
	dieBeforeReport, dieAfterReport, loseAtSet, loseAtCertificate uint64

	diesTraining bool          // dies before every training report
	spoil        func(*Report) // changes its reports on the way
	mute         bool          // connected, but says nothing any more
}

func newWorld(t testing.TB, n int, edit func(*plan.Plan)) *world {
	t.Helper()
	p, err := plan.Parse(heartdisease.Plan("heart-logreg"), "heart-logreg.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p.Federation.Rounds, p.Federation.MinBranches = 2, 3
	if edit != nil {
		edit(p)
	}
	if err := p.Resolve(); err != nil {
		t.Fatal(err)
	}
	key := func(b byte) *id.PrivateKey {
		var seed [32]byte
		seed[0] = b
		return id.NewPrivateKey(seed)
	}
	server, admin := key(1), key(2)
	charter := &id.Charter{
		Federation: id.FederationID{1}, Version: 1, Name: "test", Administrators: []id.PublicKey{admin.Public()}, Threshold: 1,
		Server: server.Public(), LogKey: "test", MinCohort: 3, AllowSmall: true, MaxOrgShare: 100, MaxAbsent: 0,
		RoundsPerEpoch: 256, EpochsPerDay: 50,
	}
	if err := charter.Sign(admin); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, agents: map[id.AgentID]*agent{}, blobs: map[string][]uint32{}, timers: map[TimerName]uint64{},
		plain: map[uint64]map[id.AgentID][]uint32{}, sums: map[uint64][]uint32{}, kept: map[uint64]*wire.Committed{}}
	roster := &id.Roster{Federation: charter.Federation}
	for i := range n {
		k := key(byte(10 + i))
		pub := k.Public()
		if roster, err = roster.With(id.Member{Org: "org", Site: fmt.Sprintf("site %d", i), Key: pub, NotBefore: 1, NotAfter: 1 << 40}); err != nil {
			t.Fatal(err)
		}
		w.agents[pub.AgentID()] = &agent{id: pub.AgentID(), key: k, journal: map[string][]byte{}, acked: map[uint64]bool{}}
	}
	if err := roster.Sign(charter, admin); err != nil {
		t.Fatal(err)
	}
	w.cfg = Config{Key: server, Charter: charter, Roster: roster, Run: id.RunID{7}, Plan: p}
	w.store = store.NewMemory(&storetest.Log{})
	if w.fence, err = w.store.Acquire(context.Background(), "test"); err != nil {
		t.Fatal(err)
	}
	if w.engine, err = New(w.cfg); err != nil {
		t.Fatal(err)
	}
	return w
}

// ids lists the agents in roster order.
func (w *world) ids() []id.AgentID {
	return slices.SortedFunc(maps.Keys(w.agents), func(a, b id.AgentID) int { return a.Compare(b) })
}

func (w *world) agent(i int) *agent { return w.agents[w.ids()[i]] }

// start begins the run and connects everyone.
func (w *world) start() {
	w.t.Helper()
	record := &audit.RunRecord{Run: w.cfg.Run, Plan: w.cfg.Plan.Hash(), Name: "test", Purpose: "training", Family: "logreg", Privacy: "none",
		Canonical: w.cfg.Plan.Canonical(), Text: w.cfg.Plan.YAML()}
	w.execute(w.engine.Start(record))
	for _, a := range w.ids() {
		w.connect(w.agents[a])
	}
}

func (w *world) connect(a *agent) {
	a.here = true
	a.conn++
	w.step(Connected{a.id})
}

func (w *world) disconnect(a *agent) {
	a.here = false
	w.step(Gone{a.id})
}

// kill ends the agent's process: what is not in its journal is gone.
func (w *world) kill(a *agent) {
	a.member = nil
	if a.here {
		w.disconnect(a)
	}
}

func (w *world) step(ev Event) {
	if w.crashed {
		return
	}
	effects, err := w.engine.Step(ev)
	if err != nil {
		w.t.Fatalf("engine: %v", err)
	}
	w.execute(effects)
}

func (w *world) execute(effects []Effect) {
	for _, e := range effects {
		if w.crashed {
			return
		}
		switch e := e.(type) {
		case *Write:
			w.write(e)
		case *Send:
			if m, ok := e.Msg.(*wire.Committed); ok {
				w.collectSums(m)
			}
			for _, a := range w.ids() {
				if ag := w.agents[a]; ag.here && !ag.mute && (e.To.IsZero() || e.To == a) {
					w.post(ag, e.Msg)
				}
			}
		case *CatchUp:
			ag := w.agents[e.To]
			for round := e.Round; round <= w.lastCommitted && w.kept[round] != nil; round++ {
				w.post(ag, w.kept[round])
			}
			if w.kept[e.Round] == nil {
				w.step(Behind{e.To})
			}
		case *ForgetSums:
			clear(w.kept)
		case *SetTimer:
			w.timers[e.Name] = e.Number
		case *Sum:
			acc := make([]uint32, e.Dim)
			for _, b := range e.Blobs {
				secureagg.AddVector(acc, w.blobs[b])
			}
			w.step(Summed{R: e.R, Acc: acc})
		case *Notice:
			w.notices = append(w.notices, e.Notice)
		case *Finish:
			w.done = e
		}
	}
}

func (w *world) post(a *agent, msg wire.Msg) {
	w.queue = append(w.queue, delivery{a, a.conn, msg})
}

// deliver takes the i-th message of the queue out and hands it over, if the
// connection that it was sent on still stands.
func (w *world) deliver(i int) error {
	d := w.queue[i]
	w.queue = slices.Delete(w.queue, i, i+1)
	if d.conn != d.to.conn {
		return nil
	}
	return w.receive(d.to, d.msg)
}

// write commits to the store as the shell does, with stand-ins for what only the
// shell makes.
func (w *world) write(e *Write) {
	w.t.Helper()
	b := e.Batch
	for _, l := range e.Log {
		if l.Payload == nil {
			w.t.Fatal("an entry without payload")
		}
		b.Entries = append(b.Entries, fmt.Appendf(nil, "%T %d %d", l.Payload, l.Round, l.R))
		if c, ok := l.Payload.(audit.PlanApproved); ok {
			b.Settings = append(b.Settings, store.Setting{Name: "approved/" + c.Agent.String(), Value: []byte{1}})
		}
	}
	if e.Document != nil {
		if _, err := e.Document.AppendBinary(nil); err != nil {
			w.t.Fatalf("record: %v", err)
		}
	}
	if e.Model != nil {
		b.Models = append(b.Models, store.Model{Run: w.cfg.Run, Round: e.Model.Round, Hash: e.Model.Hash,
			File: fmt.Sprint(e.Model.Round), Wrapped: e.Model.Record.AppendBinary(nil), Manifest: []byte{1}})
		w.state = append([]byte{0}, e.Model.State...)
	}
	for i := range b.Runs {
		b.Runs[i].Strategy = w.state
	}
	if _, err := w.store.Commit(context.Background(), w.fence, &b); err != nil {
		w.t.Fatalf("commit: %v", err)
	}
	if e.Sum != nil {
		round := e.Log[0].Round
		w.kept[round] = &wire.Committed{Round: round}
		w.lastCommitted = round
	}
	if w.writes++; w.writes == w.crashAfter {
		w.crashed = true
	}
}

// restart builds the engine again from the store, as a restarted server does.
func (w *world) restart() {
	w.t.Helper()
	ctx := context.Background()
	w.restarted = true
	w.crashed, w.crashAfter, w.queue, w.timers = false, 0, nil, map[TimerName]uint64{}
	must := func(err error) {
		if err != nil {
			w.t.Helper()
			w.t.Fatal(err)
		}
	}
	var s Stored
	var err error
	s.Run, err = w.store.LoadRun(ctx, w.cfg.Run)
	must(err)
	models, err := w.store.Models(ctx, w.cfg.Run)
	must(err)
	s.Record, err = strategy.ParseRecord(models[len(models)-1].Wrapped)
	must(err)
	if len(s.Run.Strategy) > 0 {
		s.State = s.Run.Strategy[1:]
	}
	epochs, err := w.store.Epochs(ctx, w.cfg.Run)
	must(err)
	if n := len(epochs); n > 0 {
		s.Epoch = &epochs[n-1]
		s.Messages, err = w.store.Messages(ctx, w.cfg.Run, s.Epoch.Number, 0)
		must(err)
	}
	s.Attempts, err = w.store.Attempts(ctx, w.cfg.Run)
	must(err)
	if n := len(s.Attempts); n > 0 {
		s.Reports, err = w.store.Reports(ctx, s.Attempts[n-1].Key)
		must(err)
	}
	for _, a := range w.ids() {
		if _, err := w.store.Setting(ctx, "approved/"+a.String()); err == nil {
			s.Approved = append(s.Approved, a)
		}
	}
	cfg := w.cfg
	cfg.Epoch, err = w.store.LastEpoch(ctx)
	must(err)
	engine, effects, err := Restore(cfg, s)
	must(err)
	w.engine = engine
	w.execute(effects)
	for _, a := range w.ids() {
		if w.agents[a].here {
			w.connect(w.agents[a])
		}
	}
}

// run delivers messages until none is left.
func (w *world) run() {
	w.t.Helper()
	for n := 0; len(w.queue) > 0 && !w.crashed; n++ {
		if n > 100_000 {
			w.t.Fatal("the world does not come to rest")
		}
		if err := w.deliver(0); err != nil {
			w.t.Fatal(err)
		}
	}
}

// fire lets a timer run down.
func (w *world) fire(name TimerName) {
	w.t.Helper()
	number, ok := w.timers[name]
	if !ok {
		w.t.Fatalf("timer %s is not set", name)
	}
	w.step(Timer{name, number})
	w.run()
}

// receive is the branch's side of the conversation.
func (w *world) receive(a *agent, msg wire.Msg) error {
	if !a.here {
		return nil
	}
	switch m := msg.(type) {
	case *wire.PlanOffer:
		if a.refuse != "" {
			w.step(PlanAnswer{Agent: a.id, Code: a.refuse})
			return nil
		}
		if a.member == nil {
			member, err := secureagg.RestoreMember(secureagg.MemberConfig{
				Key: a.key, Server: w.cfg.Key.Public(), Charter: w.cfg.Charter, Roster: w.cfg.Roster, Run: w.cfg.Run, Rand: rand.Reader,
			}, func(key string) ([]byte, bool) { v, ok := a.journal[key]; return v, ok })
			if err != nil {
				return fmt.Errorf("restore: %w", err)
			}
			a.member = member
		}
		w.step(PlanAnswer{Agent: a.id, Accept: true})
		out, err := a.member.Reenter()
		if err := w.output(a, out, err); err != nil {
			return err
		}
		w.step(Standing{Agent: a.id, Epoch: a.member.Epoch(), Round: a.round, Out: a.member.Out()})
	case *wire.StageDown:
		kind, _ := secureagg.Kind(m.Stage)
		r := a.member.Attempt()
		switch {
		case kind == secureagg.KindOnlineSet && a.loseAtSet != 0 && a.loseAtSet == r,
			kind == secureagg.KindCertificate && a.loseAtCertificate != 0 && a.loseAtCertificate == r:
			w.disconnect(a) // its process lives on
			return nil
		}
		out, err := a.member.Handle(m.Stage)
		return w.output(a, out, err)
	case *wire.Committed:
		if m.Round == a.round {
			a.round++
		}
		if a.round > w.lastCommitted {
			w.step(Acknowledged{a.id})
		}
	case *wire.ReportAck:
		a.acked[m.R] = true
	case *wire.RoundOpen:
		return w.open(a, m)
	}
	return nil
}

// output journals, sends and acts, in that order.
func (w *world) output(a *agent, out secureagg.Output, err error) error {
	var abort *secureagg.Abort
	switch {
	case err == nil, errors.Is(err, secureagg.ErrStale), errors.Is(err, secureagg.ErrOut), errors.As(err, &abort),
		errors.Is(err, secureagg.ErrNotOpen), errors.Is(err, secureagg.ErrMayNotReport), errors.Is(err, secureagg.ErrConsumed):
	default:
		return fmt.Errorf("agent %s: %w", a.id.Short(), err)
	}
	for _, r := range out.Journal {
		if r.Value == nil {
			delete(a.journal, r.Key)
		} else {
			a.journal[r.Key] = slices.Clone(r.Value)
		}
	}
	if masked, ok := out.Event.(*secureagg.Masked); ok {
		blob := fmt.Sprintf("%d/%s", masked.R, a.id)
		w.blobs[blob] = slices.Clone(masked.Vector)
		ev := Report{Agent: a.id, R: masked.R, Report: slices.Clone(masked.Report), Vector: secureagg.VectorHash(masked.Vector), Words: len(masked.Vector), Blob: blob}
		if a.spoil != nil {
			a.spoil(&ev)
		}
		w.step(ev)
		if a.dieAfterReport == masked.R {
			a.dieAfterReport = 0
			w.kill(a)
		}
	}
	for _, msg := range out.Send {
		if kind, _ := secureagg.Kind(msg); kind != secureagg.KindReport {
			w.step(Stage{Agent: a.id, Msg: msg})
		}
	}
	if _, ok := out.Event.(*secureagg.Readmitted); ok {
		w.step(Standing{Agent: a.id, Epoch: a.member.Epoch(), Round: a.round, Out: a.member.Out()})
	}
	return nil
}

func (w *world) open(a *agent, m *wire.RoundOpen) error {
	task := plan.Task(m.Task)
	out, err := a.member.Open(m.Start, secureagg.RoundInputs{
		Run: m.Run, Plan: w.cfg.Plan.Hash(), R: m.R, Round: m.Round, Task: m.Task, Model: m.Model,
		Config: w.cfg.Plan.Config(task), Charter: w.cfg.Charter.Hash(), Cohorts: 1, Dim: w.cfg.Plan.Dim(task),
	})
	opened, may := out.Event.(*secureagg.Opened)
	if err := w.output(a, out, err); err != nil || !may || !opened.MayReport {
		return err
	}
	if a.dieBeforeReport == m.R || a.diesTraining && task == plan.Train {
		a.dieBeforeReport = 0
		w.kill(a)
		return nil
	}
	x := w.contribution(a, task, m.R)
	if w.plain[m.R] == nil {
		w.plain[m.R] = map[id.AgentID][]uint32{}
	}
	w.plain[m.R][a.id] = slices.Clone(x)
	out, err = a.member.Report(x)
	return w.output(a, out, err)
}

// contribution is a plausible input that depends on the agent and the attempt.
func (w *world) contribution(a *agent, task plan.Task, r uint64) []uint32 {
	p := w.cfg.Plan
	x := make([]uint32, p.Dim(task))
	v := float64(a.id[0]) / 256
	c := plan.Contribution{Weight: 0.25 + v/2, LossSum: 10 * v, Examples: 20, Correct: 7, TruePositive: 3, FalsePositive: 5, FalseNegative: 8}
	c.Update = make([]float64, p.NumParams())
	for i := range c.Update {
		c.Update[i] = v * float64(i%5) / 100
	}
	n := len(p.Data.FeatureNames())
	for range n {
		c.N, c.Sum, c.SumSq = append(c.N, 20), append(c.Sum, 20*v), append(c.SumSq, 20*v*v+1)
	}
	for _, seg := range p.Segments(task) {
		secureagg.Quantize(x[seg.Offset:seg.Offset+seg.Length], c.Segment(seg.Name), seg.Scale, seg.Bound)
	}
	return x
}

// checkSums compares every committed sum with the plain sum of its set.
func (w *world) checkSums() {
	w.t.Helper()
	attempts, err := w.store.Attempts(context.Background(), w.cfg.Run)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, a := range attempts {
		sum, ok := w.sums[a.R]
		if !ok && w.restarted {
			continue // it died between the commit and the announcement
		}
		if (a.Phase == AttemptCommitted) != ok {
			w.t.Errorf("attempt %d is %s, but its sum was announced: %v", a.R, a.Phase, ok)
			continue
		}
		if !ok {
			continue
		}
		facts, err := secureagg.VerifyCertificate(a.Certificate, w.cfg.Roster.AppendBinary(nil), w.cfg.Charter.AppendBinary(nil))
		if err != nil {
			w.t.Fatal(err)
		}
		if len(facts.Online) < facts.Params.MinRelease {
			w.t.Errorf("attempt %d committed %d branches, fewer than %d", a.R, len(facts.Online), facts.Params.MinRelease)
		}
		want := make([]uint32, len(sum))
		for _, o := range facts.Online {
			secureagg.AddVector(want, w.plain[a.R][o])
		}
		if !slices.Equal(sum, want) {
			w.t.Errorf("attempt %d: the opened sum is not the sum of its set", a.R)
		}
	}
}

// collectSums keeps announced sums; call it for every Committed seen.
func (w *world) collectSums(m *wire.Committed) {
	sum := make([]uint32, wireWords(m.Sum))
	if err := wire.ParseWords(sum, m.Sum); err != nil {
		w.t.Fatal(err)
	}
	w.sums[m.R] = sum
}

func wireWords(b []byte) int { return len(b) / 4 }

// notice returns the notices of a kind.
func (w *world) noticed(kind string) (out []NoticeText) {
	for _, n := range w.notices {
		if n.Kind == kind {
			out = append(out, n)
		}
	}
	return out
}

func (w *world) mustFinish() {
	w.t.Helper()
	w.run()
	if w.done == nil || !w.done.Done {
		var lines []string
		for _, n := range w.notices {
			lines = append(lines, fmt.Sprintf("%s round %d r %d %s", n.Kind, n.Round, n.R, n.Text))
		}
		w.t.Fatalf("the run stands in %s: %+v\n%s", w.engine.Phase(), w.done, strings.Join(lines, "\n"))
	}
	w.checkSums()
}
