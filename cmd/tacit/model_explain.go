package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"tacit/client/solo"
	"tacit/dataset"
	explainer "tacit/nn/explain"
	"tacit/nn/metric"
	"tacit/plan"
)

type modelExplainCommand struct {
	trainedFile
	On      string `enum:"test,train,all" default:"test" help:"Which examples: test, train or all."`
	Metric  string `help:"The metric whose loss is measured; by default auc, accuracy, r2 or concordance, as the target has it."`
	Repeats int    `default:"5" help:"Shuffles of each column."`
	Rows    int    `default:"2000" help:"Most examples to shuffle: the first ones of the part."`
	Row     []int  `help:"Explain this example instead, counted from 1 in the part; repeat for more."`
	Class   string `help:"Of which class, with --row; by default the predicted one."`
	Top     int    `default:"20" help:"Most columns to print."`
}

type modelExplainData struct {
	Method   string           `json:"method"`
	On       string           `json:"on"`
	Examples int              `json:"examples"`
	Metric   string           `json:"metric,omitempty"`
	Base     float64          `json:"base,omitempty"` // the metric of the rows as they are
	Columns  []explainColumn  `json:"columns,omitempty"`
	Rows     []explainExample `json:"rows,omitempty"`
}

type explainColumn struct {
	Column string  `json:"column"`
	Drop   float64 `json:"drop"` // mean; positive: the model needs the column
	SD     float64 `json:"sd"`
}

type explainExample struct {
	Example    int           `json:"example"`
	Class      string        `json:"class,omitempty"`
	Output     float64       `json:"output"`     // the model's own: a logit, or a number standardised as it was learned
	Difference float64       `json:"difference"` // from the baseline's output: what the attributions add up to
	Gap        float64       `json:"gap"`        // how far they miss it
	Columns    []attribution `json:"columns"`
}

type attribution struct {
	Column      string  `json:"column"`
	Attribution float64 `json:"attribution"` // integrated gradients
	Saliency    float64 `json:"saliency"`    // Σ of |∂output/∂feature|
}

func (x *modelExplainCommand) Run(ctx context.Context, c *console) error {
	cfg, err := x.load()
	if err != nil {
		return err
	}
	if x.Repeats < 1 || x.Repeats > explainer.MaxRepeats || x.Rows < 1 || x.Top < 1 {
		return misused(fmt.Sprintf("--repeats 1 to %d, --rows and --top above 0", explainer.MaxRepeats), "--repeats %d, --rows %d, --top %d", x.Repeats, x.Rows, x.Top)
	}
	m, err := x.open(c, cfg)
	if err != nil {
		return err
	}
	groups := explained(m.plan)
	if groups == nil {
		return misconfigured("", "%s learns from text: its characters are no columns that could be explained one by one", m.plan.Name)
	}
	examples, data, err := x.examples(ctx, cfg, m, x.On)
	if err != nil {
		return err
	}
	defer data.Close()
	d := &modelExplainData{On: x.On, Examples: examples.Len()}
	if len(x.Row) > 0 {
		err = x.rows(ctx, m, examples, groups, d)
	} else {
		err = x.permute(ctx, c, m, examples, groups, d)
	}
	if err != nil {
		return err
	}
	return c.result(d, func(w io.Writer) { x.print(w, m.plan, d) })
}

// explained are the features of an example by what people call them: columns of a
// table, columns over all rows of a window, squares of an image; nil of a text.
func explained(p *plan.Plan) []explainer.Group {
	switch p.Data.Kind {
	case plan.KindText:
		return nil
	case plan.KindImages:
		return squares(p.Data.Image)
	}
	var groups []explainer.Group
	at := map[int]int{}
	for row := range p.Data.Width() / p.Data.RowWidth() {
		for i, f := range p.Data.Features() {
			k, ok := at[f.Column]
			if !ok {
				k = len(groups)
				at[f.Column] = k
				groups = append(groups, explainer.Group{Name: p.Data.Columns[f.Column].Name})
			}
			groups[k].Features = append(groups[k].Features, row*p.Data.RowWidth()+i)
		}
	}
	return groups
}

// squares are an image's parts, an eighth of its larger side each way or so.
func squares(size plan.Image) []explainer.Group {
	step := max(1, (max(size.Height, size.Width)+7)/8)
	var groups []explainer.Group
	for y := 0; y < size.Height; y += step {
		for x := 0; x < size.Width; x += step {
			g := explainer.Group{Name: fmt.Sprintf("rows %d-%d, columns %d-%d", y, min(y+step, size.Height)-1, x, min(x+step, size.Width)-1)}
			for i := y; i < min(y+step, size.Height); i++ {
				for j := x; j < min(x+step, size.Width); j++ {
					for c := range size.Channels {
						g.Features = append(g.Features, (i*size.Width+j)*size.Channels+c)
					}
				}
			}
			groups = append(groups, g)
		}
	}
	return groups
}

// permute measures what shuffling each column costs.
func (x *modelExplainCommand) permute(ctx context.Context, c *console, m *trained, examples *dataset.Examples, groups []explainer.Group, d *modelExplainData) error {
	rows := explainer.Rows{Inputs: examples.Width()}
	for b, err := range examples.Pass(m.plan.Training.Batch) {
		if err != nil {
			return err
		}
		rows.X, rows.Labels, rows.Targets = append(rows.X, b.X...), append(rows.Labels, b.Labels...), append(rows.Targets, b.Targets...)
		if len(rows.X) >= x.Rows*rows.Inputs {
			break
		}
	}
	n := min(x.Rows, len(rows.X)/rows.Inputs)
	all := len(rows.X) / rows.Inputs
	rows.X = rows.X[:n*rows.Inputs]
	rows.Labels, rows.Targets = rows.Labels[:n*len(rows.Labels)/all], rows.Targets[:n*len(rows.Targets)/all]
	if len(rows.Labels) == 0 {
		rows.Labels = nil
	}
	if len(rows.Targets) == 0 {
		rows.Targets = nil
	}
	d.Examples = n
	target := solo.Target(m.plan, n)
	outputs := m.prog.Spec().Outputs()
	if target.Kind == metric.KindNumber { // in the unit that the network learned
		target = metric.Number(0, 1)
	}
	if target.Kind == metric.KindClass {
		target.Bins = 64
	}
	name := x.Metric
	if name == "" {
		name = map[string]string{metric.KindBinary: "auc", metric.KindNumber: "r2", metric.KindSurvival: "concordance"}[target.Kind]
		if name == "" {
			name = "accuracy"
		}
	}
	empty, err := metric.New(target)
	if err != nil {
		return err
	}
	if _, ok := empty.Value(name); !ok {
		return misused("metrics: "+strings.Join(metricNames(empty), ", "), "there is no metric %q of such a target", name)
	}
	bar := newBar(c, 0)
	found, err := explainer.Permutation{Target: target, Outputs: outputs, Groups: groups, Repeats: x.Repeats, Seed: m.plan.Seed, Progress: func(done, total int) error {
		bar.done, bar.total = done, total
		bar.draw(fmt.Sprintf("%d of %d passes", done, total))
		return ctx.Err()
	}}.Run(m.prog, rows)
	bar.clear()
	if err != nil {
		return err
	}
	list, err := found.Importance(name)
	if err != nil {
		return err
	}
	base, _ := found.Base.Value(name)
	d.Method, d.Metric, d.Base = "permutation importance", name, base.Value
	if math.IsNaN(base.Value) {
		return misconfigured("choose another --metric, or more examples with --on all", "%s is not defined on these %d examples", name, n)
	}
	for _, i := range list {
		if !math.IsNaN(i.Mean) {
			d.Columns = append(d.Columns, explainColumn{i.Group.Name, i.Mean, i.SD})
		}
	}
	slices.SortStableFunc(d.Columns, func(a, b explainColumn) int { return cmp.Compare(b.Drop, a.Drop) })
	return nil
}

func metricNames(s *metric.Set) (out []string) {
	for _, v := range s.Values() {
		out = append(out, v.Name)
	}
	return out
}

// rows attributes the outputs of single examples to their columns.
func (x *modelExplainCommand) rows(ctx context.Context, m *trained, examples *dataset.Examples, groups []explainer.Group, d *modelExplainData) error {
	d.Method = "integrated gradients"
	width := examples.Width()
	for _, n := range x.Row {
		if n < 1 || n > examples.Len() {
			return misused(fmt.Sprintf("--row 1 to %d", examples.Len()), "--row %d: the %s part has %d examples", n, x.On, examples.Len())
		}
	}
	classes := classNames(m.plan)
	output := -1
	if x.Class != "" {
		if output = slices.Index(classes, x.Class); output < 0 {
			return misused("classes: "+strings.Join(classes, ", "), "there is no class %q", x.Class)
		}
	}
	// The baseline is the mean of the part, or a black image.
	baseline := make([]float64, width)
	chosen := map[int][]float32{}
	at := 0
	for b, err := range examples.Pass(m.plan.Training.Batch) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		for i := range b.Len() {
			at++
			one := b.X[i*width:][:width]
			for j, v := range one {
				baseline[j] += float64(v) / float64(examples.Len())
			}
			if slices.Contains(x.Row, at) {
				chosen[at] = slices.Clone(one)
			}
		}
	}
	from := make([]float32, width)
	if m.plan.Data.Kind == plan.KindImages {
		m.std.Apply(from, make([]float64, width))
	} else {
		for j, v := range baseline {
			from[j] = float32(v)
		}
	}
	for _, n := range x.Row {
		one := chosen[n]
		z, err := m.prog.Forward(one)
		if err != nil {
			return err
		}
		e := explainExample{Example: n}
		o := explainer.Options{Batch: m.plan.Training.Batch, Steps: 256}
		sign := 1.0
		switch {
		case m.plan.Data.Target.Type == plan.Binary:
			positive := z[0] > 0
			if output >= 0 {
				positive = output == 1
			}
			e.Class = classes[1]
			if !positive {
				e.Class, sign = classes[0], -1 // the logit of a no is that of a yes, turned round
			}
		case len(classes) > 0:
			if o.Output = output; output < 0 {
				o.Output = 0
				for k, v := range z {
					if v > z[o.Output] {
						o.Output = k
					}
				}
			}
			e.Class = classes[o.Output]
		}
		e.Output = sign * float64(z[o.Output])
		a, err := explainer.Integrated(m.prog, one, from, o)
		if err != nil {
			return err
		}
		s, err := explainer.Saliency(m.prog, one, width, o)
		if err != nil {
			return err
		}
		e.Difference = sign * a.Difference[0]
		e.Gap = math.Abs(a.Sum[0] - a.Difference[0])
		for _, g := range groups {
			column := attribution{Column: g.Name}
			for _, j := range g.Features {
				column.Attribution += sign * a.Values[j]
				column.Saliency += s.Absolute[j]
			}
			e.Columns = append(e.Columns, column)
		}
		slices.SortStableFunc(e.Columns, func(a, b attribution) int {
			return cmp.Compare(math.Abs(b.Attribution), math.Abs(a.Attribution))
		})
		d.Rows = append(d.Rows, e)
	}
	return nil
}

func (x *modelExplainCommand) print(w io.Writer, p *plan.Plan, d *modelExplainData) {
	more := func(n int) {
		if n > x.Top {
			fmt.Fprintf(w, "  and %d more\n", n-x.Top)
		}
	}
	if d.Columns != nil {
		fmt.Fprintf(w, "%s of %s: %s is %s on %s examples; by how much it is worse with a column shuffled:\n", d.Method, p.Name, d.Metric, number(d.Base), humanize.Comma(int64(d.Examples)))
		var rows [][]string
		for _, col := range d.Columns[:min(x.Top, len(d.Columns))] {
			rows = append(rows, []string{"  " + col.Column, fmt.Sprintf("%+.4f", col.Drop), fmt.Sprintf("± %.4f", col.SD)})
		}
		table(w, rows...)
		more(len(d.Columns))
		return
	}
	for _, e := range d.Rows {
		of := ""
		if e.Class != "" {
			of = " for " + e.Class
		}
		from := "the mean example"
		if p.Data.Kind == plan.KindImages {
			from = "a black image"
		}
		fmt.Fprintf(w, "example %d: output %s%s, %+.4f from that of %s (the parts miss it by %s)\n", e.Example, number(e.Output), of, e.Difference, from, number(e.Gap))
		rows := [][]string{{"  ", "attribution", "saliency"}}
		for _, col := range e.Columns[:min(x.Top, len(e.Columns))] {
			rows = append(rows, []string{"  " + col.Column, fmt.Sprintf("%+.4f", col.Attribution), number(col.Saliency)})
		}
		table(w, rows...)
		more(len(e.Columns))
	}
}
