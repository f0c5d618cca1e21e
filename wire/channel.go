package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Channel carries messages over one [FrameConn]. Any number of goroutines may
// Send; their messages do not interleave. One goroutine calls Receive in a loop of
// its own and does not stop: the transport answers heartbeats inside it.
type Channel struct {
	fc      FrameConn
	side    Direction // what this side sends: Up or Down
	binding [32]byte
	version uint16

	welcomed atomic.Bool // a Welcome has been sent or received
	ending   atomic.Bool // CloseWith: what still arrives is thrown away

	limits [256]atomic.Int64 // of received kinds, where SetLimit lowered them; stored as limit + 1
	sent   [NumClasses]atomic.Uint64
	rcvd   [NumClasses]atomic.Uint64

	sendMu turn // owns out
	out    halfDuplex
	recvMu sync.Mutex // owns in
	in     halfDuplex

	dead struct {
		sync.Mutex
		err    error // the first error; nil while the channel lives
		broken error // the rule that the peer broke, while it is told; err will be that
	}
}

// turn is a mutex whose waiters count as idle in testing/synctest: who waits behind
// a stuck Send waits for time to pass.
type turn chan struct{}

func (t turn) Lock()   { t <- struct{}{} }
func (t turn) Unlock() { <-t }

func newChannel(fc FrameConn, k *sessionKeys, side Direction) *Channel {
	c := &Channel{fc: fc, side: side, binding: k.binding, version: k.version, sendMu: make(turn, 1)}
	up, down := newHalfDuplex(&k.up), newHalfDuplex(&k.down)
	if c.out, c.in = up, down; side == Down {
		c.out, c.in = down, up
	}
	return c
}

// Binding returns 32 bytes that both ends of this channel share and no other
// channel has. [Join] and [Auth] sign it.
func (c *Channel) Binding() [32]byte { return c.binding }

// Version returns the protocol version that both ends agreed on.
func (c *Channel) Version() uint16 { return c.version }

// RemoteAddr names the peer for logs.
func (c *Channel) RemoteAddr() string { return c.fc.RemoteAddr() }

// Sent returns the bytes of the messages that have left whole, by class.
func (c *Channel) Sent() Bytes { return load(&c.sent) }

// Received returns the bytes of the messages that have arrived whole, by class.
func (c *Channel) Received() Bytes { return load(&c.rcvd) }

func load(n *[NumClasses]atomic.Uint64) (b Bytes) {
	for i := range n {
		b[i] = n[i].Load()
	}
	return b
}

// SetLimit lowers the largest body of a received kind to n bytes, once the caller
// knows what to expect: a server that knows the plan's dimension sets
// [KindVector] to [VectorSize]. It never raises the kind's own limit.
func (c *Channel) SetLimit(k Kind, n int) { c.limits[k].Store(int64(max(n, 0)) + 1) }

func (c *Channel) limit(k Kind) int {
	if n := c.limits[k].Load(); n > 0 {
		return min(int(n-1), k.Limit())
	}
	return k.Limit()
}

// allowed checks that side from may send k now.
func (c *Channel) allowed(k Kind, from Direction) error {
	info := &kinds[k]
	switch {
	case !k.Known():
		return &UseError{k, "unknown to this version"}
	case info.dir&from == 0 && from == Up:
		return &UseError{k, "an agent does not send it"}
	case info.dir&from == 0:
		return &UseError{k, "a server does not send it"}
	case info.phase&early == 0 && !c.welcomed.Load():
		return &UseError{k, "not before the welcome"}
	case info.phase&late == 0 && c.welcomed.Load():
		return &UseError{k, "not after the welcome"}
	}
	return nil
}

// Send sends m. It returns when the transport has taken the last frame, which says
// nothing about the peer. It does not keep m.
func (c *Channel) Send(m Msg) error {
	k := m.Kind()
	head, bulk, err := encode(m)
	if err != nil {
		return err
	}
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	if err := c.err(); err != nil {
		return err
	}
	if c.ending.Load() {
		return ErrClosed
	}
	return c.send(k, head, bulk)
}

// send writes one message; the caller holds sendMu.
func (c *Channel) send(k Kind, head, bulk []byte) error {
	if err := c.allowed(k, c.side); err != nil {
		return err
	}
	if k == KindWelcome {
		c.welcomed.Store(true) // the peer may answer before the last frame is out
	}
	if err := c.writeFrames(k, head, bulk); err != nil {
		return c.fail(fmt.Errorf("wire: send %v: %w", k, err))
	}
	c.sent[k.Class()].Add(uint64(overhead + len(head) + len(bulk)))
	return nil
}

// frames recycles the buffers of sealed frames: a connection that is silent holds
// none.
var frames = sync.Pool{New: func() any { return new([MaxFrame]byte) }}

func (c *Channel) writeFrames(k Kind, head, bulk []byte) error {
	buf := frames.Get().(*[MaxFrame]byte)
	defer frames.Put(buf)
	flags := byte(flagFirst)
	frame := appendPrefix(buf[:frameHeader], k, len(head)+len(bulk))
	for {
		for _, part := range []*[]byte{&head, &bulk} {
			n := min(len(*part), frameHeader+maxPayload-len(frame))
			frame = append(frame, (*part)[:n]...)
			*part = (*part)[n:]
		}
		last := len(head)+len(bulk) == 0
		if last {
			flags |= flagLast
		}
		sealed, err := c.out.seal(frame, flags)
		if err != nil {
			return err
		}
		if err := c.fc.WriteFrame(sealed); err != nil || last {
			return err
		}
		flags, frame = 0, buf[:frameHeader]
	}
}

// Receive waits for the next message and returns it parsed and checked. Its bytes
// belong to the caller. Any error ends the channel; later calls return it again.
// [io.EOF] means that the peer closed between two messages.
func (c *Channel) Receive() (Msg, error) {
	c.recvMu.Lock()
	defer c.recvMu.Unlock()
	if err := c.err(); err != nil {
		return nil, err
	}
	if c.ending.Load() {
		return nil, c.drain()
	}
	k, body, err := c.readMessage()
	if err != nil {
		if c.ending.Load() {
			err = ErrClosed
		}
		c.tell(err)
		return nil, c.fail(err)
	}
	c.rcvd[k.Class()].Add(uint64(overhead + len(body)))
	m, err := decode(k, body)
	if err != nil {
		c.tell(err)
		return nil, c.fail(err)
	}
	if k == KindWelcome {
		c.welcomed.Store(true)
	}
	return m, nil
}

func (c *Channel) readMessage() (k Kind, body []byte, err error) {
	size := -1 // of the body; unknown before the first frame
	for {
		frame, err := c.fc.ReadFrame()
		if err != nil {
			if size >= 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			if errors.Is(err, io.EOF) {
				return 0, nil, io.EOF
			}
			return 0, nil, fmt.Errorf("wire: receive: %w", err)
		}
		if c.ending.Load() {
			return 0, nil, c.drain()
		}
		payload, flags, err := c.in.open(frame)
		if err != nil {
			return 0, nil, err
		}
		if first := size < 0; first != (flags&flagFirst != 0) || flags > flagFirst|flagLast {
			return 0, nil, fmt.Errorf("%w: flags %#x out of place", ErrFrame, flags)
		} else if first {
			if k, size, err = c.begin(payload); err != nil {
				return 0, nil, err
			}
			payload = payload[overhead:]
			body = make([]byte, 0, min(size, len(payload)))
		}
		missing := size - len(body) - len(payload)
		last := flags&flagLast != 0
		if missing < 0 || (missing == 0) != last || !last && len(frame) != MaxFrame {
			return 0, nil, fmt.Errorf("%w: %v is not cut as announced", ErrFrame, k)
		}
		body = appendBounded(body, payload, size)
		if last {
			return k, body, nil
		}
	}
}

// begin reads a message's kind and size and decides whether it may come.
func (c *Channel) begin(payload []byte) (k Kind, size int, err error) {
	if len(payload) < overhead {
		return 0, 0, fmt.Errorf("%w: a message has at least %d bytes", ErrFrame, overhead)
	}
	k = Kind(payload[0])
	if err := c.allowed(k, Both&^c.side); err != nil {
		return 0, 0, err
	}
	n := binary.BigEndian.Uint32(payload[1:])
	if limit := c.limit(k); uint64(n) > uint64(limit) {
		return 0, 0, &LimitError{k, int(n), limit}
	}
	return k, int(n), nil
}

// appendBounded appends p to b, which will have size bytes in the end. What it
// allocates is at most twice what has arrived, whatever was announced.
func appendBounded(b, p []byte, size int) []byte {
	if need := len(b) + len(p); need > cap(b) {
		grown := make([]byte, len(b), min(size, 2*need))
		copy(grown, b)
		b = grown
	}
	return append(b, p...)
}

// tell sends an authentic peer the rule that it broke. A peer that sends too much
// without reading is not waited for longer than [tellTimeout].
func (c *Channel) tell(broken error) {
	e := &Error{Code: CodeProtocol, Hint: "both sides need the same version of this program"}
	var use *UseError
	var limit *LimitError
	var format *FormatError
	switch {
	case errors.As(broken, &limit):
		e.Code, e.Message, e.Hint = CodeLimit, limit.Error(), "send less, or ask the federation for a larger limit"
	case errors.As(broken, &use):
		e.Message = use.Error()
	case errors.As(broken, &format):
		// The cause may quote the peer's own bytes, unprintable ones among them.
		e.Message = fmt.Sprintf("wire: %v: malformed body", format.Kind)
	default:
		return
	}
	head, _, err := encode(e)
	if err != nil {
		return
	}
	c.dead.Lock()
	c.dead.broken = broken
	c.dead.Unlock()
	c.fc.SetWriteDeadline(time.Now().Add(tellTimeout)) // also for a Send in progress, which holds sendMu
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	c.send(KindError, head, nil)
}

const tellTimeout = 50 * time.Millisecond

// closeGrace is how long CloseWith waits for the peer to read and go.
const closeGrace = time.Second

// CloseWith tells the peer why and closes the channel, in the background after at
// most a second: closing at once, with unread data waiting, would make the
// operating system drop the message. The goroutine in Receive drains that data and
// gets [ErrClosed].
func (c *Channel) CloseWith(e *Error) error {
	head, _, err := encode(e)
	if err != nil {
		c.Close()
		return err
	}
	timer := time.AfterFunc(closeGrace, func() { c.Close() }) // also bounds the wait for another Send
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	if err := c.err(); err != nil {
		timer.Stop()
		return err
	}
	if c.ending.Swap(true) {
		return ErrClosed
	}
	return c.send(KindError, head, nil)
}

// drain throws away what still arrives after CloseWith, until the peer goes or the
// grace is over. The caller holds recvMu.
func (c *Channel) drain() error {
	for {
		if _, err := c.fc.ReadFrame(); err != nil {
			return c.fail(ErrClosed)
		}
	}
}

// Close ends the channel at once. It is idempotent and unblocks Send and Receive.
func (c *Channel) Close() error {
	c.fail(ErrClosed)
	return nil
}

func (c *Channel) err() error {
	c.dead.Lock()
	defer c.dead.Unlock()
	return c.dead.err
}

// fail records the first error, closes the transport, and returns the first error.
func (c *Channel) fail(err error) error {
	c.dead.Lock()
	if c.dead.err == nil {
		if errors.Is(err, net.ErrClosed) {
			err = ErrClosed // only a Close on this side makes it
		}
		if c.dead.broken != nil {
			err = c.dead.broken
		}
		c.dead.err = err
	}
	err = c.dead.err
	c.dead.Unlock()
	c.fc.Close()
	return err
}
