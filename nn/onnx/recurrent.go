package onnx

import (
	"fmt"
	"slices"

	"tacit/nn"
)

// recurrent writes one operator per layer of the stack. ONNX keeps sequences as
// [steps, batch, values] and its gates in another order than torch: gate i of ONNX is
// gate order[i] of torch, whose order is nn's.
func recurrent(op string, order []int, more ...attr) writer {
	return func(g *graph, l *nn.Layer, v value) (value, error) {
		h := l.Units
		// gates returns a parameter [gates·h][k] with its gates in ONNX's order.
		gates := func(name string) ([]float32, error) {
			_, w, err := g.torch(name)
			var out []float32
			n := len(w) / len(order)
			for _, i := range order {
				out = append(out, w[i*n:][:n]...)
			}
			return out, err
		}
		x := g.add("Transpose", []string{v.name}, attr{"perm", []int{1, 0, 2}})
		from, depth := v.shape[1], max(l.Depth, 1)
		for i := range depth {
			in := []string{x}
			of := fmt.Sprintf("_l%d", i)
			for _, p := range []struct {
				name string
				k    int
			}{{"weight_ih", from}, {"weight_hh", h}} {
				w, err := gates(p.name + of)
				if err != nil {
					return v, err
				}
				in = append(in, g.floats(p.name+of, []int{1, len(order) * h, p.k}, w...))
			}
			ih, err := gates("bias_ih" + of)
			if err != nil {
				return v, err
			}
			hh, err := gates("bias_hh" + of)
			if err != nil {
				return v, err
			}
			in = append(in, g.floats("bias"+of, []int{1, 2 * len(order) * h}, slices.Concat(ih, hh)...))
			// Y [steps, 1, batch, h] and Y_h [1, batch, h]
			out := g.addMany(op, in, 2, append([]attr{{"hidden_size", h}}, more...)...)
			if l.Last && i == depth-1 {
				v.name = g.add("Squeeze", []string{out[1], g.ints(0)})
				return v, nil
			}
			x = g.add("Squeeze", []string{out[0], g.ints(1)})
			from = h
		}
		v.name = g.add("Transpose", []string{x}, attr{"perm", []int{1, 0, 2}})
		return v, nil
	}
}
