package nn

import "tacit/nn/internal/kernel"

// positionalKind: y = x + w with a learned table w of x's shape [steps, features], so
// that what follows can tell one step from another; ∂x = δ, ∂w = Σ_i δ_i over the
// examples. It begins normal with deviation 0.02 (as GPT-2's, Radford et al. 2019).
//
// In torch it is a module whose one parameter, weight, has that shape.
var positionalKind = kind{
	name:   Positional,
	fields: []string{"init", "local"},
	shape: func(_ *Layer, in []int) ([]int, error) {
		return in, wantAxes(in, 2, "[steps, features]")
	},
	params: func(l *Layer, in []int) []param {
		return []param{{name: "weight", shape: in, kind: Weight, init: l.weightInit(in[1], in[0], initial{normal, 0.02})}}
	},
	build: func(c *compiler, n *node) op {
		return &positional{w: c.weights(n.entries[0]), at: n.entries[0].Offset, size: size(n.in)}
	},
}

type positional struct {
	w    []float32 // (steps, features)
	at   int       // offset of w in the flat vector
	size int       // values of w
}

func (p *positional) forward(y, x []float32, n int, _ *work) {
	for i := range n {
		kernel.Add(y[i*p.size:][:p.size], x[i*p.size:], p.w)
	}
}

func (p *positional) backward(dx, dy, _, _ []float32, _ int, _ *work) {
	if dx != nil {
		copy(dx, dy)
	}
}

func (p *positional) grad(g, dy, _ []float32, n int, w *work) {
	sumShare(g[p.at:][:p.size], dy, n, p.size, w)
}

func (p *positional) norm2(dy, _ []float32, _ int, _ *work) float64 { return kernel.SumSquares(dy) }

func (p *positional) scale(int, float32) {}
