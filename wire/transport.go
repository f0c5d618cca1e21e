package wire

import "time"

// FrameConn carries frames of up to [MaxFrame] bytes, whole, in order, both ways.
// Its implementations are wsconn.Conn and memnet.Conn.
//
// One goroutine may read while another writes. ReadFrame returns [io.EOF] when the
// peer has closed in order, [net.ErrClosed] after a Close on this side,
// [os.ErrDeadlineExceeded] (wrapped) when a deadline passes, and another error when
// the connection is lost. Any error ends the connection.
type FrameConn interface {
	// ReadFrame returns the next frame. Its bytes are valid, and the caller's to
	// overwrite, until the next call.
	ReadFrame() ([]byte, error)
	// WriteFrame sends p and does not keep it.
	WriteFrame(p []byte) error
	// SetReadDeadline bounds every later ReadFrame; the zero time lifts the bound.
	SetReadDeadline(t time.Time) error
	// SetWriteDeadline bounds every later WriteFrame.
	SetWriteDeadline(t time.Time) error
	// Close ends the connection and unblocks both goroutines. It is idempotent.
	Close() error
	// RemoteAddr names the peer for logs.
	RemoteAddr() string
}
