package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	heartdisease "tacit/testdata/heart-disease"
)

type initPlanCommand struct {
	File    string `arg:"" optional:"" default:"plan.yaml" help:"File to write; by default plan.yaml."`
	Example string `default:"heart-logreg" help:"Plan to start from: ${examples}."`
}

func (x *initPlanCommand) Run(c *console) error {
	if !slices.Contains(heartdisease.Plans(), x.Example) {
		return misused("one of "+strings.Join(heartdisease.Plans(), ", "), "there is no example %q", x.Example)
	}
	if err := writeNew(x.File, heartdisease.Plan(x.Example), 0o644); err != nil {
		return err
	}
	return c.result(map[string]string{"plan": x.File}, func(w io.Writer) {
		fmt.Fprintf(w, "wrote %s\nnext: tacit plan validate %s\n", x.File, x.File)
	})
}
