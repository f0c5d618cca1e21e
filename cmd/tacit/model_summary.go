package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"

	"tacit/nn"
)

type modelSummaryCommand struct{ planFile }

type modelSummaryData struct {
	Name       string         `json:"name"`
	Family     string         `json:"family"`
	Loss       string         `json:"loss"`
	Layers     []summaryLayer `json:"layers"`
	Parameters int            `json:"parameters"`
	ModelBytes int64          `json:"model_bytes"` // of the parameters, four each
	Batch      int            `json:"batch"`
	ArenaBytes int64          `json:"arena_bytes"` // of a training step, parameters and optimizer included
	Optimizer  string         `json:"optimizer"`
}

type summaryLayer struct {
	Path       string `json:"path"`
	Kind       string `json:"kind"`
	In         []int  `json:"in"`
	Out        []int  `json:"out"`
	Parameters int    `json:"parameters"`
}

func (x *modelSummaryCommand) Run(c *console) error {
	p, err := x.load()
	if err != nil {
		return err
	}
	spec := p.Spec()
	layers, err := spec.Describe()
	if err != nil {
		return err
	}
	arena, err := nn.ArenaBytes(spec, nn.Options{Batch: p.Training.Batch, Device: p.Device, Seed: p.Seed, Optimizer: p.Optimizer()})
	if err != nil {
		return err
	}
	d := modelSummaryData{Name: p.Name, Family: p.Model.Family, Loss: spec.Loss, Parameters: p.NumParams(), Batch: p.Training.Batch,
		ArenaBytes: arena, Optimizer: p.Training.Optimizer}
	d.ModelBytes = 4 * int64(d.Parameters)
	rows := [][]string{{"layer", "kind", "in → out", "parameters"}}
	for _, l := range layers {
		d.Layers = append(d.Layers, summaryLayer{Path: l.Path, Kind: l.Kind, In: l.In, Out: l.Out, Parameters: l.Params})
		row := []string{strings.Repeat("  ", l.Nesting) + l.Path, l.Kind, size(l.In) + " → " + size(l.Out), ""}
		if row[3] = "-"; l.Params > 0 {
			row[3] = humanize.Comma(int64(l.Params))
		}
		rows = append(rows, row)
	}
	return c.result(d, func(w io.Writer) {
		fmt.Fprintf(w, "%s · %s · loss %s\n", d.Name, d.Family, d.Loss)
		table(w, rows...)
		table(w, []string{"parameters", humanize.Comma(int64(d.Parameters))},
			[]string{"model", humanize.IBytes(uint64(d.ModelBytes))},
			[]string{"memory of a step", fmt.Sprintf("%s (batches of %d, %s)", humanize.IBytes(uint64(arena)), d.Batch, d.Optimizer)})
	})
}

// size is a shape as people write it.
func size(shape []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(shape), "[]"), " ", "×")
}
