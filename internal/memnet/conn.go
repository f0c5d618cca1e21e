// Package memnet is a network in memory: pairs of frame connections, and listeners
// that many agents dial. Tests and simulations run the real protocol code over it.
// A connection behaves as a socket does:
//
//   - frames arrive whole and in order; a writer waits while [queueFrames] are unread;
//   - after Close the closer's calls return [net.ErrClosed]; the peer reads what was
//     sent, then [io.EOF], and its writes fail;
//   - after Reset both sides fail at once, what was under way is lost;
//   - a passed deadline is [os.ErrDeadlineExceeded] and is felt by a call in progress.
//
// [Conn] implements wire.FrameConn.
package memnet

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	maxFrame    = 64 << 10 // wire.MaxFrame
	queueFrames = 16
)

// link is what both ends of a pair share.
type link struct {
	reset     chan struct{} // closed by Reset
	resetOnce sync.Once
}

// Conn is one end of a pair.
type Conn struct {
	link       *link
	in         <-chan []byte
	out        chan<- []byte
	closed     chan struct{} // closed by Close on this end
	peerClosed <-chan struct{}
	closeOnce  sync.Once
	remote     string

	read, write deadline
}

// Pair returns the two ends of a new connection.
func Pair() (a, b *Conn) { return pair("memory", "memory") }

// pair names what each end calls its peer.
func pair(aRemote, bRemote string) (a, b *Conn) {
	l := &link{reset: make(chan struct{})}
	ab, ba := make(chan []byte, queueFrames), make(chan []byte, queueFrames)
	a = &Conn{link: l, in: ba, out: ab, closed: make(chan struct{}), remote: aRemote, read: newDeadline(), write: newDeadline()}
	b = &Conn{link: l, in: ab, out: ba, closed: make(chan struct{}), remote: bRemote, read: newDeadline(), write: newDeadline()}
	a.peerClosed, b.peerClosed = b.closed, a.closed
	return a, b
}

// over reports the end of the connection as a call on this end sees it at once.
func (c *Conn) over(d *deadline) error {
	switch {
	case isClosed(c.closed):
		return fmt.Errorf("memnet: %w", net.ErrClosed)
	case isClosed(c.link.reset):
		return fmt.Errorf("memnet: connection lost: %w", io.ErrUnexpectedEOF)
	case isClosed(d.passed()):
		return fmt.Errorf("memnet: %w", os.ErrDeadlineExceeded)
	}
	return nil
}

// ReadFrame returns the next frame. It belongs to the caller.
func (c *Conn) ReadFrame() ([]byte, error) {
	for {
		if err := c.over(&c.read); err != nil {
			return nil, err
		}
		select {
		case f := <-c.in:
			return f, nil
		default:
		}
		select {
		case f := <-c.in:
			return f, nil
		case <-c.peerClosed:
			// A frame that was sent before the Close may have come in between.
			select {
			case f := <-c.in:
				return f, nil
			default:
				return nil, io.EOF
			}
		case <-c.closed:
		case <-c.link.reset:
		case <-c.read.passed():
		case <-c.read.changed():
		}
	}
}

// WriteFrame copies p into the peer's queue, and waits for room in it.
func (c *Conn) WriteFrame(p []byte) error {
	if len(p) > maxFrame {
		c.Reset()
		return fmt.Errorf("memnet: frame of %d bytes is too large", len(p))
	}
	f := append(make([]byte, 0, len(p)), p...)
	for {
		if err := c.over(&c.write); err != nil {
			return err
		}
		if isClosed(c.peerClosed) {
			return fmt.Errorf("memnet: the peer has closed: %w", io.ErrClosedPipe)
		}
		select {
		case c.out <- f:
			return nil
		case <-c.peerClosed:
		case <-c.closed:
		case <-c.link.reset:
		case <-c.write.passed():
		case <-c.write.changed():
		}
	}
}

// SetReadDeadline bounds ReadFrame; the zero time lifts the bound.
func (c *Conn) SetReadDeadline(t time.Time) error { c.read.set(t); return nil }

// SetWriteDeadline bounds WriteFrame; the zero time lifts the bound.
func (c *Conn) SetWriteDeadline(t time.Time) error { c.write.set(t); return nil }

// RemoteAddr names the peer.
func (c *Conn) RemoteAddr() string { return c.remote }

// Close ends the connection in order. It is idempotent.
func (c *Conn) Close() error {
	c.closeOnce.Do(func() {
		close(c.closed)
		c.read.set(time.Time{}) // stop the timers
		c.write.set(time.Time{})
	})
	return nil
}

// Reset loses the connection for both ends, as a pulled cable does once it is noticed.
func (c *Conn) Reset() {
	c.link.resetOnce.Do(func() { close(c.link.reset) })
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// deadline is a bound that may move while a call waits for it.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	past  chan struct{} // closed when the bound has passed
	moved chan struct{} // closed, and replaced, by every set
}

func newDeadline() deadline {
	return deadline{past: make(chan struct{}), moved: make(chan struct{})}
}

func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.past
}

func (d *deadline) changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.moved
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	past := make(chan struct{}) // a stopped timer's late call closes an old one
	d.past = past
	close(d.moved)
	d.moved = make(chan struct{})
	if t.IsZero() {
		return
	}
	if wait := time.Until(t); wait > 0 {
		d.timer = time.AfterFunc(wait, func() { close(past) })
	} else {
		close(past)
	}
}
