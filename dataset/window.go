package dataset

import (
	"io"

	"tacit/plan"
)

// window says where the windows over a sequence of rows or characters lie: each is
// length long and is told by what stands ahead of its last element. All of it lies
// in from … to.
type window struct {
	length, ahead, stride int
	from, to              int
}

// reach is how many elements one window and what it is told by cover.
func (w *window) reach() int { return w.length + w.ahead }

// len returns the number of windows.
func (w *window) len() int {
	if w.to-w.from < w.reach() {
		return 0
	}
	return (w.to-w.from-w.reach())/w.stride + 1
}

// start returns the first element of window i.
func (w *window) start(i int) int { return w.from + i*w.stride }

// parts divides the elements, not the windows, so that none reaches across.
func (w window) parts(share float64) (most, rest window) {
	cut := w.to - int(float64(w.to-w.from)*share)
	most, rest = w, w
	most.to, rest.from = cut, cut
	return most, rest
}

// windowed is examples that are windows.
type windowed interface {
	indexed
	cut(share float64) (most, rest indexed)
}

// series is windows over the rows of a table in memory.
type series struct {
	window
	rows *matrix
}

func seriesWindow(p *plan.Plan, rows int) window {
	s := &p.Data.Series
	return window{length: s.Length, ahead: s.Horizon, stride: s.Stride, to: rows}
}

func (s *series) get(x *example, i int) error {
	width, first := s.rows.width, s.start(i)
	last := first + s.length - 1 + s.ahead
	x.u = s.rows.u[first*width:][:s.length*width]
	if s.rows.labels != nil {
		x.labels = s.rows.labels[last : last+1]
	}
	if s.rows.targets != nil {
		x.targets = s.rows.targets[last*s.rows.per:][:s.rows.per]
	}
	return nil
}

func (s *series) cut(share float64) (indexed, indexed) {
	a, b := s.parts(share)
	return &series{a, s.rows}, &series{b, s.rows}
}

// seriesCursor is the windows over the rows of one pass.
type seriesCursor struct {
	window
	in   *rows
	per  int // targets of a row
	k    row
	rows matrix // those that the next windows need
	base int    // number of its first row
	read int
	i    int // next window
	past float64
}

func newSeriesCursor(in *rows, l *layout, w window) *seriesCursor {
	return &seriesCursor{window: w, in: in, per: l.targets, rows: matrix{width: len(in.features), per: l.targets}}
}

func (c *seriesCursor) close() error { return c.in.close() }

func (c *seriesCursor) next(x *example) error {
	if c.i >= c.window.len() {
		return io.EOF
	}
	first := c.start(c.i)
	for c.read < first+c.reach() {
		if err := c.in.next(&c.k); err != nil {
			return err
		}
		if err := inTime(c.in, &c.k, &c.past, c.read == 0); err != nil {
			return err
		}
		if c.read >= first {
			c.keep(first)
		}
		c.read++
	}
	view := series{window{length: c.length, ahead: c.ahead, stride: 1, from: first - c.base, to: c.rows.n}, &c.rows}
	x.row = c.i + 1
	c.i++
	return view.get(x, 0)
}

// keep appends the row just read, and drops rows before the first once they are
// most of what is kept.
func (c *seriesCursor) keep(first int) {
	m := &c.rows
	if m.n == 0 {
		c.base = c.read
	}
	if gone := first - c.base; gone > c.reach()+1024 || gone >= m.n && gone > 0 {
		gone = min(gone, m.n)
		m.u = append(m.u[:0], m.u[gone*m.width:]...)
		if m.per > 0 {
			m.targets = append(m.targets[:0], m.targets[gone*m.per:]...)
		} else {
			m.labels = append(m.labels[:0], m.labels[gone:]...)
		}
		m.n -= gone
		c.base += gone
		if m.n == 0 {
			c.base = c.read
		}
	}
	l := layout{targets: m.per}
	m.add(&c.k, &l)
}

// inTime reports a row that comes before the one before it, where a timestamp
// orders them.
func inTime(in *rows, k *row, past *float64, first bool) error {
	if in.time < 0 {
		return nil
	}
	if !first && k.at < *past {
		return &Error{File: in.file, Problems: []Problem{{Line: k.record, Column: in.p.Data.Columns[in.time].Name, Message: "the row is earlier than the one before, and there are too many to sort in memory (number of the row, a header not counted)",
			Hint: "sort the file by time, or give the data set more memory"}}}
	}
	*past = k.at
	return nil
}
