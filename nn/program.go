package nn

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"tacit/nn/internal/kernel"
)

// MaxBatch and MaxArenaBytes bound what Compile will allocate.
const (
	MaxBatch      = 1 << 20
	MaxArenaBytes = 1 << 35
)

// Options say how a Spec is compiled.
type Options struct {
	Batch     int       // the most examples of a Step, 1 … MaxBatch
	Device    string    // "" or "cpu"
	Seed      uint64    // of Init
	Optimizer Optimizer // the zero Optimizer gives a Program without Step
}

// Batch is n examples, 1 ≤ n ≤ Options.Batch unless a method says otherwise.
// Methods read it during the call and keep nothing of it.
type Batch struct {
	X       []float32 // (n, Inputs), row-major
	Labels  []int32   // (n): 0 or 1 for BinaryCrossEntropy, 0 … Outputs−1 for CrossEntropy, nil for MSE
	Targets []float32 // (n, Outputs) for MSE, else nil
}

// Program is a compiled Spec with its parameters, optimizer state and memory. It
// is not safe for concurrent use.
type Program struct {
	spec   Spec
	layout Layout
	batch  int
	opt    optimizer
	layers []layer
	first  int // the first layer with parameters: no error is carried below it

	arena  []float32 // everything below is a part of it
	params []float32
	grad   []float32
	input  []float32 // (batch, Inputs), ClippedGradSum's own copy
	dyT    []float32 // scratch of the dense backward pass: δᵀ
	dxT    []float32 // and (∂x)ᵀ
}

// layer is one step of the network and its share of the arena.
type layer struct {
	kind    string
	in, out int
	init    string
	w, b    int       // offsets of a Dense's weight and bias in params
	y       []float32 // (batch, out), the output
	delta   []float32 // (batch, out), ∂L/∂y
}

// Compile checks the Spec and the Options, reporting every problem at once, and
// returns a Program whose parameters are Init(Seed)'s.
func Compile(spec Spec, o Options) (*Program, error) {
	n, err := arenaLen(spec, o)
	if err != nil {
		return nil, err
	}
	layout, err := spec.Layout()
	if err != nil {
		return nil, err
	}
	spec.Layers = append([]Layer(nil), spec.Layers...)
	p := &Program{spec: spec, layout: layout, batch: o.Batch, first: -1, arena: make([]float32, n)}

	free := p.arena
	take := func(n int) []float32 {
		s := free[:n:n]
		free = free[n:]
		return s
	}
	p.params, p.grad = take(layout.Len()), take(layout.Len())
	p.opt = newOptimizer(o.Optimizer, take, layout.Len())
	p.input = take(o.Batch * spec.Inputs)
	in, entry, widest := spec.Inputs, 0, spec.Inputs
	for i, l := range spec.Layers {
		g := layer{kind: l.Kind, in: in, out: in, init: l.Init}
		if l.Kind == Dense {
			g.out = l.Units
			g.w, g.b = layout[entry].Offset, layout[entry+1].Offset
			entry += 2
			if p.first < 0 {
				p.first = i
			}
		}
		g.y, g.delta = take(o.Batch*g.out), take(o.Batch*g.out)
		p.layers = append(p.layers, g)
		in, widest = g.out, max(widest, g.out)
	}
	p.dyT, p.dxT = take(o.Batch*widest), take(o.Batch*widest)
	p.Init(o.Seed)
	return p, nil
}

// ArenaBytes returns the memory that a Program of these Options holds, without
// allocating it: parameters, gradient, optimizer state, activations and errors
// of a full batch. The errors are Compile's.
func ArenaBytes(spec Spec, o Options) (int64, error) {
	n, err := arenaLen(spec, o)
	return 4 * n, err
}

func arenaLen(spec Spec, o Options) (int64, error) {
	var errs []error
	if err := spec.Validate(); err != nil {
		errs = append(errs, err)
	}
	if o.Batch < 1 || o.Batch > MaxBatch {
		errs = append(errs, fmt.Errorf("nn: batch is %d, want 1 to %d", o.Batch, MaxBatch))
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
		return 0, err
	}
	batch := int64(o.Batch)
	n := int64(spec.NumParams()) * int64(2+o.Optimizer.moments())
	width := int64(spec.Inputs)
	widest := width
	n += batch * width
	for _, l := range spec.Layers {
		if l.Kind == Dense {
			width = int64(l.Units)
		}
		widest = max(widest, width)
		n += 2 * batch * width
	}
	n += 2 * batch * widest
	if 4*n > MaxArenaBytes || 4*n > math.MaxInt {
		return 0, fmt.Errorf("nn: batch %d of this network needs %d bytes, want at most %d", o.Batch, 4*n, int64(MaxArenaBytes))
	}
	return n, nil
}

// Spec returns the Spec that was compiled. The caller must not change its Layers.
func (p *Program) Spec() Spec { return p.spec }

// Layout returns where each parameter lies in the flat vector. The caller must
// not change it.
func (p *Program) Layout() Layout { return p.layout }

// NumParams returns the length of the flat vector.
func (p *Program) NumParams() int { return len(p.params) }

// ArenaBytes returns the memory that the Program holds.
func (p *Program) ArenaBytes() int64 { return 4 * int64(len(p.arena)) }

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

// Init sets the parameters from seed and resets the optimizer. A Dense with
// InitUniform draws weight and bias from the uniform distribution on
// [−1/√in, 1/√in], which is torch.nn.Linear's default (kaiming_uniform with
// a = √5); the numbers are ours: ChaCha8 (https://c2sp.org/chacha8rand) keyed by
// SHA-256 of "tacit nn init" and the seed, one draw a parameter in Layout order.
func (p *Program) Init(seed uint64) {
	key := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("tacit nn init\x00"), seed))
	src := rand.NewChaCha8(key)
	for _, l := range p.layers {
		if l.kind != Dense {
			continue
		}
		w := p.params[l.w:][:l.in*l.out+l.out] // the bias follows its weight
		if l.init == InitZeros {
			clear(w)
			continue
		}
		bound := 1 / math.Sqrt(float64(l.in))
		for i := range w {
			u := float64(src.Uint64()>>40)*0x1p-23 - 1 // exact, in [−1, 1)
			w[i] = float32(u * bound)
		}
	}
	p.ResetOptimizer()
}

// Step trains on one batch: forward, backward of the mean loss, and the
// optimizer's update. The Metrics are of the parameters before the update. n may
// change from call to call: the mean is over the n examples given. On any error
// the parameters and the optimizer are as before. A feature or a loss that is NaN
// or infinite is a *NonFiniteError; an update that overflows shows as one in the
// next step.
func (p *Program) Step(b Batch) (Metrics, error) {
	if p.opt.Kind == "" {
		return Metrics{}, errors.New("nn: step: compiled without an optimizer")
	}
	m, err := p.Gradient(b)
	if err != nil {
		return Metrics{}, err
	}
	p.opt.update(p.params, p.grad)
	return m, nil
}

// Gradient computes the gradient of the mean loss, to be read with Grad, and
// leaves the parameters alone. Errors are Step's.
func (p *Program) Gradient(b Batch) (Metrics, error) {
	n, err := p.check(b, 1)
	if err != nil {
		return Metrics{}, err
	}
	if i := nonFinite(b.X); i >= 0 {
		return Metrics{}, &NonFiniteError{Example: i / p.spec.Inputs}
	}
	p.forward(b.X, n)
	var m Metrics
	bad := p.loss(&m, b, n, 1/float32(n))
	if bad >= 0 {
		return Metrics{}, &NonFiniteError{Example: bad}
	}
	p.backward(n)
	p.accumulate(p.grad, b.X, n)
	return m, nil
}

// Grad returns the gradient that the last Gradient or Step computed, in Layout
// order. It is a view: the next call overwrites it.
func (p *Program) Grad() []float32 { return p.grad }

// Evaluate returns the Metrics of a batch of any size. Parameters, gradient and
// optimizer stay. A loss that is not finite shows as such in LossSum.
func (p *Program) Evaluate(b Batch) (Metrics, error) {
	n, err := p.shape(b)
	if err != nil {
		return Metrics{}, err
	}
	in, out := p.spec.Inputs, p.spec.Outputs()
	var m Metrics
	for i := 0; i < n; i += p.batch {
		k := min(p.batch, n-i)
		part := Batch{X: b.X[i*in:][:k*in]}
		if p.spec.Loss == MSE {
			part.Targets = b.Targets[i*out:][:k*out]
		} else {
			part.Labels = b.Labels[i:][:k]
		}
		p.forward(part.X, k)
		p.loss(&m, part, k, 1)
	}
	return m, nil
}

// Forward returns the last layer's output for x (n, Inputs), 0 ≤ n ≤
// Options.Batch: (n, Outputs), logits under the entropies. It is a view: the next
// call overwrites it.
func (p *Program) Forward(x []float32) ([]float32, error) {
	n, err := p.rows(x)
	if err != nil {
		return nil, err
	}
	if n > p.batch {
		return nil, fmt.Errorf("nn: forward: %d examples, compiled for at most %d", n, p.batch)
	}
	return p.forward(x, n), nil
}

// Predict writes to dst (n, Outputs) the prediction for x (n, Inputs), n of any
// size: the probability of label 1 under BinaryCrossEntropy, of each class under
// CrossEntropy, the outputs themselves under MSE.
func (p *Program) Predict(dst, x []float32) error {
	n, err := p.rows(x)
	if err != nil {
		return err
	}
	in, out := p.spec.Inputs, p.spec.Outputs()
	if len(dst) != n*out {
		return fmt.Errorf("nn: predict: dst has shape [%d], want [%d,%d]", len(dst), n, out)
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
			softmax(y, z, k, out)
		default:
			copy(y, z)
		}
	}
	return nil
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
	n, err := p.rows(b.X)
	if err != nil {
		return 0, err
	}
	out := p.spec.Outputs()
	if p.spec.Loss == MSE {
		if b.Labels != nil {
			return 0, fmt.Errorf("nn: %s takes targets, got %d labels", MSE, len(b.Labels))
		}
		if len(b.Targets) != n*out {
			return 0, fmt.Errorf("nn: targets have shape [%d], want [%d,%d] for layer %d (%s)", len(b.Targets), n, out, len(p.layers)-1, p.layers[len(p.layers)-1].kind)
		}
		return n, nil
	}
	if b.Targets != nil {
		return 0, fmt.Errorf("nn: %s takes labels, got %d targets", p.spec.Loss, len(b.Targets))
	}
	if len(b.Labels) != n {
		return 0, fmt.Errorf("nn: labels have shape [%d], want [%d]", len(b.Labels), n)
	}
	classes := int32(max(out, 2))
	for i, l := range b.Labels {
		if l < 0 || l >= classes {
			return 0, fmt.Errorf("nn: label %d of example %d is out of range, want 0 to %d", l, i, classes-1)
		}
	}
	return n, nil
}

func (p *Program) rows(x []float32) (int, error) {
	in := p.spec.Inputs
	if len(x)%in != 0 {
		return 0, fmt.Errorf("nn: layer 0 (%s): x has shape [%d], want [n,%d]", p.layers[0].kind, len(x), in)
	}
	return len(x) / in, nil
}

// nonFinite returns the index of the first NaN or infinity, or −1.
func nonFinite(x []float32) int {
	for i, v := range x {
		if v-v != 0 {
			return i
		}
	}
	return -1
}

// NonFiniteError says that a feature or the loss of an example is NaN or infinite:
// its row is damaged, or the parameters have diverged.
type NonFiniteError struct {
	Example int // its row in the batch
}

func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("nn: example %d of the batch has a feature or a loss that is not finite", e.Example)
}
