package main

import (
	"fmt"
	"io"
	"os"

	"tacit/plan"
)

// planFile is a plan and what the command line changes in it.
type planFile struct {
	File string   `arg:"" type:"path" help:"The plan's file."`
	Set  []string `sep:"none" help:"Override a key, as in --set training.learning_rate=0.1; repeat for more."`
}

func (x *planFile) load() (*plan.Plan, error) {
	src, err := os.ReadFile(x.File)
	if err != nil {
		return nil, misconfigured("tacit init plan writes one", "%w", err)
	}
	return plan.Parse(src, x.File, x.Set...)
}

type planValidateCommand struct{ planFile }

type planData struct {
	Name       string `json:"name"`
	Hash       string `json:"hash"`
	Family     string `json:"family"`
	Parameters int    `json:"parameters"`
	Rounds     int    `json:"rounds"`
	Privacy    string `json:"privacy"`
	YAML       string `json:"yaml,omitempty"`
}

func describePlan(p *plan.Plan) planData {
	return planData{Name: p.Name, Hash: p.Hash().String(), Family: p.Model.Family, Parameters: p.NumParams(), Rounds: p.Federation.Rounds, Privacy: p.Privacy}
}

func (x *planValidateCommand) Run(c *console) error {
	p, err := x.load()
	if err != nil {
		return err
	}
	d := describePlan(p)
	return c.result(d, func(w io.Writer) {
		fmt.Fprintf(w, "%s is a valid plan: %s, %d parameters, %d rounds, output privacy: %s\nhash %s\n", d.Name, d.Family, d.Parameters, d.Rounds, d.Privacy, d.Hash)
	})
}
