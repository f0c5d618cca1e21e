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
	maxQueuedBytes   = 256 << 20 // a branch that does not read is let go beyond this
	handshakeTimeout = 15 * time.Second
	joinPatience     = 30 * time.Minute // how long a candidate may wait connected
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
	s      *Server
	ch     *wire.Channel
	agent  id.AgentID
	roster uint64 // version of the roster in its Welcome

	mu     sync.Mutex
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
	hctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	ch, err := wire.Accept(hctx, fc, s.keys.channel)
	cancel()
	if err != nil {
		return err
	}
	ss := &session{s: s, ch: ch, wake: make(chan struct{}, 1)}
	stop := context.AfterFunc(ctx, func() { ch.Close() })
	defer stop()
	defer ch.Close()
	err = ss.serve(ctx)
	var told *wire.Error
	if errors.As(err, &told) {
		_ = ch.Send(told)
	}
	return err
}

// receive reads one message and counts it for the agent that the session belongs to.
func (ss *session) receive() (wire.Msg, error) {
	before := ss.ch.Received().Total()
	m, err := ss.ch.Receive()
	if err != nil {
		return nil, err
	}
	who := ss.agent
	switch m := m.(type) {
	case *wire.Join:
		if key, err := id.ParsePublicKey(m.PublicKey); err == nil {
			who = key.AgentID()
		}
	case *wire.Auth:
		who = m.Agent
	}
	if !who.IsZero() {
		ss.s.traffic.received(who, m.Kind(), ss.ch.Received().Total()-before)
	}
	return m, nil
}

func (ss *session) serve(ctx context.Context) error {
	if err := ss.admit(ctx); err != nil {
		return err
	}
	ss.s.register(ss)
	defer ss.s.unregister(ss)
	go ss.write()
	defer ss.shut()
	ss.s.post(ss, engine.Connected{Agent: ss.agent})
	for {
		m, err := ss.receive()
		if err != nil {
			return err
		}
		if err := ss.handle(m); err != nil {
			return err
		}
	}
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
		ss.s.post(ss, engine.PlanAnswer{Agent: ss.agent, Accept: m.Accept, Code: string(m.Code)})
	case *wire.AgentState:
		if ss.s.isActive(m.Run) {
			ss.s.post(ss, engine.Standing{Agent: ss.agent, Epoch: m.Epoch, Out: m.Out})
		}
	case *wire.StageUp:
		if ss.s.isActive(m.Run) {
			ss.s.post(ss, engine.Stage{Agent: ss.agent, Msg: m.Stage})
		}
	case *wire.Report:
		ss.report = m
	case *wire.Vector:
		return ss.vector(m)
	case *wire.ModelRequest:
		return ss.model(m)
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
	ss.s.post(ss, engine.Report{Agent: ss.agent, R: m.R, Report: report.Report, Vector: info.Digest, Blob: info.Name})
	return nil
}

// model answers a request for the current model. It leaves only under a hash that
// the log has announced.
func (ss *session) model(m *wire.ModelRequest) error {
	record, round, ok := ss.s.currentModel(m.Run, m.Model)
	if !ok {
		return nil // the branch will be told of the next one
	}
	ss.send(outgoing{msg: &wire.Model{Run: m.Run, Round: round, Model: m.Model, Record: record}})
	return nil
}

// send queues a message; a branch that does not read is let go.
func (ss *session) send(o outgoing) {
	size := 1024
	switch m := o.msg.(type) {
	case *wire.Model:
		size += len(m.Record)
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
	if ss.queued > maxQueuedBytes {
		ss.closed = true
		go ss.ch.Close()
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
				ss.ch.Close()
				return
			}
		}
		if len(batch) > 0 {
			continue
		}
		if _, open := <-ss.wake; !open {
			return
		}
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
	if !ss.closed {
		ss.closed = true
	}
	select {
	case ss.wake <- struct{}{}:
	default:
	}
}
