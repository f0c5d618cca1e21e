package nn

import (
	"fmt"

	"tacit/nn/internal/kernel"
)

// maxPoolKind: y = the greatest value of the window, the first of equal ones, a NaN
// before any number; padding is never taken. ∂x = δ at the value that was taken,
// summed where windows overlap. It is torch.nn.MaxPool2d.
var maxPoolKind = kind{
	name: MaxPool, fields: []string{"kernel", "stride", "padding"},
	shape: poolShape,
	build: func(c *compiler, n *node) op {
		p := &maxPool{size: size(n.in)}
		p.window, _ = n.layer.window(n.in, n.layer.Kernel)
		p.each = size(n.out)
		if p.byRows() {
			p.each = p.out[0] * p.row()
			c.scratch(p.row())
		}
		p.taken = c.take(c.batch * p.each)
		return p
	},
}

// avgPoolKind: y = the mean of the window, padding counted as zeros; ∂x = δ/(kh·kw)
// at each value of the window, summed where windows overlap. It is
// torch.nn.AvgPool2d.
var avgPoolKind = kind{
	name: AvgPool, fields: []string{"kernel", "stride", "padding"},
	shape: poolShape,
	build: func(_ *compiler, n *node) op {
		p := &avgPool{size: size(n.in)}
		p.window, _ = n.layer.window(n.in, n.layer.Kernel)
		return p
	},
}

// poolShape is the shape function of pools with windows. As in torch, at most half
// a window is padding, so that none lies outside.
func poolShape(l *Layer, in []int) ([]int, error) {
	v, err := l.window(in, l.Kernel)
	if err != nil {
		return nil, err
	}
	for a, axis := range axisNames {
		if v.padding[a] > v.kernel[a]/2 {
			return nil, fmt.Errorf("the padding's %s is %d, want at most half of the kernel's %d", axis, v.padding[a], v.kernel[a])
		}
	}
	return []int{v.out[0], v.out[1], v.channels}, nil
}

type maxPool struct {
	window
	size  int       // of an example
	taken []float32 // (batch, each): which tap of the window was taken, a whole number
	each  int       // by output, or by the places of rows worked on at once
}

// over calls f for every output of n examples with the place of its values among the
// outputs, and for each of its taps with the tap's number and the place of its values.
func (p *maxPool) over(n int, f func(o, at, tap int, first bool)) {
	c, o := p.channels, 0
	for i := range n {
		for oy := range p.out[0] {
			ylo, yhi, y0 := p.taps(0, oy)
			for ox := range p.out[1] {
				xlo, xhi, x0 := p.taps(1, ox)
				first := true
				for ky := ylo; ky < yhi; ky++ {
					for kx := xlo; kx < xhi; kx++ {
						f(o, i*p.size+((y0+ky)*p.in[1]+x0+kx)*c, ky*p.kernel[1]+kx, first)
						first = false
					}
				}
				o += c
			}
		}
	}
}

// byRows says whether a row of outputs is worked on at once, as if the stride along it
// were 1: every tap is then one run over a row of the image, and the outputs between are
// thrown away. It pays where a pixel's channels are few.
func (p *maxPool) byRows() bool {
	return p.padding == [2]int{} && p.channels < 64 && p.stride[1] <= 4
}

// row is the length of such a row.
func (p *maxPool) row() int { return ((p.out[1]-1)*p.stride[1] + 1) * p.channels }

// overRows calls f for every row of outputs of n examples with its number and the place
// of the image's row under its first tap.
func (p *maxPool) overRows(n int, f func(r, at int)) {
	length := p.in[1] * p.channels
	for i := range n {
		for oy := range p.out[0] {
			f(i*p.out[0]+oy, i*p.size+oy*p.stride[0]*length)
		}
	}
}

func (p *maxPool) forwardRows(y, x, taken []float32, n int, w *work) {
	best, outputs, step := w.tmp[:p.row()], p.out[1]*p.channels, p.stride[1]*p.channels
	p.overRows(n, func(r, at int) {
		which := taken[r*len(best):][:len(best)]
		for tap := range p.kernel[0] * p.kernel[1] {
			from := x[at+(tap/p.kernel[1]*p.in[1]+tap%p.kernel[1])*p.channels:]
			if tap == 0 {
				copy(best, from)
				clear(which)
			} else {
				kernel.MaxTap(best, which, from, float32(tap))
			}
		}
		for out, i := y[r*outputs:][:outputs], 0; len(out) > 0; out, i = out[p.channels:], i+step {
			copy(out[:p.channels], best[i:])
		}
	})
}

func (p *maxPool) backwardRows(dx, dy, taken []float32, n int, w *work) {
	errors, outputs, step := w.tmp[:p.row()], p.out[1]*p.channels, p.stride[1]*p.channels
	clear(errors) // and so it stays between the outputs
	p.overRows(n, func(r, at int) {
		for out, i := dy[r*outputs:][:outputs], 0; len(out) > 0; out, i = out[p.channels:], i+step {
			copy(errors[i:], out[:p.channels])
		}
		for tap := range p.kernel[0] * p.kernel[1] {
			from := at + (tap/p.kernel[1]*p.in[1]+tap%p.kernel[1])*p.channels
			kernel.SpreadTap(dx[from:][:len(errors)], errors, taken[r*len(errors):], float32(tap))
		}
	})
}

func (p *maxPool) forward(y, x []float32, n int, w *work) {
	c := p.channels
	all := p.taken[w.lo*p.each:]
	if p.byRows() {
		p.forwardRows(y, x, all, n, w)
		return
	}
	p.over(n, func(o, at, tap int, first bool) {
		best, taken := y[o:][:c], all[o:][:c]
		if first {
			copy(best, x[at:])
			for j := range taken {
				taken[j] = float32(tap)
			}
			return
		}
		kernel.MaxTap(best, taken, x[at:], float32(tap))
	})
}

// backward sums in the order of outputs.
func (p *maxPool) backward(dx, dy, _, _ []float32, n int, w *work) {
	if dx == nil {
		return
	}
	c := p.channels
	all := p.taken[w.lo*p.each:]
	clear(dx)
	if p.byRows() {
		p.backwardRows(dx, dy, all, n, w)
		return
	}
	p.over(n, func(o, at, tap int, _ bool) {
		kernel.SpreadTap(dx[at:][:c], dy[o:], all[o:], float32(tap))
	})
}

// spread adds each error to the value that its output took.
func spread(dx, dy []float32, taken []int32, n int) {
	clear(dx)
	in, out := len(dx)/max(n, 1), len(dy)/max(n, 1)
	for i := range n {
		d := dx[i*in:][:in]
		from := taken[i*out:][:out]
		for j, e := range dy[i*out:][:out] {
			d[from[j]] += e
		}
	}
}

type avgPool struct {
	window
	size int // of an example
}

// forward sums in the order of taps from +0, then divides.
func (p *avgPool) forward(y, x []float32, n int, _ *work) {
	clear(y)
	area := float32(p.kernel[0] * p.kernel[1])
	c, o := p.channels, 0
	for i := range n {
		for oy := range p.out[0] {
			ylo, yhi, y0 := p.taps(0, oy)
			for ox := range p.out[1] {
				xlo, xhi, x0 := p.taps(1, ox)
				sum := y[o:][:c]
				for ky := ylo; ky < yhi; ky++ {
					for kx := xlo; kx < xhi; kx++ {
						for j, v := range x[i*p.size+((y0+ky)*p.in[1]+x0+kx)*c:][:c] {
							sum[j] += v
						}
					}
				}
				for j := range sum {
					sum[j] /= area
				}
				o += c
			}
		}
	}
}

// backward sums in the order of outputs.
func (p *avgPool) backward(dx, dy, _, _ []float32, n int, _ *work) {
	if dx == nil {
		return
	}
	clear(dx)
	area := float32(p.kernel[0] * p.kernel[1])
	c, o := p.channels, 0
	for i := range n {
		for oy := range p.out[0] {
			ylo, yhi, y0 := p.taps(0, oy)
			for ox := range p.out[1] {
				xlo, xhi, x0 := p.taps(1, ox)
				e := dy[o:][:c]
				for ky := ylo; ky < yhi; ky++ {
					for kx := xlo; kx < xhi; kx++ {
						d := dx[i*p.size+((y0+ky)*p.in[1]+x0+kx)*c:][:c]
						for j, v := range e {
							d[j] += v / area
						}
					}
				}
				o += c
			}
		}
	}
}

// globalAvgPoolKind: y_c = (1/P) Σ_p x_pc over all P positions, the axes but the last;
// ∂x_pc = δ_c/P.
var globalAvgPoolKind = kind{
	name:  GlobalAvgPool,
	shape: globalShape,
	build: func(_ *compiler, n *node) op {
		c := n.in[len(n.in)-1]
		return globalAvgPool{positions: size(n.in) / c, channels: c}
	},
}

// globalMaxPoolKind: y_c = max_p x_pc over all positions, the axes but the last: the
// first of equal values, a NaN before any number; ∂x = δ at the value that was taken.
// (torch's amax spreads δ over equal values.)
var globalMaxPoolKind = kind{
	name:  GlobalMaxPool,
	shape: globalShape,
	build: func(c *compiler, n *node) op {
		ch := n.in[len(n.in)-1]
		return &globalMaxPool{positions: size(n.in) / ch, channels: ch, taken: c.takeInts(c.batch * ch)}
	},
}

func globalShape(_ *Layer, in []int) ([]int, error) {
	if len(in) < 2 {
		return nil, fmt.Errorf("takes an image [height,width,channels] or a sequence [steps,features], got shape %s", shape(in))
	}
	return []int{in[len(in)-1]}, nil
}

type globalAvgPool struct{ positions, channels int }

// block is how many channels a pass over the positions sums at a time, in float64.
const block = 64

// forward sums in the order of positions, in float64, and rounds the mean once.
func (p globalAvgPool) forward(y, x []float32, n int, _ *work) {
	var sum [block]float64
	for i := range n {
		for c := 0; c < p.channels; c += block {
			w := min(block, p.channels-c)
			clear(sum[:])
			for r := range p.positions {
				for j, v := range x[(i*p.positions+r)*p.channels+c:][:w] {
					sum[j] += float64(v)
				}
			}
			for j, v := range sum[:w] {
				y[i*p.channels+c+j] = float32(v / float64(p.positions))
			}
		}
	}
}

func (p globalAvgPool) backward(dx, dy, _, _ []float32, n int, _ *work) {
	if dx == nil {
		return
	}
	for i := range n {
		for r := range p.positions {
			d := dx[(i*p.positions+r)*p.channels:][:p.channels]
			for j, e := range dy[i*p.channels:][:p.channels] {
				d[j] = e / float32(p.positions)
			}
		}
	}
}

type globalMaxPool struct {
	positions, channels int
	taken               []int32 // (batch, channels)
}

func (p *globalMaxPool) forward(y, x []float32, n int, w *work) {
	for i := range n {
		best, taken := y[i*p.channels:][:p.channels], p.taken[(w.lo+i)*p.channels:][:p.channels]
		for r := range p.positions {
			at := r * p.channels
			for j, v := range x[i*p.positions*p.channels+at:][:p.channels] {
				if r == 0 || v > best[j] || v != v {
					best[j], taken[j] = v, int32(at+j)
				}
			}
		}
	}
}

func (p *globalMaxPool) backward(dx, dy, _, _ []float32, n int, w *work) {
	if dx != nil {
		spread(dx, dy, p.taken[w.lo*p.channels:], n)
	}
}
