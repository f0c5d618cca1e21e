package memnet

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// Network connects listeners and dialers by name.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*Listener
	dialed    int
}

// New returns an empty network.
func New() *Network { return &Network{listeners: make(map[string]*Listener)} }

// Listener is where connections to one name arrive.
type Listener struct {
	net     *Network
	name    string
	backlog chan *Conn
	done    chan struct{}
	once    sync.Once
}

const backlog = 128

// Listen claims name until the listener is closed.
func (n *Network) Listen(name string) (*Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[name] != nil {
		return nil, fmt.Errorf("memnet: listen on %s: %w", name, syscall.EADDRINUSE)
	}
	l := &Listener{net: n, name: name, backlog: make(chan *Conn, backlog), done: make(chan struct{})}
	n.listeners[name] = l
	return l, nil
}

// Dial connects to the listener called name. It may return before Accept does.
func (n *Network) Dial(ctx context.Context, name string) (*Conn, error) {
	n.mu.Lock()
	l := n.listeners[name]
	n.dialed++
	who := fmt.Sprintf("memory-%d", n.dialed)
	n.mu.Unlock()
	refused := fmt.Errorf("memnet: dial %s: %w", name, syscall.ECONNREFUSED)
	if l == nil {
		return nil, refused
	}
	a, b := pair(name, who)
	select {
	case l.backlog <- b:
	case <-l.done:
		return nil, refused
	case <-ctx.Done():
		return nil, fmt.Errorf("memnet: dial %s: %w", name, context.Cause(ctx))
	}
	if isClosed(l.done) {
		b.Close() // nobody may be left to accept it
	}
	return a, nil
}

// Accept waits for the next connection.
func (l *Listener) Accept(ctx context.Context) (*Conn, error) {
	closed := fmt.Errorf("memnet: accept on %s: %w", l.name, net.ErrClosed)
	if isClosed(l.done) {
		return nil, closed
	}
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.done:
		return nil, closed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Close frees the name, unblocks Accept, and closes connections that no one accepted.
func (l *Listener) Close() error {
	l.once.Do(func() {
		l.net.mu.Lock()
		delete(l.net.listeners, l.name)
		l.net.mu.Unlock()
		close(l.done)
		for {
			select {
			case c := <-l.backlog:
				c.Close()
				continue
			default:
			}
			return
		}
	})
	return nil
}
