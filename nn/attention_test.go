package nn

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func refLayerNorm(n *node, w [][]float64, x []float64, _ int) []float64 {
	c := n.in[len(n.in)-1]
	epsilon := n.layer.Epsilon
	if epsilon == 0 {
		epsilon = 1e-5
	}
	y := make([]float64, len(x))
	for r := 0; r < len(x); r += c {
		mean, variance := 0.0, 0.0
		for _, v := range x[r : r+c] {
			mean += v / float64(c)
		}
		for _, v := range x[r : r+c] {
			variance += (v - mean) * (v - mean) / float64(c)
		}
		for j, v := range x[r : r+c] {
			y[r+j] = w[0][j]*(v-mean)/math.Sqrt(variance+epsilon) + w[1][j]
		}
	}
	return y
}

// refAttention is the formula step by step: one query at a time.
func refAttention(n *node, w [][]float64, x []float64, batch int) []float64 {
	t, e := n.in[0], n.in[1]
	d := e / n.layer.Heads
	project := func(x, w, b []float64) []float64 {
		y := append([]float64{}, b...)
		for j := range y {
			for k, v := range x {
				y[j] += v * w[k*len(b)+j]
			}
		}
		return y
	}
	var y []float64
	for i := range batch {
		var qkv [][]float64
		for s := range t {
			qkv = append(qkv, project(x[(i*t+s)*e:][:e], w[0], w[1]))
		}
		for s := range t {
			o := make([]float64, e)
			for h := 0; h < e; h += d {
				seen := t
				if n.layer.Causal {
					seen = s + 1
				}
				p, sum := make([]float64, seen), 0.0
				for r := range p {
					for k := h; k < h+d; k++ {
						p[r] += qkv[s][k] * qkv[r][e+k] / math.Sqrt(float64(d))
					}
					p[r] = math.Exp(p[r])
					sum += p[r]
				}
				for r, v := range p {
					for k := h; k < h+d; k++ {
						o[k] += v / sum * qkv[r][2*e+k]
					}
				}
			}
			y = append(y, project(o, w[2], w[3])...)
		}
	}
	return y
}

// attentionSpecs: odd sizes, several blocks of rows, one step, as the first layer and
// inside a block as transformers have it.
func attentionSpecs() map[string]Spec {
	attend := func(heads int, causal bool) Layer { return Layer{Kind: Attention, Heads: heads, Causal: causal} }
	block := func(e, heads int, causal bool) []Layer {
		return []Layer{
			{Kind: Residual, Body: []Layer{{Kind: LayerNorm}, attend(heads, causal)}},
			{Kind: Residual, Body: []Layer{{Kind: LayerNorm}, {Kind: Dense, Units: 2*e + 1}, {Kind: GELU}, {Kind: Dense, Units: e}}},
		}
	}
	return map[string]Spec{
		"attention first, a label a step": {Inputs: 15, Shape: []int{5, 3}, Layers: []Layer{attend(1, false), {Kind: Dense, Units: 3}}, Loss: CrossEntropy},
		"attention causal, classes":       {Inputs: 42, Shape: []int{7, 6}, Layers: []Layer{attend(3, true), {Kind: Flatten}, {Kind: Dense, Units: 4}}, Loss: CrossEntropy},
		"attention last, mse":             {Inputs: 12, Shape: []int{3, 4}, Layers: []Layer{{Kind: Dense, Units: 6}, {Kind: Tanh}, attend(2, false)}, Loss: MSE},
		"attention over one step":         {Inputs: 4, Shape: []int{1, 4}, Layers: []Layer{attend(2, true), {Kind: Flatten}, {Kind: Dense, Units: 1}}, Loss: BinaryCrossEntropy},
		"attention over blocks of rows":   {Inputs: 2 * (attentionBlock + 5), Shape: []int{attentionBlock + 5, 2}, Layers: []Layer{attend(1, true), attend(2, false), {Kind: Dense, Units: 2}}, Loss: CrossEntropy},
		"transformer block, causal":       {Inputs: 20, Shape: []int{4, 5}, Layers: append(append([]Layer{{Kind: Dense, Units: 6}}, block(6, 2, true)...), Layer{Kind: LayerNorm}, Layer{Kind: Dense, Units: 3}), Loss: CrossEntropy},
		"layer norm first, mse":           {Inputs: 67, Layers: []Layer{{Kind: LayerNorm, Epsilon: 0.1}, {Kind: Dense, Units: 2}}, Loss: MSE},
		"layer norm last, mse":            {Inputs: 10, Shape: []int{2, 5}, Layers: []Layer{{Kind: Dense, Units: 3}, {Kind: LayerNorm}}, Loss: MSE},
	}
}

func TestAttentionErrors(t *testing.T) {
	for _, c := range []struct {
		shape []int
		layer Layer
		want  string
	}{
		{[]int{6}, Layer{Kind: Attention, Heads: 2}, "takes [steps, values], got shape [6]"},
		{[]int{2, 2, 2}, Layer{Kind: Attention, Heads: 2}, "takes [steps, values], got shape [2,2,2]"},
		{[]int{2, 6}, Layer{Kind: Attention}, "0 heads do not divide 6 values"},
		{[]int{2, 6}, Layer{Kind: Attention, Heads: 4}, "4 heads do not divide 6 values"},
		{[]int{2, 6}, Layer{Kind: Attention, Heads: -2}, "-2 heads do not divide 6 values"},
		{[]int{1 << 13, 6}, Layer{Kind: Attention, Heads: 1}, "1 heads over 8192 steps"},
		{[]int{1 << 12, 6}, Layer{Kind: Attention, Heads: 2}, "2 heads over 4096 steps"},
		{[]int{1, 1 << 19}, Layer{Kind: Attention, Heads: 1}, "524288 values, want at most"},
		{[]int{2, 6}, Layer{Kind: Attention, Heads: 1, Units: 3}, "has no units"},
		{[]int{6}, Layer{Kind: LayerNorm, Epsilon: -1}, "epsilon is -1"},
		{[]int{6}, Layer{Kind: LayerNorm, Epsilon: math.NaN()}, "epsilon is NaN"},
		{[]int{6}, Layer{Kind: LeakyReLU, Slope: 1.5}, "slope is 1.5"},
		{[]int{6}, Layer{Kind: LeakyReLU, Slope: math.NaN()}, "slope is NaN"},
		{[]int{6}, Layer{Kind: GELU, Slope: 0.1}, "has no slope"},
	} {
		s := Spec{Inputs: size(c.shape), Shape: c.shape, Layers: []Layer{c.layer}, Loss: MSE}
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v on %v: %v, want %q", c.layer.Kind, c.shape, err, c.want)
		}
	}
}

// A causal position's output does not depend on what comes later, to the bit.
func TestAttentionCausal(t *testing.T) {
	const steps, e = attentionBlock + 9, 6
	s := Spec{Inputs: steps * e, Shape: []int{steps, e}, Layers: []Layer{{Kind: Attention, Heads: 3, Causal: true}}, Loss: MSE}
	p := compile(t, s, Options{Batch: 1, Seed: 4})
	r := rand.New(rand.NewPCG(31, 32))
	x := randomBatch(r, s, 1).X
	y, err := p.Forward(x)
	if err != nil {
		t.Fatal(err)
	}
	before := append([]float32{}, y...)
	for _, at := range []int{3, attentionBlock - 1, attentionBlock, steps - 1} {
		changed := append([]float32{}, x...)
		for i := at * e; i < len(changed); i++ {
			changed[i] += 1
		}
		y, err := p.Forward(changed)
		if err != nil {
			t.Fatal(err)
		}
		if digest(y[:at*e]) != digest(before[:at*e]) {
			t.Errorf("steps before %d see it", at)
		}
		if digest(y[at*e:][:e]) == digest(before[at*e:][:e]) {
			t.Errorf("step %d does not see itself", at)
		}
	}
}

// The operations write their outputs and nothing beside them, whatever lies there.
func TestAttentionGuards(t *testing.T) {
	const guard = float32(-12345.5)
	padded := func(n int) []float32 {
		all := make([]float32, n+32)
		for i := range all {
			all[i] = guard
		}
		return all
	}
	intact := func(all []float32) bool {
		for i := range 16 {
			if all[i] != guard || all[len(all)-1-i] != guard {
				return false
			}
		}
		return true
	}
	for name, s := range attentionSpecs() {
		g, err := s.graph()
		if err != nil {
			t.Fatal(err)
		}
		g.each(func(n *node) {
			if n.layer.Kind != Attention && n.layer.Kind != LayerNorm {
				return
			}
			const batch = 3
			c := &compiler{batch: batch, workers: 1, share: batch, counting: true}
			n.kind.build(c, n)
			params := padded(g.layout.Len())
			r := rand.New(rand.NewPCG(33, 34))
			for i := range params[16 : 16+g.layout.Len()] {
				params[16+i] = float32(r.NormFloat64())
			}
			arena, tmp := padded(int(c.nf)), padded(int(c.scratchLen))
			w := alone(batch, false, tmp[16:len(tmp)-16:len(tmp)-16])
			o := n.kind.build(&compiler{batch: batch, workers: 1, share: batch, params: params[16 : len(params)-16], floats: arena[16 : len(arena)-16]}, n).(trained)
			in, out := size(n.in), size(n.out)
			x, y, dx, dy, grad := padded(batch*in), padded(batch*out), padded(batch*in), padded(batch*out), padded(g.layout.Len())
			inner := func(v []float32) []float32 { return v[16 : len(v)-16] }
			for i := range batch * in {
				x[16+i], dy[16+i] = float32(r.NormFloat64()), float32(r.NormFloat64())
			}
			o.forward(inner(y), inner(x), batch, w)
			o.backward(inner(dx), inner(dy), inner(x), inner(y), batch, w)
			o.grad(inner(grad), inner(dy), inner(x), batch, w)
			o.scale(batch-1, 0.5)
			for what, v := range map[string][]float32{"params": params, "memory": arena, "scratch": tmp, "x": x, "y": y, "dx": dx, "dy": dy, "grad": grad} {
				if !intact(v) {
					t.Errorf("%s, layer %s: wrote beside %s", name, n.path, what)
				}
			}
			own := map[int]bool{}
			for _, e := range n.entries {
				for i := range e.Len {
					own[e.Offset+i] = true
				}
			}
			for i, v := range inner(grad) {
				if (v == guard) == own[i] {
					t.Errorf("%s, layer %s: gradient %d is another layer's or was not written", name, n.path, i)
					break
				}
			}
		})
	}
}

// Rows far from zero and almost constant: the variance is of differences.
func TestLayerNormOffset(t *testing.T) {
	s := Spec{Inputs: 5, Layers: []Layer{{Kind: LayerNorm}}, Loss: MSE}
	p := compile(t, s, Options{Batch: 1})
	y, err := p.Forward([]float32{4097, 4098, 4096, 4095, 4099})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "y", y, []float64{0, 1 / math.Sqrt(2+1e-5), -1 / math.Sqrt(2+1e-5), -math.Sqrt2, math.Sqrt2}, 5e-6)
}

func BenchmarkAttention(b *testing.B) {
	const steps, e = 128, 128
	s := Spec{Inputs: steps * e, Shape: []int{steps, e}, Layers: []Layer{{Kind: Attention, Heads: 4, Causal: true}}, Loss: MSE}
	p := compile(b, s, Options{Batch: 16, Optimizer: NewSGD(0.01, 0)})
	batch := randomBatch(rand.New(rand.NewPCG(1, 1)), s, 16)
	for b.Loop() {
		if _, err := p.Step(batch); err != nil {
			b.Fatal(err)
		}
	}
}
