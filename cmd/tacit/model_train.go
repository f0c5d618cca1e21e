package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mattn/go-isatty"

	"tacit/client"
	"tacit/client/solo"
	"tacit/dataset"
	"tacit/plan"
)

type modelTrainCommand struct {
	planFile
	atBranch
	Data            string        `help:"The data set's name in the agent's file; by default the plan's data.source, or the only one."`
	Out             string        `required:"" type:"path" help:"Directory of what the training makes; one that was interrupted goes on there."`
	Resume          bool          `help:"Fail where there is no checkpoint to go on from."`
	CheckpointEvery time.Duration `default:"30s" help:"Longest time between checkpoints inside an epoch."`
}

func (x *modelTrainCommand) Run(ctx context.Context, c *console) error {
	p, err := x.planFile.load()
	if err != nil {
		return err
	}
	if x.CheckpointEvery <= 0 {
		return misused("for example --checkpoint-every 1m", "--checkpoint-every %v is no time", x.CheckpointEvery)
	}
	cfg, err := x.atBranch.load()
	if err != nil {
		return err
	}
	source, err := findSource(cfg, p, x.Data)
	if err != nil {
		return err
	}
	v, err := client.OpenVault(cfg.State)
	if err != nil {
		return err
	}
	defer v.Close()
	data, err := dataset.LoadContext(ctx, p, source)
	if err != nil {
		return err
	}
	defer data.Close()
	bar := newTrainBar(c)
	result, err := solo.Train(ctx, p, data, solo.Options{
		Dir: x.Out, Vault: v, Name: source.Name, Resume: x.Resume, Every: x.CheckpointEvery,
		Start: func(s solo.Start) {
			bar.begin(s)
			c.say("%s · %s · %s parameters · %s", p.Name, source.Name, humanize.Comma(int64(s.Parameters)), divided(s))
			if data.Dropped > 0 {
				c.say("%s rows without a value that the plan needs are left out", humanize.Comma(int64(data.Dropped)))
			}
			if s.Step > 0 {
				c.say("going on after step %s of %s", humanize.Comma(int64(s.Step)), humanize.Comma(int64(s.Steps)))
			}
		},
		Step: bar.step,
		Epoch: func(e solo.Epoch) {
			bar.clear()
			_ = c.stream(e, epochLine(p, e, bar.start.Epochs))
		},
	})
	bar.clear()
	if err != nil {
		return err
	}
	if c.Output == "jsonl" {
		return c.result(result, nil)
	}
	return c.result(result, func(w io.Writer) {
		if result.Stopped == "patience" {
			fmt.Fprintf(w, "stopped after epoch %d: %d epochs without a better loss on the validation rows\n", result.Epochs, p.Training.Patience)
		}
		if result.Test > 0 {
			fmt.Fprintf(w, "the model of epoch %d on %s test examples:\n", result.Best, humanize.Comma(int64(result.Test)))
			metricTable(w, p, result.TestLoss, result.Metrics, false)
		}
		fmt.Fprintf(w, "model   %s, sealed in %s (hash %.16s)\n", p.Name, near(x.Out), result.Model)
		fmt.Fprintf(w, "next    tacit model eval %s --config %s\n        tacit model export %s --config %s --to RECIPIENT\n", near(x.Out), near(x.Config), near(x.Out), near(x.Config))
	})
}

// near is a path as a person here would type it.
func near(path string) string {
	dir, err := os.Getwd()
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(dir, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return path
	}
	return rel
}

// findSource is the data set that a command names, or else its plan.
func findSource(cfg *client.Config, p *plan.Plan, name string) (dataset.Source, error) {
	if name == "" {
		name = p.Data.Source
	}
	return cfg.Source(name)
}

func divided(s solo.Start) string {
	text := humanize.Comma(int64(s.Train)) + " training"
	if s.Validation > 0 {
		text += ", " + humanize.Comma(int64(s.Validation)) + " validation"
	}
	return text + " and " + humanize.Comma(int64(s.Test)) + " test examples"
}

// epochLine is an epoch for people: losses, and the metric that tells most of such a
// target.
func epochLine(p *plan.Plan, e solo.Epoch, of int) string {
	width := len(strconv.Itoa(of))
	line := fmt.Sprintf("epoch %*d of %d  loss %s", width, e.Epoch, of, number(e.Loss))
	if e.Validation == nil {
		if e.Accuracy != nil {
			line += fmt.Sprintf("  accuracy %.4f", *e.Accuracy)
		}
		return line + fmt.Sprintf("  %s", short(e.Seconds))
	}
	line += "  validation " + number(*e.Validation)
	for _, name := range headline[p.Data.Target.Type] {
		if v, ok := e.Metrics[name]; ok {
			line += fmt.Sprintf("  %s %s", name, number(v))
		}
	}
	line += "  " + short(e.Seconds)
	if e.Best {
		line += "  best"
	}
	return line
}

// headline are the metrics of an epoch's line.
var headline = map[string][]string{
	plan.Binary: {"accuracy", "auc"}, plan.Class: {"accuracy"}, plan.Next: {"accuracy", "perplexity"},
	plan.Number: {"rmse", "r2"}, plan.Survival: {"concordance"},
}

// number prints a metric with four digits or more.
func number(v float64) string {
	if a := math.Abs(v); a >= 1000 || a > 0 && a < 1e-3 {
		return strconv.FormatFloat(v, 'g', 5, 64)
	}
	return strconv.FormatFloat(v, 'f', 4, 64)
}

// short is a span of time for people.
func short(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

// trainBar is a progress bar with the time that is left, on a terminal; elsewhere the
// lines of epochs are enough.
type trainBar struct {
	c     *console
	on    bool
	start solo.Start
	begun time.Time
	drawn time.Time
}

func newTrainBar(c *console) *trainBar {
	f, ok := c.err.(*os.File)
	return &trainBar{c: c, on: c.terminal && c.Output == "text" && ok && isatty.IsTerminal(f.Fd())}
}

func (b *trainBar) begin(s solo.Start) { b.start, b.begun = s, time.Now() }

func (b *trainBar) step(at solo.Progress) {
	now := time.Now()
	if !b.on || now.Sub(b.drawn) < 100*time.Millisecond {
		return
	}
	b.drawn = now
	const width = 24
	full := int(uint64(width) * at.Step / max(1, at.Steps))
	left := "…"
	if done := at.Step - b.start.Step; done > 0 && now.Sub(b.begun) > time.Second {
		left = short(now.Sub(b.begun).Seconds()*float64(at.Steps-at.Step)/float64(done)) + " left"
	}
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	fmt.Fprintf(b.c.err, "\r\x1b[K  [%s%s] epoch %d of %d · step %d of %d · loss %.4f · %s ",
		strings.Repeat("=", full), strings.Repeat(" ", width-full), at.Epoch, at.Epochs, at.Step, at.Steps, at.Loss, left)
}

func (b *trainBar) clear() {
	if b.on {
		fmt.Fprint(b.c.err, "\r\x1b[K")
	}
}
