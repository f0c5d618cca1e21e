package dataset

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"tacit/plan"
)

// Source says where a branch's rows are.
type Source struct {
	Path   string // CSV file
	Split  string // optional split file
	Center string // whose lines of the split count; needed only where it lists several centers
}

// Files is a Source that is open already. Names are only printed.
type Files struct {
	Name      string
	Rows      io.Reader
	SplitName string
	Split     io.Reader // nil: no split file
	Center    string
}

// Data is a branch's rows, in file order within each table.
type Data struct {
	Train, Test *Table
	Rows        int // records in the file, a header not included
	Dropped     int // of them for a missing value
}

// Load reads the branch's rows as plan p describes them. p must be valid. Errors
// about contents are [*Error]s.
func Load(p *plan.Plan, src Source) (*Data, error) {
	f := Files{Name: src.Path, SplitName: src.Split, Center: src.Center}
	rows, err := os.Open(src.Path)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	defer rows.Close()
	f.Rows = rows
	if src.Split != "" {
		split, err := os.Open(src.Split)
		if err != nil {
			return nil, fmt.Errorf("dataset: %w", err)
		}
		defer split.Close()
		f.Split = split
	}
	return Read(p, f)
}

// Read is [Load] for files that are open already.
func Read(p *plan.Plan, f Files) (*Data, error) {
	r, err := newReader(p, f.Name)
	if err != nil {
		return nil, err
	}
	if err := r.readAll(f.Rows); err != nil {
		return nil, err
	}
	if len(r.rows) == 0 {
		return nil, fail(f.Name, fmt.Sprintf("no row is left to learn from (%d read, %d without a value that the plan needs)", r.records, r.dropped), "")
	}
	d := &Data{Rows: r.records, Dropped: r.dropped}
	var test []bool
	if f.Split != nil {
		if test, err = r.readSplit(f); err != nil {
			return nil, err
		}
	} else {
		test = r.holdout()
	}
	d.Train, d.Test = r.table(test, false), r.table(test, true)
	if d.Train.Len() == 0 {
		return nil, fail(f.Name, "every row is a test row", "train on some")
	}
	return d, nil
}

// row is one kept record.
type row struct {
	record int // 1-based
	label  int32
	target float32
}

type reader struct {
	p        *plan.Plan
	file     string
	features []plan.Feature
	first    []int // per column: its first feature, −1 for none
	target   int
	positive plan.PositiveRule
	source   []int // per column: its place in the file

	rows    []row
	u       []float64
	records int
	dropped int
	problem Error
}

func newReader(p *plan.Plan, file string) (*reader, error) {
	r := &reader{p: p, file: file, features: p.Data.Features(), target: p.Data.TargetIndex(), problem: Error{File: file}}
	if r.target < 0 || len(r.features) == 0 {
		return nil, errors.New("dataset: the plan has no target or no features")
	}
	r.first = make([]int, len(p.Data.Columns))
	for i := range r.first {
		r.first[i] = -1
		r.source = append(r.source, i)
	}
	for i := len(r.features) - 1; i >= 0; i-- {
		r.first[r.features[i].Column] = i
	}
	if p.Data.Target.Positive != "" {
		rule, err := plan.ParsePositiveRule(p.Data.Target.Positive)
		if err != nil {
			return nil, fmt.Errorf("dataset: %w", err)
		}
		r.positive = rule
	}
	return r, nil
}

// records returns a strict CSV reader behind a byte order mark, if there is one.
func records(in io.Reader, delimiter string) *csv.Reader {
	b := bufio.NewReader(in)
	if mark, err := b.Peek(3); err == nil && string(mark) == "\ufeff" {
		b.Discard(3)
	}
	c := csv.NewReader(b)
	c.Comma, _ = utf8.DecodeRuneInString(delimiter)
	c.FieldsPerRecord = -1
	c.ReuseRecord = true
	return c
}

func (r *reader) readAll(in io.Reader) error {
	c := records(in, r.p.Data.Delimiter)
	columns := len(r.p.Data.Columns)
	for first := true; ; first = false {
		cells, err := c.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return r.unreadable(r.file, err)
		}
		line, _ := c.FieldPos(0)
		if first && len(cells) != columns {
			return fail(r.file, fmt.Sprintf("the file has %d columns, the plan's schema has %d (%s)", len(cells), columns, names(r.p.Data.Columns)),
				"give the agent the file that the plan describes, or check data.delimiter in the plan")
		}
		if first && r.p.Data.Header {
			if err := r.readHeader(cells); err != nil {
				return err
			}
			continue
		}
		r.records++
		if len(cells) != columns {
			r.problem.add(Problem{Line: line, Message: fmt.Sprintf("%d cells, want %d", len(cells), columns), Hint: "a cell that holds the delimiter must stand in quotes"})
			continue
		}
		r.readRow(line, cells)
		if len(r.rows) > r.p.Data.MaxExamples {
			return fail(r.file, fmt.Sprintf("more than %d rows, the most that the plan allows", r.p.Data.MaxExamples), "ask the plan's owner to raise data.max_examples")
		}
	}
	return r.problem.orNil()
}

// unreadable turns a CSV error into one with a place. What encoding/csv says of
// an error holds no cell's value.
func (r *reader) unreadable(file string, err error) error {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		r.problem.add(Problem{Line: parse.Line, Message: parse.Err.Error(), Hint: `a cell with quotes is written "like ""this"""`})
		return &r.problem
	}
	return fmt.Errorf("dataset: %s: %w", file, err)
}

// readHeader finds each column by its name. Names from the file are never
// printed: a file without a header has a row there.
func (r *reader) readHeader(cells []string) error {
	at := make(map[string]int, len(cells))
	for i, c := range cells {
		c = strings.TrimSpace(c)
		if _, twice := at[c]; twice {
			return fail(r.file, fmt.Sprintf("two columns of the header have one name, the second is column %d", i+1), "")
		}
		at[c] = i
	}
	var missing []string
	for i, c := range r.p.Data.Columns {
		j, ok := at[c.Name]
		if !ok {
			missing = append(missing, c.Name)
		}
		r.source[i] = j
	}
	if len(missing) > 0 {
		return fail(r.file, fmt.Sprintf("the header lacks %d of the plan's columns: %s", len(missing), shorten(missing)),
			"give the agent the file that the plan describes; if the first line is a row, the plan needs data.header: false")
	}
	return nil
}

func names(columns []plan.Column) string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.Name
	}
	return shorten(out)
}

func shorten(names []string) string {
	if len(names) > 20 {
		return strings.Join(names[:20], ", ") + fmt.Sprintf(" and %d more", len(names)-20)
	}
	return strings.Join(names, ", ")
}

func (r *reader) readRow(line int, cells []string) {
	d := &r.p.Data
	start := len(r.u)
	r.u = append(r.u, make([]float64, len(r.features))...)
	u := r.u[start:]
	kept := row{record: r.records}
	missing, bad := false, false
	for i := range d.Columns {
		c := &d.Columns[i]
		if c.Unused {
			continue
		}
		cell := strings.TrimSpace(cells[r.source[i]])
		problem := func(message, hint string) {
			bad = true
			r.problem.add(Problem{Line: line, Column: c.Name, Message: message, Hint: hint})
		}
		if d.IsMissing(cell) {
			if d.OnMissing == plan.MissingError {
				problem("the cell has no value", "fill it in, or ask for a plan with on_missing: drop_row")
			}
			missing = true
			continue
		}
		var x, unit float64
		value := -1
		if c.Type == plan.Numeric {
			var ok bool
			if x, ok = plan.ParseNumber(cell); !ok {
				hint := "correct the cell; if it means that there is no value, the plan can list it in data.missing"
				if r.records == 1 && !d.Header {
					hint = "correct the cell; if the first line names the columns, the plan needs data.header: true"
				}
				problem("the cell is not a number", hint)
				continue
			}
			if unit, ok = c.Unit(x); !ok {
				problem(fmt.Sprintf("the value is outside the plan's range, %v to %v", c.Min, c.Max), "correct the cell, or ask for a plan with a wider range")
				continue
			}
		} else if value = c.ValueIndex(cell); value < 0 {
			problem(fmt.Sprintf("the value is none of the plan's: %s", shorten(c.Values)), "correct the cell, or ask for a plan that lists it")
			continue
		}
		switch {
		case i == r.target:
			r.setTarget(&kept, c, x, unit, value)
		case c.Type == plan.Numeric:
			u[r.first[i]] = unit
		default:
			if c.DropFirst {
				value--
			}
			if value >= 0 {
				u[r.first[i]+value] = 1
			}
		}
	}
	if missing || bad {
		r.u = r.u[:start]
		if !bad {
			r.dropped++
		}
		return
	}
	r.rows = append(r.rows, kept)
}

func (r *reader) setTarget(kept *row, c *plan.Column, x, unit float64, value int) {
	t := &r.p.Data.Target
	switch t.Type {
	case plan.Class:
		kept.label = int32(value)
	case plan.Number:
		kept.target = float32(unit)
	case plan.Binary:
		positive := c.Type == plan.Numeric && r.positive.Match(x)
		for _, v := range t.PositiveValues {
			positive = positive || value >= 0 && c.Values[value] == v
		}
		if positive {
			kept.label = 1
		}
	}
}

// holdout chooses the plan's share of test rows by its seed.
func (r *reader) holdout() []bool {
	test := make([]bool, len(r.rows))
	order := make([]int32, len(r.rows))
	newRandom(r.p.Seed, holdout, 0).permute(order)
	for _, i := range order[:int(float64(len(r.rows))*r.p.Evaluation.Holdout)] {
		test[i] = true
	}
	return test
}

// table returns the rows whose test mark is want.
func (r *reader) table(test []bool, want bool) *Table {
	width := len(r.features)
	t := &Table{target: r.p.Data.Target.Type, width: width}
	for i, k := range r.rows {
		if test[i] != want {
			continue
		}
		t.n++
		t.u = append(t.u, r.u[i*width:][:width]...)
		if t.target == plan.Number {
			t.targets = append(t.targets, k.target)
		} else {
			t.labels = append(t.labels, k.label)
		}
	}
	return t
}
