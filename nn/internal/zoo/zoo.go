// Package zoo has small networks that together hold every kind of layer, every field
// of it and every loss, with parameters away from their beginnings, for tests of what
// writes networks to files.
package zoo

import (
	"math/rand/v2"

	"tacit/nn"
)

// Net is a network with inputs for it.
type Net struct {
	Name   string
	Spec   nn.Spec
	Params []float32 // in nn's Layout
	X      []float32 // Examples rows
}

// Examples is the number of rows of X.
const Examples = 3

// Nets returns the networks, the same ones at each call.
func Nets() []Net {
	of := func(kind string) nn.Layer { return nn.Layer{Kind: kind} }
	dense := func(n int) nn.Layer { return nn.Layer{Kind: nn.Dense, Units: n} }
	attention := func(heads int, causal bool) nn.Layer {
		return nn.Layer{Kind: nn.Attention, Heads: heads, Causal: causal}
	}
	image := func(h, w, c int, loss string, layers ...nn.Layer) nn.Spec {
		return nn.Spec{Inputs: h * w * c, Shape: []int{h, w, c}, Layers: layers, Loss: loss}
	}
	series := func(t, f int, loss string, layers ...nn.Layer) nn.Spec {
		return nn.Spec{Inputs: t * f, Shape: []int{t, f}, Layers: layers, Loss: loss}
	}
	tokens := func(t int, loss string, layers ...nn.Layer) nn.Spec {
		return nn.Spec{Inputs: t, Shape: []int{t}, Layers: layers, Loss: loss}
	}
	vector := func(n int, loss string, layers ...nn.Layer) nn.Spec {
		return nn.Spec{Inputs: n, Layers: layers, Loss: loss}
	}
	all := []Net{
		{Name: "logistic regression", Spec: nn.LogReg(5)},
		{Name: "mlp, classes", Spec: nn.MLP(6, []int{7, 4}, 3)},
		{Name: "activations", Spec: vector(6, nn.MSE, dense(9), of(nn.GELU), dense(8), of(nn.SiLU), dense(7), of(nn.LeakyReLU),
			nn.Layer{Kind: nn.Dense, Units: 6, NoBias: true}, nn.Layer{Kind: nn.LeakyReLU, Slope: 0.3}, of(nn.Tanh), dense(4), of(nn.Sigmoid), dense(3), of(nn.Softmax))},
		{Name: "batch norm of features, dropout, cox", Spec: vector(4, nn.Cox, dense(5), nn.Layer{Kind: nn.BatchNorm, Epsilon: 0.01}, of(nn.ReLU), nn.Layer{Kind: nn.Dropout, Rate: 0.5}, dense(1))},
		{Name: "residuals, huber", Spec: vector(4, nn.Huber,
			nn.Layer{Kind: nn.Residual, Body: []nn.Layer{dense(6), of(nn.Tanh)}, Shortcut: []nn.Layer{{Kind: nn.Dense, Units: 6, NoBias: true}}},
			nn.Layer{Kind: nn.Residual, Body: []nn.Layer{dense(3), {Kind: nn.Residual, Body: []nn.Layer{of(nn.ReLU)}}, dense(6)}}, dense(2))},
		{Name: "convolutions, flattened", Spec: image(7, 6, 3, nn.CrossEntropy,
			nn.Layer{Kind: nn.Conv2D, Units: 4, Kernel: [2]int{3, 2}, Padding: [2]int{1, 1}}, of(nn.BatchNorm), of(nn.ReLU),
			nn.Layer{Kind: nn.MaxPool, Kernel: [2]int{2, 3}, Stride: [2]int{1, 2}, Padding: [2]int{1, 0}},
			nn.Layer{Kind: nn.Conv2D, Units: 6, Kernel: [2]int{3, 1}, Stride: [2]int{2, 1}, Dilation: [2]int{2, 1}, Groups: 2, NoBias: true},
			nn.Layer{Kind: nn.GroupNorm, Groups: 3, Epsilon: 1e-3}, of(nn.Flatten), nn.Layer{Kind: nn.Dropout, Rate: 0.1}, dense(5), of(nn.Tanh), dense(3))},
		{Name: "residual convolutions, averaged", Spec: image(6, 5, 2, nn.BinaryCrossEntropy,
			nn.Layer{Kind: nn.Residual, Body: []nn.Layer{{Kind: nn.Conv2D, Units: 4, Kernel: [2]int{3, 3}, Padding: [2]int{1, 1}}, of(nn.BatchNorm)},
				Shortcut: []nn.Layer{{Kind: nn.Conv2D, Units: 4, Kernel: [2]int{1, 1}}}},
			nn.Layer{Kind: nn.AvgPool, Kernel: [2]int{3, 2}, Padding: [2]int{1, 0}}, of(nn.GlobalAvgPool), dense(1))},
		{Name: "image of features by the pixel, greatest", Spec: image(3, 4, 5, nn.MAE, nn.Layer{Kind: nn.Conv2D, Units: 3, Kernel: [2]int{2, 2}}, of(nn.SiLU), of(nn.GlobalMaxPool))},
		{Name: "recurrent layers, every step", Spec: series(5, 3, nn.CrossEntropy,
			nn.Layer{Kind: nn.RNN, Units: 4, Depth: 2}, nn.Layer{Kind: nn.LSTM, Units: 5, Depth: 2, Truncate: 2}, nn.Layer{Kind: nn.GRU, Units: 3, Depth: 2}, dense(4))},
		{Name: "rnn, last step", Spec: series(4, 2, nn.CrossEntropy, nn.Layer{Kind: nn.RNN, Units: 5, Last: true}, dense(3))},
		{Name: "lstm, last step", Spec: series(4, 2, nn.BinaryCrossEntropy, nn.Layer{Kind: nn.LSTM, Units: 5, Depth: 2, Last: true}, dense(1))},
		{Name: "gru, last step", Spec: series(4, 2, nn.MSE, nn.Layer{Kind: nn.GRU, Units: 5, Last: true}, dense(2))},
		{Name: "tokens, lstm", Spec: tokens(6, nn.CrossEntropy, nn.Layer{Kind: nn.Embedding, Vocab: 9, Units: 4}, nn.Layer{Kind: nn.LSTM, Units: 5}, dense(9))},
		{Name: "transformer, causal", Spec: tokens(6, nn.CrossEntropy, nn.Layer{Kind: nn.Embedding, Vocab: 9, Units: 6}, of(nn.Positional),
			nn.Layer{Kind: nn.Residual, Body: []nn.Layer{of(nn.LayerNorm), attention(3, true)}},
			nn.Layer{Kind: nn.Residual, Body: []nn.Layer{{Kind: nn.LayerNorm, Epsilon: 0.01}, dense(13), of(nn.GELU), dense(6)}}, of(nn.LayerNorm), dense(9))},
		{Name: "attention, pooled", Spec: series(4, 3, nn.BinaryCrossEntropy, dense(4), attention(2, false), of(nn.GlobalAvgPool), dense(1))},
		{Name: "sequence, greatest", Spec: series(4, 3, nn.MSE, dense(4), of(nn.GlobalMaxPool), of(nn.LayerNorm))},
		{Name: "norms of a vector", Spec: vector(6, nn.MSE, dense(6), nn.Layer{Kind: nn.GroupNorm, Groups: 2}, of(nn.BatchNorm), of(nn.LayerNorm))},
		{Name: "norms of a sequence", Spec: series(4, 6, nn.CrossEntropy, dense(6), nn.Layer{Kind: nn.GroupNorm, Groups: 3}, of(nn.BatchNorm), of(nn.Tanh), dense(3))},
		{Name: "image, pixel by pixel", Spec: image(3, 4, 2, nn.CrossEntropy, dense(4), of(nn.BatchNorm), of(nn.Softmax),
			nn.Layer{Kind: nn.Residual, Body: []nn.Layer{{Kind: nn.Conv2D, Units: 3, Kernel: [2]int{3, 1}, Padding: [2]int{1, 0}}, of(nn.ReLU)}, Shortcut: []nn.Layer{dense(3), of(nn.LayerNorm)}},
			nn.Layer{Kind: nn.Residual, Body: []nn.Layer{dense(3)}, Shortcut: []nn.Layer{{Kind: nn.Conv2D, Units: 3, Kernel: [2]int{1, 1}}}},
			nn.Layer{Kind: nn.Residual, Body: []nn.Layer{of(nn.Sigmoid)}}, of(nn.Flatten), dense(3))},
		{Name: "image, averaged", Spec: image(4, 3, 2, nn.MSE, of(nn.GlobalAvgPool), dense(2))},
		{Name: "sequence, flattened", Spec: series(3, 2, nn.CrossEntropy, nn.Layer{Kind: nn.LSTM, Units: 4}, of(nn.Flatten), dense(3))},
	}
	for i := range all {
		all[i].fill(uint64(i))
	}
	return all
}

// fill draws parameters and inputs.
func (n *Net) fill(seed uint64) {
	layout, err := n.Spec.Layout()
	if err != nil {
		panic(n.Name + ": " + err.Error())
	}
	r := rand.New(rand.NewPCG(41, seed))
	n.Params = make([]float32, layout.Len())
	for _, e := range layout {
		for i := range n.Params[e.Offset:][:e.Len] {
			v := 0.5 * r.NormFloat64()
			if e.Kind == nn.Buffer || e.Kind == nn.Weight && len(e.Shape) == 1 { // variances are positive
				v = 0.5 + r.Float64()
			}
			n.Params[e.Offset+i] = float32(v)
		}
	}
	n.X = make([]float32, Examples*n.Spec.Inputs)
	for i := range n.X {
		n.X[i] = float32(r.NormFloat64())
		if l := n.Spec.Layers[0]; l.Kind == nn.Embedding {
			n.X[i] = float32(r.IntN(l.Vocab))
		}
	}
}

// Program returns the network, compiled and with its parameters.
func (n *Net) Program() (*nn.Program, error) {
	p, err := nn.Compile(n.Spec, nn.Options{Batch: Examples})
	if err != nil {
		return nil, err
	}
	return p, p.Load(n.Params)
}
