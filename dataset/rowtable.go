package dataset

import (
	"fmt"
	"slices"
)

// readTable loads rows: in memory where they fit, else as a sequence.
func (l *loading) readTable() (*Data, error) {
	r, err := l.openRows()
	if err != nil {
		return nil, err
	}
	defer r.close()
	all := &matrix{width: l.width, per: l.layout.targets}
	kept := &keptRows{}
	for k, err := range every(r.next) {
		if err != nil {
			return nil, err
		}
		if all.n == l.plan.Data.MaxExamples {
			return nil, tooMany(l.name, l.plan, "rows")
		}
		// Slices that grow by appending take up to twice what they hold.
		if l.again() && 2*int64(all.n+1)*l.layout.bytes() > l.memory {
			r.close()
			return l.readTableSequence()
		}
		all.add(k, &l.layout)
		if l.splitFile != nil {
			kept.add(k)
		}
	}
	if all.n == 0 {
		return nil, l.nothing(r)
	}
	t := l.table(all)
	var d *Data
	if l.splitFile != nil {
		test, err := kept.readSplit(l, r)
		if err != nil {
			return nil, err
		}
		var in, out []int32
		for i := range all.n {
			if test[i] {
				out = append(out, int32(i))
			} else {
				in = append(in, int32(i))
			}
		}
		d, err = l.divided(t, in, out)
		if err != nil {
			return nil, err
		}
	} else if d, err = l.drawn(t); err != nil {
		return nil, err
	}
	d.Rows, d.Dropped = r.records, r.dropped
	return d, nil
}

func (l *loading) nothing(r *rows) error {
	return fail(l.name, fmt.Sprintf("no row is left to learn from (%d read, %d without a value that the plan needs)", r.records, r.dropped), "")
}

// readTableSequence loads rows that are larger than memory: it reads them once
// (twice with a split file) and keeps their sums.
func (l *loading) readTableSequence() (*Data, error) {
	test := l.wants(true)
	if l.splitFile != nil {
		r, err := l.openRows()
		if err != nil {
			return nil, err
		}
		defer r.close()
		kept := &keptRows{}
		for k, err := range every(r.next) {
			if err != nil {
				return nil, err
			}
			if kept.add(k); kept.bytes() > l.memory {
				return nil, fail(l.splitFile.name, "there are too many rows to keep in memory which set each is in", "give the data set more memory, or let the plan hold out a share")
			}
		}
		marks, err := kept.readSplit(l, r)
		if err != nil {
			return nil, err
		}
		test = func(record int) bool {
			i, ok := slices.BinarySearch(kept.record, record)
			return ok && marks[i]
		}
	}
	train := func(record int) bool { return !test(record) }
	r, err := l.openRows()
	if err != nil {
		return nil, err
	}
	defer r.close()
	sums := [2]*tally{newTally(&l.layout), newTally(&l.layout)}
	all := &rowCursor{in: r, layout: l.layout}
	for x, err := range every(all.next) {
		if err != nil {
			return nil, err
		}
		set := sums[0]
		if test(x.row) {
			set = sums[1]
		}
		set.add(x)
		set.mix(x)
		if sums[0].n+sums[1].n > l.plan.Data.MaxExamples {
			return nil, tooMany(l.name, l.plan, "rows")
		}
	}
	if sums[0].n == 0 {
		return nil, l.nothing(r)
	}
	open := func(want func(int) bool) func() (cursor, error) {
		return func() (cursor, error) {
			r, err := l.openRows()
			if err != nil {
				return nil, err
			}
			return &rowCursor{in: r, layout: l.layout, want: want}, nil
		}
	}
	d := &Data{Rows: r.records, Dropped: r.dropped}
	d.Train = sequenceOf(l.layout, l.name, l.buffer(), sums[0], open(train))
	d.Test = sequenceOf(l.layout, l.name, l.buffer(), sums[1], open(test))
	l.byRow(d.Train, open, train)
	l.byRow(d.Test, open, test)
	return d, nil
}

// rowCursor is one pass over rows as examples.
type rowCursor struct {
	in     *rows
	layout layout
	want   func(record int) bool // nil: all
	k      row
}

func (c *rowCursor) close() error { return c.in.close() }

func (c *rowCursor) next(x *example) error {
	for {
		if err := c.in.next(&c.k); err != nil {
			return err
		}
		if c.want != nil && !c.want(c.k.record) {
			continue
		}
		x.u, x.row = c.k.u, c.k.record
		if c.layout.targets > 0 {
			x.targets = c.k.target[:c.layout.targets]
		} else {
			x.labels = x.labelScratch(1)
			x.labels[0] = c.k.label
		}
		return nil
	}
}

// readSeries loads the rows of a series: in memory where they fit, else as a
// sequence of windows.
func (l *loading) readSeries() (*Data, error) {
	r, err := l.openRows()
	if err != nil {
		return nil, err
	}
	defer r.close()
	rowWidth := l.plan.Data.RowWidth()
	all := &matrix{width: rowWidth, per: l.layout.targets}
	each := 2 * int64(8*rowWidth+4*max(l.layout.targets, 1)+8)
	var at []float64
	n, fits := 0, true
	for k, err := range every(r.next) {
		if err != nil {
			return nil, err
		}
		n++
		if w := seriesWindow(l.plan, n); w.len() > l.plan.Data.MaxExamples {
			return nil, tooMany(l.name, l.plan, "windows")
		}
		if fits && l.again() && int64(n)*each > l.memory {
			all, at, fits = nil, nil, false
		}
		if fits {
			all.add(k, &l.layout)
			if r.time >= 0 {
				at = append(at, k.at)
			}
		}
	}
	w := seriesWindow(l.plan, n)
	if w.len() == 0 {
		return nil, fail(l.name, fmt.Sprintf("%d rows are left, a window and what it is told by take %d", n, w.reach()), "")
	}
	var d *Data
	if fits {
		all.sort(at)
		d, err = l.windows(&series{w, all}, n)
	} else {
		d, err = l.windowSequences(w, n, func(w window) (cursor, error) {
			r, err := l.openRows()
			if err != nil {
				return nil, err
			}
			return newSeriesCursor(r, &l.layout, w), nil
		})
	}
	if err != nil {
		return nil, err
	}
	d.Rows, d.Dropped = r.records, r.dropped
	return d, nil
}

// sort orders rows by time; rows of one time keep their order.
func (m *matrix) sort(at []float64) {
	if slices.IsSorted(at) {
		return
	}
	order := make([]int, m.n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case at[a] < at[b]:
			return -1
		case at[a] > at[b]:
			return 1
		}
		return 0
	})
	out := matrix{width: m.width, per: m.per, n: m.n, u: make([]float64, 0, len(m.u))}
	for _, i := range order {
		out.u = append(out.u, m.u[i*m.width:][:m.width]...)
		if m.targets != nil {
			out.targets = append(out.targets, m.targets[i*m.per:][:m.per]...)
		} else {
			out.labels = append(out.labels, m.labels[i])
		}
	}
	*m = out
}
