// Package wsconn carries wire frames over WebSockets (RFC 6455) inside TLS. It is
// the only importer of gorilla/websocket and sets what that package leaves open: a
// read limit, a deadline on every read and write, one writer at a time, heartbeats,
// no compression, no browsers.
//
// # Liveness
//
// Each side pings every [Limits.PingInterval]. Anything whole from the peer (a
// frame, a ping, a pong) proves that it lives; [Limits.PongWait] without any is
// [ErrSilent]. Once a frame has begun it has [Limits.FrameTimeout] to arrive or to
// leave, heartbeats notwithstanding, so that one who sends or reads a byte a second
// is cut. A peer whose program is busy and does not read still pings, and lives
// until our next frame does not fit into its socket.
package wsconn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// Subprotocol is what both sides must name in the WebSocket handshake.
const Subprotocol = "tacit.v1"

// Path is where a server listens unless it is told otherwise.
const Path = "/tacit/v1"

// maxFrame is wire.MaxFrame; a test holds them equal.
const maxFrame = 64 << 10

// Errors that a caller may tell apart. All end the connection.
var (
	// ErrSilent: nothing came from the peer for PongWait, or a frame took longer
	// than FrameTimeout. It is an [os.ErrDeadlineExceeded].
	ErrSilent = fmt.Errorf("wsconn: the peer is silent or too slow: %w", os.ErrDeadlineExceeded)
	// ErrTooLarge: the peer announced a frame of more than 64 KiB.
	ErrTooLarge = errors.New("wsconn: frame too large")
	// ErrText: the peer sent a text message.
	ErrText = errors.New("wsconn: not a binary message")
)

// Limits are the connection's times; zero fields take the default.
type Limits struct {
	HandshakeTimeout time.Duration // TCP, proxy, TLS and upgrade together; 15 s
	FrameTimeout     time.Duration // one frame, either way; 20 s, which is 3.2 KiB/s
	PingInterval     time.Duration // 8 s
	PongWait         time.Duration // at least two intervals; 20 s
}

func (l Limits) withDefaults() Limits {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&l.HandshakeTimeout, 15*time.Second)
	set(&l.FrameTimeout, 20*time.Second)
	set(&l.PingInterval, 8*time.Second)
	set(&l.PongWait, 20*time.Second)
	return l
}

// Conn is one WebSocket. It implements wire.FrameConn.
type Conn struct {
	ws     *websocket.Conn
	limits Limits

	closed  atomic.Bool
	ping    *time.Timer // re-armed by its own function until closed
	ponging atomic.Bool // a goroutine is sending a pong

	writeMu       sync.Mutex // gorilla allows one writer
	writeDeadline atomic.Int64

	// The rest is for the reading goroutine, which also runs the ping and pong
	// handlers.
	buf     *[maxFrame]byte // the last frame; nil while waiting for one
	inFrame bool

	deadlineMu   sync.Mutex // owns readDeadline, and orders the socket's deadlines
	readDeadline time.Time  // the caller's
}

// buffers recycles read buffers: a connection that waits holds none.
var buffers = sync.Pool{New: func() any { return new([maxFrame]byte) }}

// writeBuffers is shared by all connections; gorilla holds one during a write.
var writeBuffers = new(sync.Pool)

const writeBufferSize = 16 << 10

func newConn(ws *websocket.Conn, l Limits) *Conn {
	c := &Conn{ws: ws, limits: l}
	ws.SetReadLimit(maxFrame)
	ws.SetPingHandler(func(data string) error {
		c.extend()
		// The reader never writes: two sides whose readers waited for their writers
		// while both sockets are full would wait for each other. RFC 6455, 5.5.3,
		// lets pings that come meanwhile go unanswered.
		if !c.ponging.Swap(true) {
			go func() {
				c.control(websocket.PongMessage, data)
				c.ponging.Store(false)
			}()
		}
		return nil
	})
	ws.SetPongHandler(func(string) error { c.extend(); return nil })
	c.ping = time.AfterFunc(time.Hour, c.heartbeat) // c.ping is set before it can fire
	c.ping.Reset(l.PingInterval)
	return c
}

// heartbeat runs on the timer's goroutine, never twice at once.
func (c *Conn) heartbeat() {
	if c.closed.Load() {
		return
	}
	c.control(websocket.PingMessage, "")
	c.ping.Reset(c.limits.PingInterval)
	if c.closed.Load() {
		c.ping.Stop()
	}
}

// control sends a ping or pong. Behind a frame that is being written it waits; that
// frame is heartbeat enough, and its deadline decides. gorilla ends a connection
// whose control frame is late, so these get longer than any frame.
func (c *Conn) control(typ int, data string) {
	c.ws.WriteControl(typ, []byte(data), time.Now().Add(2*c.limits.FrameTimeout))
}

// extend notes a sign of life.
func (c *Conn) extend() {
	if !c.inFrame {
		c.bound(c.limits.PongWait)
	}
}

// bound sets the socket's read deadline to d from now, or the caller's if earlier.
func (c *Conn) bound(d time.Duration) {
	c.deadlineMu.Lock()
	defer c.deadlineMu.Unlock()
	t := time.Now().Add(d)
	if !c.readDeadline.IsZero() && c.readDeadline.Before(t) {
		t = c.readDeadline
	}
	c.ws.SetReadDeadline(t)
}

// ReadFrame returns the next binary message, valid until the next call.
func (c *Conn) ReadFrame() ([]byte, error) {
	if c.buf != nil {
		buffers.Put(c.buf)
		c.buf = nil
	}
	c.inFrame = false
	// Also after a long pause of the caller: what waits in the socket counts.
	c.extend()
	typ, r, err := c.ws.NextReader()
	if err != nil {
		return nil, c.fail(err)
	}
	if typ != websocket.BinaryMessage {
		return nil, c.fail(ErrText)
	}
	c.inFrame = true
	c.bound(c.limits.FrameTimeout)
	c.buf = buffers.Get().(*[maxFrame]byte)
	n, err := io.ReadFull(r, c.buf[:])
	switch err {
	case io.EOF, io.ErrUnexpectedEOF:
		// The end of the message. A lost connection is gorilla's own close error.
		err = nil
	case nil:
		// Full: the message must end here, and gorilla's read limit says that it does.
		if _, err = r.Read(make([]byte, 1)); err == io.EOF {
			err = nil
		}
	}
	if err != nil {
		return nil, c.fail(err)
	}
	return c.buf[:n], nil
}

// WriteFrame sends p as one binary message.
func (c *Conn) WriteFrame(p []byte) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	t := time.Now().Add(c.limits.FrameTimeout)
	if d := c.writeDeadline.Load(); d != 0 && d < t.UnixNano() {
		t = time.Unix(0, d)
	}
	c.ws.SetWriteDeadline(t)
	if err := c.ws.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return c.fail(err)
	}
	return nil
}

// SetReadDeadline bounds this and every later ReadFrame; zero lifts the bound.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.deadlineMu.Lock()
	defer c.deadlineMu.Unlock()
	c.readDeadline = t
	if t.IsZero() || time.Until(t) > c.limits.PongWait {
		t = time.Now().Add(c.limits.PongWait)
	}
	return c.ws.SetReadDeadline(t)
}

// SetWriteDeadline bounds every later WriteFrame; zero lifts the bound.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		c.writeDeadline.Store(0)
	} else {
		c.writeDeadline.Store(t.UnixNano())
	}
	return nil
}

// RemoteAddr returns the peer's network address.
func (c *Conn) RemoteAddr() string { return c.ws.RemoteAddr().String() }

// closeWait is how long Close waits to say goodbye.
const closeWait = 200 * time.Millisecond

// Close says goodbye, if the socket takes it at once, and ends the connection.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.ping.Stop()
	c.ws.WriteControl(websocket.CloseMessage,
		websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(closeWait))
	c.ws.Close()
	return nil
}

// fail closes the connection and gives its end a name.
func (c *Conn) fail(err error) error {
	was := c.closed.Load()
	c.Close()
	if was {
		return fmt.Errorf("wsconn: %w", net.ErrClosed)
	}
	if ce, ok := errors.AsType[*websocket.CloseError](err); ok {
		switch ce.Code {
		case websocket.CloseNormalClosure, websocket.CloseGoingAway:
			return io.EOF
		case websocket.CloseMessageTooBig:
			return fmt.Errorf("wsconn: the peer refused a frame as too large")
		case websocket.CloseAbnormalClosure:
			return fmt.Errorf("wsconn: connection lost: %w", io.ErrUnexpectedEOF)
		}
		return fmt.Errorf("wsconn: closed by the peer with code %d", ce.Code)
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return ErrSilent
	}
	if errors.Is(err, websocket.ErrReadLimit) {
		return ErrTooLarge
	}
	if errors.Is(err, ErrText) {
		return err
	}
	return fmt.Errorf("wsconn: %w", err)
}
