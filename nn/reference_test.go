package nn

import (
	"math"
	"testing"
)

// refLayer is a layer in float64, written from its formula and nothing else: it
// returns y (n, out) for x (n, in). w holds the layer's own parameters as its
// entries have them. A layer inside another calls refChain.
type refLayer func(n *node, w [][]float64, x []float64, batch int) []float64

// refLayers has the reference of every kind; a kind without one fails the tests.
var refLayers = map[string]refLayer{
	Dense:     refDense,
	Flatten:   func(_ *node, _ [][]float64, x []float64, _ int) []float64 { return x },
	ReLU:      refEach(func(x float64) float64 { return math.Max(x, 0) }),
	Tanh:      refEach(math.Tanh),
	Sigmoid:   refEach(func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }),
	Softmax:   refSoftmax,
	LayerNorm: refLayerNorm, Attention: refAttention, LeakyReLU: refLeakyReLU, GELU: refEach(refGELU), SiLU: refEach(refSiLU),
	Residual: nil, // in refChain
	Conv2D:   refConv, MaxPool: refPool(refMax), AvgPool: refPool(refAvg), GlobalMaxPool: refGlobal(refMax), GlobalAvgPool: refGlobal(refAvg),
	BatchNorm: refBatchNorm, GroupNorm: refGroupNorm,
	Embedding: refEmbedding, Positional: refPositional, RNN: refRecurrent, LSTM: refRecurrent, GRU: refRecurrent,
}

func refEach(f func(float64) float64) refLayer {
	return func(_ *node, _ [][]float64, x []float64, _ int) []float64 {
		y := make([]float64, len(x))
		for j, v := range x {
			y[j] = f(v)
		}
		return y
	}
}

func refDense(n *node, w [][]float64, x []float64, batch int) []float64 {
	in, out := n.in[len(n.in)-1], n.layer.Units
	rows := len(x) / in
	y := make([]float64, rows*out)
	for r := range rows {
		for j := range out {
			if !n.layer.NoBias {
				y[r*out+j] = w[1][j]
			}
			for k := range in {
				y[r*out+j] += x[r*in+k] * w[0][k*out+j]
			}
		}
	}
	return y
}

func refSoftmax(n *node, _ [][]float64, x []float64, _ int) []float64 {
	c := n.in[len(n.in)-1]
	y := make([]float64, len(x))
	for r := 0; r < len(x); r += c {
		sum := 0.0
		for j, v := range x[r : r+c] {
			y[r+j] = math.Exp(v)
			sum += y[r+j]
		}
		for j := range c {
			y[r+j] /= sum
		}
	}
	return y
}

// refChain runs nodes on x with the whole parameter vector.
func refChain(nodes []*node, params, x []float64, batch int) []float64 {
	for _, n := range nodes {
		if n.layer.Kind == Residual {
			a, b := refChain(n.body, params, x, batch), refChain(n.shortcut, params, x, batch)
			x = make([]float64, len(a))
			for j := range a {
				x[j] = a[j] + b[j]
			}
			continue
		}
		var w [][]float64
		for _, e := range n.entries {
			w = append(w, params[e.Offset:][:e.Len])
		}
		x = refLayers[n.layer.Kind](n, w, x, batch)
	}
	return x
}

// reference is the network in float64: per-example losses for given parameters.
func reference(s Spec, params, x []float64, labels []int32, targets []float64) []float64 {
	g, err := s.graph()
	if err != nil {
		panic(err)
	}
	n := len(x) / s.Inputs
	return refLosses(s, refChain(g.nodes, params, x, n), labels, targets, n)
}

// Every kind of layer has a reference, and stands in specs, where finite
// differences judge it.
func TestEveryKindIsJudged(t *testing.T) {
	seen := map[string]bool{}
	for name, s := range specs() {
		g, err := s.graph()
		if err != nil {
			t.Fatal(name, err)
		}
		g.each(func(n *node) { seen[n.layer.Kind] = true })
	}
	exempt := map[string]bool{Dropout: true} // random: TestDropout
	for _, k := range LayerKinds() {
		if _, ok := refLayers[k]; !ok && !exempt[k] {
			t.Errorf("%s has no reference", k)
		}
		if !seen[k] && !exempt[k] {
			t.Errorf("%s stands in no spec of the tests", k)
		}
	}
}
