package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	"tacit/nn"
)

type benchNNCommand struct {
	Only    []string `placeholder:"W" help:"Workloads: a network (mlp, cnn, resnet, lstm, rnn, gru, tab, logreg, gpt) and its batch, as mlp32; all of the documented table without."`
	Threads []int    `default:"1,2" help:"Threads; more than this machine has cores measures nothing useful."`
	Opt     []string `enum:"sgd,adam" help:"Optimizers: sgd or adam; both without."`
	DP      bool     `name:"dp" help:"Steps of DP-SGD without its noise: each example's gradient is clipped. Takes sgd alone; networks with batch_norm refuse."`
	Secs    float64  `default:"2" help:"Seconds for each measurement."`
	Device  string   `default:"cpu" enum:"cpu" help:"cpu."`
}

// benchLine is one measurement. Times are of one training step.
type benchLine struct {
	W             string  `json:"w"`
	Opt           string  `json:"opt"`
	DP            bool    `json:"dp,omitempty"`
	Threads       int     `json:"threads"`
	Device        string  `json:"device"`
	Kernel        string  `json:"kernel"`
	BestMS        float64 `json:"best_ms"`
	MedMS         float64 `json:"med_ms"`
	StepsPerS     float64 `json:"steps_s"`
	GFLOPS        float64 `json:"gflops"`
	PeakPercent   float64 `json:"peak_percent"` // of the FMA peak measured in this process, times threads; 0 where none is known
	AllocsPerStep float64 `json:"allocs_per_step"`
	ArenaBytes    int64   `json:"arena_bytes"`
}

func (x *benchNNCommand) Run(ctx context.Context, c *console) error {
	names := x.Only
	if len(names) == 0 {
		names = workloadNames()
	}
	var all []workload
	for _, name := range names {
		w, err := parseWorkload(name)
		if err != nil {
			return err
		}
		all = append(all, w)
	}
	if !(x.Secs > 0 && x.Secs <= 3600) { // written so that NaN fails
		return misused("--secs 2", "--secs is %v, want above 0 to 3600", x.Secs)
	}
	for _, n := range x.Threads {
		if n < 1 || n > nn.MaxThreads {
			return misused("--threads 1,2", "--threads is %d, want 1 to %d", n, nn.MaxThreads)
		}
	}
	opts := x.Opt
	switch {
	case x.DP && slices.Contains(opts, "adam"):
		return misused("--dp --opt sgd", "--dp takes --opt sgd alone")
	case x.DP:
		opts = []string{"sgd"}
	case len(opts) == 0:
		opts = []string{"sgd", "adam"}
	}
	var lines []*benchLine
	peak := nn.Peak()
	if c.Output == "text" {
		fmt.Fprintf(c.out, "%-10s %-5s %8s %12s %12s %10s %7s %7s\n", "workload", "opt", "threads", "best ms", "median ms", "GFLOP/s", "% peak", "allocs")
	}
	for i, w := range all {
		for _, threads := range x.Threads {
			for _, opt := range opts {
				l, err := x.measure(ctx, names[i], w, threads, opt, peak)
				if err != nil {
					return err
				}
				if lines = append(lines, l); c.Output == "json" {
					continue // one envelope, at the end
				}
				if err := c.stream(l, fmt.Sprintf("%-10s %-5s %8d %12.4f %12.4f %10.1f %7.1f %7.0f", l.W, l.Opt, l.Threads, l.BestMS, l.MedMS, l.GFLOPS, l.PeakPercent, l.AllocsPerStep)); err != nil {
					return err
				}
			}
		}
	}
	if c.Output == "json" {
		return c.result(lines, nil)
	}
	return nil
}

// measure times steps in blocks of some 40 ms after a warm-up.
func (x *benchNNCommand) measure(ctx context.Context, name string, w workload, threads int, opt string, peak float64) (*benchLine, error) {
	p, step, err := w.compile(threads, opt, x.DP)
	if err != nil {
		return nil, err
	}
	steps := func(n int) (time.Duration, error) {
		start := time.Now()
		for range n {
			if err := step(); err != nil {
				return 0, fmt.Errorf("%s: %w", name, err)
			}
		}
		return time.Since(start), nil
	}
	n, err := x.warm(steps)
	if err != nil {
		return nil, err
	}
	var blocks []float64
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for start := time.Now(); len(blocks) < 3 || time.Since(start).Seconds() < x.Secs; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d, err := steps(n)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, d.Seconds()/float64(n))
	}
	runtime.ReadMemStats(&after)
	slices.Sort(blocks)
	best := blocks[0]
	l := &benchLine{W: name, Opt: opt, DP: x.DP, Threads: threads, Device: x.Device, Kernel: nn.Kernel(),
		BestMS: round(1e3*best, 4), MedMS: round(1e3*blocks[len(blocks)/2], 4), StepsPerS: round(1/best, 1),
		GFLOPS: round(3*w.flops/best/1e9, 1), ArenaBytes: p.ArenaBytes()}
	// A whole number, as testing.AllocsPerRun gives: a handful belong to the blocks.
	l.AllocsPerStep = math.Floor(float64(after.Mallocs-before.Mallocs) / float64(n*len(blocks)))
	if peak > 0 {
		l.PeakPercent = round(100*l.GFLOPS/(peak*float64(threads)), 1)
	}
	return l, nil
}

// options are those that a step of w is compiled with.
func (w workload) options(threads int, opt string) nn.Options {
	o := nn.Options{Batch: w.batch, Threads: threads, Optimizer: nn.NewSGD(0.01, 0)}
	if opt == "adam" {
		o.Optimizer = nn.NewAdam(1e-4)
	}
	return o
}

// compile returns w's network and a training step of it, on one batch.
func (w workload) compile(threads int, opt string, dp bool) (*nn.Program, func() error, error) {
	p, err := nn.Compile(w.spec, w.options(threads, opt))
	if err != nil {
		return nil, nil, err
	}
	b := w.data()
	if !dp {
		return p, func() error { _, err := p.Step(b); return err }, nil
	}
	sum, norms := make([]float32, p.NumParams()), make([]float64, w.batch)
	params := make([]float32, p.NumParams())
	return p, func() error {
		if _, err := p.ClippedGradSum(sum, norms, b, 1); err != nil {
			return err
		}
		if err := p.Store(params); err != nil {
			return err
		}
		rate := 0.01 / float32(w.batch)
		for i, g := range sum {
			params[i] -= rate * g
		}
		return p.Load(params)
	}, nil
}

// warm returns how many steps make a block.
func (x *benchNNCommand) warm(steps func(int) (time.Duration, error)) (int, error) {
	if _, err := steps(3); err != nil {
		return 0, err
	}
	for n := 1; ; n *= 2 {
		d, err := steps(n)
		if err != nil {
			return 0, err
		}
		if d > 10*time.Millisecond || n >= 1<<20 {
			return max(1, int(float64(n)*0.04/max(d.Seconds(), 1e-9))), nil
		}
	}
}

func round(v float64, digits int) float64 {
	f := math.Pow(10, float64(digits))
	return math.Round(v*f) / f
}

// data draws a batch that fits the workload's network.
func (w workload) data() nn.Batch {
	r := rand.New(rand.NewPCG(1, 2))
	s := w.spec
	b := nn.Batch{X: make([]float32, w.batch*s.Inputs)}
	tokens := s.Layers[0].Kind == nn.Embedding
	for i := range b.X {
		if tokens {
			b.X[i] = float32(r.IntN(s.Layers[0].Vocab))
		} else {
			b.X[i] = float32(r.NormFloat64())
		}
	}
	classes, rows := s.Layers[len(s.Layers)-1].Units, 1
	if s.Outputs() > classes {
		rows = s.Outputs() / classes
	}
	b.Labels = make([]int32, w.batch*rows)
	for i := range b.Labels {
		b.Labels[i] = int32(r.IntN(max(classes, 2)))
	}
	return b
}

// Help says what is measured.
func (benchNNCommand) Help() string {
	return strings.TrimSpace(`
Times training steps (forward, backward, update) of known networks on random data: the best and the median block of some 40 ms. GFLOP/s count three forward passes. docs/PERFORMANCE.md compares them with PyTorch; bench/compare.sh makes that table.`)
}
