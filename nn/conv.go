package nn

import (
	"fmt"
	"math"

	"tacit/nn/internal/kernel"
)

// conv2dKind: for each output position (oy, ox) and output channel j of group q,
// with x zero outside the image,
//
//	y[oy,ox,j] = b_j + Σ_{ky,kx,c} x[oy·s+ky·d−p, ox·s+kx·d−p, q·C/G+c]·w[ky,kx,c,j]
//
// (s stride, p padding, d dilation, each [height, width]; C input channels in G
// groups). It is a cross-correlation, as torch.nn.Conv2d, on [height][width][channels]
// with weights [kh][kw][C/G][outputs]. With δ the error,
//
//	∂x[iy,ix,q·C/G+c] = Σ_{oy,ox,j} δ[oy,ox,j]·w[ky,kx,c,j]
//	∂w[ky,kx,c,j]     = Σ_{oy,ox} x[oy·s+ky·d−p, ox·s+kx·d−p, q·C/G+c]·δ[oy,ox,j]
//	∂b_j              = Σ_{oy,ox} δ[oy,ox,j]
//
// where ∂x sums over those outputs whose tap (ky, kx) lies at (iy, ix).
var conv2dKind = kind{
	name:   Conv2D,
	fields: []string{"units", "init", "local", "no_bias", "kernel", "stride", "padding", "dilation", "groups"},
	shape: func(l *Layer, in []int) ([]int, error) {
		if err := bounded("units", l.Units, 1, MaxUnits); err != nil {
			return nil, err
		}
		v, err := l.window(in, [2]int{1, 1})
		if err != nil {
			return nil, err
		}
		if h, w := v.padded(); int64(h)*int64(w)*int64(v.channels) > MaxValues {
			return nil, fmt.Errorf("the padded image [%d,%d,%d] has more than %d values", h, w, v.channels, MaxValues)
		}
		groups := max(l.Groups, 1)
		if l.Groups < 0 || v.channels%groups != 0 || l.Units%groups != 0 {
			return nil, fmt.Errorf("%d groups do not divide %d input channels and %d units", l.Groups, v.channels, l.Units)
		}
		return []int{v.out[0], v.out[1], l.Units}, nil
	},
	params: func(l *Layer, in []int) []param {
		per, area := in[2]/max(l.Groups, 1), l.Kernel[0]*l.Kernel[1]
		fan := per * area
		w := param{name: "weight", shape: []int{l.Kernel[0], l.Kernel[1], per, l.Units}, kind: Weight,
			init: l.weightInit(fan, l.Units*area, fanInUniform(fan)), perm: []int{3, 2, 0, 1}}
		if l.NoBias {
			return []param{w}
		}
		return []param{w, {name: "bias", shape: []int{l.Units}, kind: Bias, init: l.otherInit(fanInUniform(fan))}}
	},
	build: func(c *compiler, n *node) op { return newConv(c, n) },
}

// conv works on one example at a time, padded in scratch. It copies no windows: a row
// of outputs is one product that reads the padded image through strides, whose
// segments are the window's rows, or where taps are not adjacent one for each row of
// the window, whose segments are its taps.
type conv struct {
	window
	w, b   []float32 // (kh,kw,C/G,units), (units)
	bias   bool
	at     int // offset of w in the flat vector; b follows
	groups int
	ci, co int // channels of a group, in and out
	units  int

	rows, cols int // of outputs: one call of GemmAdd makes cols of them
	pitch      int // values of a padded row
	image      int // values of the padded image
	rowStep    int // values between the windows of two rows of outputs
	colStep    int // values between the windows of two columns

	segments int // runs of adjacent values in a window, in the order of the weights
	run      int // values of one
	perRow   int // runs in a kernel row

	// One product has joint runs, joinStep apart in the image, and products of them
	// make a window.
	products, joint, joinStep int

	gather bool // ∂x is made from padded errors, not scattered to a padded ∂x
}

func newConv(k *compiler, n *node) *conv {
	v, _ := n.layer.window(n.in, [2]int{1, 1}) // shape has judged it
	c := &conv{window: v, w: k.weights(n.entries[0]), at: n.entries[0].Offset, groups: max(n.layer.Groups, 1), units: n.layer.Units}
	if !n.layer.NoBias {
		c.b, c.bias = k.weights(n.entries[1]), true
	}
	c.ci, c.co = v.channels/c.groups, c.units/c.groups
	h, w := v.padded()
	c.pitch = w * v.channels
	c.image = h * c.pitch
	c.rows, c.cols = v.out[0], v.out[1]
	c.rowStep, c.colStep = v.stride[0]*c.pitch, v.stride[1]*v.channels
	if c.rowStep == c.cols*c.colStep { // a row's windows follow those of the row before
		c.rows, c.cols = 1, c.rows*c.cols
	}
	c.perRow, c.run = v.kernel[1], c.ci
	if v.dilation[1] == 1 && c.groups == 1 {
		c.perRow, c.run = 1, v.kernel[1]*c.ci
	}
	c.segments = v.kernel[0] * c.perRow
	c.products, c.joint, c.joinStep = v.kernel[0], c.perRow, v.dilation[1]*v.channels
	if c.perRow == 1 {
		c.products, c.joint, c.joinStep = 1, v.kernel[0], v.dilation[0]*c.pitch
	}
	one := [2]int{1, 1}
	// Gathering makes products for every place of the image, scattering for every output.
	c.gather = c.groups == 1 && v.stride == one && v.dilation == one && v.padding[0] < v.kernel[0] && v.padding[1] < v.kernel[1] &&
		v.in[0]*v.in[1] <= 2*v.out[0]*v.out[1]
	back := int64(c.image) // padded ∂x, or errors, whose halo may be a thousand times as large as they
	if c.gather {
		back = int64(c.errorRows()) * int64(c.errorPitch())
	}
	k.scratch(length(int64(n.entries[0].Len) + int64(c.image) + back)) // turned weights, padded x
	return c
}

// errorRows and errorPitch return the rows, and the values of one, of an example's
// errors with the halo that a convolution needs which gives ∂x.
func (c *conv) errorRows() int  { return c.in[0] + c.kernel[0] - 1 }
func (c *conv) errorPitch() int { return (c.in[1] + c.kernel[1] - 1) * c.units }

// segment returns where in a window run s lies.
func (c *conv) segment(s int) int { return c.tap(s/c.perRow, s%c.perRow) }

func (c *conv) tap(ky, kx int) int {
	return ky*c.dilation[0]*c.pitch + kx*c.dilation[1]*c.channels
}

// halo clears the scratch of padded images.
func (c *conv) halo(w *work) {
	if c.padding != [2]int{} {
		clear(w.tmp[len(c.w):][:c.image])
	}
}

// pad returns example i of x with its padding. It follows halo, and its result
// stands until the next call.
func (c *conv) pad(x []float32, i int, w *work) []float32 {
	row := c.in[1] * c.channels
	x = x[i*c.in[0]*row:][:c.in[0]*row]
	if c.padding == [2]int{} {
		return x
	}
	p := w.tmp[len(c.w):][:c.image]
	for y := range c.in[0] {
		copy(p[c.inside(y):], x[y*row:][:row])
	}
	return p
}

// inside returns where row y of the image begins in the padded one.
func (c *conv) inside(y int) int { return (y+c.padding[0])*c.pitch + c.padding[1]*c.channels }

// forward: each sum over (ky, kx, c), ascending from +0, one FMA a term (those of
// the padding too), then the bias.
func (c *conv) forward(y, x []float32, n int, w *work) {
	c.halo(w)
	var wide [512]float32
	var bias []float32
	if c.bias {
		bias = repeat(wide[:], c.b)
	}
	for i := range n {
		p := c.pad(x, i, w)
		for r := range c.rows {
			out := y[(i*c.rows+r)*c.cols*c.units:][:c.cols*c.units]
			for g := range c.groups {
				for k := range c.products {
					s := k * c.joint
					kernel.GemmSegments(c.cols, c.co, c.joint, c.run, p[r*c.rowStep+c.segment(s)+g*c.ci:], c.colStep, 1, c.joinStep,
						c.w[s*c.run*c.units+g*c.co:], c.units, c.run*c.units, out[g*c.co:], c.units, k > 0)
				}
			}
			if c.bias {
				addAll(out, bias)
			}
		}
	}
}

// backward: each sum over (oy, ox, j), ascending from +0, one FMA a term: a
// convolution of δ with the kernel turned by half a circle.
func (c *conv) backward(dx, dy, _, _ []float32, n int, w *work) {
	switch {
	case dx == nil:
	case c.gather:
		c.backwardGather(dx, dy, n, w)
	default:
		c.backwardScatter(dx, dy, n, w)
	}
}

// backwardGather makes a row of ∂x in one product, whose segments are the kernel's
// rows. The halo around the errors adds zeros.
func (c *conv) backwardGather(dx, dy []float32, n int, w *work) {
	taps := c.kernel[0] * c.kernel[1]
	turned := w.tmp[:len(c.w)] // (kh,kw,units,ci), the taps in reverse
	for t := range taps {
		kernel.Transpose(turned[(taps-1-t)*c.ci*c.units:][:c.ci*c.units], c.w[t*c.ci*c.units:][:c.ci*c.units], c.ci, c.units)
	}
	pitch, run, row := c.errorPitch(), c.kernel[1]*c.units, c.out[1]*c.units
	padded := row != pitch || c.out[0] != c.errorRows()
	e := w.tmp[len(c.w)+c.image:][:c.errorRows()*pitch]
	if padded {
		clear(e)
	}
	for i := range n {
		errs := dy[i*c.out[0]*row:][:c.out[0]*row]
		if padded {
			at := (c.kernel[0]-1-c.padding[0])*pitch + (c.kernel[1]-1-c.padding[1])*c.units
			for r := range c.out[0] {
				copy(e[at+r*pitch:], errs[r*row:][:row])
			}
			errs = e
		}
		for r := range c.in[0] {
			kernel.GemmSegments(c.in[1], c.ci, c.kernel[0], run, errs[r*pitch:], c.units, 1, pitch,
				turned, c.ci, run*c.ci, dx[(i*c.in[0]+r)*c.in[1]*c.ci:], c.ci, false)
		}
	}
}

// backwardScatter makes no products with the zeros that a stride would put between the
// errors: row by row of δ, each tap, from the last to the first, adds its products to
// the padded ∂x. Terms and order are backwardGather's.
func (c *conv) backwardScatter(dx, dy []float32, n int, w *work) {
	taps := c.kernel[0] * c.kernel[1]
	turned := w.tmp[:len(c.w)] // (kh,kw,units,C/G)
	for t := range taps {
		kernel.Transpose(turned[t*c.ci*c.units:][:c.ci*c.units], c.w[t*c.ci*c.units:][:c.ci*c.units], c.ci, c.units)
	}
	row := c.in[1] * c.channels
	size := c.in[0] * row
	for i := range n {
		d := dx[i*size:][:size]
		p := d
		if c.padding != [2]int{} {
			p = w.tmp[len(c.w)+c.image:][:c.image]
		}
		clear(p)
		for r := range c.rows {
			e := dy[(i*c.rows+r)*c.cols*c.units:][:c.cols*c.units]
			for t := taps - 1; t >= 0; t-- {
				to := p[r*c.rowStep+c.tap(t/c.kernel[1], t%c.kernel[1]):]
				for g := range c.groups {
					kernel.GemmAdd(c.cols, c.ci, c.co, e[g*c.co:], c.units, 1,
						turned[(t*c.units+g*c.co)*c.ci:], c.ci, to[g*c.ci:], c.colStep)
				}
			}
		}
		if c.padding != [2]int{} {
			for y := range c.in[0] {
				copy(d[y*row:][:row], p[c.inside(y):])
			}
		}
	}
}

// grad: each sum over (example, oy, ox), ascending from +0. Workers share the rows of
// the weights; a product's segments are the rows of an example's outputs.
func (c *conv) grad(g, dy, x []float32, n int, w *work) {
	rows := c.segments * c.run
	if c.bias {
		sumShare(g[c.at+rows*c.units:][:c.units], dy, n*c.rows*c.cols, c.units, w)
	}
	unit := 1
	if c.run >= 32 {
		unit = 8
	}
	lo, hi := w.share(rows, unit)
	if lo == hi {
		return
	}
	g = g[c.at:][:rows*c.units]
	c.halo(w)
	for i := range n {
		c.gradRows(g, c.pad(x, i, w), dy[i*c.rows*c.cols*c.units:][:c.rows*c.cols*c.units], lo, hi, i > 0)
	}
}

// gradRows writes to rows lo … hi−1 of g, the weights' gradient, what one example adds,
// whose padded image is p and whose errors are e; with add it goes on from what g holds.
func (c *conv) gradRows(g, p, e []float32, lo, hi int, add bool) {
	for k := lo; k < hi; {
		s, from := k/c.run, k%c.run
		m := min(c.run-from, hi-k)
		for q := range c.groups {
			kernel.GemmSegments(m, c.co, c.rows, c.cols, p[c.segment(s)+q*c.ci+from:], 1, c.colStep, c.rowStep,
				e[q*c.co:], c.units, c.cols*c.units, g[k*c.units+q*c.co:], c.units, add)
		}
		k += m
	}
}

// norm2 is that of the example's own gradient, made as grad makes it, with an upper bound
// of what either rounds away.
func (c *conv) norm2(dy, x []float32, _ int, w *work) float64 {
	c.halo(w)
	p := c.pad(x, 0, w)
	g := w.tmp[:len(c.w)]
	c.gradRows(g, p, dy, 0, c.segments*c.run, false)
	var sum float64
	for q := range c.groups {
		sum += c.groupNorm2(g[q*c.co:], dy[q*c.co:], p[q*c.ci:])
	}
	return sum
}

// place returns where the window of output r begins.
func (c *conv) place(r int) int { return r/c.cols*c.rowStep + r%c.cols*c.colStep }

// groupNorm2 is the squared norm of one group's gradient g; g, dy and x begin at its
// first channel. As in outerNorm2 what float32 sums round away is at most γ·S with S =
// Σ_r ‖x_r‖·‖δ_r‖, here twice: in g and in the sum that grad makes.
func (c *conv) groupNorm2(g, dy, x []float32) float64 {
	rows := c.rows * c.cols
	one := 0.0
	if c.bias {
		one = 1
	}
	var s, sum float64
	for r := range rows {
		var xx float64
		for k := range c.segments {
			xx += kernel.SumSquares(x[c.place(r)+c.segment(k):][:c.run])
		}
		if !(xx <= longest(rows)) {
			return math.Inf(1)
		}
		s += math.Sqrt(float64(kernel.SumSquares(dy[r*c.units:][:c.co]) * (one + xx)))
	}
	for k := range c.segments * c.run {
		sum += kernel.SumSquares(g[k*c.units:][:c.co])
	}
	for j := 0; c.bias && j < c.co; j += block {
		var v [block]float64
		b := v[:min(block, c.co-j)]
		kernel.ColSum(b, dy[j:], c.units, rows)
		for _, e := range b {
			sum += float64(e * e)
		}
	}
	return withRounding(sum, s, 2*rows+4)
}

func (c *conv) scale(int, float32) {}
