package nn

import (
	"math"

	"tacit/nn/internal/kernel"
	"tacit/nn/internal/team"
)

// op is one layer at work. Slices are of n ≥ 1 examples, and no method keeps them or
// allocates, but that a residual keeps x until the step's end. Every worker of a Program
// calls forward and backward at the same time, each for examples of its own; what an op
// holds for each example it finds at w.lo and after.
type op interface {
	// forward computes y (n, out) from x (n, in).
	forward(y, x []float32, n int, w *work)

	// backward computes dx = ∂L/∂x (n, in) from dy = ∂L/∂y (n, out), and whatever
	// errors inside the layer grad will need; x and y are forward's. dx is nil
	// where nobody asks for it.
	backward(dx, dy, x, y []float32, n int, w *work)
}

// trained is an op with parameters. Its methods follow backward.
type trained interface {
	op

	// grad writes to the layer's entries of g, which is in Layout order, the
	// gradients' sums over the n examples of the whole batch. Every worker calls it at
	// the same time and writes a share of its own, none of them the same element.
	grad(g, dy, x []float32, n int, w *work)

	// norm2 returns the squared L2 norm of example i's part of that gradient, or an
	// upper bound that is larger by rounding alone; +Inf where it cannot tell. dy and
	// x are those of the one example.
	norm2(dy, x []float32, i int, w *work) float64

	// scale multiplies by f the errors of example i that grad sums and that lie
	// inside the layer (dy is scaled by the caller); f = 0 clears them, and what
	// they multiply, whatever they hold.
	scale(i int, f float32)
}

// descender is a trained op whose gradient a step need not hold: it computes a part of
// it and moves the parameters by that at once, while the part is in the cache.
type descender interface {
	trained

	// descend moves w's share of the layer's parameters in params along the gradient
	// of the n examples of the whole batch.
	descend(o *optimizer, params, dy, x []float32, n int, w *work)

	// terms returns how many products one element of the gradient sums for n examples.
	terms(n int) int
}

// committer is an op whose forward pass prepares a change of parameters that no
// gradient makes (running statistics); commit makes it, once a step has succeeded.
type committer interface{ commit() }

// whole is an op that works on the whole batch: every worker calls its forward and
// backward with all w.total examples, none of which may be complete before. The op
// makes workers meet where they need what others give, but where it takes or writes
// examples of its own only.
type whole interface {
	op
	whole()
}

// rectifier is an op that may be able to do the ReLU after it, y = max(y, 0), in the
// same pass; rectify has it do so, or says that it cannot. Its backward overwrites dy.
type rectifier interface {
	op
	rectify() bool
}

// nest is an op whose errors are those of a unit inside it.
type nest interface {
	op
	errors() []float32 // (batch, out)
}

// work is what one worker of a Program does at the moment.
type work struct {
	train bool
	step  uint64 // steps taken so far: what dropout draws from, beside the seed

	total int // examples of the batch
	lo, n int // those of this worker: lo … lo+n−1
	id    int // which of the workers, 0 … of−1
	of    int
	tmp   []float32 // scratch of its own: it holds nothing between two calls
	team  *team.Team

	badInput, badLoss int // its first such example, −1 for none
}

// share returns the worker's part lo ≤ i < hi of n things, cut at multiples of unit.
func (w *work) share(n, unit int) (lo, hi int) {
	blocks := (n + unit - 1) / unit
	return min(n, w.id*blocks/w.of*unit), min(n, (w.id+1)*blocks/w.of*unit)
}

// compiler hands out the memory of a Program. It runs twice: once to count, with
// nil slices, once for good.
type compiler struct {
	batch   int
	workers int
	share   int // the most examples of one worker
	seed    uint64
	params  []float32
	floats  []float32
	ints    []int32
	doubles []float64

	nf, ni, nd int64

	counting   bool
	scratchLen int64 // of each worker
}

func saturated(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// take returns n float32 of the arena, zero at first.
func (c *compiler) take(n int) []float32 { return grant(c, &c.nf, &c.floats, n) }

// takeInts and takeDoubles are take for int32 and float64.
func (c *compiler) takeInts(n int) []int32      { return grant(c, &c.ni, &c.ints, n) }
func (c *compiler) takeDoubles(n int) []float64 { return grant(c, &c.nd, &c.doubles, n) }

// grant counts n more, or takes them from what is left.
func grant[T any](c *compiler, count *int64, left *[]T, n int) []T {
	if c.counting {
		*count = saturated(*count, int64(n))
		return nil
	}
	s := (*left)[:n:n]
	*left = (*left)[n:]
	return s
}

// scratch asks for at least n float32 in every work's tmp.
func (c *compiler) scratch(n int) { c.scratchLen = max(c.scratchLen, int64(n)) }

// weights returns the parameters of e.
func (c *compiler) weights(e Entry) []float32 {
	if c.counting {
		return nil
	}
	return c.params[e.Offset:][:e.Len:e.Len]
}

// unit is a compiled node, and the ReLU after it where that is fused: its operation, its output and the error there.
type unit struct {
	node    *node
	op      op
	whole   bool    // op is a whole
	trained trained // op, where it has parameters
	descend descender
	reach   [][2]float32 // of each worker: the greatest magnitude of its x and of its dy
	in, out int
	y, dy   []float32 // (batch, out)
}

// chain is units that follow each other.
type chain struct {
	units []unit
	first int // the first unit with parameters, len(units) where none has any
}

func (c *compiler) chain(nodes []*node) chain {
	out := chain{first: -1}
	for i := 0; i < len(nodes); i++ {
		n := nodes[i]
		u := unit{node: n, in: size(n.in), out: size(n.out)}
		u.op = n.kind.build(c, n)
		if r, ok := u.op.(rectifier); ok && i+2 < len(nodes) && nodes[i+1].layer.Kind == ReLU && r.rectify() {
			i++ // not the last one: a residual needs the errors there itself
		}
		_, u.whole = u.op.(whole)
		if t, ok := u.op.(trained); ok {
			u.trained = t
			if out.first < 0 {
				out.first = len(out.units)
			}
		}
		if d, ok := u.op.(descender); ok {
			u.descend, u.reach = d, make([][2]float32, c.workers)
		}
		u.y = c.take(c.batch * u.out)
		if r, ok := u.op.(nest); ok {
			u.dy = r.errors()
		} else {
			u.dy = c.take(c.batch * u.out)
		}
		out.units = append(out.units, u)
	}
	if out.first < 0 {
		out.first = len(out.units)
	}
	return out
}

// part returns the examples that w gives to u's op.
func (u *unit) part(w *work) (lo, n int) {
	if u.whole {
		return 0, w.total
	}
	return w.lo, w.n
}

// forward computes the outputs of w's examples and returns those of all, (total, out);
// x, the chain's input, is of all examples too. A chain without units returns x.
func (c *chain) forward(x []float32, w *work) []float32 {
	for i := range c.units {
		u := &c.units[i]
		if lo, n := u.part(w); n > 0 {
			u.op.forward(u.y[lo*u.out:][:n*u.out], x[lo*u.in:][:n*u.in], n, w)
		}
		x = u.y
	}
	return x
}

// last returns the unit that gives the chain's output.
func (c *chain) last() *unit { return &c.units[len(c.units)-1] }

// backward carries the errors of w's examples from the last unit's dy down to the first
// unit with parameters, and to dx where that is not nil. x and dx, (total, in), are of
// all examples. The chain is not empty.
func (c *chain) backward(dx, x []float32, w *work) {
	lowest := c.first
	if dx != nil {
		lowest = 0
	}
	for i := len(c.units) - 1; i >= lowest; i-- {
		u := &c.units[i]
		in, below := x, dx
		if i > 0 {
			in, below = c.units[i-1].y, c.units[i-1].dy
		}
		lo, n := u.part(w)
		if n == 0 {
			continue
		}
		if i == c.first && dx == nil {
			below = nil
		} else {
			below = below[lo*u.in:][:n*u.in]
		}
		u.op.backward(below, u.dy[lo*u.out:][:n*u.out], in[lo*u.in:][:n*u.in], u.y[lo*u.out:][:n*u.out], n, w)
	}
}

// grad writes w's share of every unit's gradients to g, but where descending of those
// that descend.
func (c *chain) grad(g, x []float32, w *work, descending bool) {
	for i := range c.units {
		u := &c.units[i]
		if u.trained != nil && !(descending && u.descend != nil) {
			u.trained.grad(g, u.dy[:w.total*u.out], x, w.total, w)
		}
		x = u.y
	}
}

// norm2 returns the squared norm of example i's gradient. x is the chain's input.
func (c *chain) norm2(x []float32, i int, w *work) float64 {
	var sum float64
	for k := range c.units {
		u := &c.units[k]
		if u.trained != nil {
			sum += u.trained.norm2(u.dy[i*u.out:][:u.out], x[i*u.in:][:u.in], i, w)
		}
		x = u.y
	}
	return sum
}

// scale multiplies by f every error of example i that grad sums. Each layer's
// gradient is linear in its own errors, so scaling them all scales the gradient.
func (c *chain) scale(i int, f float32) {
	for k := range c.units {
		u := &c.units[k]
		if u.trained == nil {
			continue
		}
		if _, ok := u.op.(nest); !ok {
			dy := u.dy[i*u.out:][:u.out]
			kernel.Scale(dy, dy, f)
		}
		u.trained.scale(i, f)
	}
}

// drop removes example i from the sums over examples: 0·NaN would be NaN, so
// outputs are cleared with their errors.
func (c *chain) drop(i int) {
	for k := range c.units {
		u := &c.units[k]
		clear(u.y[i*u.out:][:u.out])
		clear(u.dy[i*u.out:][:u.out])
		if u.trained != nil {
			u.trained.scale(i, 0)
		}
	}
}

// descends measures, for w's examples, what bounds the gradients of the units that can
// descend, and says whether those of the whole batch are finite beyond doubt. Workers
// meet.
func (c *chain) descends(x []float32, w *work) bool {
	for i := range c.units {
		if u := &c.units[i]; u.descend != nil {
			u.reach[w.id] = [2]float32{kernel.Greatest(x[w.lo*u.in:][:w.n*u.in]), kernel.Greatest(u.dy[w.lo*u.out:][:w.n*u.out])}
		}
		x = c.units[i].y
	}
	w.team.Meet()
	for i := range c.units {
		u := &c.units[i]
		if u.descend == nil {
			continue
		}
		var x, e float32
		for _, r := range u.reach {
			x, e = max(x, r[0]), max(e, r[1]) // a NaN stays
		}
		// A float32 sum of k terms is at most k/(1 − k·2^-24) times the greatest.
		if k := u.descend.terms(w.total); k > 1<<20 || !(float64(k)*float64(x)*float64(e) < math.MaxFloat32/2) || !(float64(k)*float64(e) < math.MaxFloat32/2) {
			return false
		}
	}
	return true
}

// descend moves w's share of the parameters of the units that can. x is the chain's
// input.
func (c *chain) descend(o *optimizer, params, x []float32, w *work) {
	for i := range c.units {
		u := &c.units[i]
		if u.descend != nil {
			u.descend.descend(o, params, u.dy[:w.total*u.out], x, w.total, w)
		}
		x = u.y
	}
}

// commit makes the changes that a successful step's forward pass prepared.
func (c *chain) commit() {
	for i := range c.units {
		if o, ok := c.units[i].op.(committer); ok {
			o.commit()
		}
	}
}
