package plan

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a plan.
type Problem struct {
	File    string // where Line and Column count; "" when the plan did not come from text
	Line    int    // 1-based; 0 when there is no place to point at
	Column  int    // 1-based
	Key     string // dotted, such as "training.learning_rate"
	Message string
	Hint    string // what to do about it; may be empty
	Excerpt string // the source line
}

// String returns the place and the message, then the excerpt with a caret and
// the hint on lines of their own.
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
		if p.Excerpt != "" {
			fmt.Fprintf(&b, "\n%5d | %s\n      | %s^", p.Line, p.Excerpt, strings.Repeat(" ", max(p.Column-1, 0)))
		}
	} else {
		if p.File != "" {
			b.WriteString(p.File + ": ")
		}
		b.WriteString(p.Message)
	}
	if p.Hint != "" {
		b.WriteString("\n        " + p.Hint)
	}
	return b.String()
}

// Error lists everything that is wrong with a plan, in the order of the file.
type Error struct {
	Problems []Problem
}

// Error returns every problem, one after the other.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// orNil sorts the problems by place and returns them as an error, or nil.
func orNil(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if a.File != b.File {
			return strings.Compare(a.File, b.File)
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return &Error{Problems: problems}
}

// quoteList writes words as "a, b or c".
func quoteList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
