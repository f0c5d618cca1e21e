package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"

	"tacit/id"
	"tacit/server"
)

type runWatchCommand struct {
	atServer
	Run_ string `arg:"" name:"run" optional:"" help:"The run; by default the newest."`
}

func (x *runWatchCommand) Run(ctx context.Context, c *console) error {
	ctl, err := x.control()
	if err != nil {
		return err
	}
	run, err := findRun(ctx, ctl, x.Run_)
	if err != nil {
		return err
	}
	var last server.Event
	err = ctl.Watch(ctx, run, func(ev server.Event) error {
		last = ev
		if line := eventLine(c, ev); line != "" || c.Output == "jsonl" {
			return c.stream(ev, line)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if last.Kind == "stopped" {
		return &failure{exit: exitFailed, code: "stopped", err: fmt.Errorf("run %s stopped: %s", run.Short(), last.Text),
			hint: "a branch that refused says why in its own log and in tacit agent status; then submit the plan again"}
	}
	if c.Output == "json" {
		return c.result(last, func(io.Writer) {})
	}
	return nil
}

// findRun returns the run whose id begins with text, or the newest.
func findRun(ctx context.Context, ctl server.Control, text string) (run id.RunID, err error) {
	if text != "" {
		if run.UnmarshalText([]byte(text)) == nil {
			return run, nil
		}
	}
	runs, err := ctl.Runs(ctx)
	if err != nil {
		return run, err
	}
	if text != "" {
		found := 0
		for _, r := range runs {
			if strings.HasPrefix(r.Run.String(), text) {
				run = r.Run
				found++
			}
		}
		if found != 1 {
			return run, misused("tacit run list shows the runs", "%q begins the id of %d runs", text, found)
		}
		return run, nil
	}
	if len(runs) == 0 {
		return run, &failure{exit: exitFailed, code: "not-found", err: errors.New("there is no run yet"), hint: "tacit plan submit queues one"}
	}
	return runs[len(runs)-1].Run, nil
}

// eventLine is the line that people read, or "" for an event that needs none.
func eventLine(c *console, ev server.Event) string {
	label := func(s string) string { return c.paint(dim, fmt.Sprintf("  %-10s", s)) }
	switch ev.Kind {
	case "queued":
		return ""
	case "plan-accepted":
		return label("plan") + ev.Site + " accepts"
	case "plan-refused":
		return label("plan") + c.paint(alarm, fmt.Sprintf("%s refuses: %s", ev.Site, ev.Code))
	case "waiting":
		who := ""
		if len(ev.Dropped) > 0 {
			who = strings.Join(ev.Dropped, ", ")
		}
		return label("waiting") + strings.TrimSpace(ev.Text+" "+who)
	case "epoch-opened":
		return label("epoch") + strings.TrimSpace(fmt.Sprintf("keys of %d branches agreed %s", ev.Members, ev.Text))
	case "epoch-aborted", "rekey":
		return label("epoch") + c.paint(alarm, strings.TrimSpace(ev.Kind+" "+ev.Site+" "+ev.Text))
	case "round-opened", "reported", "gone", "certified":
		return ""
	case "committed":
		return label(fmt.Sprintf("round %2d", ev.Round)) + committedLine(c, ev)
	case "aborted":
		return label(fmt.Sprintf("round %2d", ev.Round)) + c.paint(alarm, strings.TrimSpace(fmt.Sprintf("attempt %d aborted: %s %s %s", ev.R, ev.Code, ev.Site, ev.Text)))
	case "restarted":
		return label("server") + c.paint(alarm, fmt.Sprintf("restarted in round %d; going on", ev.Round))
	case "done":
		return label("done") + fmt.Sprintf("model %.16s", ev.Model)
	case "stopped":
		return label("stopped") + c.paint(alarm, ev.Text)
	}
	return label(ev.Kind) + strings.TrimSpace(ev.Site+" "+ev.Code+" "+ev.Text)
}

// committedLine is what a round came to.
func committedLine(c *console, ev server.Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-10s  %d of %d", ev.Task, ev.Reported, ev.Members)
	if ev.Task != "statistics" {
		fmt.Fprintf(&b, "  loss %.4f  accuracy %.3f", ev.Loss, ev.Accuracy)
	} else {
		fmt.Fprintf(&b, "  %-26s", "sums for standardising")
	}
	if ev.Bytes > 0 {
		fmt.Fprintf(&b, "  %8s", humanize.Bytes(ev.Bytes))
	}
	if len(ev.Dropped) > 0 {
		b.WriteString("  " + c.paint(alarm, "without "+strings.Join(ev.Dropped, ", ")))
	}
	if ev.Recovered {
		b.WriteString(c.paint(alarm, "; its pair seeds were recovered"))
	}
	return b.String()
}
