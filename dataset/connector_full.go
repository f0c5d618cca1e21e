//go:build full

package dataset

import (
	"strconv"
	"time"
)

// Cells that only sources with types of their own have.
func instantCell(t time.Time) cell { return cell{kind: isInstant, time: t.UTC()} }
func boolCell(b bool) cell         { return cell{kind: isText, text: strconv.FormatBool(b)} }

// unreachable is an error that is [ErrUnreachable].
type unreachable struct{ message string }

func (u *unreachable) Error() string        { return u.message }
func (u *unreachable) Is(target error) bool { return target == ErrUnreachable }
