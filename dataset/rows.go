package dataset

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"tacit/plan"
)

// rows turns records into typed rows, as a plan's schema describes them. It lists
// what is wrong with all of them before it fails.
type rows struct {
	p        *plan.Plan
	file     string
	in       records
	features []plan.Feature
	first    []int // per column: its first feature, −1 for none
	target   int   // column, −1: none
	event    int   // column, −1: none
	time     int   // column that orders a series, −1: none
	positive plan.PositiveRule
	source   []int // per column: its place in a record, −1: it is not read
	typed    bool  // the source has types of its own

	records int // read
	dropped int // of them for a missing value
	problem Error
}

// row is one kept record. Its slices are overwritten by the next.
type row struct {
	record int // 1-based
	u      []float64
	label  int32
	target [2]float32 // Number: one; Survival: time and event
	at     float64    // seconds, where a timestamp orders the rows
}

// readRows begins a pass.
func readRows(p *plan.Plan, file string, in records) (*rows, error) {
	r := &rows{p: p, file: file, in: in, features: p.Data.Features(), target: p.Data.TargetIndex(), event: p.Data.EventIndex(), time: p.Data.TimeIndex(), problem: Error{File: file}}
	if r.target < 0 || len(r.features) == 0 {
		return nil, errors.New("dataset: the plan has no target or no features")
	}
	r.first = make([]int, len(p.Data.Columns))
	for i := range r.first {
		r.first[i] = -1
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
	columns, err := in.columns()
	if err == io.EOF {
		return r, nil // the first read will say so again
	}
	if err != nil {
		return nil, err
	}
	return r, r.bind(columns)
}

// bind finds each of the plan's columns among the source's, by name where they
// have names. Names from a text file are never printed: a file without a header
// has a row there.
func (r *rows) bind(columns []column) error {
	d := &r.p.Data
	r.source = make([]int, len(d.Columns))
	if columns == nil {
		for i := range r.source {
			r.source[i] = i
		}
		return nil
	}
	at := make(map[string]int, len(columns))
	for i, c := range columns {
		if _, twice := at[c.name]; twice && (c.found == "" || r.wants(c.name)) {
			return fail(r.file, fmt.Sprintf("two columns of the header have one name, the second is column %d", i+1), "")
		}
		at[c.name] = i
		r.typed = r.typed || c.found != ""
	}
	var missing []string
	for i := range d.Columns {
		c := &d.Columns[i]
		j, ok := at[c.Name]
		if !ok {
			j = -1
			if !c.Unused || !r.typed {
				missing = append(missing, c.Name)
			}
		}
		r.source[i] = j
	}
	if len(missing) > 0 && r.typed {
		return fail(r.file, fmt.Sprintf("%d of the plan's columns are not there: %s", len(missing), shorten(missing)),
			"give the agent the table that the plan describes; names are compared letter by letter")
	}
	if len(missing) > 0 {
		return fail(r.file, fmt.Sprintf("the header lacks %d of the plan's columns: %s", len(missing), shorten(missing)),
			"give the agent the file that the plan describes; if the first line is a row, the plan needs data.header: false")
	}
	e := &Error{File: r.file}
	for i := range d.Columns {
		c := &d.Columns[i]
		if c.Unused {
			continue
		}
		found := &columns[r.source[i]]
		var want valueKinds
		switch c.Type {
		case plan.Numeric:
			want = numbers
		case plan.Categorical:
			want = numbers | texts | booleans
		case plan.Timestamp:
			want = instants | texts
		case plan.FreeText:
			want = texts
		}
		if found.found != "" && found.kinds&want == 0 {
			e.add(Problem{Column: c.Name, Message: fmt.Sprintf("the source has it as %s (%s), the plan as %s", found.kinds, found.found, c.Type),
				Hint: "convert it where it is stored or queried, or ask for a plan with the other type"})
		}
	}
	return e.orNil()
}

// wants reports whether the plan reads a column of this name.
func (r *rows) wants(name string) bool {
	for i := range r.p.Data.Columns {
		if c := &r.p.Data.Columns[i]; c.Name == name {
			return !c.Unused
		}
	}
	return false
}

func columnNames(columns []plan.Column) string {
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

// next reads the next row that is kept, or io.EOF after the last.
func (r *rows) next(k *row) error {
	for {
		line, cells, err := r.in.read()
		var bad *badRecord
		var e *Error
		switch {
		case err == io.EOF:
			if err := r.problem.orNil(); err != nil {
				return err
			}
			return io.EOF
		case errors.As(err, &bad):
			r.records++
			r.problem.add(Problem{Line: line, Message: bad.message, Hint: bad.hint})
			continue
		case errors.As(err, &e):
			for _, p := range e.Problems {
				r.problem.add(p)
			}
			return &r.problem
		case err != nil:
			return err
		}
		r.records++
		if r.decode(k, line, cells) && len(r.problem.Problems) == 0 {
			return nil
		}
	}
}

func (r *rows) close() error { return r.in.close() }

// decode fills k with one record, or notes why it cannot.
func (r *rows) decode(k *row, line int, cells []cell) (kept bool) {
	d := &r.p.Data
	if k.u == nil {
		k.u = make([]float64, len(r.features))
	}
	clear(k.u)
	k.record, k.label, k.target, k.at = r.records, 0, [2]float32{}, 0
	missing, bad := false, false
	for i := range d.Columns {
		c := &d.Columns[i]
		if c.Unused || r.source[i] < 0 {
			continue
		}
		x := &cells[r.source[i]]
		problem := func(message, hint string) {
			bad = true
			r.problem.add(Problem{Line: line, Column: c.Name, Message: message, Hint: hint})
		}
		if x.kind == isAbsent || x.kind == isText && d.IsMissing(x.text) {
			if d.OnMissing == plan.MissingError {
				problem("the cell has no value", "fill it in, or ask for a plan with on_missing: drop_row")
			}
			missing = true
			continue
		}
		switch c.Type {
		case plan.Numeric:
			n, unit, message, hint := r.numeric(c, x)
			if message != "" {
				problem(message, hint)
				continue
			}
			if r.first[i] >= 0 {
				k.u[r.first[i]] = unit
			}
			if message := r.number(k, i, n, unit); message != "" {
				problem(message, "correct the cell, or ask for a plan that lists it")
			}
		case plan.Categorical:
			value := c.ValueIndex(x.spelled())
			if x.kind == isInstant {
				value = -1
			}
			if value < 0 {
				problem(fmt.Sprintf("the value is none of the plan's: %s", shorten(c.Values)), "correct the cell, or ask for a plan that lists it")
				continue
			}
			r.category(k, i, c, value)
		case plan.Timestamp:
			t, ok := x.time, x.kind == isInstant
			if x.kind == isText {
				t, ok = plan.ParseTime(x.text)
			}
			if !ok {
				problem("the cell is no date or time", `write 2016-07-01, "2016-07-01 13:00:00" or 2016-07-01T13:00:00+02:00`)
				continue
			}
			unit, ok := c.Unit(plan.Seconds(t))
			if !ok {
				problem(fmt.Sprintf("the time is outside the plan's range, %s to %s", bound(c.Min), bound(c.Max)), "correct the cell, or ask for a plan with a wider range")
				continue
			}
			r.timestamp(k, i, t, unit)
		case plan.FreeText:
			if x.kind != isText {
				problem("the cell is not text", "")
				continue
			}
			for word := range plan.Words(x.text) {
				k.u[r.first[i]+plan.Bucket(word, c.Buckets)] = 1
			}
		}
	}
	if missing && !bad {
		r.dropped++
	}
	return !missing && !bad
}

// numeric reads a numeric column's cell.
func (r *rows) numeric(c *plan.Column, x *cell) (n, unit float64, message, hint string) {
	n, ok := x.number, x.kind == isNumber
	if x.kind == isText {
		n, ok = plan.ParseNumber(x.text)
	}
	if !ok {
		hint := "correct the cell; if it means that there is no value, the plan can list it in data.missing"
		if r.records == 1 && !r.p.Data.Header && !r.typed {
			hint = "correct the cell; if the first line names the columns, the plan needs data.header: true"
		}
		return 0, 0, "the cell is not a number", hint
	}
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return 0, 0, "the value is not finite", "correct the cell, or leave the row out"
	}
	if unit, ok = c.Unit(n + 0); !ok {
		return 0, 0, fmt.Sprintf("the value is outside the plan's range, %v to %v", c.Min, c.Max), "correct the cell, or ask for a plan with a wider range"
	}
	return n + 0, unit, "", ""
}

// number takes a numeric column for what the target asks of it.
func (r *rows) number(k *row, i int, n, unit float64) (message string) {
	t := &r.p.Data.Target
	switch {
	case i == r.event:
		if n != 0 && n != 1 {
			return "the event is neither 0 nor 1"
		}
		k.target[1] = float32(n)
	case i != r.target:
	case t.Type == plan.Number:
		k.target[0] = float32(unit)
	case t.Type == plan.Survival:
		k.target[0] = float32(n)
	case t.Type == plan.Binary && r.positive.Match(n):
		k.label = 1
	}
	return ""
}

// category takes one value of a categorical column.
func (r *rows) category(k *row, i int, c *plan.Column, value int) {
	t := &r.p.Data.Target
	in := func(values []string) bool {
		for _, v := range values {
			if c.Values[value] == v {
				return true
			}
		}
		return false
	}
	switch {
	case i == r.event:
		if in(t.EventValues) {
			k.target[1] = 1
		}
		return
	case i == r.target && t.Type == plan.Class:
		k.label = int32(value)
	case i == r.target && in(t.PositiveValues):
		k.label = 1
	}
	if r.first[i] < 0 {
		return
	}
	if c.DropFirst {
		value--
	}
	if value >= 0 {
		k.u[r.first[i]+value] = 1
	}
}

// timestamp fills the features of one point in time.
func (r *rows) timestamp(k *row, i int, t time.Time, unit float64) {
	if i == r.time {
		k.at = plan.Seconds(t)
	}
	if r.first[i] < 0 {
		return
	}
	for j := r.first[i]; j < len(r.features) && r.features[j].Column == i; j++ {
		f := &r.features[j]
		if f.Part == "" {
			k.u[j] = unit
		} else {
			k.u[j] = plan.PartUnit(f.Part, f.Cosine, t)
		}
	}
}

// bound writes a timestamp column's min or max.
func bound(seconds float64) string {
	return time.Unix(int64(seconds), 0).UTC().Format(time.DateTime)
}
