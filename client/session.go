package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tacit/wire"
)

// inboxSize is how many messages may wait while the agent works on one.
const inboxSize = 64

// inbox is what a connection's reader hands over.
type inbox struct {
	msgs chan wire.Msg
	err  error // why msgs was closed; read it after that
}

// read receives until the channel ends. It is the connection's only reader.
func (b *inbox) read(ch *wire.Channel, done <-chan struct{}) {
	defer close(b.msgs)
	for {
		m, err := ch.Receive()
		if err != nil {
			b.err = err
			return
		}
		select {
		case b.msgs <- m:
		case <-done:
			b.err = wire.ErrClosed
			return
		}
	}
}

// session serves one connection, from dialling to its end. It calls welcomed once
// the server is known to be the right one.
func (a *Agent) session(ctx context.Context, welcomed func()) error {
	ch, err := connect(ctx, a.dial, a.ref)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", a.ref.URL, err)
	}
	in := &inbox{msgs: make(chan wire.Msg, inboxSize)}
	done := make(chan struct{})
	read := make(chan struct{})
	go func() {
		defer close(read)
		in.read(ch, done)
	}()
	defer func() {
		close(done)
		ch.Close()
		<-read
		a.leave(ch)
	}()
	if err := a.authenticate(ctx, ch, in); err != nil {
		return err
	}
	a.ch = ch
	welcomed()
	a.status.connected()
	a.log.Info("connected", "server", ch.RemoteAddr(), "log_size", a.trust.treeSize())
	return a.serve(ctx, in)
}

// leave forgets what holds for one connection only.
func (a *Agent) leave(ch *wire.Channel) {
	a.ch = nil
	for _, r := range a.runs {
		r.active, r.told = false, nil
		if r.attempt != nil {
			r.attempt.live = false
		}
	}
	a.status.sent(ch.Sent(), true)
	a.status.disconnected()
}

// authenticate proves who this agent is, and believes the answer only after the
// checks of [trust.welcome].
func (a *Agent) authenticate(ctx context.Context, ch *wire.Channel, in *inbox) error {
	auth := &wire.Auth{TreeSize: a.trust.treeSize(), Software: Software}
	auth.Sign(a.st.key, ch.Binding())
	if err := ch.Send(auth); err != nil {
		return err
	}
	timer := time.NewTimer(dialTimeout)
	defer timer.Stop()
	var m wire.Msg
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return errors.New("the server does not answer")
	case msg, ok := <-in.msgs:
		if !ok {
			return lost(in.err)
		}
		m = msg
	}
	switch m := m.(type) {
	case *wire.Error:
		return m
	case *wire.Welcome:
		records, err := a.trust.welcome(m, a.ref, a.self, time.Now())
		if err != nil {
			return a.convict(err)
		}
		return a.persist(records...)
	}
	return fmt.Errorf("unexpected %s before the welcome", m.Kind())
}

// lost words the end of a connection.
func lost(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the server closed the connection")
	}
	return fmt.Errorf("the connection was lost: %w", err)
}

// serve is the agent's one loop while it is connected: the server's messages, what
// the trainer brings, and the two timers.
func (a *Agent) serve(ctx context.Context, in *inbox) error {
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m, ok := <-in.msgs:
			if !ok {
				return lost(in.err)
			}
			err = a.handle(m)
		case t := <-a.trained:
			err = a.onTrained(t)
		case <-a.retry.C:
			err = a.unstall()
		case <-a.recheck.C:
			err = a.onRecheck()
		}
		if err != nil {
			return err
		}
		if a.trust.dirty && !a.stalled {
			if err := a.persist(); err != nil {
				a.stall(nil, err)
			}
		}
		a.status.sent(a.ch.Sent(), false)
	}
}

// proofOf returns the log proof that a message carries, or nil.
func proofOf(m wire.Msg) *wire.Proof {
	switch m := m.(type) {
	case *wire.PlanOffer:
		return &m.Proof
	case *wire.RoundOpen:
		return &m.Proof
	case *wire.Committed:
		return &m.Proof
	case *wire.RoundAborted:
		return &m.Proof
	}
	return nil
}

// handle acts on one message. Its errors end the session.
func (a *Agent) handle(m wire.Msg) error {
	// The log is followed even where the message is not: the server's next proof
	// begins at the checkpoint that this one brings.
	if p := proofOf(m); p != nil {
		if err := a.trust.advance(p); err != nil {
			if stop := a.distrust(err); stop != nil {
				return stop
			}
		}
	}
	switch m := m.(type) {
	case *wire.PlanOffer:
		return a.onOffer(m)
	case *wire.RoundOpen:
		return a.onRoundOpen(m)
	case *wire.StageDown:
		return a.onStage(m)
	case *wire.ReportAck:
		return a.onAck(m)
	case *wire.Committed:
		return a.onCommitted(m)
	case *wire.RoundAborted:
		return a.onRoundAborted(m)
	case *wire.RunDone:
		return a.onRunDone(m)
	case *wire.Error:
		return m
	case *wire.Ping:
		return a.ch.Send(&wire.Pong{Nonce: m.Nonce})
	case *wire.Pong:
		return nil
	}
	return fmt.Errorf("unexpected %s", m.Kind())
}
