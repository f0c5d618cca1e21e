package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"

	"gonum.org/v1/gonum/stat"

	"tacit/plan"
	"tacit/server"
)

type simulateCommand struct {
	planFile
	Sites int    `help:"Simulated branches; rows are dealt to them at random, anew for every seed. By default the data's own."`
	Seeds int    `default:"1" help:"Runs, each with its own seed."`
	Seed  uint64 `help:"First seed; by default the plan's."`
	Data  string `type:"path" help:"Directory of one file of rows per branch; by default the four hospitals' rows."`
}

type simulateData struct {
	Plan      string         `json:"plan"`
	Sites     int            `json:"sites"`
	Runs      []simulatedRun `json:"runs"`
	Accuracy  summary        `json:"accuracy"`
	Loss      summary        `json:"loss"`
	Protocol  string         `json:"protocol"`
	OutputDP  string         `json:"output_privacy"`
	BytesSite float64        `json:"bytes_per_site_and_run"`
}

type simulatedRun struct {
	Seed     uint64  `json:"seed"`
	Run      string  `json:"run"`
	Model    string  `json:"model"`
	Accuracy float64 `json:"accuracy"`
	Loss     float64 `json:"loss"`
	Rounds   int     `json:"rounds"`
}

// summary is a mean and the sample standard deviation.
type summary struct {
	Mean float64 `json:"mean"`
	SD   float64 `json:"sd"`
}

func summarise(v []float64) summary {
	mean, sd := stat.MeanStdDev(v, nil)
	if len(v) < 2 || math.IsNaN(sd) {
		sd = 0
	}
	return summary{mean, sd}
}

func (x *simulateCommand) Run(ctx context.Context, c *console) error {
	p, err := x.load()
	if err != nil {
		return err
	}
	if x.Seeds < 1 || x.Seeds > 1000 {
		return misused("for example --seeds 10", "--seeds %d is not from 1 to 1000", x.Seeds)
	}
	if x.Seed != 0 {
		p.Seed = x.Seed
	}
	source, err := openSource(p, x.Data)
	if err != nil {
		return err
	}
	sites := source.names()
	if x.Sites != 0 && x.Sites != len(sites) {
		if x.Sites < 3 || x.Sites > plan.MaxBranches {
			return misused("secure aggregation needs three branches and holds as many cohorts of 128", "--sites %d is not from 3 to %d", x.Sites, plan.MaxBranches)
		}
		sites = numbered(x.Sites)
	}
	if len(sites) < 3 {
		return misconfigured("--sites N deals the rows to N branches", "there are %d files of rows; secure aggregation needs three branches", len(sites))
	}
	// A plan written for a few branches is scaled for as many as are simulated; every
	// one of them takes part, under a charter with the default smallest cohort.
	p.Federation.MinBranches = min(max(p.Federation.MinBranches, 5), len(sites))
	p.Federation.MaxBranches = max(p.Federation.MaxBranches, len(sites))
	p.Outputs.Owner = nil
	if err := p.Resolve(); err != nil {
		return err
	}
	c.say("%s · %d branches · %s from %d · output privacy: %s", p.Name, len(sites), seeds(x.Seeds), p.Seed, p.Privacy)
	bar := newBar(c, x.Seeds*int(p.LastRound()-p.FirstRound()+1))
	fed, err := newSimulation(ctx, p, sites, source, c)
	if err != nil {
		return err
	}
	defer fed.close()
	data := simulateData{Plan: p.Name, Sites: len(sites), Protocol: "secure aggregation, one cohort", OutputDP: p.Privacy}
	var accuracy, loss []float64
	for k := range x.Seeds {
		run, err := fed.run(p.Seed+uint64(k), func(ev server.Event) { bar.step(fmt.Sprintf("seed %d", p.Seed+uint64(k))) })
		if err != nil {
			bar.clear()
			return err
		}
		data.Runs = append(data.Runs, run.simulatedRun)
		accuracy, loss = append(accuracy, run.Accuracy), append(loss, run.Loss)
		bar.clear()
		_ = c.stream(run.simulatedRun, fmt.Sprintf("  seed %-6d accuracy %.3f  loss %.4f  model %.16s", run.Seed, run.Accuracy, run.Loss, run.Model))
	}
	data.Accuracy, data.Loss = summarise(accuracy), summarise(loss)
	if data.BytesSite, err = fed.bytesPerSite(); err != nil {
		return err
	}
	data.BytesSite /= float64(x.Seeds)
	return c.result(data, func(w io.Writer) {
		fmt.Fprintf(w, "accuracy %.3f ± %.3f  loss %.4f ± %.4f  over %s\n", data.Accuracy.Mean, data.Accuracy.SD, data.Loss.Mean, data.Loss.SD, seeds(x.Seeds))
	})
}

func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("site-%03d", i+1)
	}
	return names
}

// bar is a progress bar on a terminal, and nothing elsewhere.
type bar struct {
	c           *console
	done, total int
}

func newBar(c *console, total int) *bar { return &bar{c: c, total: total} }

func (b *bar) step(what string) {
	b.done++
	b.draw(fmt.Sprintf("%d of %d rounds · %s", b.done, b.total, what))
}

func (b *bar) draw(what string) {
	if !b.c.terminal || b.c.Output != "text" {
		return
	}
	const width = 32
	full := min(width, width*b.done/max(1, b.total))
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	fmt.Fprintf(b.c.err, "\r  [%s%s] %s ", strings.Repeat("=", full), strings.Repeat(" ", width-full), what)
}

func (b *bar) clear() {
	if b.c.terminal && b.c.Output == "text" {
		fmt.Fprint(b.c.err, "\r\x1b[K")
	}
}

func seeds(n int) string {
	if n == 1 {
		return "1 seed"
	}
	return fmt.Sprintf("%d seeds", n)
}
