package main

import (
	"context"
	"fmt"
	"io"
)

type modelExportCommand struct {
	atServer
	Run_ string   `arg:"" name:"run" optional:"" help:"The run; by default the newest."`
	To   []string `help:"Recipient (age1pq1…); repeat for more. By default the plan's owners."`
	Out  string   `default:"model.safetensors.age" type:"path" help:"File to write."`
}

func (x *modelExportCommand) Run(ctx context.Context, c *console) error {
	// Before the log says that the model left the vault.
	if err := mustBeNew(x.Out); err != nil {
		return err
	}
	ctl, err := x.control()
	if err != nil {
		return err
	}
	run, err := findRun(ctx, ctl, x.Run_)
	if err != nil {
		return err
	}
	file, err := ctl.Export(ctx, run, x.To)
	if err != nil {
		return err
	}
	if err := writeNew(x.Out, file, 0o600); err != nil {
		return err
	}
	return c.result(map[string]any{"run": run.String(), "model": x.Out, "bytes": len(file)}, func(w io.Writer) {
		fmt.Fprintf(w, "wrote %s (the owner opens it with: age -d -i owner-key.txt %s)\n", x.Out, x.Out)
	})
}
