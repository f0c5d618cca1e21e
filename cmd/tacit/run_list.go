package main

import (
	"context"
	"fmt"
	"io"
)

type runListCommand struct{ atServer }

func (x *runListCommand) Run(ctx context.Context, c *console) error {
	ctl, err := x.control()
	if err != nil {
		return err
	}
	runs, err := ctl.Runs(ctx)
	if err != nil {
		return err
	}
	return c.result(runs, func(w io.Writer) {
		if len(runs) == 0 {
			fmt.Fprintln(w, "no runs yet: tacit plan submit")
			return
		}
		rows := [][]string{{"RUN", "NAME", "STATE", "ROUND", "ACCURACY", "LOSS", "REASON"}}
		for _, r := range runs {
			accuracy, loss := "–", "–" // nothing was measured yet
			if r.Loss != 0 || r.Accuracy != 0 {
				accuracy, loss = fmt.Sprintf("%.3f", r.Accuracy), fmt.Sprintf("%.4f", r.Loss)
			}
			rows = append(rows, []string{r.Run.String(), r.Name, r.State, fmt.Sprintf("%d of %d", min(r.Round, r.Rounds), r.Rounds), accuracy, loss, r.Reason})
		}
		table(w, rows...)
	})
}
