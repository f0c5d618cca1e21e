package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/dustin/go-humanize"

	"tacit/client/solo"
)

type modelEvalCommand struct {
	trainedFile
	On string `enum:"test,train,all" default:"test" help:"Which examples: test, train or all."`
}

type modelEvalData struct {
	Model     string        `json:"model"`
	Data      string        `json:"data"`
	On        string        `json:"on"`
	Examples  int           `json:"examples"`
	Loss      *float64      `json:"loss,omitempty"` // none where it is not finite
	LossName  string        `json:"loss_name"`
	Metrics   []solo.Metric `json:"metrics"`
	Classes   []string      `json:"classes,omitempty"`
	Confusion [][]int64     `json:"confusion,omitempty"` // [label][predicted class]; the last column: no usable prediction
}

func (x *modelEvalCommand) Run(ctx context.Context, c *console) error {
	m, examples, data, err := x.ask(ctx, c, x.On)
	if err != nil {
		return err
	}
	defer data.Close()
	found, err := solo.Measure(ctx, m.plan, m.prog, examples)
	if err != nil {
		return err
	}
	d := modelEvalData{Model: m.plan.Name, Data: x.Data, On: x.On, Examples: examples.Len(), LossName: m.plan.Model.Loss,
		Metrics: found.Metrics(), Classes: classNames(m.plan), Confusion: found.Set.Confusion()}
	if d.Data == "" {
		d.Data = m.name
	}
	if !math.IsNaN(found.Loss) && !math.IsInf(found.Loss, 0) {
		d.Loss = &found.Loss
	}
	return c.result(d, func(w io.Writer) {
		fmt.Fprintf(w, "%s on %s %s examples:\n", m.plan.Name, humanize.Comma(int64(d.Examples)), strings.Replace(x.On, "all", "of all", 1))
		metricTable(w, m.plan, d.Loss, d.Metrics, len(d.Classes) <= 20)
		if d.Confusion != nil && len(d.Classes) <= 12 {
			fmt.Fprintln(w, "label \\ predicted")
			confusionTable(w, d.Classes, d.Confusion)
		}
	})
}

// confusionTable prints how often each class was taken for which.
func confusionTable(w io.Writer, classes []string, counts [][]int64) {
	rows := [][]string{append([]string{"  "}, classes...)}
	for i, line := range counts {
		row := []string{"  " + classes[i]}
		for j, n := range line {
			if j < len(classes) || n > 0 {
				row = append(row, humanize.Comma(n))
			}
		}
		rows = append(rows, row)
	}
	table(w, rows...)
}
