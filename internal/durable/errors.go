package durable

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrDiskFull matches, by errors.Is, every error that means "no space" or "over
// quota". Nothing was changed by the operation that returned it.
var ErrDiskFull = errors.New("disk full")

// A FullError says which path could not be written because its disk is full.
type FullError struct {
	Path string
	Err  error // the system's error
}

func (e *FullError) Error() string        { return fmt.Sprintf("no space left to write %s", e.Path) }
func (e *FullError) Unwrap() error        { return e.Err }
func (e *FullError) Is(target error) bool { return target == ErrDiskFull }

// Hint is the advice printed under the error.
func (e *FullError) Hint() string {
	return "free some space on the disk that holds it and start again: nothing that was acknowledged is lost"
}

// full turns the system's "no space" into a FullError and leaves other errors alone.
func full(path string, err error) error {
	var known *FullError
	if err == nil || errors.As(err, &known) || !isDiskFull(err) {
		return err
	}
	return &FullError{Path: path, Err: err}
}

// Full is for writers that do not go through a Disk, such as a database: if err
// means that the disk is full it returns a FullError for path, else err.
func Full(path string, err error) error { return full(path, err) }

// ErrInjected is what injected faults are.
var ErrInjected = errors.New("injected fault")

// Torn, returned by a Fault for OpWrite, lets that many bytes reach the file
// before the write fails.
type Torn int

func (t Torn) Error() string        { return fmt.Sprintf("injected fault after %d bytes", int(t)) }
func (t Torn) Is(target error) bool { return target == ErrInjected }

// FailNth returns a Fault that fails the n-th operation (from 1) and no other,
// and a function that tells whether it has done so. The loop that uses it
// raises n until a run passes without a fault.
func FailNth(n int64) (fault func(Op, string) error, fired func() bool) {
	var count atomic.Int64
	fault = func(Op, string) error {
		if count.Add(1) == n {
			return ErrInjected
		}
		return nil
	}
	return fault, func() bool { return count.Load() >= n }
}
