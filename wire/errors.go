package wire

import (
	"errors"
	"fmt"

	"tacit/id"
)

// Every error of Receive, Dial and Accept ends the channel: reconnect (after
// [io.EOF] or a lost connection) or stop and tell a person (after [ErrServerKey]
// and [VersionError]). Errors of Send end it too, but for [UseError], [LimitError]
// and [FormatError], which leave nothing on the wire.
var (
	// ErrServerKey: the server does not hold the key that was pinned.
	ErrServerKey = errors.New("wire: not the pinned server")
	// ErrHandshake: the peer does not speak this protocol, or ended during it.
	ErrHandshake = errors.New("wire: handshake")
	// ErrTampered: a frame does not authenticate. It was changed, replayed,
	// reordered or lost on the way; the answer does not say which.
	ErrTampered = errors.New("wire: frame does not authenticate")
	// ErrFrame: an authentic frame, or the outside of one, that breaks the layout.
	ErrFrame = errors.New("wire: malformed frame")
	// ErrClosed: the channel was closed here.
	ErrClosed = errors.New("wire: channel closed")
)

// KeyError says which key was pinned and which was presented. It is [ErrServerKey].
type KeyError struct{ Want, Got id.Digest }

func (e *KeyError) Error() string {
	if e.Want == e.Got {
		return "wire: the server presented the pinned key but does not hold it"
	}
	return fmt.Sprintf("wire: the server's key is %s, pinned is %s", e.Got.Short(), e.Want.Short())
}

// Is makes every KeyError an [ErrServerKey].
func (e *KeyError) Is(target error) bool { return target == ErrServerKey }

// VersionRange is the protocol versions that one side speaks.
type VersionRange struct{ Min, Max uint16 }

// String returns "1" or "1-3".
func (r VersionRange) String() string {
	if r.Min == r.Max {
		return fmt.Sprint(r.Min)
	}
	return fmt.Sprintf("%d-%d", r.Min, r.Max)
}

// VersionError: the two sides have no protocol version in common.
type VersionError struct{ Ours, Theirs VersionRange }

func (e *VersionError) Error() string {
	older := "the peer"
	if e.Ours.Max < e.Theirs.Min {
		older = "this program"
	}
	return fmt.Sprintf("wire: no common protocol version: this program speaks %v, the peer %v; update %s", e.Ours, e.Theirs, older)
}

// LimitError: a message is larger than its kind allows.
type LimitError struct {
	Kind        Kind
	Size, Limit int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("wire: %v of %d bytes, at most %d are allowed", e.Kind, e.Size, e.Limit)
}

// UseError: a kind that is unknown, that this side may not send, or that may not
// pass before or after the Welcome.
type UseError struct {
	Kind   Kind
	Reason string
}

func (e *UseError) Error() string { return fmt.Sprintf("wire: %v: %s", e.Kind, e.Reason) }

// FormatError: a body that breaks its encoding or a rule of one of its fields.
type FormatError struct {
	Kind Kind
	Err  error
}

func (e *FormatError) Error() string { return fmt.Sprintf("wire: %v: %v", e.Kind, e.Err) }

// Unwrap returns the rule that was broken.
func (e *FormatError) Unwrap() error { return e.Err }
