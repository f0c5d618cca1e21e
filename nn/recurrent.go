package nn

import (
	"math"
	"strconv"

	"tacit/nn/internal/kernel"
)

// maxDepth bounds the layers of one recurrent Layer.
const maxDepth = 64

// cell is the arithmetic of one step of a recurrent layer for one example, which the
// kinds tell apart; recurrence does what they share. h is the hidden width, and all
// lengths below are in units of h.
//
// A step begins with gates sums a = b_ih + b_hh + x_s·W_ih + h_{s−1}·W_hh. Of these
// the last, apart of them, are without their b_hh + h_{s−1}·W_hh, which stand alone at
// the beginning of kept instead.
type cell struct {
	gates int
	apart int
	keeps int // what a step keeps beside its gates; it is apart where that is not 0

	// forward writes the state h_s and turns the sums g (gates) into gates, and
	// fills kept (keeps). prev is h_{s−1}, before the kept of the step before; both
	// are zero at the first step.
	forward func(h, g, kept, prev, before []float32)

	// backward puts ∂L/∂a in the place of the gates g, and those of the sums apart
	// at the beginning of kept. dh is ∂L/∂h_s through the layer above and the sums of
	// the next step. carry (1) is the error that comes down any other way: it arrives
	// from step s+1 and leaves for step s−1.
	backward func(g, kept, prev, before, dh, carry []float32)
}

// recurrentKind is the kind of layers of a cell, Depth of them on top of each other,
// each reading the states of the one below: [steps, features] → [steps, units], with
// Last → [units]. States begin at zero with every example.
//
// With Truncate = k the error does not pass from a step s to s−1 where k divides s,
// steps counted from 0, while the state does: torch's detach after every k steps.
//
// Parameters are torch.nn.RNN's, LSTM's and GRU's with batch_first, weights as
// [in][gates·h], all uniform in ±1/√h.
func recurrentKind(name string, cl cell) kind {
	return kind{
		name:   name,
		fields: []string{"units", "init", "local", "depth", "last", "truncate"},
		shape: func(l *Layer, in []int) ([]int, error) {
			if err := wantAxes(in, 2, "[steps, features]"); err != nil {
				return nil, err
			}
			if err := bounded("units", l.Units, 1, MaxUnits); err != nil {
				return nil, err
			}
			if err := bounded("depth", l.Depth, 0, maxDepth); err != nil {
				return nil, err
			}
			if err := bounded("truncate", l.Truncate, 0, MaxUnits); err != nil {
				return nil, err
			}
			whole := []int{in[0], l.Units}
			if err := checkShape(whole); err != nil || !l.Last { // the states of all steps are held in any case
				return whole, err
			}
			return []int{l.Units}, nil
		},
		params: func(l *Layer, in []int) []param {
			var out []param
			from, to := in[1], cl.gates*l.Units
			start := fanInUniform(l.Units)
			for i := range max(l.Depth, 1) {
				of := "_l" + strconv.Itoa(i)
				out = append(out,
					param{name: "weight_ih" + of, shape: []int{from, to}, kind: Weight, init: l.weightInit(from, to, start)}.transposed(),
					param{name: "weight_hh" + of, shape: []int{l.Units, to}, kind: Weight, init: l.weightInit(l.Units, to, start)}.transposed(),
					param{name: "bias_ih" + of, shape: []int{to}, kind: Bias, init: l.otherInit(start)},
					param{name: "bias_hh" + of, shape: []int{to}, kind: Bias, init: l.otherInit(start)})
				from = l.Units
			}
			return out
		},
		build: func(c *compiler, n *node) op { return newRecurrence(c, n, cl) },
	}
}

// recurrence is a recurrent Layer at work.
type recurrence struct {
	cell
	steps, width int // of the example, of a state
	last         bool
	truncate     int
	layers       []recurrent
	zero         []float32 // (keeps·width)
}

// recurrent is one of its layers, h its width.
type recurrent struct {
	in           int
	w, u, bi, bh []float32 // weight_ih (in, gates·h), weight_hh (h, gates·h), their biases
	at           int       // offset of w in the flat vector; u, bi and bh follow

	// Of each example and step. After backward, g and the part of kept that belongs
	// to sums apart hold errors.
	g    []float32 // (batch, steps, gates·h)
	kept []float32 // (batch, steps, keeps·h)
	prev []float32 // (batch, steps, h): h_{s−1}, always zero at the first step
	out  []float32 // (batch, steps, h): h_s, nil in the highest layer
}

func newRecurrence(c *compiler, n *node, cl cell) op {
	r := &recurrence{cell: cl, steps: n.in[0], width: n.layer.Units, last: n.layer.Last, truncate: n.layer.Truncate}
	h, entries := r.width, n.entries
	weights, rows, share := 0, int64(c.batch)*int64(r.steps), int64(c.share) // rows·h ≤ MaxBatch·MaxValues
	for in := n.in[1]; len(entries) > 0; in = h {
		l := recurrent{in: in, at: entries[0].Offset}
		l.w, l.u, l.bi, l.bh = c.weights(entries[0]), c.weights(entries[1]), c.weights(entries[2]), c.weights(entries[3])
		weights = max(weights, entries[0].Len, entries[1].Len)
		l.g = c.take(length(rows * int64(cl.gates*h)))
		l.kept = c.take(length(rows * int64(cl.keeps*h)))
		l.prev = c.take(length(rows * int64(h)))
		if entries = entries[4:]; len(entries) > 0 {
			l.out = c.take(length(rows * int64(h)))
		}
		r.layers = append(r.layers, l)
	}
	r.zero = c.take(cl.keeps * h)
	gw := cl.gates * h
	c.scratch(length(max(
		int64(gw)+share*int64(h+apart)+int64(h)*int64(gw+64),                              // forward: where sums start, states, W_hh in panels
		share*int64(r.steps)*int64(h)+share*int64(h)+int64(weights)+share*int64(gw+apart), // backward: errors, what a cell carries, a weight transposed, a step's errors
		int64(r.steps)*int64(cl.gates*h))))                                                // norm2
	return r
}

// apart is between rows that are copied for a product, so that they do not share a set
// of the cache, which rows some thousand values apart do.
const apart = 16

// length returns n, bounded by the greatest int: no compiler grants that much.
func length(n int64) int { return int(min(n, math.MaxInt)) }

func (r *recurrence) forward(y, x []float32, n int, w *work) {
	for i := range r.layers {
		l := &r.layers[i]
		if l.out == nil {
			r.forwardLayer(l.of(r, w.lo), y, x, n, !r.last, w.tmp)
			return
		}
		out := l.out[w.lo*r.steps*r.width:][:n*r.steps*r.width]
		r.forwardLayer(l.of(r, w.lo), out, x, n, true, w.tmp)
		x = out
	}
}

// of returns the layer as it is for the examples from lo on.
func (l *recurrent) of(r *recurrence, lo int) recurrent {
	v, rows := *l, lo*r.steps
	v.g, v.kept, v.prev = v.g[rows*r.gates*r.width:], v.kept[rows*r.keeps*r.width:], v.prev[rows*r.width:]
	return v
}

// forwardLayer computes the states y (n, steps, h), or only the last of each example
// (n, h) where whole is false, from x (n, steps, in). Each sum begins at b_ih + b_hh
// and takes x's terms, then h_{s−1}'s, in ascending order, one FMA each.
func (r *recurrence) forwardLayer(l recurrent, y, x []float32, n int, whole bool, tmp []float32) {
	h, t, gw, kw := r.width, r.steps, r.gates*r.width, r.keeps*r.width
	joint := (r.gates - r.apart) * h
	start := tmp[:gw]
	copy(start, l.bi)
	for j, v := range l.bh[:joint] {
		start[j] += v
	}
	for row := range n * t {
		copy(l.g[row*gw:][:gw], start)
		copy(l.kept[row*kw:][:kw], l.bh[joint:])
	}
	kernel.GemmAdd(n*t, gw, l.in, x, l.in, 1, l.w, gw, l.g, gw)
	states, panels := tmp[gw:][:n*(h+apart)], tmp[gw+n*(h+apart):]
	other := panels[kernel.PanelLen(h, joint):] // of the sums apart
	if t > 1 {
		kernel.Pack(panels, l.u, gw, h, joint)
		kernel.Pack(other, l.u[joint:], gw, h, gw-joint)
	}
	for s := range t {
		if s > 0 {
			for i := range n {
				copy(states[i*(h+apart):][:h], l.prev[(i*t+s)*h:])
			}
			kernel.GemmPanels(n, joint, h, states, h+apart, 1, panels, l.g[s*gw:], t*gw)
			if r.apart > 0 {
				kernel.GemmPanels(n, gw-joint, h, states, h+apart, 1, other, l.kept[s*kw:], t*kw)
			}
		}
		for i := range n {
			row, before := i*t+s, r.zero
			if s > 0 {
				before = l.kept[(row-1)*kw:][:kw]
			}
			var state []float32
			switch {
			case s+1 < t:
				state = l.prev[(row+1)*h:][:h]
			case whole:
				state = y[row*h:][:h]
			default:
				state = y[i*h:][:h]
			}
			r.cell.forward(state, l.g[row*gw:][:gw], l.kept[row*kw:][:kw], l.prev[row*h:][:h], before)
			if whole && s+1 < t {
				copy(y[row*h:][:h], state)
			}
		}
	}
}

// backward walks the layers down and the steps back. It may follow a forward pass
// once: errors take the gates' place.
func (r *recurrence) backward(dx, dy, _, _ []float32, n int, w *work) {
	h, t := r.width, r.steps
	dh, tmp := w.tmp[:n*t*h], w.tmp[n*t*h:]
	if r.last {
		clear(dh)
		for i := range n {
			copy(dh[(i*t+t-1)*h:][:h], dy[i*h:][:h])
		}
	} else {
		copy(dh, dy)
	}
	for i := len(r.layers) - 1; i >= 0; i-- {
		l, down := r.layers[i].of(r, w.lo), dx
		r.backwardLayer(l, dh, n, tmp)
		if i > 0 {
			down = dh // which is read no more
		}
		if down != nil {
			gw := r.gates * h
			wT := tmp[:gw*l.in]
			kernel.Transpose(wT, l.w, l.in, gw)
			kernel.Gemm(n*t, l.in, gw, l.g, gw, 1, wT, l.in, down, l.in)
		}
	}
}

// backwardLayer turns l's gates into errors. dh (n, steps, h) is ∂L/∂h_s as it comes
// from above; each h_{s−1} takes the terms of step s's errors in ascending order,
// those apart last.
func (r *recurrence) backwardLayer(l recurrent, dh []float32, n int, tmp []float32) {
	h, t, gw, kw := r.width, r.steps, r.gates*r.width, r.keeps*r.width
	joint := (r.gates - r.apart) * h
	carry, uT := tmp[:n*h], tmp[n*h:][:gw*h]
	pitch := gw + apart
	errs := tmp[n*h+gw*h:][:n*pitch] // of the step: those of the joint sums, then those apart
	clear(carry)
	kernel.Transpose(uT, l.u, h, gw)
	for s := t - 1; s >= 0; s-- {
		for i := range n {
			row, before := i*t+s, r.zero
			if s > 0 {
				before = l.kept[(row-1)*kw:][:kw]
			}
			r.cell.backward(l.g[row*gw:][:gw], l.kept[row*kw:][:kw], l.prev[row*h:][:h], before, dh[row*h:][:h], carry[i*h:][:h])
		}
		switch {
		case s == 0:
		case r.truncate > 0 && s%r.truncate == 0:
			clear(carry)
		default:
			for i := range n {
				copy(errs[i*pitch:][:joint], l.g[(i*t+s)*gw:])
				copy(errs[i*pitch+joint:][:gw-joint], l.kept[(i*t+s)*kw:])
			}
			kernel.GemmAdd(n, h, gw, errs, pitch, 1, uT, h, dh[(s-1)*h:], t*h)
		}
	}
}

// grad: ∂W_ih = Σ x_sᵀ·δ_s, ∂W_hh = Σ h_{s−1}ᵀ·δ_s, ∂b = Σ δ_s over examples and
// their steps, both ascending, from +0.
func (r *recurrence) grad(g, _, x []float32, n int, w *work) {
	h, rows, gw, kw := r.width, n*r.steps, r.gates*r.width, r.keeps*r.width
	joint := (r.gates - r.apart) * h
	lo, hi := w.share(h, 8)
	for i := range r.layers {
		l := &r.layers[i]
		dst := g[l.at:]
		denseGrad(dst, x, l.in, l.g, gw, rows, false, w)
		dst = dst[len(l.w):]
		u, dst := dst[:len(l.u)], dst[len(l.u):]
		bi, bh := dst[:gw], dst[gw:][:gw]
		if lo < hi {
			kernel.Gemm(hi-lo, joint, rows, l.prev[lo:], 1, h, l.g, gw, u[lo*gw:], gw)
		}
		sumShare(bi[:joint], l.g, rows, gw, w)
		from, to := w.share(joint, 16)
		copy(bh[from:to], bi[from:to])
		sumShare(bi[joint:], l.g[joint:], rows, gw, w)
		if r.apart > 0 {
			if lo < hi {
				kernel.Gemm(hi-lo, gw-joint, rows, l.prev[lo:], 1, h, l.kept, kw, u[lo*gw+joint:], gw)
			}
			sumShare(bh[joint:], l.kept, rows, kw, w)
		}
		x = l.out
	}
}

// norm2 adds up outerNorm2 of x_s and the errors at a step's sums, and of h_{s−1} and
// the same, for every layer. Sums apart have errors of their own against h_{s−1}.
func (r *recurrence) norm2(_, x []float32, i int, w *work) float64 {
	h, t, gw, kw := r.width, r.steps, r.gates*r.width, r.keeps*r.width
	joint := (r.gates - r.apart) * h
	var norm float64
	for k := range r.layers {
		l := &r.layers[k]
		d := l.g[i*t*gw:][:t*gw]
		norm += outerNorm2(x, l.in, d, gw, t, true)
		if r.apart > 0 {
			inner := w.tmp[:t*gw]
			copy(inner, d)
			for s := range t {
				copy(inner[s*gw+joint:][:gw-joint], l.kept[(i*t+s)*kw:])
			}
			d = inner
		}
		norm += outerNorm2(l.prev[i*t*h:][:t*h], h, d, gw, t, true)
		if l.out != nil {
			x = l.out[i*t*h:][:t*h]
		}
	}
	return norm
}

func (r *recurrence) scale(i int, f float32) {
	h, t := r.width, r.steps
	for k := range r.layers {
		l := &r.layers[k]
		g, kept := l.g[i*t*r.gates*h:][:t*r.gates*h], l.kept[i*t*r.keeps*h:][:t*r.keeps*h]
		if f == 0 {
			clear(g)
			clear(kept)
			clear(l.prev[i*t*h:][:t*h])
			if l.out != nil {
				clear(l.out[i*t*h:][:t*h])
			}
			continue
		}
		kernel.Scale(g, g, f)
		if r.apart > 0 {
			kernel.Scale(kept, kept, f)
		}
	}
}
