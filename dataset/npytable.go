package dataset

import (
	"fmt"
	"slices"

	"tacit/plan"
)

// npyRecords opens a NumPy file of rows, and the labels' file where there is one.
func (l *loading) npyRecords() (records, error) {
	d := &l.plan.Data
	r := &npyRecords{cells: make([]cell, len(d.Columns))}
	opened := func(f *file) (a *npy, in *plain, err error) {
		if in, err = f.reader(); err != nil {
			return nil, nil, err
		}
		r.closers = append(r.closers, in)
		if a, err = readNPY(f.path, in); err == nil && len(a.shape) > 2 {
			err = fail(f.path, fmt.Sprintf("an array of %d dimensions, a table has 2", len(a.shape)), "")
		}
		if err == nil && !in.compressed {
			total := int64(a.size)
			for _, n := range a.shape {
				total *= int64(n)
			}
			if have := f.was.size - a.start; have != total {
				err = fail(f.path, fmt.Sprintf("the file holds %d bytes of data, its header promises %d", have, total), "copy the file again")
			}
		}
		return a, in, err
	}
	labels := l.src.Labels
	if labels == "" {
		labels, _ = labelsOf(l.src) // none: the target is one of the columns
	}
	apart := []int{}
	if labels != "" {
		apart = append(apart, d.TargetIndex())
		if e := d.EventIndex(); e >= 0 {
			apart = append(apart, e)
		}
	}
	var err error
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.x, r.xIn, err = opened(l.file); err != nil {
		return nil, err
	}
	for i := range d.Columns {
		if !slices.Contains(apart, i) {
			r.fromX = append(r.fromX, i)
		}
	}
	width := func(a *npy, want []int) ([]byte, error) {
		n := 1
		if len(a.shape) == 2 {
			n = a.shape[1]
		}
		if n != len(want) {
			var names []plan.Column
			for _, i := range want {
				names = append(names, d.Columns[i])
			}
			return nil, fail(a.file, fmt.Sprintf("the array has %d columns, the plan's schema has %d here (%s)", n, len(want), columnNames(names)), "give the agent the file that the plan describes")
		}
		return make([]byte, n*a.size), nil
	}
	if r.xRow, err = width(r.x, r.fromX); err != nil {
		return nil, err
	}
	r.n = r.x.shape[0]
	if labels == "" {
		return r, nil
	}
	if l.labels == nil {
		if l.labels, err = newFile(labels); err != nil {
			return nil, err
		}
	}
	r.fromY = apart
	if r.y, r.yIn, err = opened(l.labels); err != nil {
		return nil, err
	}
	if r.yRow, err = width(r.y, r.fromY); err != nil {
		return nil, err
	}
	if r.y.shape[0] != r.n {
		err = fail(l.name, fmt.Sprintf("%d rows, and %d labels in %s", r.n, r.y.shape[0], labels), "give the labels that belong to the rows")
		return nil, err
	}
	return r, nil
}
