package dataset

import (
	"bufio"
	"fmt"
	"io"
	"unicode/utf8"

	"tacit/plan"
)

// letters is one pass over a text as ids of the plan's alphabet.
type letters struct {
	file   string
	in     *bufio.Reader
	closer io.Closer
	ascii  [utf8.RuneSelf]int32 // id, −1: outside the alphabet
	ids    map[rune]int32
	skip   bool
	line   int
	column int
}

func newLetters(t *plan.Text, file string, in io.Reader) *letters {
	r := &letters{file: file, in: bufio.NewReaderSize(in, 1<<16), ids: t.IDs(), skip: t.Unknown == plan.UnknownSkip, line: 1}
	r.closer, _ = in.(io.Closer)
	for c := range r.ascii {
		r.ascii[c] = -1
		if id, ok := r.ids[rune(c)]; ok {
			r.ascii[c] = id
		}
	}
	if mark, err := r.in.Peek(3); err == nil && string(mark) == "\ufeff" && r.id('\ufeff') < 0 {
		r.in.Discard(3)
	}
	return r
}

func (r *letters) close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

func (r *letters) id(c rune) int32 {
	if c < utf8.RuneSelf {
		return r.ascii[c]
	}
	if id, ok := r.ids[c]; ok {
		return id
	}
	return -1
}

// next returns the id of the next character, or io.EOF.
func (r *letters) next() (int32, error) {
	for {
		c, size, err := r.in.ReadRune()
		if err == io.EOF {
			return 0, io.EOF
		}
		if err != nil {
			return 0, damaged(r.file, err)
		}
		r.column++
		id := r.id(c)
		bad := func(message, hint string) error {
			return &Error{File: r.file, Problems: []Problem{{Line: r.line, Message: fmt.Sprintf("character %d %s", r.column, message), Hint: hint}}}
		}
		switch {
		case c == utf8.RuneError && size == 1:
			return 0, bad("is not UTF-8", "store the text as UTF-8")
		case id < 0 && !r.skip:
			return 0, bad("is not in the plan's alphabet", "ask for a plan with data.text.unknown: skip, or with a wider alphabet")
		}
		if c == '\n' {
			r.line, r.column = r.line+1, 0
		}
		if id >= 0 {
			return id, nil
		}
	}
}

// text is windows over characters in memory: two bytes each.
type text struct {
	window
	ids []uint16
}

func textWindow(t *plan.Text, characters int) window {
	return window{length: t.Length, ahead: 1, stride: t.Stride, to: characters}
}

func (t *text) get(x *example, i int) error {
	first := t.start(i)
	x.u, x.labels = x.scratch(t.length), x.labelScratch(t.length)
	for j := range x.u {
		x.u[j] = float64(t.ids[first+j])
		x.labels[j] = int32(t.ids[first+j+1])
	}
	return nil
}

func (t *text) cut(share float64) (indexed, indexed) {
	a, b := t.parts(share)
	return &text{a, t.ids}, &text{b, t.ids}
}

// textCursor is the windows over the characters of one pass.
type textCursor struct {
	window
	in   *letters
	ids  []uint16 // the window and the character after it
	read int
	i    int // next window
}

func (c *textCursor) close() error { return c.in.close() }

func (c *textCursor) next(x *example) error {
	if c.i >= c.window.len() {
		return io.EOF
	}
	first, reach := c.start(c.i), c.reach()
	if c.ids == nil {
		c.ids = make([]uint16, 0, reach)
	}
	if c.i > 0 {
		c.ids = append(c.ids[:0], c.ids[min(c.stride, len(c.ids)):]...)
	}
	for c.read < first+reach {
		id, err := c.in.next()
		if err != nil {
			return err
		}
		if c.read >= first {
			c.ids = append(c.ids, uint16(id))
		}
		c.read++
	}
	view := text{window{length: c.length, ahead: 1, stride: 1, to: reach}, c.ids}
	x.row = c.i + 1
	c.i++
	return view.get(x, 0)
}

// tooMany is the error for more examples than a plan allows.
func tooMany(file string, p *plan.Plan, what string) error {
	return fail(file, fmt.Sprintf("more than %d %s, the most that the plan allows", p.Data.MaxExamples, what), "ask the plan's owner to raise data.max_examples")
}

// readText loads a text: in memory where it fits, else as a sequence.
func (l *loading) readText() (*Data, error) {
	t := &l.plan.Data.Text
	in, err := l.reader()
	if err != nil {
		return nil, err
	}
	r := newLetters(t, l.name, in)
	defer r.close()
	all := &text{window: textWindow(t, 0)}
	n, fits := 0, true
	for {
		id, err := r.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		n++
		if w := textWindow(t, n); w.len() > l.plan.Data.MaxExamples {
			return nil, tooMany(l.name, l.plan, "windows")
		}
		if fits && int64(n)*2 > l.memory && l.again() {
			all.ids, fits = nil, false
		}
		if fits {
			all.ids = append(all.ids, uint16(id))
		}
	}
	all.window = textWindow(t, n)
	if all.window.len() == 0 {
		return nil, fail(l.name, fmt.Sprintf("the text has %d characters, a window and the one after it are %d", n, t.Length+1), "")
	}
	if fits {
		return l.windows(all, n)
	}
	return l.windowSequences(all.window, n, func(w window) (cursor, error) {
		in, err := l.reader()
		if err != nil {
			return nil, err
		}
		return &textCursor{window: w, in: newLetters(t, l.name, in)}, nil
	})
}
