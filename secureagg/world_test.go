package secureagg

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"tacit/id"
)

// federation is a charter, a roster and everyone's keys.
type federation struct {
	admin, server *id.PrivateKey
	charter       *id.Charter
	roster        *id.Roster
	keys          []*id.PrivateKey // roster order
	limit         int              // largest cohort; zero: the product's
}

func testKey(tag byte, i int) *id.PrivateKey {
	return id.NewPrivateKey([32]byte{tag, byte(i), byte(i >> 8), 1})
}

func newFederation(t testing.TB, n int) *federation {
	t.Helper()
	f := &federation{admin: testKey('a', 0), server: testKey('s', 0)}
	f.charter = &id.Charter{
		Federation: id.FederationID{1}, Version: 1, Name: "test federation",
		Administrators: []id.PublicKey{f.admin.Public()}, Threshold: 1,
		Server: f.server.Public(), LogKey: "log.test+00000000+key",
		MinCohort: 3, AllowSmall: true, MaxOrgShare: 100, RoundsPerEpoch: 256, EpochsPerDay: 100,
	}
	f.roster = &id.Roster{Federation: f.charter.Federation}
	byAgent := make(map[id.AgentID]*id.PrivateKey)
	for i := range n {
		k := testKey('m', i)
		pub := k.Public()
		byAgent[pub.AgentID()] = k
		site := "site " + string(rune('A'+i%26)) + string(rune('a'+i/26))
		f.roster.Members = append(f.roster.Members, id.Member{Org: site, Site: site, Key: pub, NotAfter: 1 << 40})
	}
	slices.SortFunc(f.roster.Members, func(a, b id.Member) int { return a.Agent().Compare(b.Agent()) })
	f.roster.Version = 1
	for i := range f.roster.Members {
		f.keys = append(f.keys, byAgent[f.roster.Members[i].Agent()])
	}
	f.sign(t)
	return f
}

func (f *federation) sign(t testing.TB) {
	t.Helper()
	if err := errors.Join(f.charter.Sign(f.admin), f.roster.Sign(f.charter, f.admin)); err != nil {
		t.Fatal(err)
	}
}

// agent is a Member with its journal and what happened to it.
type agent struct {
	m       *Member
	id      id.AgentID
	cfg     MemberConfig
	journal map[string][]byte
	events  []any
	errs    []error
	dead    bool
	mute    map[MessageKind]bool // what it keeps to itself
}

func (a *agent) get(key string) ([]byte, bool) { v, ok := a.journal[key]; return v, ok }

func (a *agent) persist(out Output) {
	for _, r := range out.Journal {
		if r.Value == nil {
			delete(a.journal, r.Key)
		} else {
			a.journal[r.Key] = slices.Clone(r.Value)
		}
	}
	if out.Event != nil {
		a.events = append(a.events, out.Event)
	}
}

func lastEvent[E any](a *agent) (e E, ok bool) {
	for i := len(a.events) - 1; i >= 0; i-- {
		if e, ok = a.events[i].(E); ok {
			return e, true
		}
	}
	return e, false
}

// world is a server and its agents, with every message in one queue.
type world struct {
	t       testing.TB
	f       *federation
	run     id.RunID
	epoch   *Epoch
	round   *Round
	agents  []*agent
	queue   []packet
	vectors map[id.AgentID][]uint32
	serverE []error
	certs   [][]byte
	aborts  [][]byte
	rekeys  []string
	done    bool
	// tamper may replace or drop (nil) a message on its way to an agent.
	tamper func(to int, msg []byte) []byte
	log    []stored               // accepted setup messages, for replay
	seen   map[MessageKind][]byte // the last of each kind, if not nil
	heard  [][]byte               // all messages
}

type stored struct {
	from id.AgentID
	msg  []byte
}

type packet struct {
	to  int // agent index, −1 for the server
	frm int
	msg []byte
}

func seeded(t testing.TB, tag string, i int) *rand.ChaCha8 {
	var seed [32]byte
	copy(seed[:], tag)
	seed[31] = byte(i)
	return rand.NewChaCha8(seed)
}

func newWorld(t testing.TB, n int) *world {
	return newWorldOf(t, newFederation(t, n))
}

func newWorldOf(t testing.TB, f *federation) *world {
	t.Helper()
	w := &world{t: t, f: f, run: id.RunID{7}, vectors: make(map[id.AgentID][]uint32)}
	for i, k := range f.keys {
		a := &agent{journal: make(map[string][]byte), mute: make(map[MessageKind]bool)}
		a.cfg = MemberConfig{Key: k, Charter: f.charter, Roster: f.roster, Run: w.run, Rand: seeded(t, "agent", i), limit: f.limit}
		pub := k.Public()
		a.id = pub.AgentID()
		m, err := NewMember(a.cfg)
		if err != nil {
			t.Fatal(err)
		}
		a.m = m
		w.agents = append(w.agents, a)
	}
	return w
}

func (w *world) propose(e, start uint64) {
	w.t.Helper()
	ep, out, err := NewEpoch(EpochConfig{Key: w.f.server, Charter: w.f.charter, Roster: w.f.roster, Run: w.run, Epoch: e, Start: start, limit: w.f.limit})
	if err != nil {
		w.t.Fatal(err)
	}
	w.epoch = ep
	w.log = nil
	w.post(out)
}

func (w *world) index(a id.AgentID) int { return w.epoch.f.index(a) }

func (w *world) post(out []Outgoing) {
	for _, o := range out {
		for i, a := range w.agents {
			if o.To.IsZero() || o.To == a.id {
				w.queue = append(w.queue, packet{to: i, frm: -1, msg: o.Msg})
			}
		}
	}
}

func (w *world) emit(i int, out Output) {
	a := w.agents[i]
	a.persist(out)
	for _, msg := range out.Send {
		k, _ := Kind(msg)
		if !a.mute[k] {
			w.queue = append(w.queue, packet{to: -1, frm: i, msg: msg})
		}
	}
}

// pump delivers until nothing is left.
func (w *world) pump() {
	for len(w.queue) > 0 {
		p := w.queue[0]
		w.queue = w.queue[1:]
		if k, ok := Kind(p.msg); ok && w.seen != nil {
			w.seen[k] = p.msg
		}
		w.heard = append(w.heard, p.msg)
		if p.to < 0 {
			w.serve(w.agents[p.frm].id, p.msg)
			continue
		}
		a := w.agents[p.to]
		msg := p.msg
		if w.tamper != nil {
			msg = w.tamper(p.to, msg)
		}
		if a.dead || msg == nil {
			continue
		}
		out, err := a.m.Handle(msg)
		if err != nil {
			a.errs = append(a.errs, err)
		}
		w.emit(p.to, out)
	}
}

func (w *world) serve(from id.AgentID, msg []byte) {
	k, _ := Kind(msg)
	var out []Outgoing
	var err error
	switch k {
	case KindEpochKey, KindCoin, KindCtList, KindConfirm, KindReady:
		out, err = w.epoch.Handle(from, msg)
		if err == nil {
			w.log = append(w.log, stored{from, msg})
		}
	case KindReport:
		err = w.round.AcceptReport(from, msg, VectorHash(w.vectors[from]))
	case KindVote, KindManifestVote:
		var cert []byte
		if cert, out, err = w.round.Vote(from, msg); cert != nil {
			w.certs = append(w.certs, cert)
		}
	case KindShares:
		w.done, err = w.round.Shares(from, msg)
	case KindClose:
		var cert []byte
		if cert, out, err = w.round.CloseSigned(from, msg); cert != nil {
			w.aborts = append(w.aborts, cert)
		}
	case KindReentry, KindFloor:
		out, err = w.epoch.Relay(from, msg)
	case KindRekey:
		var why string
		if why, err = w.epoch.RekeyWanted(from, msg); err == nil {
			w.rekeys = append(w.rekeys, why)
		}
	}
	if err != nil {
		w.serverE = append(w.serverE, err)
	}
	w.post(out)
}

const testDim = 37

func (w *world) inputs(r uint64) RoundInputs {
	return RoundInputs{Run: w.run, Plan: id.PlanHash{2}, R: r, Round: r, Task: 1, Model: id.ModelHash{3, byte(r)},
		Config: id.ConfigHash{4}, Charter: w.f.charter.Hash(), Cohorts: uint32(w.epoch.Cohorts()), Dim: testDim}
}

func input(i int, r uint64) []uint32 {
	x := make([]uint32, testDim)
	for k := range x {
		x[k] = uint32(i*1000003+k*7919) * uint32(r+11)
	}
	return x
}

// setup runs the epoch's setup to the end.
func (w *world) setup() *world {
	w.t.Helper()
	w.propose(1, 1)
	w.pump()
	if w.epoch.Phase() != StageLive {
		w.t.Fatalf("epoch is at %s: %v", w.epoch.Phase(), w.errors())
	}
	return w
}

func (w *world) errors() (errs []error) {
	errs = append(errs, w.serverE...)
	for _, a := range w.agents {
		errs = append(errs, a.errs...)
	}
	return errs
}

func (w *world) begin(in RoundInputs) {
	w.t.Helper()
	r, err := w.epoch.NewRound(in)
	if err != nil {
		w.t.Fatal(err)
	}
	w.round, w.done = r, false
	w.certs, w.aborts = nil, nil
	clear(w.vectors)
}

// open lets agent i accept the current attempt.
func (w *world) open(i int, in RoundInputs) error {
	out, err := w.agents[i].m.Open(w.round.Start(), in)
	if ev, ok := out.Event.(*Masked); ok {
		w.vectors[w.agents[i].id] = ev.Vector
	}
	w.emit(i, out)
	return err
}

// report lets agent i mask its input and send its report.
func (w *world) report(i int, in RoundInputs) error {
	out, err := w.agents[i].m.Report(input(i, in.R))
	if ev, ok := out.Event.(*Masked); ok {
		w.vectors[w.agents[i].id] = ev.Vector
	}
	w.emit(i, out)
	return err
}

func (w *world) collect() error {
	_, out, err := w.round.CloseCollection()
	w.post(out)
	return err
}

// check unmasks and compares with the plain sum of the set.
func (w *world) check() {
	w.t.Helper()
	acc, want := make([]uint32, testDim), make([]uint32, testDim)
	for _, a := range w.round.Online() {
		AddVector(acc, w.vectors[a])
		AddVector(want, input(w.index(a), w.round.in.R))
	}
	if err := w.round.Unmask(acc); err != nil {
		w.t.Fatalf("unmask: %v (%v)", err, w.errors())
	}
	if !slices.Equal(acc, want) {
		w.t.Fatal("the sum is not the sum of the set")
	}
}

// fullRound runs an attempt with everybody.
func (w *world) fullRound(r uint64) {
	w.t.Helper()
	in := w.inputs(r)
	w.begin(in)
	for i := range w.agents {
		if err := errors.Join(w.open(i, in), w.report(i, in)); err != nil {
			w.t.Fatal(err)
		}
	}
	w.pump()
	if err := w.collect(); err != nil {
		w.t.Fatal(err)
	}
	w.pump()
	if !w.done {
		w.t.Fatalf("not done: %v", w.errors())
	}
	w.check()
}

// restart replaces agent i's process by one restored from its journal.
func (w *world) restart(i int) {
	w.t.Helper()
	a := w.agents[i]
	m, err := RestoreMember(a.cfg, a.get)
	if err != nil {
		w.t.Fatal(err)
	}
	a.m = m
	a.dead = false
}

// reenter connects agent i.
func (w *world) reenter(i int) {
	w.t.Helper()
	out, err := w.agents[i].m.Reenter()
	if err != nil {
		w.t.Fatal(err)
	}
	w.emit(i, out)
	w.pump()
}

func (w *world) noErrors() {
	w.t.Helper()
	if errs := w.errors(); len(errs) > 0 {
		w.t.Fatalf("unexpected: %v", errs)
	}
}
