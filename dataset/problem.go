package dataset

import (
	"fmt"
	"strings"
)

// maxProblems is how many problems one [Error] lists.
const maxProblems = 20

// Problem is one thing that is wrong with a file. It never holds a row's value.
type Problem struct {
	Line    int    // 1-based; of a source without lines the record's number; 0 when the file as a whole is meant
	Column  string // the column's name; may be empty
	Message string
	Hint    string // what to do about it; may be empty
}

// Error lists what is wrong with one file, in its order.
type Error struct {
	File     string
	Problems []Problem
	More     int // problems beyond those listed
}

// Error returns one line per problem, with hints on lines of their own.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
		if p.Column != "" {
			fmt.Fprintf(&b, "column %q: ", p.Column)
		}
		b.WriteString(p.Message)
		if p.Hint != "" {
			b.WriteString("\n        " + p.Hint)
		}
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\n%s: and %d more", e.File, e.More)
	}
	return b.String()
}

func (e *Error) add(p Problem) {
	if len(e.Problems) == maxProblems {
		e.More++
		return
	}
	e.Problems = append(e.Problems, p)
}

// and returns e with the problems of another error behind its own, or that error
// where it has none.
func (e *Error) and(err error) error {
	more, ok := err.(*Error)
	if !ok {
		return err
	}
	for _, p := range more.Problems {
		e.add(p)
	}
	return e
}

func (e *Error) orNil() error {
	if len(e.Problems) == 0 {
		return nil
	}
	return e
}

// fail is an error about the file as a whole.
func fail(file, message, hint string) error {
	return &Error{File: file, Problems: []Problem{{Message: message, Hint: hint}}}
}
