package main

import (
	"context"
	"fmt"
	"io"
)

type planSubmitCommand struct {
	atServer
	planFile
	Owner []string `help:"Recipient that the model belongs to (age1pq1…); repeat for more. Replaces the plan's outputs.owner."`
}

type planSubmitData struct {
	Run  string `json:"run"`
	Plan string `json:"plan"`
}

func (x *planSubmitCommand) Run(ctx context.Context, c *console) error {
	p, err := x.planFile.load()
	if err != nil {
		return err
	}
	if len(x.Owner) > 0 {
		p.Outputs.Owner = x.Owner
		if err := p.Resolve(); err != nil {
			return err
		}
	}
	ctl, err := x.control()
	if err != nil {
		return err
	}
	run, err := ctl.Submit(ctx, p.Canonical())
	if err != nil {
		return err
	}
	d := planSubmitData{Run: run.String(), Plan: p.Hash().String()}
	return c.result(d, func(w io.Writer) { fmt.Fprintf(w, "run %s\nnext: tacit run watch %s\n", d.Run, d.Run) })
}
