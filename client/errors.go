package client

import (
	"errors"
	"fmt"

	"tacit/audit"
	"tacit/wire"
)

// StopError is an error that trying again does not heal: a person has something to
// do, and the hint says what.
type StopError struct {
	What string
	Do   string
	Err  error // may be nil
}

// Error returns what happened.
func (e *StopError) Error() string {
	if e.Err == nil {
		return e.What
	}
	return e.What + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *StopError) Unwrap() error { return e.Err }

// Hint is the advice printed under the error.
func (e *StopError) Hint() string { return e.Do }

// Contradiction means that what the server did does not fit what it, or its log,
// had said. The agent keeps the statements in File and stops.
type Contradiction struct {
	What string
	File string // in the state directory; empty in memory
	Err  error  // may be nil; an *audit.Violation when the log itself is convicted
}

// Error returns what does not fit.
func (e *Contradiction) Error() string {
	if e.Err == nil {
		return "the server contradicts itself: " + e.What
	}
	return "the server contradicts itself: " + e.What + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Contradiction) Unwrap() error { return e.Err }

// Hint is the advice printed under the error.
func (e *Contradiction) Hint() string {
	if e.File == "" {
		return "nothing more was sent"
	}
	return "nothing more was sent; the evidence is in " + e.File + ": show it to the federation's administrators"
}

// final turns an error that a retry does not heal into what Run returns, or nil for
// one that it may heal.
func final(err error) error {
	var stop *StopError
	var contra *Contradiction
	var violation *audit.Violation
	var version *wire.VersionError
	var key *wire.KeyError
	var told *wire.Error
	switch {
	case errors.As(err, &contra), errors.As(err, &stop), errors.As(err, &violation):
		return err
	case errors.As(err, &key):
		return &StopError{What: "this is not the server that the joining string pinned", Err: key,
			Do: "check the address; if the server was set up anew, join it again with a new string"}
	case errors.Is(err, wire.ErrServerKey):
		return &StopError{What: "this is not the server that the joining string pinned", Err: err,
			Do: "check the address; if the server was set up anew, join it again with a new string"}
	case errors.As(err, &version):
		return &StopError{What: "this agent and the server speak different versions", Err: version, Do: "update the older of the two"}
	case errors.As(err, &told) && !told.Code.Temporary() && told.Code != wire.CodeProtocol && told.Code != wire.CodeLimit:
		return refused(told)
	}
	return nil
}

// refused gives the server's final answers the words of this side.
func refused(e *wire.Error) error {
	s := &StopError{What: fmt.Sprintf("the server refuses this agent (%s)", e.Code), Do: e.Hint, Err: errors.New(e.Message)}
	if s.Do != "" {
		return s
	}
	switch e.Code {
	case wire.CodeNotApproved:
		s.Do = "ask the administrator to approve this site: tacit site approve"
	case wire.CodeUnknownAgent, wire.CodeTokenUnknown, wire.CodeTokenUsed, wire.CodeTokenExpired:
		s.Do = "ask the server's operator for a new joining string: tacit site invite"
	case wire.CodeRevoked:
		s.Do = "ask the administrator why this membership ended"
	case wire.CodeSuperseded:
		s.Do = "another process runs with this agent's identity: stop one of them"
	}
	return s
}
