package plan

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
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

// nearest returns the candidate that word was probably meant to be, or "".
func nearest(word string, candidates []string) string {
	best, distance := "", 1+max(2, utf8.RuneCountInString(word)/3)
	for _, c := range candidates {
		if d := editDistance(word, c); d < distance && d < utf8.RuneCountInString(c) {
			best, distance = c, d
		}
	}
	return best
}

// editDistance counts insertions, deletions, replacements and swaps of
// neighbours (optimal string alignment) between short words.
func editDistance(a, b string) int {
	x, y := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	if len(x) > 64 || len(y) > 64 {
		return 64
	}
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(x)][len(y)]
}

// quoteList writes words as "a, b or c".
func quoteList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
