package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tacit/id"
	"tacit/internal/crashpoint"
	"tacit/server/engine"
	"tacit/wire"
)

// Crash points of the coordinator.
var (
	pointSpooled     = crashpoint.Register("server.report.spooled")
	pointAcked       = crashpoint.Register("server.report.acked")
	pointSet         = crashpoint.Register("server.set.persisted")
	pointCertificate = crashpoint.Register("server.certificate.persisted")
	pointSummed      = crashpoint.Register("server.sum.opened")
	pointStaged      = crashpoint.Register("server.model.staged")
	pointCommitted   = crashpoint.Register("server.commit.done")
	pointPublished   = crashpoint.Register("server.model.published")
)

// Limits of one session.
const (
	maxQueuedBytes   = 256 << 20        // a branch that does not read is let go beyond this
	maxInFlight      = 16               // events of one branch that the loop has not taken yet
	strangerPatience = 15 * time.Second // from accepting a connection to a proven token or membership
	joinPatience     = 30 * time.Minute // how long a candidate with a proven token may wait connected
)

// outgoing is a message in a session's queue, or an entry to prove first.
type outgoing struct {
	msg   wire.Msg
	entry *logged
	done  func() // after it has been written; may be nil
}

// session is one branch's channel. The reader is ServeConn's goroutine; the writer
// is a goroutine of the session's own, so that a slow reader delays nobody else.
type session struct {
	s        *Server
	ctx      context.Context // ends with the session
	cancel   context.CancelFunc
	patience *time.Timer // ends a session that is no member's; owned by the reader
	ch       *wire.Channel
	agent    id.AgentID
	notAfter time.Time     // end of the membership
	roster   uint64        // version of the roster in its Welcome
	slots    chan struct{} // one for every event in the loop's queue
	writing  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	queue  []outgoing
	queued int
	closed bool
	wake   chan struct{}

	seen   uint64       // tree size of the last checkpoint sent or announced; owned by the writer after the Welcome
	report *wire.Report // waiting for its vector; owned by the reader
}

// ServeConn serves one connection until it ends. Every defect of the peer's ends the
// connection and nothing else.
func (s *Server) ServeConn(ctx context.Context, fc wire.FrameConn) error {
	if !s.enter() {
		fc.Close()
		return errStopping
	}
	defer s.leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.halted, cancel)()
	patience := time.AfterFunc(strangerPatience, cancel)
	defer patience.Stop()
	ch, err := wire.Accept(ctx, fc, s.keys.channel)
	if err != nil {
		return err
	}
	ss := &session{s: s, ctx: ctx, cancel: cancel, patience: patience, ch: ch,
		wake: make(chan struct{}, 1), slots: make(chan struct{}, maxInFlight)}
	defer ss.writing.Wait() // it reads the store, which is closed when nobody is served
	defer ch.Close()
	stop := context.AfterFunc(ctx, func() { ch.Close() })
	defer stop()
	err = ss.serve()
	var told *wire.Error
	if errors.As(err, &told) && ch.CloseWith(told) == nil {
		_, _ = ch.Receive() // until the peer has read it and gone, or a second
	}
	return err
}

// arrival is a message with the bytes that it took.
type arrival struct {
	msg  wire.Msg
	size uint64
	err  error
}

// receive reads one message. Only the session's reader calls it.
func (ss *session) receive() arrival {
	before := ss.ch.Received().Total()
	m, err := ss.ch.Receive()
	return arrival{m, ss.ch.Received().Total() - before, err}
}

// count adds a message to what an agent has sent. It is called once the agent has
// proved who it is: a stranger's words are on nobody's account.
func (ss *session) count(agent id.AgentID, a arrival) {
	ss.s.traffic.received(agent, a.msg.Kind(), a.size)
}

func (ss *session) serve() error {
	if err := ss.admit(); err != nil {
		return err
	}
	// What a member may send is bounded by the protocol it takes part in; vectors by
	// the plan that it accepts.
	limit := stageLimit(len(ss.s.members()))
	ss.ch.SetLimit(wire.KindStageUp, limit)
	ss.ch.SetLimit(wire.KindReport, limit)
	ss.ch.SetLimit(wire.KindVector, 0)
	expiry := time.AfterFunc(time.Until(ss.notAfter), func() {
		ss.end(&wire.Error{Code: wire.CodeRevoked, Message: "the membership has expired", Hint: "ask an administrator to renew it"})
	})
	defer expiry.Stop()
	ss.s.register(ss)
	defer ss.s.unregister(ss)
	ss.writing.Go(ss.write)
	defer ss.shut()
	ss.post(engine.Connected{Agent: ss.agent})
	for {
		a := ss.receive()
		if a.err != nil {
			return a.err
		}
		ss.count(ss.agent, a)
		if err := ss.handle(a.msg); err != nil {
			return err
		}
	}
}

// stageLimit is the size of the largest protocol message among n members: the
// shares of everybody's secrets, each with its Merkle path, with room to spare.
func stageLimit(n int) int { return 64<<10 + 512*n*n }

// post hands an event of this branch to the loop, in order. It waits while the loop
// has maxInFlight of them to take, so that a branch that floods fills its own
// connection and not the server's memory.
func (ss *session) post(ev engine.Event) {
	select {
	case ss.slots <- struct{}{}:
		ss.s.enqueue(event{from: ss, slot: true, ev: ev})
	case <-ss.ctx.Done():
	case <-ss.s.stopped:
	}
}

// end tells the branch why and ends the session, in the background.
func (ss *session) end(why *wire.Error) {
	go func() { _ = ss.ch.CloseWith(why) }() // closes it within a second, told or not
}

// handle acts on one message of an admitted branch.
func (ss *session) handle(m wire.Msg) error {
	switch m := m.(type) {
	case *wire.PlanReply:
		if !ss.s.isActive(m.Run) {
			return nil
		}
		if m.Accept {
			ss.ch.SetLimit(wire.KindVector, ss.s.vectorLimit())
		}
		ss.post(engine.PlanAnswer{Agent: ss.agent, Accept: m.Accept, Code: string(m.Code)})
	case *wire.AgentState:
		if ss.s.isActive(m.Run) {
			ss.post(engine.Standing{Agent: ss.agent, Epoch: m.Epoch, Round: m.Round, Out: m.Out})
		}
	case *wire.StageUp:
		if ss.s.isActive(m.Run) {
			ss.post(engine.Stage{Agent: ss.agent, Msg: m.Stage})
		}
	case *wire.Report:
		ss.report = m
	case *wire.Vector:
		return ss.vector(m)
	case *wire.Cosign:
		return ss.cosigned(m)
	case *wire.Ping:
		ss.send(outgoing{msg: &wire.Pong{Nonce: m.Nonce}})
	case *wire.Pong, *wire.Error:
	default:
		return fmt.Errorf("server: unexpected %s", m.Kind())
	}
	return nil
}

// vector spools the masked input that belongs to the report before it. It is
// durable before the engine hears of it.
func (ss *session) vector(m *wire.Vector) error {
	report := ss.report
	ss.report = nil
	if report == nil || report.Run != m.Run || report.R != m.R {
		return &wire.Error{Code: wire.CodeProtocol, Message: "a vector without its report"}
	}
	info, ok, err := ss.s.spoolVector(m.Run, m.R, ss.agent, m.Words)
	if !ok {
		return nil // of an attempt that is over
	}
	if err != nil {
		ss.s.fail(fmt.Errorf("server: spool a masked input: %w", err))
		return err
	}
	pointSpooled.Hit()
	ss.post(engine.Report{Agent: ss.agent, R: m.R, Report: report.Report, Vector: info.Digest, Words: int(info.Size / 4), Blob: info.Name})
	return nil
}

// send queues a message; a branch that does not read is let go.
func (ss *session) send(o outgoing) {
	size := 1024
	switch m := o.msg.(type) {
	case *wire.Committed:
		size += len(m.Sum) + len(m.Record)
	case *wire.StageDown:
		size += len(m.Stage)
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.closed {
		return
	}
	ss.queue = append(ss.queue, o)
	ss.queued += size
	if ss.queued > maxQueuedBytes && len(ss.queue) > 1 { // one message may be larger
		ss.closed, ss.queue = true, nil
		ss.cancel()
		return
	}
	select {
	case ss.wake <- struct{}{}:
	default:
	}
}

// write sends what is queued, in order. Proofs are made here, against the
// checkpoint of the moment and what this branch has seen.
func (ss *session) write() {
	for {
		ss.mu.Lock()
		batch, closed := ss.queue, ss.closed
		ss.queue, ss.queued = nil, 0
		ss.mu.Unlock()
		if closed {
			return
		}
		for _, o := range batch {
			if err := ss.deliver(o); err != nil {
				ss.cancel()
				return
			}
		}
		if len(batch) > 0 {
			continue
		}
		<-ss.wake
	}
}

func (ss *session) deliver(o outgoing) error {
	if o.entry != nil {
		proof, size, err := ss.s.prove(*o.entry, ss.seen)
		if err != nil {
			ss.s.fail(fmt.Errorf("server: prove log entry %d: %w", o.entry.index, err))
			return err
		}
		ss.seen = max(ss.seen, size)
		o.msg = withProof(o.msg, *o.entry, proof)
	}
	if err := ss.ch.Send(o.msg); err != nil {
		return err
	}
	if o.done != nil {
		o.done()
	}
	return nil
}

// withProof returns a copy of m that carries the entry and its proof.
func withProof(m wire.Msg, l logged, p wire.Proof) wire.Msg {
	switch m := m.(type) {
	case *wire.PlanOffer:
		c := *m
		c.Entry, c.Proof = l.entry, p
		return &c
	case *wire.RoundOpen:
		c := *m
		c.Entry, c.Proof = l.entry, p
		return &c
	case *wire.Committed:
		c := *m
		c.Entry, c.Proof, c.Record = l.entry, p, l.document
		return &c
	case *wire.RoundAborted:
		c := *m
		c.Entry, c.Proof = l.entry, p
		return &c
	}
	return m
}

// shut ends the writer.
func (ss *session) shut() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.closed, ss.queue = true, nil
	select {
	case ss.wake <- struct{}{}:
	default:
	}
}
