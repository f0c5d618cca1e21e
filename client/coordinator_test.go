package client

import (
	"context"
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"tacit/audit"
	"tacit/id"
	"tacit/internal/memnet"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/strategy"
	"tacit/wire"
)

// coordinator is a small server for the agent's tests: one run, everything in
// memory, one goroutine that takes events. Its hooks change what it says, which is
// how it lies.
type coordinator struct {
	t       *testing.T
	net     *memnet.Network
	admin   *id.PrivateKey
	key     *id.PrivateKey
	channel *wire.ChannelKey
	charter *id.Charter
	plan    *plan.Plan
	run     id.RunID
	events  chan event
	done    chan struct{} // the run ended
	stop    context.CancelFunc
	stopped sync.WaitGroup

	mu       sync.Mutex // owns what follows, for reading by the test
	roster   *id.Roster
	changed  chan struct{}
	conns    map[id.AgentID]*peer
	replies  []wire.PlanReply
	cosigned int
	reports  map[uint64]map[id.AgentID][32]byte // r → who → digest of the vector's bytes
	final    id.ModelHash
	commits  []id.ModelHash
	sums     [][]uint32 // opened by the server

	log
	hooks

	// Owned by the loop.
	epoch         *secureagg.Epoch
	number        uint64
	round         *secureagg.Round
	index         uint64 // of the round
	r             uint64
	rec           *strategy.Record
	state         strategy.State
	started       int // log index
	openedAt      int
	accepted      map[id.AgentID]bool
	out           map[id.AgentID]bool // restarted during r
	live          map[id.AgentID]bool
	committedFrom []func(id.AgentID) // sends the commit of each round
	vectors       map[id.AgentID][]uint32
	pending       map[id.AgentID]*wire.Report
	phase         string
	outcomes      map[uint64][]byte     // by r
	reported      map[id.AgentID]uint64 // last r with a report
}

// hooks change or drop what leaves; nil means: as it is.
type hooks struct {
	welcome   func(*wire.Welcome)
	offer     func(*wire.PlanOffer)
	open      func(id.AgentID, *wire.RoundOpen)
	committed func(id.AgentID, *wire.Committed) bool       // false: not sent
	lie       func(*strategy.Record)                       // what is logged and published as the next model
	logged    func(*audit.RoundOpened)                     // what the log says of a round's opening
	ack       func(*wire.ReportAck)                        // before it is signed
	forget    func(id.AgentID, uint64) bool                // acknowledge a report and leave it out
	steer     func()                                       // after a commit, before the next round opens
	skip      map[id.AgentID]bool                          // hears of no round
	unawaited map[id.AgentID]bool                          // the collection does not wait for it
	patient   bool                                         // the collection waits for everyone
	hold      func(id.AgentID, secureagg.MessageKind) bool // drop a stage message
}

type peer struct {
	agent id.AgentID
	ch    *wire.Channel
	conn  *memnet.Conn
	seen  uint64 // tree size of the last checkpoint sent
	queue chan wire.Msg
	gone  chan struct{}
}

type event struct {
	from *peer
	msg  wire.Msg // nil: gone
	call func()
}

const testPlan = `tacit: plan/v1
name: toy
seed: 7
data:
  header: true
  max_examples: 64
  standardise: federated
  columns:
    - {name: a, type: numeric, min: 0, max: 10}
    - {name: b, type: numeric, min: 0, max: 10}
    - {name: y, type: numeric, min: 0, max: 1}
  target: {column: y, type: binary, positive: "> 0"}
model: {family: logreg}
training: {optimizer: sgd, learning_rate: 0.1, batch: 4, steps: 5}
federation:
  rounds: 2
  clip: 2
  min_branches: 4
  max_branches: 8
evaluation: {final: true, holdout: 0.25}
privacy: none
`

func newCoordinator(t *testing.T) *coordinator {
	t.Helper()
	p, err := plan.Parse([]byte(testPlan), "toy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	generate := func() *id.PrivateKey {
		k, err := id.Generate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	channel, err := wire.GenerateChannelKey()
	if err != nil {
		t.Fatal(err)
	}
	c := &coordinator{t: t, net: memnet.New(), admin: generate(), key: generate(), channel: channel, plan: p, run: id.RunID{1, 2, 3},
		events: make(chan event, 1024), done: make(chan struct{}), conns: map[id.AgentID]*peer{}, changed: make(chan struct{}),
		reports:  map[uint64]map[id.AgentID][32]byte{},
		accepted: map[id.AgentID]bool{}, outcomes: map[uint64][]byte{}, reported: map[id.AgentID]uint64{}, out: map[id.AgentID]bool{}, live: map[id.AgentID]bool{}, pending: map[id.AgentID]*wire.Report{}}
	federation := id.FederationID{9}
	signerKey, logKey, err := audit.GenerateLogKey(rand.Reader, audit.LogOrigin(federation))
	if err != nil {
		t.Fatal(err)
	}
	if c.signer, err = audit.NewSigner(signerKey); err != nil {
		t.Fatal(err)
	}
	admin := c.admin.Public()
	c.charter = &id.Charter{Federation: federation, Version: 1, Name: "test", Administrators: []id.PublicKey{admin}, Threshold: 1,
		Server: c.key.Public(), Channel: channel.Fingerprint(), LogKey: logKey, MinCohort: 4, AllowSmall: true,
		MaxOrgShare: 100, RoundsPerEpoch: 64, EpochsPerDay: 64}
	if err := c.charter.Sign(c.admin); err != nil {
		t.Fatal(err)
	}
	c.roster = &id.Roster{Federation: federation}
	c.log.append(t, audit.Entry{Digest: id.SumDigest(c.charter.AppendBinary(nil)),
		Payload: audit.Genesis{Federation: federation, Name: "test", Charter: c.charter.Hash(), LogKey: logKey}})
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	l, err := c.net.Listen("server")
	if err != nil {
		t.Fatal(err)
	}
	c.stopped.Go(func() {
		for {
			conn, err := l.Accept(ctx)
			if err != nil {
				return
			}
			c.stopped.Go(func() { c.serve(ctx, conn) })
		}
	})
	c.stopped.Go(func() { c.loop(ctx) })
	t.Cleanup(func() {
		cancel()
		l.Close()
		c.stopped.Wait()
	})
	return c
}

func (c *coordinator) dial(ctx context.Context) (wire.FrameConn, error) {
	conn, err := c.net.Dial(ctx, "server")
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func (c *coordinator) joinString(site string) string {
	return (&id.JoinString{URL: "wss://server/tacit/v1", Org: "org " + site, Site: site, Token: id.Token{1}, Channel: c.channel.Fingerprint(), Charter: c.charter.Hash()}).Encode()
}

// approve puts a candidate on the roster.
func (c *coordinator) approve(org, site string, key id.PublicKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.roster.Lookup(key.AgentID()) != nil {
		return
	}
	next, err := c.roster.With(id.Member{Org: org, Site: site, Key: key, NotBefore: 1, NotAfter: 1 << 40})
	if err != nil {
		c.t.Error(err)
		return
	}
	if err := next.Sign(c.charter, c.admin); err != nil {
		c.t.Error(err)
	}
	c.roster = next
	close(c.changed)
	c.changed = make(chan struct{})
}

// serve is one connection: joining, authentication, then its messages as events.
func (c *coordinator) serve(ctx context.Context, conn *memnet.Conn) {
	ch, err := wire.Accept(ctx, conn, c.channel)
	if err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { ch.Close() })
	defer stop()
	defer ch.Close()
	p := &peer{ch: ch, conn: conn, queue: make(chan wire.Msg, 1024), gone: make(chan struct{})}
	for p.agent.IsZero() {
		m, err := ch.Receive()
		if err != nil {
			return
		}
		switch m := m.(type) {
		case *wire.Join:
			key, err := m.Verify(ch.Binding())
			if err != nil || m.Token != (id.Token{1}) {
				ch.Send(&wire.Error{Code: wire.CodeTokenUnknown, Message: "the token is unknown"})
				return
			}
			for {
				c.mu.Lock()
				member, changed := c.roster.Lookup(key.AgentID()) != nil, c.changed
				c.mu.Unlock()
				state := wire.JoinPending
				if member {
					state = wire.JoinApproved
				}
				if ch.Send(&wire.JoinStatus{State: state, Agent: key.AgentID(), Fingerprint: key.Fingerprint()}) != nil {
					return
				}
				if member {
					break
				}
				select {
				case <-changed:
				case <-ctx.Done():
					return
				}
			}
		case *wire.Auth:
			c.mu.Lock()
			member := c.roster.Lookup(m.Agent)
			roster := c.roster.AppendBinary(nil)
			c.mu.Unlock()
			if member == nil || m.Verify(member.Key, ch.Binding()) != nil {
				ch.Send(&wire.Error{Code: wire.CodeUnknownAgent, Message: "no member"})
				return
			}
			p.agent = m.Agent
			ready := make(chan struct{})
			c.post(ctx, event{call: func() { // the log belongs to the loop
				server := c.key.Public()
				w := &wire.Welcome{Software: "test", Federation: c.charter.Federation, Charter: c.charter.AppendBinary(nil), Roster: roster,
					ServerKey: server.AppendBinary(nil), LogKey: c.charter.LogKey, Proof: c.log.proof(c.t, -1, min(m.TreeSize, c.log.size))}
				p.seen = c.log.size
				if c.welcome != nil {
					c.welcome(w)
				}
				p.queue <- w
				close(ready)
			}})
			select {
			case <-ready:
			case <-ctx.Done():
				return
			}
		default:
			return
		}
	}
	c.mu.Lock()
	if old := c.conns[p.agent]; old != nil {
		old.ch.Close()
	}
	c.conns[p.agent] = p
	c.mu.Unlock()
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		for {
			select {
			case m := <-p.queue:
				if ch.Send(m) != nil {
					ch.Close()
				}
			case <-p.gone:
				return
			}
		}
	}()
	welcomed := false
	for {
		if !welcomed {
			welcomed = true
			c.post(ctx, event{call: func() { c.greet(p) }})
		}
		m, err := ch.Receive()
		if err != nil {
			break
		}
		c.post(ctx, event{from: p, msg: m})
	}
	close(p.gone)
	<-wrote
	c.post(ctx, event{call: func() { c.lost(p) }})
}

func (c *coordinator) post(ctx context.Context, e event) {
	select {
	case c.events <- e:
	case <-ctx.Done():
	}
}

func (c *coordinator) loop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-c.events:
			if e.call != nil {
				e.call()
			} else if c.current(e.from) {
				c.handle(e.from, e.msg)
			}
		}
	}
}

func (c *coordinator) current(p *peer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conns[p.agent] == p
}

func (c *coordinator) send(to id.AgentID, make func(p *peer) wire.Msg) {
	c.mu.Lock()
	p := c.conns[to]
	c.mu.Unlock()
	if p == nil {
		return
	}
	if m := make(p); m != nil {
		p.queue <- m
	}
}

func (c *coordinator) proofFor(p *peer, index int) wire.Proof {
	proof := c.log.proof(c.t, index, p.seen)
	p.seen = c.log.size
	return proof
}

func (c *coordinator) members() []id.AgentID {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []id.AgentID
	for i := range c.roster.Members {
		all = append(all, c.roster.Members[i].Agent())
	}
	return all
}

// greet offers the plan to whoever came, once the run exists.
func (c *coordinator) greet(p *peer) {
	if c.phase == "" || c.phase == "done" {
		return
	}
	p.queue <- c.makeOffer(p)
}

func (c *coordinator) makeOffer(p *peer) wire.Msg {
	m := &wire.PlanOffer{Run: c.run, Plan: c.plan.Canonical(), Charter: c.charter.Hash(), Entry: c.log.entries[c.started], Proof: c.proofFor(p, c.started)}
	if c.offer != nil {
		c.offer(m)
	}
	return m
}

// begin starts the run; everyone connected gets the offer.
func (c *coordinator) begin() {
	c.events <- event{call: func() {
		rec, state, err := strategy.Initial(c.plan)
		if err != nil {
			c.t.Error(err)
			return
		}
		c.rec, c.state = rec, state
		c.started = c.log.append(c.t, audit.Entry{Run: c.run, Digest: id.SumDigest([]byte("run")),
			Payload: audit.RunStarted{Plan: c.plan.Hash(), Model: rec.Hash(), Rounds: uint32(c.plan.Federation.Rounds)}})
		c.phase = "gathering"
		c.index = c.plan.FirstRound()
		for _, a := range c.members() {
			c.send(a, c.makeOffer)
		}
	}}
}

func (c *coordinator) handle(p *peer, m wire.Msg) {
	switch m := m.(type) {
	case *wire.PlanReply:
		c.mu.Lock()
		c.replies = append(c.replies, *m)
		c.mu.Unlock()
		c.accepted[p.agent] = m.Accept
		if !m.Accept {
			c.live[p.agent] = false
			c.out[p.agent] = true
			c.maybeClose()
		}
		if c.phase == "gathering" {
			n := 0
			for _, ok := range c.accepted {
				if ok {
					n++
				}
			}
			if n == len(c.members()) {
				c.newEpoch()
			}
		}
	case *wire.AgentState:
		if c.epoch == nil || c.phase == "gathering" {
			return
		}
		for _, send := range c.committedFrom[min(m.Round-c.plan.FirstRound(), uint64(len(c.committedFrom))):] {
			send(p.agent)
		}
		c.live[p.agent] = !m.Out
		if m.Out {
			c.out[p.agent] = true
			c.maybeClose()
			return
		}
		for _, b := range c.epoch.For(p.agent) {
			c.stage(p.agent, b)
		}
		if b := c.outcomes[c.reported[p.agent]]; b != nil {
			c.stage(p.agent, b)
		}
		if c.phase == "waiting" {
			c.openIfBack()
		} else if c.round != nil && c.phase != "keying" {
			c.sendOpen(p.agent)
			for _, b := range c.round.For(p.agent) {
				c.stage(p.agent, b)
			}
		}
	case *wire.StageUp:
		c.stageUp(p.agent, m.Stage)
	case *wire.Report:
		c.pending[p.agent] = m
	case *wire.Vector:
		c.vector(p, m)
	case *wire.Cosign:
		c.mu.Lock()
		c.cosigned++
		c.mu.Unlock()
	}
}

func (c *coordinator) newEpoch() {
	c.number++
	c.mu.Lock()
	roster := c.roster
	c.mu.Unlock()
	e, out, err := secureagg.NewEpoch(secureagg.EpochConfig{Key: c.key, Charter: c.charter, Roster: roster, Run: c.run, Epoch: c.number, Start: c.r + 1})
	if err != nil {
		c.t.Error(err)
		return
	}
	c.epoch, c.phase = e, "keying"
	c.stages(out)
}

func (c *coordinator) stages(out []secureagg.Outgoing) {
	for _, o := range out {
		if !o.To.IsZero() {
			c.stage(o.To, o.Msg)
			continue
		}
		for _, a := range c.members() {
			c.stage(a, o.Msg)
		}
	}
}

func (c *coordinator) stage(to id.AgentID, b []byte) {
	kind, _ := secureagg.Kind(b)
	if c.hold != nil && c.hold(to, kind) {
		return
	}
	c.send(to, func(*peer) wire.Msg { return &wire.StageDown{Run: c.run, Stage: b} })
}

func (c *coordinator) lost(p *peer) {
	if !c.currentOrNone(p) {
		return
	}
	c.live[p.agent] = false
	c.maybeClose()
}

func (c *coordinator) currentOrNone(p *peer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conns[p.agent] != p {
		return false
	}
	delete(c.conns, p.agent)
	return true
}

// wait waits for the run's end.
func (c *coordinator) wait() {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(20 * time.Second):
		c.t.Fatalf("the run did not end: phase %s, round %d, r %d, live %v", c.phase, c.index, c.r, c.live)
	}
}

// cut loses an agent's connection.
func (c *coordinator) cut(a id.AgentID) {
	c.mu.Lock()
	p := c.conns[a]
	c.mu.Unlock()
	if p != nil {
		p.conn.Reset()
	}
}
