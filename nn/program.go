package nn

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"unsafe"

	"tacit/nn/internal/kernel"
	"tacit/nn/internal/team"
)

// MaxBatch, MaxThreads and MaxArenaBytes bound what Compile will allocate.
const (
	MaxBatch      = 1 << 20
	MaxThreads    = 256
	MaxArenaBytes = 1 << 35
)

// Options say how a Spec is compiled.
type Options struct {
	Batch     int       // the most examples of a Step, 1 … MaxBatch
	Device    string    // "" or "cpu"
	Seed      uint64    // of Init
	Optimizer Optimizer // the zero Optimizer gives a Program without Step

	// Threads is how many cores may work on a batch, 0 … MaxThreads; 0 is all that Go
	// uses (GOMAXPROCS). A network too small for them to pay takes fewer. No result
	// depends on it.
	Threads int
}

// Batch is n examples, 1 ≤ n ≤ Options.Batch unless a method says otherwise.
// Methods read it during the call and keep nothing of it.
type Batch struct {
	X       []float32 // (n, Inputs), row-major; token ids are whole numbers
	Labels  []int32   // entropies: (n), or (n, steps) where the last layer gives [steps, classes]; 0 or 1 for BinaryCrossEntropy, 0 … classes−1 for CrossEntropy
	Targets []float32 // MSE, MAE, Huber: (n, Outputs); Cox: (n, 2), time and event (0 or 1); else nil
}

// Program is a compiled Spec with its parameters, optimizer state and memory. It
// is not safe for concurrent use.
type Program struct {
	spec    Spec
	graph   *graph
	batch   int
	outputs int // values of the last layer for one example
	rows    int // predictions of one example: 1, or the steps of a sequence
	mixes   string
	opt     optimizer
	cox     cox
	net     chain
	step    uint64 // taken so far

	team  *team.Team
	works []work
	now   task

	arena   []float32 // everything below, and what the layers hold, is a part of it
	ints    []int32
	doubles []float64
	each    []Metrics // (batch) of each example
	params  []float32
	grad    []float32
	input   []float32 // (batch, Inputs), ClippedGradSum's own copy
}

// Compile checks the Spec and the Options, reporting every problem at once, and
// returns a Program whose parameters are Init(Seed)'s.
func Compile(spec Spec, o Options) (*Program, error) {
	spec.Layers = cloneLayers(spec.Layers)
	spec.Shape, spec.ClassWeights = slices.Clone(spec.Shape), slices.Clone(spec.ClassWeights)
	g, c, err := measure(&spec, o)
	if err != nil {
		return nil, err
	}
	p := &Program{spec: spec, graph: g, batch: o.Batch, outputs: size(g.out), rows: 1}
	if (spec.Loss == BinaryCrossEntropy || spec.Loss == CrossEntropy) && len(g.out) > 1 {
		p.rows = g.out[0]
	}
	g.each(func(n *node) {
		if n.kind.mixes != "" && p.mixes == "" {
			p.mixes = fmt.Sprintf("layer %s (%s) %s", n.path, n.layer.Kind, n.kind.mixes)
		}
	})
	if spec.Loss == Cox {
		p.mixes = "the cox loss compares examples with each other, so no gradient belongs to one of them"
	}
	scratch := c.scratchLen + padding
	p.arena, p.ints, p.doubles = make([]float32, c.nf+scratch*int64(c.workers)), make([]int32, c.ni), make([]float64, c.nd)
	advise(p.arena)
	p.each = make([]Metrics, o.Batch)
	p.team, p.works = team.New(c.workers), make([]work, c.workers)
	for i := range p.works {
		tmp := p.arena[c.nf+int64(i)*scratch:][:c.scratchLen]
		p.works[i] = work{id: i, of: c.workers, team: p.team, tmp: tmp}
	}
	p.lay(&compiler{batch: o.Batch, workers: c.workers, share: c.share, seed: o.Seed, floats: p.arena[:c.nf], ints: p.ints, doubles: p.doubles}, o.Optimizer)
	p.Init(o.Seed)
	return p, nil
}

// metricsBytes is what an example's Metrics take.
const metricsBytes = int64(unsafe.Sizeof(Metrics{}))

// padding keeps the scratch of two workers off each other's cache lines, in float32.
const padding = 32

// lay takes the Program's memory from c.
func (p *Program) lay(c *compiler, o Optimizer) {
	n := p.graph.layout.Len()
	p.params, p.grad = c.take(n), c.take(n)
	c.params = p.params
	p.opt = newOptimizer(o, c, p.graph.layout)
	p.input = c.take(c.batch * p.spec.Inputs)
	if p.spec.Loss == Cox {
		p.cox = c.cox(c.batch)
	}
	c.scratch(c.share) // binaryLosses
	p.net = c.chain(p.graph.nodes)
	p.opt.split(&p.net)
}

// ArenaBytes returns the memory that a Program of these Options holds, without
// allocating it: parameters, gradient, optimizer state, activations and errors
// of a full batch, scratch. The errors are Compile's.
func ArenaBytes(spec Spec, o Options) (int64, error) {
	_, c, err := measure(&spec, o)
	if err != nil {
		return 0, err
	}
	return c.bytes(), nil
}

func (c *compiler) bytes() int64 {
	n := saturated(c.nf, c.ni)
	for range c.workers {
		n = saturated(n, saturated(c.scratchLen, padding))
	}
	n = saturated(n, saturated(c.nd, c.nd))
	return saturated(4*min(n, math.MaxInt64/4), int64(c.batch)*metricsBytes)
}

// leastWork is how many multiply-adds of a step a worker must have to be worth its
// meetings: some ten microseconds.
var leastWork = 1 << 20

// workers returns how many threads pay for a batch of the graph, at most as many as
// examples.
func (g *graph) workers(o Options) int {
	threads := o.Threads
	if threads == 0 {
		threads = min(runtime.GOMAXPROCS(0), MaxThreads)
	}
	var sum float64
	g.each(func(n *node) {
		rows := max(size(n.in)/n.in[len(n.in)-1], size(n.out)/n.out[len(n.out)-1])
		weights := 16
		for _, e := range n.entries {
			weights += e.Len
		}
		sum += 3 * float64(rows) * float64(weights)
	})
	return int(max(1, min(float64(threads), float64(o.Batch), sum*float64(o.Batch)/float64(leastWork))))
}

// measure checks Spec and Options and counts the memory that they need.
func measure(spec *Spec, o Options) (*graph, *compiler, error) {
	var errs []error
	g, err := spec.graph()
	if err != nil {
		errs = append(errs, err)
	}
	if o.Batch < 1 || o.Batch > MaxBatch {
		errs = append(errs, fmt.Errorf("nn: batch is %d, want 1 to %d", o.Batch, MaxBatch))
	}
	if o.Threads < 0 || o.Threads > MaxThreads {
		errs = append(errs, fmt.Errorf("nn: threads is %d, want 1 to %d, or 0 for all cores", o.Threads, MaxThreads))
	}
	if o.Device != "" && o.Device != "cpu" {
		errs = append(errs, fmt.Errorf("nn: unknown device %q, want %q", o.Device, "cpu"))
	}
	if o.Optimizer != (Optimizer{}) {
		if err := o.Optimizer.Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	var wide error
	g.each(func(n *node) {
		// What a layer holds is at most some dozens of times its output, so that on
		// machines of 32 bits too no length overflows.
		if most := int64(max(size(n.in), size(n.out))) * int64(o.Batch); most > math.MaxInt/64 && wide == nil {
			wide = fmt.Errorf("nn: layer %s (%s): %d examples of shape %s are too many for this machine: use a smaller batch", n.path, n.layer.Kind, o.Batch, shape(n.out))
		}
	})
	if wide != nil {
		return nil, nil, wide
	}
	c := &compiler{batch: o.Batch, workers: g.workers(o), counting: true}
	c.share = (o.Batch + c.workers - 1) / c.workers
	p := &Program{spec: *spec, graph: g}
	p.lay(c, o.Optimizer)
	if n := c.bytes() / 4; n > MaxArenaBytes/4 || n > math.MaxInt/4 {
		return nil, nil, fmt.Errorf("nn: batch %d of this network needs more than %d bytes: use a smaller batch", o.Batch, int64(MaxArenaBytes))
	}
	return g, c, nil
}

// Spec returns the Spec that was compiled. The caller must not change its Layers.
func (p *Program) Spec() Spec { return p.spec }

// Layout returns where each parameter lies in the flat vector. The caller must
// not change it.
func (p *Program) Layout() Layout { return p.graph.layout }

// NumParams returns the length of the flat vector.
func (p *Program) NumParams() int { return len(p.params) }

// ArenaBytes returns the memory that the Program holds.
func (p *Program) ArenaBytes() int64 {
	return 4*int64(len(p.arena)+len(p.ints)+2*len(p.doubles)) + int64(len(p.each))*metricsBytes
}

// Threads returns how many cores work on a batch.
func (p *Program) Threads() int { return p.team.Size() }

// Load copies flat (NumParams values, in Layout order) into the parameters. The
// optimizer's state stays: ResetOptimizer clears it. Values are not judged: a NaN
// comes out again as a non-finite loss.
func (p *Program) Load(flat []float32) error {
	if len(flat) != len(p.params) {
		return fmt.Errorf("nn: load: shape [%d], want [%d]", len(flat), len(p.params))
	}
	copy(p.params, flat)
	return nil
}

// Store copies the parameters to flat (NumParams values, in Layout order).
func (p *Program) Store(flat []float32) error {
	if len(flat) != len(p.params) {
		return fmt.Errorf("nn: store: shape [%d], want [%d]", len(flat), len(p.params))
	}
	copy(flat, p.params)
	return nil
}

// Step trains on one batch: forward, backward of the mean loss, and the
// optimizer's update at the schedule's learning rate. The Metrics are of the
// parameters before the update. n may change from call to call: the mean is over the
// n examples given. On any error the parameters, the optimizer and the count of steps
// are as before. A feature or a loss that is NaN or infinite is a *NonFiniteError; a
// gradient that is, is an error where it is to be clipped; an update that overflows
// shows as one in the next step.
func (p *Program) Step(b Batch) (Metrics, error) {
	if p.opt.Kind == "" {
		return Metrics{}, errors.New("nn: step: compiled without an optimizer")
	}
	n, err := p.check(b, 1)
	if err != nil {
		return Metrics{}, err
	}
	p.opt.begin(p.step)
	p.run(task{do: (*Program).shareStep, batch: b, n: n, train: true, scale: p.meanScale(b, n)})
	if err := p.nonFinite(); err != nil {
		return Metrics{}, err
	}
	if p.opt.failed {
		return Metrics{}, &NonFiniteError{Example: -1, Step: p.step}
	}
	p.opt.end()
	p.step++
	return p.metrics(n), nil
}

// Gradient computes the gradient of the mean loss, to be read with Grad, and
// leaves the parameters alone. Errors are Step's.
func (p *Program) Gradient(b Batch) (Metrics, error) {
	n, err := p.check(b, 1)
	if err != nil {
		return Metrics{}, err
	}
	p.run(task{do: (*Program).shareGradient, batch: b, n: n, train: true, scale: p.meanScale(b, n)})
	if err := p.nonFinite(); err != nil {
		return Metrics{}, err
	}
	return p.metrics(n), nil
}

// task is what the workers do now, on a batch of n examples.
type task struct {
	do    func(*Program, *work)
	batch Batch
	n     int
	train bool
	scale float32   // of every example's loss, where errors are computed
	dx    []float32 // InputGradient's
	class int
	norms []float64 // ClippedGradSum's
	clip  float64
	dst   []float32
}

// run has every worker do its part of t.
func (p *Program) run(t task) {
	p.now = t
	p.team.Run((*members)(p))
	p.now = task{}
}

// members is the Program as its team sees it.
type members Program

// Share is one worker's part of the task at hand.
func (m *members) Share(id int) {
	p := (*Program)(m)
	w, t := &p.works[id], &p.now
	w.train, w.step, w.total = t.train, p.step, t.n
	w.lo = id * t.n / w.of
	w.n = (id+1)*t.n/w.of - w.lo
	w.badInput, w.badLoss = -1, -1
	t.do(p, w)
}

func (p *Program) shareStep(w *work) {
	if !p.backward(w) {
		return
	}
	x := p.now.batch.X
	descending := p.opt.ClipNorm == 0 && p.net.descends(x, w)
	if p.opt.count(descending) > 0 {
		p.net.grad(p.grad, x, w, descending)
		w.team.Meet()
		p.opt.sums(p.grad, w, descending)
		w.team.Meet()
	}
	factor, err := p.opt.factor(descending)
	if w.id == 0 {
		p.opt.failed = err != nil
	}
	if err != nil {
		return
	}
	if w.id == 0 {
		p.net.commit()
	}
	p.opt.update(p.params, p.grad, factor, w, descending)
	if descending {
		p.net.descend(&p.opt, p.params, x, w)
	}
}

func (p *Program) shareGradient(w *work) {
	if p.backward(w) {
		p.net.grad(p.grad, p.now.batch.X, w, false)
	}
}

// backward computes the losses of w's examples and carries their errors back, and says
// whether those of the whole batch are finite.
func (p *Program) backward(w *work) bool {
	x, in := p.now.batch.X, p.spec.Inputs
	if i := nonFinite(x[w.lo*in:][:w.n*in]); i >= 0 {
		w.badInput = w.lo + i/in
	}
	p.net.forward(x, w)
	if p.spec.Loss == Cox {
		w.team.Meet()
		if w.id == 0 {
			last := p.net.last()
			p.each[0] = Metrics{}
			w.badLoss = p.cox.loss(&p.each[0], last.dy[:w.total], last.y[:w.total], p.now.batch.Targets)
		}
		w.team.Meet()
	} else {
		p.losses(w)
	}
	p.net.backward(nil, x, w)
	w.team.Meet()
	return p.nonFinite() == nil
}

// losses computes the losses of w's examples and the errors at the last layer.
func (p *Program) losses(w *work) {
	if s := &p.spec; s.Loss == BinaryCrossEntropy && p.outputs == 1 && s.ClassWeights == nil && s.LabelSmoothing == 0 {
		p.binaryLosses(w)
		return
	}
	for i := w.lo; i < w.lo+w.n; i++ {
		one := p.exampleLoss(p.now.batch, i, p.now.scale)
		if w.badLoss < 0 && one.LossSum-one.LossSum != 0 { // NaN or infinite
			w.badLoss = i
		}
		p.each[i] = one
	}
}

// nonFinite returns what the workers found, the first example of the batch.
func (p *Program) nonFinite() error {
	for i := range p.works {
		if bad := p.works[i].badInput; bad >= 0 {
			return &NonFiniteError{Example: bad, Step: p.step, Input: true}
		}
	}
	for i := range p.works {
		if bad := p.works[i].badLoss; bad >= 0 {
			return &NonFiniteError{Example: bad, Step: p.step}
		}
	}
	return nil
}

// metrics adds up those of n examples, in their order.
func (p *Program) metrics(n int) Metrics {
	if p.spec.Loss == Cox {
		return p.each[0]
	}
	var m Metrics
	for _, one := range p.each[:n] {
		m.Add(one)
	}
	return m
}

// Grad returns the gradient that the last Gradient computed, in Layout order: before
// clipping and weight decay. It is a view: the next call overwrites it, and a Step
// leaves only parts of one there.
func (p *Program) Grad() []float32 { return p.grad }

// Evaluate returns the Metrics of a batch of any size. Parameters, gradient and
// optimizer stay. A loss that is not finite shows as such in LossSum. Under Cox the
// risk sets are of all examples of b, which takes memory where they are more than
// Options.Batch.
func (p *Program) Evaluate(b Batch) (Metrics, error) {
	n, err := p.shape(b)
	if err != nil {
		return Metrics{}, err
	}
	if p.spec.Loss == Cox {
		return p.evaluateCox(b, n), nil
	}
	var m Metrics
	for i := 0; i < n; i += p.batch {
		k := min(p.batch, n-i)
		p.run(task{do: (*Program).shareLosses, batch: p.part(b, i, k), n: k, scale: 1})
		for _, one := range p.each[:k] {
			m.Add(one)
		}
	}
	return m, nil
}

// Losses is Evaluate that also writes each example's loss ℓ_i to dst (n values). Under
// Cox, whose loss belongs to no example, it is an error.
func (p *Program) Losses(dst []float64, b Batch) (Metrics, error) {
	n, err := p.shape(b)
	if err != nil {
		return Metrics{}, err
	}
	if len(dst) != n {
		return Metrics{}, fmt.Errorf("nn: losses: dst has shape [%d], want [%d]", len(dst), n)
	}
	if p.spec.Loss == Cox {
		return Metrics{}, fmt.Errorf("nn: losses: %s", p.mixes)
	}
	var m Metrics
	for i := 0; i < n; i += p.batch {
		k := min(p.batch, n-i)
		p.run(task{do: (*Program).shareLosses, batch: p.part(b, i, k), n: k, scale: 1})
		for j, one := range p.each[:k] {
			dst[i+j] = one.LossSum / float64(p.rows)
			m.Add(one)
		}
	}
	return m, nil
}

// Forward returns the last layer's output for x (n, Inputs), 0 ≤ n ≤
// Options.Batch: (n, Outputs), logits under the entropies. It is a view: the next
// call overwrites it.
func (p *Program) Forward(x []float32) ([]float32, error) {
	n, err := p.count(x)
	if err != nil {
		return nil, err
	}
	if n > p.batch {
		return nil, fmt.Errorf("nn: forward: %d examples, compiled for at most %d", n, p.batch)
	}
	if err := p.checkInput(x, n); err != nil {
		return nil, err
	}
	return p.forward(x, n), nil
}

// Predict writes to dst (n, Outputs) the prediction for x (n, Inputs), n of any
// size: the probability of label 1 under BinaryCrossEntropy, of each class under
// CrossEntropy, else the outputs themselves (under Cox the log of the relative risk).
func (p *Program) Predict(dst, x []float32) error {
	n, err := p.count(x)
	if err != nil {
		return err
	}
	in, out := p.spec.Inputs, p.outputs
	if len(dst) != n*out {
		return fmt.Errorf("nn: predict: dst has shape [%d], want [%d,%d]", len(dst), n, out)
	}
	if err := p.checkInput(x, n); err != nil {
		return err
	}
	for i := 0; i < n; i += p.batch {
		k := min(p.batch, n-i)
		z := p.forward(x[i*in:][:k*in], k)
		y := dst[i*out:][:k*out]
		switch p.spec.Loss {
		case BinaryCrossEntropy:
			for j, v := range z {
				y[j] = kernel.Sigmoid(v)
			}
		case CrossEntropy:
			softmax(y, z, k*p.rows, out/p.rows)
		default:
			copy(y, z)
		}
	}
	return nil
}

// InputGradient writes to dx (n, Inputs) the gradient of each example's chosen
// output with respect to its inputs, ∂z_output/∂x, for x (n, Inputs), 0 ≤ n ≤
// Options.Batch. output counts the last axis of the last layer (logits under the
// entropies); where the layer gives a sequence it is the sum over its steps. Dropout
// is off and running statistics are used, as in Predict. Parameters stay; Grad does
// not. An Embedding has no gradient with respect to ids: that is an error.
func (p *Program) InputGradient(dx, x []float32, output int) error {
	n, err := p.count(x)
	if err != nil {
		return err
	}
	width := p.graph.out[len(p.graph.out)-1]
	switch {
	case n > p.batch:
		return fmt.Errorf("nn: input gradient: %d examples, compiled for at most %d", n, p.batch)
	case len(dx) != len(x):
		return fmt.Errorf("nn: input gradient: dx has shape [%d], want [%d,%d]", len(dx), n, p.spec.Inputs)
	case output < 0 || output >= width:
		return fmt.Errorf("nn: input gradient: output is %d, want 0 to %d", output, width-1)
	case p.graph.nodes[0].layer.Kind == Embedding:
		return errors.New("nn: input gradient: token ids are not numbers that can change a little")
	}
	p.run(task{do: (*Program).shareInput, batch: Batch{X: x}, n: n, dx: dx, class: output})
	return nil
}

func (p *Program) shareInput(w *work) {
	p.net.forward(p.now.batch.X, w)
	last := p.net.last()
	dy := last.dy[w.lo*last.out:][:w.n*last.out]
	clear(dy)
	for i := p.now.class; i < len(dy); i += p.graph.out[len(p.graph.out)-1] {
		dy[i] = 1
	}
	p.net.backward(p.now.dx, p.now.batch.X, w)
}

// SetStep says how many steps were taken before: what dropout draws from, and where
// a learning rate's schedule stands. Compile begins at 0; Step counts on.
func (p *Program) SetStep(n uint64) { p.step = n }

// forward runs the network as it predicts on the n examples of x and returns the last
// layer's output, (n, Outputs).
func (p *Program) forward(x []float32, n int) []float32 {
	p.run(task{do: (*Program).shareForward, batch: Batch{X: x}, n: n})
	return p.net.last().y[:n*p.outputs]
}

func (p *Program) shareForward(w *work) { p.net.forward(p.now.batch.X, w) }

func (p *Program) shareLosses(w *work) {
	p.net.forward(p.now.batch.X, w)
	p.losses(w)
}

// part returns k examples of b from the i-th on.
func (p *Program) part(b Batch, i, k int) Batch {
	out := Batch{X: b.X[i*p.spec.Inputs:][:k*p.spec.Inputs]}
	if b.Labels != nil {
		out.Labels = b.Labels[i*p.rows:][:k*p.rows]
	}
	if b.Targets != nil {
		w := p.targets()
		out.Targets = b.Targets[i*w:][:k*w]
	}
	return out
}

// targets returns the targets of one example.
func (p *Program) targets() int {
	if p.spec.Loss == Cox {
		return 2
	}
	return p.outputs
}

// check returns the examples of b after shape's checks and those of its size.
func (p *Program) check(b Batch, least int) (int, error) {
	n, err := p.shape(b)
	if err != nil {
		return 0, err
	}
	if n < least || n > p.batch {
		return 0, fmt.Errorf("nn: batch of %d examples, compiled for %d to %d", n, least, p.batch)
	}
	return n, nil
}

// shape returns the examples of b, or an error that names the shapes, or the row
// whose label is out of range.
func (p *Program) shape(b Batch) (int, error) {
	n, err := p.count(b.X)
	if err != nil {
		return 0, err
	}
	last := p.net.last().node
	if p.spec.Loss != BinaryCrossEntropy && p.spec.Loss != CrossEntropy {
		if b.Labels != nil {
			return 0, fmt.Errorf("nn: %s takes targets, got %d labels", p.spec.Loss, len(b.Labels))
		}
		if w := p.targets(); len(b.Targets) != n*w {
			return 0, fmt.Errorf("nn: targets have shape [%d], want [%d,%d] for layer %s (%s) under %s", len(b.Targets), n, w, last.path, last.layer.Kind, p.spec.Loss)
		}
		if err := p.checkTargets(b.Targets); err != nil {
			return 0, err
		}
		return n, p.checkInput(b.X, n)
	}
	if b.Targets != nil {
		return 0, fmt.Errorf("nn: %s takes labels, got %d targets", p.spec.Loss, len(b.Targets))
	}
	if len(b.Labels) != n*p.rows {
		want := fmt.Sprintf("[%d]", n)
		if len(p.graph.out) > 1 {
			want = fmt.Sprintf("[%d,%d] for layer %s (%s)", n, p.rows, last.path, last.layer.Kind)
		}
		return 0, fmt.Errorf("nn: labels have shape [%d], want %s", len(b.Labels), want)
	}
	classes := int32(max(p.outputs/p.rows, 2))
	for i, l := range b.Labels {
		if l < 0 || l >= classes {
			return 0, fmt.Errorf("nn: label %d of example %d is out of range, want 0 to %d", l, i/p.rows, classes-1)
		}
	}
	return n, p.checkInput(b.X, n)
}

// count returns the examples in x.
func (p *Program) count(x []float32) (int, error) {
	in := p.spec.Inputs
	if len(x)%in != 0 {
		return 0, fmt.Errorf("nn: layer 0 (%s): x has shape [%d], want [n,%d]", p.graph.nodes[0].layer.Kind, len(x), in)
	}
	return len(x) / in, nil
}

// inputChecker is a first layer that cannot take every number.
type inputChecker interface {
	checkInput(x []float32, n int) error // x is (n, Inputs)
}

func (p *Program) checkInput(x []float32, n int) error {
	if c, ok := p.net.units[0].op.(inputChecker); ok {
		return c.checkInput(x, n)
	}
	return nil
}

// nonFinite returns the index of the first NaN or infinity, or −1.
func nonFinite(x []float32) int {
	if m := kernel.Greatest(x); m-m == 0 {
		return -1
	}
	for i, v := range x {
		if v-v != 0 {
			return i
		}
	}
	return -1
}

// NonFiniteError says that a feature or the loss of an example is NaN or infinite.
type NonFiniteError struct {
	Example int    // its row in the batch; −1: the gradient of the batch as a whole
	Step    uint64 // steps taken before
	Input   bool   // a feature; else the loss
}

func (e *NonFiniteError) Error() string {
	if e.Example < 0 {
		return fmt.Sprintf("nn: after %d steps: the gradient of the batch is not finite: a number in it is far out of range, or the parameters have diverged", e.Step)
	}
	if e.Input {
		return fmt.Sprintf("nn: after %d steps: example %d of the batch has a feature that is not finite: its row is damaged", e.Step, e.Example)
	}
	return fmt.Sprintf("nn: after %d steps: example %d of the batch has a loss that is not finite: its target is damaged or the parameters have diverged", e.Step, e.Example)
}
