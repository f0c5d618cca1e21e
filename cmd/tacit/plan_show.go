package main

import (
	"fmt"
	"io"
)

type planShowCommand struct{ planFile }

func (x *planShowCommand) Run(c *console) error {
	p, err := x.load()
	if err != nil {
		return err
	}
	d := describePlan(p)
	d.YAML = p.YAML()
	return c.result(d, func(w io.Writer) { fmt.Fprintf(w, "# hash %s\n%s", d.Hash, d.YAML) })
}
