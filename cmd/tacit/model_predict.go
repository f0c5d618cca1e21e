package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"tacit/client/solo"
	"tacit/dataset"
	"tacit/plan"
)

type modelPredictCommand struct {
	trainedFile
	On     string `enum:"test,train,all" default:"all" help:"Which examples: test, train or all."`
	Out    string `required:"" type:"path" help:"File to write: a line per example, in the order of the data set. It must not be there yet."`
	Format string `enum:"auto,csv,jsonl" default:"auto" help:"csv or jsonl; by default as the file's name ends."`
}

// prediction is one line of what model predict writes.
type prediction struct {
	Example       int                `json:"example"` // counted from 1 over the examples that are used
	Prediction    string             `json:"prediction,omitempty"`
	Number        *float64           `json:"number,omitempty"`
	Actual        string             `json:"actual"`
	Probabilities map[string]float64 `json:"probabilities,omitempty"`
}

func (x *modelPredictCommand) Run(ctx context.Context, c *console) error {
	if x.Format == "auto" {
		x.Format = "csv"
		if ext := strings.ToLower(filepath.Ext(x.Out)); ext == ".jsonl" || ext == ".json" {
			x.Format = "jsonl"
		}
	}
	if err := mustBeNew(x.Out); err != nil {
		return err
	}
	m, examples, data, err := x.ask(ctx, c, x.On)
	if err != nil {
		return err
	}
	defer data.Close()
	var out bytes.Buffer
	w := newPredictionWriter(&out, x.Format, m.plan)
	n := 0
	outputs := m.prog.Spec().Outputs()
	for b, err := range examples.Pass(m.plan.Training.Batch) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		pred := make([]float32, b.Len()*outputs)
		if err := m.prog.Predict(pred, b.X); err != nil {
			return err
		}
		for i := range b.Len() {
			n++
			if err := w.write(n, pred[i*outputs:][:outputs], b, i); err != nil {
				return err
			}
		}
	}
	if err := w.end(); err != nil {
		return err
	}
	if err := writeNew(x.Out, out.Bytes(), 0o600); err != nil {
		return err
	}
	d := map[string]any{"predictions": n, "file": x.Out, "format": x.Format, "left_out": data.Dropped}
	return c.result(d, func(w io.Writer) {
		fmt.Fprintf(w, "wrote %s predictions to %s\n", humanize.Comma(int64(n)), x.Out)
		if data.Dropped > 0 {
			fmt.Fprintf(w, "note: %s rows without a value that the plan needs have none; examples are counted without them\n", humanize.Comma(int64(data.Dropped)))
		}
	})
}

// predictionWriter writes predictions in the words of the plan: class names, and
// numbers in the target's unit. Of a text it writes what follows each window.
type predictionWriter struct {
	plan    *plan.Plan
	classes []string
	csv     *csv.Writer
	json    *json.Encoder
	line    []string
}

func newPredictionWriter(out io.Writer, format string, p *plan.Plan) *predictionWriter {
	w := &predictionWriter{plan: p, classes: classNames(p)}
	if format == "jsonl" {
		w.json = json.NewEncoder(out)
		w.json.SetEscapeHTML(false)
		return w
	}
	w.csv = csv.NewWriter(out)
	head := []string{"example", "actual", "prediction"}
	for _, name := range w.classes {
		head = append(head, "p("+name+")")
	}
	_ = w.csv.Write(head) // to memory
	return w
}

// classNames are the classes of a plan, in label order. Of a binary target they are the
// values that mean no and yes, or the rule.
func classNames(p *plan.Plan) []string {
	if p.Data.Target.Type != plan.Binary {
		return p.Data.Classes()
	}
	target := p.Data.Target
	if target.Positive != "" {
		yes := target.Column + " " + target.Positive
		return []string{"not " + yes, yes}
	}
	yes := strings.Join(target.PositiveValues, "|")
	var others []string
	for _, v := range p.Data.Columns[p.Data.TargetIndex()].Values {
		if !slices.Contains(target.PositiveValues, v) {
			others = append(others, v)
		}
	}
	if no := strings.Join(others, "|"); len(others) <= 3 && no != yes {
		return []string{no, yes}
	}
	return []string{"not " + yes, yes}
}

func (w *predictionWriter) write(n int, pred []float32, b dataset.Batch, i int) error {
	d := prediction{Example: n}
	var probabilities []float64
	switch kind := w.plan.Data.Target.Type; kind {
	case plan.Number, plan.Survival:
		target := []float32{b.Targets[i*len(b.Targets)/b.Len()]}
		solo.Unit(w.plan, target)
		solo.Unit(w.plan, pred)
		v := float64(pred[0])
		d.Number, d.Actual = &v, decimal(target[0])
		d.Prediction = decimal(pred[0])
	default:
		per := len(b.Labels) / b.Len()
		label := b.Labels[(i+1)*per-1]
		pred = pred[len(pred)/per*(per-1):] // of a text: after the window's last character
		if kind == plan.Binary {
			pred = []float32{1 - pred[0], pred[0]}
		}
		best := 0
		for k, v := range pred {
			probabilities = append(probabilities, float64(v))
			if v > pred[best] {
				best = k
			}
		}
		d.Prediction, d.Actual = w.classes[best], w.classes[label]
	}
	if w.json != nil {
		if d.Number != nil {
			d.Prediction = ""
		}
		if len(probabilities) > 0 {
			d.Probabilities = map[string]float64{}
			for k, v := range probabilities {
				d.Probabilities[w.classes[k]] = v
			}
		}
		return w.json.Encode(d)
	}
	w.line = append(w.line[:0], strconv.Itoa(n), d.Actual, d.Prediction)
	for _, v := range probabilities {
		w.line = append(w.line, decimal(float32(v)))
	}
	return w.csv.Write(w.line)
}

func (w *predictionWriter) end() error {
	if w.csv == nil {
		return nil
	}
	w.csv.Flush()
	return w.csv.Error()
}

func decimal(v float32) string { return strconv.FormatFloat(float64(v), 'g', -1, 32) }
