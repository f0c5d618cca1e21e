package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"tacit/plan"
)

// Files is a Source of text (CSV, or a text for a plan of kind text) that is open
// already. Names are only printed. All of it is held in memory.
type Files struct {
	Name      string
	Rows      io.Reader
	SplitName string
	Split     io.Reader // nil: no split file
	Center    string
}

// Data is a branch's examples, in file order within each table.
type Data struct {
	Train, Test *Table
	Rows        int // records, images or characters read, a header not included
	Dropped     int // of them for a missing value

	closers []io.Closer
	stop    context.CancelFunc
}

// Close ends what is still open: files, and connections of a query. Tables that
// are in memory go on working.
func (d *Data) Close() error {
	for _, t := range []*Table{d.Train, d.Test} {
		if t != nil && t.sequence != nil {
			t.sequence.end()
		}
	}
	var first error
	for _, c := range d.closers {
		if err := c.Close(); err != nil && first == nil {
			first = err
		}
	}
	d.closers = nil
	if d.stop != nil {
		d.stop()
	}
	return first
}

// Load reads the branch's examples as plan p describes them. p must be valid.
// Errors about contents are [*Error]s. What it returns should be closed.
func Load(p *plan.Plan, src Source) (*Data, error) {
	return LoadContext(context.Background(), p, src)
}

// LoadContext is [Load], which ends with ctx.
func LoadContext(ctx context.Context, p *plan.Plan, src Source) (*Data, error) {
	if err := src.Validate(); err != nil {
		return nil, err
	}
	format, err := src.format(p.Data.Kind)
	if err != nil {
		return nil, err
	}
	l := &loading{ctx: ctx, plan: p, layout: layoutOf(p), src: src, format: format, name: src.Path, memory: src.Memory, share: p.Evaluation.Holdout}
	if l.memory == 0 {
		l.memory = DefaultMemory
	}
	if src.Split != "" {
		split, err := os.Open(src.Split)
		if err != nil {
			return nil, fmt.Errorf("dataset: %w", err)
		}
		defer split.Close()
		l.splitFile = &splitFile{name: src.Split, in: split, center: src.Center}
	}
	if src.Test == "" {
		return l.read()
	}
	l.share, l.memory = 0, l.memory/2
	d, err := l.read()
	if err != nil {
		return nil, err
	}
	l.src.Path, l.src.Labels, l.name = src.Test, src.TestLabels, src.Test
	l.closers, l.ctx, l.labels = nil, ctx, nil
	test, err := l.read()
	if err != nil {
		d.Close()
		return nil, err
	}
	stop := d.stop
	d.Test, d.Rows, d.Dropped = test.Train, d.Rows+test.Rows, d.Dropped+test.Dropped
	d.closers, d.stop = append(d.closers, test.closers...), func() { stop(); test.stop() }
	return d, nil
}

// Read is [Load] for files that are open already.
func Read(p *plan.Plan, f Files) (*Data, error) {
	l := &loading{ctx: context.Background(), plan: p, layout: layoutOf(p), name: f.Name, rows: f.Rows, share: p.Evaluation.Holdout, format: formatCSV}
	switch p.Data.Kind {
	case plan.KindText:
		l.format = formatText
	case plan.KindImages:
		return nil, fail(f.Name, "images are not read from an open file", "")
	}
	if f.Split != nil {
		l.splitFile = &splitFile{name: f.SplitName, in: f.Split, center: f.Center}
	}
	return l.read()
}

// loading is one Load.
type loading struct {
	ctx       context.Context
	plan      *plan.Plan
	layout    layout
	width     int
	src       Source
	format    string
	name      string // for errors
	memory    int64
	share     float64 // of test examples
	splitFile *splitFile
	rows      io.Reader // somebody else's file, which is read once; else:
	file      *file     // nil: a query or a folder
	labels    *file     // NumPy rows: the labels' file, once it was opened
	connect   connection
	closers   []io.Closer
}

var errClosed = errors.New("dataset: the data is closed")

// again reports whether the source can be read more than once.
func (l *loading) again() bool { return l.rows == nil }

// reader opens the source's bytes.
func (l *loading) reader() (in *plain, err error) {
	if l.rows != nil {
		in, err = decompress(l.name, l.rows)
	} else {
		in, err = l.file.reader()
	}
	if err == nil {
		in.ctx = l.ctx
	}
	return in, err
}

// read loads the source as its format asks. The data's own context outlives ctx,
// which bounds only the loading.
func (l *loading) read() (d *Data, err error) {
	if l.splitFile != nil && l.plan.Data.Kind != plan.KindTable && l.plan.Data.Kind != "" {
		return nil, fail(l.splitFile.name, "a split file divides the rows of a table", "remove split; name the test examples as test")
	}
	outer := l.ctx
	life, stop := context.WithCancelCause(context.WithoutCancel(outer))
	unlink := context.AfterFunc(outer, func() { stop(context.Cause(outer)) })
	if outer.Err() != nil {
		stop(context.Cause(outer)) // not only soon
	}
	l.ctx = life
	end := func() { stop(errClosed) }
	defer func() {
		unlink()
		if err != nil {
			(&Data{closers: l.closers, stop: end}).Close()
			d = nil
			return
		}
		d.closers, d.stop = l.closers, end
	}()
	l.width = l.layout.width
	if l.format == formatImages {
		return l.readFolder()
	}
	if err := l.open(); err != nil {
		return nil, err
	}
	switch l.plan.Data.Kind {
	case plan.KindImages:
		return l.readPixels()
	case plan.KindText:
		return l.readText()
	case plan.KindSeries:
		return l.readSeries()
	}
	return l.readTable()
}

// open notes the file, or prepares the connector.
func (l *loading) open() (err error) {
	switch l.format {
	case formatParquet, formatPostgres, formatMySQL:
		if l.format != formatParquet {
			l.name = l.format
			if l.src.Name != "" {
				l.name = l.src.Name
			}
		}
		make, ok := connectors[l.format]
		if !ok {
			return fail(l.name, "built without "+l.format, "go build -tags full ./cmd/tacit makes a program that has it")
		}
		if l.format == formatParquet {
			if l.file, err = newFile(l.src.Path); err != nil {
				return err
			}
		}
		l.connect, err = make(l)
		if c, ok := l.connect.(io.Closer); ok && err == nil {
			l.closers = append(l.closers, c)
		}
		return err
	}
	if l.rows == nil {
		l.file, err = newFile(l.src.Path)
	}
	return err
}

// connection begins passes over a connector's records.
type connection interface {
	records(ctx context.Context) (records, error)
}

// connectors are the sources with heavy trees of dependencies: files tagged full
// register them.
var connectors = map[string]func(*loading) (connection, error){}

// openRows begins a pass over a table's rows.
func (l *loading) openRows() (*rows, error) {
	var in records
	var err error
	switch {
	case l.connect != nil:
		in, err = l.connect.records(l.ctx)
	case l.format == formatNPY:
		in, err = l.npyRecords()
	default:
		var p *plain
		if p, err = l.reader(); err == nil {
			d := &l.plan.Data
			in = newCSV(l.name, p, d.Delimiter, d.Header, len(d.Columns), columnNames(d.Columns))
		}
	}
	if err != nil {
		return nil, err
	}
	r, err := readRows(l.plan, l.name, in)
	if err != nil {
		in.close()
	}
	return r, err
}

// table is examples that can be had in any order.
func (l *loading) table(in indexed) *Table {
	return &Table{layout: l.layout, n: in.len(), indexed: in, file: l.name}
}

// drawn divides t by the plan's seed.
func (l *loading) drawn(t *Table) (*Data, error) {
	if t.n == 0 {
		return nil, fail(l.name, "no examples", "")
	}
	in, out := choose(t.n, l.share, newRandom(l.plan.Seed, holdout, 0))
	return l.divided(t, in, out)
}

// divided is t's examples in two tables. It sums up those that are not in memory.
func (l *loading) divided(t *Table, train, test []int32) (d *Data, err error) {
	d = &Data{Rows: t.n}
	if len(train) == 0 {
		return nil, fail(l.name, "every row is a test row", "train on some")
	}
	if len(test) == 0 && t.stats == nil {
		d.Train = t
	} else if d.Train, err = t.pick(train); err != nil {
		return nil, err
	}
	d.Test, err = t.pick(test)
	return d, err
}

// wants returns which rows of a source that is read in order are test rows: drawn
// row by row from the plan's seed, since their number is not known before.
func (l *loading) wants(test bool) func(row int) bool {
	return func(row int) bool { return drawnRow(l.plan.Seed, holdout, row, l.share) == test }
}

func drawnRow(seed, stream uint64, row int, share float64) bool {
	if share == 0 {
		return false
	}
	return float64(newRandom(seed, stream, uint64(row)).next()>>11)/(1<<53) < share
}

// sequence is the examples that want picks, read again in every pass.
func (l *loading) sequence(open func(want func(int) bool) func() (cursor, error), want func(int) bool) (*Table, error) {
	t, err := newSequence(l.layout, l.name, l.buffer(), open(want))
	if err == nil {
		l.byRow(t, open, want)
	}
	return t, err
}

// byRow lets a table be split row by row.
func (l *loading) byRow(t *Table, open func(want func(int) bool) func() (cursor, error), want func(int) bool) {
	t.sequence.halve = func(share float64, seed uint64) (most, rest func() (cursor, error)) {
		part := func(out bool) func(int) bool {
			return func(row int) bool { return want(row) && drawnRow(seed, validation, row, share) == out }
		}
		return open(part(false)), open(part(true))
	}
}

// buffer is the bytes of one table's shuffle buffer.
func (l *loading) buffer() int64 { return l.memory / 2 }

// windows divides windows in memory.
func (l *loading) windows(w windowed, rows int) (*Data, error) {
	a, b := w.cut(l.share)
	d := &Data{Rows: rows, Train: l.table(a), Test: l.table(b)}
	if d.Train.n == 0 {
		return nil, fail(l.name, "no window is left to train on", "")
	}
	return d, nil
}

// windowSequences is the same for windows that are read again in every pass.
func (l *loading) windowSequences(w window, rows int, open func(window) (cursor, error)) (d *Data, err error) {
	part := func(w window) (*Table, error) {
		t, err := newSequence(l.layout, l.name, l.buffer(), func() (cursor, error) { return open(w) })
		if err != nil {
			return nil, err
		}
		t.sequence.halve = func(share float64, _ uint64) (most, rest func() (cursor, error)) {
			a, b := w.parts(share)
			return func() (cursor, error) { return open(a) }, func() (cursor, error) { return open(b) }
		}
		return t, nil
	}
	train, test := w.parts(l.share)
	d = &Data{Rows: rows}
	if d.Train, err = part(train); err != nil {
		return nil, err
	}
	if d.Train.n == 0 {
		return nil, fail(l.name, "no window is left to train on", "")
	}
	d.Test, err = part(test)
	return d, err
}
