package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tacit/client"
	"tacit/dataset"
	"tacit/id"
	"tacit/internal/memnet"
	"tacit/plan"
	heartdisease "tacit/testdata/heart-disease"
	"tacit/wire"
)

// patience bounds every wait of these tests; nothing that passes takes so long.
const patience = 30 * time.Second

// federation is a server, in memory or on disk, and its branches: the four hospitals.
type federation struct {
	t     *testing.T
	admin *Administrator
	dir   string // of server.yaml; empty in memory

	mu     sync.Mutex
	server *Server
	cancel context.CancelFunc
	served chan error
	before func(*Server) // called on a server that was opened and does not run yet

	branches []*branch
}

// branch is one hospital's agent, over its restarts.
type branch struct {
	f      *federation
	site   string
	memory *client.Memory
	agent  *client.Agent
	cancel context.CancelFunc
	ended  chan error
	policy client.Policy
	sent   uint64 // by agents that have been stopped
}

var smallRules = Rules{Name: "test", MinCohort: 4, AllowSmall: true}

// newFederation makes a server that runs, and no branches.
func newFederation(t *testing.T, disk bool) *federation {
	t.Helper()
	f := &federation{t: t}
	if disk {
		f.dir = filepath.Join(t.TempDir(), "fed")
		res := initDir(t, f.dir)
		admin, err := ReadAdministrator(res.AdminKeyFile)
		if err != nil {
			t.Fatal(err)
		}
		f.admin = admin
		f.start()
	} else {
		s, admin, err := NewMemory(smallRules, Options{Logger: testLogger(t)})
		if err != nil {
			t.Fatal(err)
		}
		f.admin = admin
		f.run(s)
	}
	t.Cleanup(func() {
		for _, b := range f.branches {
			b.stop()
		}
		f.stop()
	})
	return f
}

func initDir(t *testing.T, dir string) *InitResult {
	t.Helper()
	res, err := Init(InitOptions{Dir: dir, Listen: "127.0.0.1:0", URL: "wss://127.0.0.1:1/tacit/v1",
		AdminKeyFile: filepath.Join(filepath.Dir(dir), "admin.key"), Rules: smallRules})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// testWriter shows the server's log where a test is run with -v.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	if testing.Verbose() {
		fmt.Printf("%s", p)
	}
	return len(p), nil
}

func (f *federation) config() *Config {
	f.t.Helper()
	return readConfig(f.t, f.dir)
}

// start opens the directory's server and runs it.
func (f *federation) start() {
	f.t.Helper()
	s, err := Open(f.config(), Options{Logger: testLogger(f.t)})
	if err != nil {
		f.t.Fatal(err)
	}
	if f.before != nil {
		f.before(s)
	}
	f.run(s)
}

func (f *federation) run(s *Server) {
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	f.mu.Lock()
	f.server, f.cancel, f.served = s, cancel, served
	f.mu.Unlock()
	loop := s.Serve
	if f.dir != "" {
		loop = s.Run
	}
	go func() {
		err := errKilled
		defer func() { served <- err }()
		err = loop(ctx)
	}()
}

// errKilled is the end of a loop that a crash hook has killed.
var errKilled = errors.New("killed")

// stop ends the server as its operator would and returns what Run returned.
func (f *federation) stop() error {
	f.mu.Lock()
	s, cancel, served := f.server, f.cancel, f.served
	f.server = nil
	f.mu.Unlock()
	if s == nil {
		return nil
	}
	cancel()
	err := <-served
	served <- err
	if err := s.Close(); err != nil {
		f.t.Error(err)
	}
	return err
}

// ended waits for the server to stop by itself.
func (f *federation) ended() error {
	f.t.Helper()
	select {
	case err := <-f.served:
		f.served <- err
		return err
	case <-time.After(patience):
		f.t.Fatal("the server did not stop")
		return nil
	}
}

func (f *federation) current() *Server {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.server
}

// dial connects to whichever server runs.
func (f *federation) dial(context.Context) (wire.FrameConn, error) {
	s := f.current()
	if s == nil {
		return nil, errors.New("nobody listens")
	}
	near, far := memnet.Pair()
	go func() { _ = s.ServeConn(context.Background(), far) }()
	return near, nil
}

// join brings the four hospitals in and starts their agents.
func (f *federation) join() {
	f.t.Helper()
	for _, s := range heartdisease.Sites() {
		f.enrol(s.Name)
	}
	for _, b := range f.branches {
		b.start()
	}
}

// enrol brings one site in; its agent is not started.
func (f *federation) enrol(site string) *branch {
	f.t.Helper()
	s := f.current()
	b := &branch{f: f, site: site, memory: client.NewMemory(), policy: client.Policy{Allow: []string{"logreg"}}}
	invitation, err := s.Invite(f.t.Context(), site+" trust", site, time.Hour)
	if err != nil {
		f.t.Fatal(err)
	}
	opt := client.JoinOptions{Config: b.config(), Memory: b.memory, JoinString: invitation, Dial: f.dial}
	joined, err := client.Join(f.t.Context(), opt)
	if err != nil || !joined.Pending {
		f.t.Fatalf("join: %+v, %v", joined, err)
	}
	if err := f.admin.Approve(f.t.Context(), s, site, joined.Fingerprint); err != nil {
		f.t.Fatal(err)
	}
	if joined, err = client.Join(f.t.Context(), opt); err != nil || joined.Pending {
		f.t.Fatalf("join after the approval: %+v, %v", joined, err)
	}
	f.branches = append(f.branches, b)
	return b
}

func (b *branch) config() *client.Config {
	return &client.Config{Site: b.site, State: "memory", Policy: b.policy}
}

func (b *branch) start() {
	b.f.t.Helper()
	agent, err := client.Open(b.config(), client.Options{
		Dial: b.f.dial, Memory: b.memory, Logger: testLogger(b.f.t).With("at", b.site),
		Load: func(p *plan.Plan) (*dataset.Data, error) {
			return dataset.Read(p, dataset.Files{
				Name: b.site, Rows: bytes.NewReader(heartdisease.Rows(b.site)),
				SplitName: "split.csv", Split: bytes.NewReader(heartdisease.Split(b.site)), Center: b.site,
			})
		},
	})
	if err != nil {
		b.f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.agent, b.cancel, b.ended = agent, cancel, make(chan error, 1)
	go func() { b.ended <- agent.Run(ctx) }()
}

func (b *branch) stop() error {
	if b.cancel == nil {
		return nil
	}
	b.cancel()
	b.cancel = nil
	err := <-b.ended
	for _, n := range b.agent.Status().Sent {
		b.sent += n
	}
	return err
}

// failed waits for the agent to stop by itself.
func (b *branch) failed() error {
	b.f.t.Helper()
	select {
	case err := <-b.ended:
		b.cancel = nil
		return err
	case <-time.After(patience):
		b.f.t.Fatalf("%s did not stop", b.site)
		return nil
	}
}

// connected waits until the server has sessions of so many branches.
func (f *federation) connected(n int) {
	f.t.Helper()
	f.until(func() bool {
		st, err := f.current().Status(f.t.Context())
		return err == nil && len(st.Connected) == n
	}, "branches did not connect")
}

// until waits for a condition that nothing announces.
func (f *federation) until(ok func() bool, what string) {
	f.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatal(what)
		}
	}
}

// testPlan is the hospitals' logistic regression, shortened; every seed is another
// plan.
func testPlan(t testing.TB, seed uint64, edit ...func(*plan.Plan)) *plan.Plan {
	t.Helper()
	p, err := plan.Parse(heartdisease.Plan("heart-logreg"), "heart-logreg.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p.Seed, p.Federation.Rounds, p.Training.Steps = seed, 2, 5
	for _, e := range edit {
		e(p)
	}
	if err := p.Resolve(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (f *federation) submit(p *plan.Plan) id.RunID {
	f.t.Helper()
	run, err := f.current().Submit(f.t.Context(), p.Canonical())
	if err != nil {
		f.t.Fatal(err)
	}
	return run
}

// watch waits for the run's next event that fits, from its beginning.
func (f *federation) watch(run id.RunID, fits func(Event) bool) Event {
	f.t.Helper()
	found := errors.New("found")
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	var hit Event
	var seen []string
	err := f.current().Watch(ctx, run, func(ev Event) error {
		seen = append(seen, fmt.Sprintf("%s round %d r %d %s %s %v", ev.Kind, ev.Round, ev.R, ev.Code, ev.Text, ev.Dropped))
		if fits(ev) {
			hit = ev
			return found
		}
		return nil
	})
	if !errors.Is(err, found) {
		f.t.Fatalf("watching ended with %v after\n%s", err, strings.Join(seen, "\n"))
	}
	return hit
}

func kind(k string) func(Event) bool { return func(ev Event) bool { return ev.Kind == k } }

// finish waits for a run to be done and returns it.
func (f *federation) finish(run id.RunID) RunInfo {
	f.t.Helper()
	end := f.watch(run, func(ev Event) bool { return ev.Kind == stateDone || ev.Kind == stateStopped })
	if end.Kind != stateDone {
		f.t.Fatalf("the run stopped: %s", end.Text)
	}
	return f.info(run)
}

func (f *federation) info(run id.RunID) RunInfo {
	f.t.Helper()
	runs, err := f.current().Runs(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	for _, r := range runs {
		if r.Run == run {
			return r
		}
	}
	f.t.Fatalf("run %s is not listed", run)
	return RunInfo{}
}

// stranger is the other end of a channel, for tests that speak for themselves.
type stranger struct {
	t    *testing.T
	ch   *wire.Channel
	done chan error // what ServeConn returned
}

// knock opens a channel to a server.
func knock(t *testing.T, s *Server) *stranger {
	t.Helper()
	near, far := memnet.Pair()
	x := &stranger{t: t, done: make(chan error, 1)}
	go func() { x.done <- s.ServeConn(context.Background(), far) }()
	var err error
	if x.ch, err = wire.Dial(t.Context(), near, s.charter.Channel); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.ch.Close() })
	return x
}

func (x *stranger) send(m wire.Msg) {
	x.t.Helper()
	if err := x.ch.Send(m); err != nil {
		x.t.Fatal(err)
	}
}

// auth presents a member's key.
func (x *stranger) auth(key *id.PrivateKey) {
	x.t.Helper()
	m := &wire.Auth{Software: "test"}
	m.Sign(key, x.ch.Binding())
	x.send(m)
}

// join presents a token.
func (x *stranger) join(j *id.JoinString, key *id.PrivateKey) {
	x.t.Helper()
	m := &wire.Join{Token: j.Token, Org: j.Org, Site: j.Site, Software: "test"}
	m.Sign(key, x.ch.Binding())
	x.send(m)
}

// receive returns the next message.
func (x *stranger) receive() wire.Msg {
	x.t.Helper()
	m, err := x.ch.Receive()
	if err != nil {
		x.t.Fatal(err)
	}
	return m
}

// refused expects an error with the code and then the end.
func (x *stranger) refused(code wire.ErrorCode) *wire.Error {
	x.t.Helper()
	for {
		m, err := x.ch.Receive()
		if err != nil {
			x.t.Fatalf("the channel ended with %v, want the code %q", err, code)
		}
		if e, ok := m.(*wire.Error); ok {
			if e.Code != code {
				x.t.Fatalf("code %q (%s), want %q", e.Code, e.Message, code)
			}
			return e
		}
	}
}

func seededKey(b byte) *id.PrivateKey {
	var seed [32]byte
	seed[0] = b
	return id.NewPrivateKey(seed)
}

func agentOf(key *id.PrivateKey) id.AgentID {
	pub := key.Public()
	return pub.AgentID()
}

// enrolKey makes a member whose key the test holds.
func (f *federation) enrolKey(site string, key *id.PrivateKey) {
	f.t.Helper()
	x := knock(f.t, f.current())
	x.join(f.invite(site), key)
	if st := x.receive().(*wire.JoinStatus); st.State != wire.JoinPending {
		f.t.Fatalf("state %s", st.State)
	}
	pub := key.Public()
	if err := f.admin.Approve(f.t.Context(), f.current(), site, pub.Fingerprint()); err != nil {
		f.t.Fatal(err)
	}
	if st := x.receive().(*wire.JoinStatus); st.State != wire.JoinApproved {
		f.t.Fatalf("state %s", st.State)
	}
	x.ch.Close()
}

func (f *federation) invite(site string) *id.JoinString {
	f.t.Helper()
	text, err := f.current().Invite(f.t.Context(), site+" trust", site, time.Hour)
	if err != nil {
		f.t.Fatal(err)
	}
	j, err := id.ParseJoinString(text)
	if err != nil {
		f.t.Fatal(err)
	}
	return j
}
