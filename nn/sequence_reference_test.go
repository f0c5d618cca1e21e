package nn

import "math"

// sequenceSpecs has the layers over sequences: first, inner and last, one step and
// several, on top of each other, all states and the last one.
func sequenceSpecs() map[string]Spec {
	out := map[string]Spec{
		"embedding, labels a step": {Inputs: 5, Shape: []int{5}, Loss: CrossEntropy, Layers: []Layer{
			{Kind: Embedding, Vocab: 7, Units: 9}, {Kind: Dense, Units: 7}}},
		"embedding, one id": {Inputs: 1, Shape: []int{1}, Loss: BinaryCrossEntropy, Layers: []Layer{
			{Kind: Embedding, Vocab: 3, Units: 5}, {Kind: Flatten}, {Kind: Dense, Units: 1}}},
		"embedding alone, mse": {Inputs: 4, Loss: MSE, Layers: []Layer{{Kind: Embedding, Vocab: 3, Units: 67}}},
		"language model": {Inputs: 6, Shape: []int{6}, Loss: CrossEntropy, Layers: []Layer{
			{Kind: Embedding, Vocab: 5, Units: 4}, {Kind: Positional}, {Kind: LSTM, Units: 7, Depth: 2}, {Kind: Dense, Units: 5}}},
		"positional first": {Inputs: 12, Shape: []int{4, 3}, Loss: MSE, Layers: []Layer{
			{Kind: Positional}, {Kind: Tanh}, {Kind: Dense, Units: 2}}},
		"positional inner, last": {Inputs: 6, Shape: []int{2, 3}, Loss: MSE, Layers: []Layer{
			{Kind: Dense, Units: 3}, {Kind: Positional}, {Kind: Dense, Units: 2}, {Kind: Positional}}},
	}
	for _, k := range []string{RNN, LSTM, GRU} {
		out[k+" first, last state"] = Spec{Inputs: 15, Shape: []int{5, 3}, Loss: CrossEntropy, Layers: []Layer{
			{Kind: k, Units: 5, Last: true}, {Kind: Dense, Units: 3}}}
		out[k+" of two layers, labels a step"] = Spec{Inputs: 8, Shape: []int{4, 2}, Loss: CrossEntropy, Layers: []Layer{
			{Kind: k, Units: 3, Depth: 2}, {Kind: Dense, Units: 3}}}
		out[k+" of three layers, binary"] = Spec{Inputs: 6, Shape: []int{3, 2}, Loss: BinaryCrossEntropy, Layers: []Layer{
			{Kind: k, Units: 3, Depth: 3, Last: true}, {Kind: Dense, Units: 1}}}
		out[k+" of one step"] = Spec{Inputs: 4, Shape: []int{1, 4}, Loss: MSE, Layers: []Layer{
			{Kind: k, Units: 2, Depth: 2}, {Kind: Dense, Units: 2}}}
		out[k+" wide, inner and last"] = Spec{Inputs: 6, Shape: []int{3, 2}, Loss: MSE, Layers: []Layer{
			{Kind: Dense, Units: 3}, {Kind: k, Units: 11}, {Kind: Tanh}, {Kind: k, Units: 2, Last: true}}}
		out[k+" in a residual"] = Spec{Inputs: 9, Shape: []int{3, 3}, Loss: MSE, Layers: []Layer{
			{Kind: Residual, Body: []Layer{{Kind: k, Units: 3}}}, {Kind: Residual, Body: []Layer{{Kind: k, Units: 3, Depth: 2}}}, {Kind: Dense, Units: 2}}}
	}
	return out
}

func refEmbedding(n *node, w [][]float64, x []float64, _ int) []float64 {
	var y []float64
	for _, id := range x {
		y = append(y, w[0][int(id)*n.layer.Units:][:n.layer.Units]...)
	}
	return y
}

func refPositional(n *node, w [][]float64, x []float64, _ int) []float64 {
	y := make([]float64, len(x))
	for j, v := range x {
		y[j] = v + w[0][j%size(n.in)]
	}
	return y
}

func refSigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// refCells give the state after one step, with an LSTM's c behind it, from the sums of
// the input and of the state before, gates in torch's order.
var refCells = map[string]func(in, hid, state []float64, h int) []float64{
	RNN: func(in, hid, _ []float64, h int) []float64 {
		out := make([]float64, h)
		for j := range out {
			out[j] = math.Tanh(in[j] + hid[j])
		}
		return out
	},
	LSTM: func(in, hid, state []float64, h int) []float64 {
		out := make([]float64, 2*h)
		for j := range h {
			a := func(gate int) float64 { return in[gate*h+j] + hid[gate*h+j] }
			c := refSigmoid(a(1))*state[h+j] + refSigmoid(a(0))*math.Tanh(a(2))
			out[j], out[h+j] = refSigmoid(a(3))*math.Tanh(c), c
		}
		return out
	},
	GRU: func(in, hid, state []float64, h int) []float64 {
		out := make([]float64, h)
		for j := range h {
			r, z := refSigmoid(in[j]+hid[j]), refSigmoid(in[h+j]+hid[h+j])
			n := math.Tanh(in[2*h+j] + r*hid[2*h+j])
			out[j] = (1-z)*n + z*state[j]
		}
		return out
	},
}

// refDetach keeps the states that pass from one part of a truncated sequence to the
// next. The first pass fills it and later ones read it: what stands in it is constant,
// as torch's detach makes it.
type refDetach map[[3]int][]float64 // layer, example, step

func refRecurrent(n *node, w [][]float64, x []float64, batch int) []float64 {
	return refTruncated(n, w, x, batch, nil)
}

// refTruncated is a recurrent layer whose states do not change where they cross a
// multiple of Truncate, once detach knows them; nil: states pass everywhere.
func refTruncated(n *node, w [][]float64, x []float64, batch int, detach refDetach) []float64 {
	h, t, in := n.layer.Units, n.in[0], n.in[1]
	gates := len(w[2])
	for layer := 0; len(w) > 0; layer, w, in = layer+1, w[4:], h {
		y := make([]float64, batch*t*h)
		for i := range batch {
			state := make([]float64, 2*h)
			for s := range t {
				if at := [3]int{layer, i, s}; detach != nil && s > 0 && s%n.layer.Truncate == 0 {
					if detach[at] == nil {
						detach[at] = state
					}
					state = detach[at]
				}
				row := x[(i*t+s)*in:][:in]
				xs, hs := append([]float64(nil), w[2]...), append([]float64(nil), w[3]...)
				for j := range gates {
					for k, v := range row {
						xs[j] += v * w[0][k*gates+j]
					}
					for k, v := range state[:h] {
						hs[j] += v * w[1][k*gates+j]
					}
				}
				state = refCells[n.layer.Kind](xs, hs, state, h)
				copy(y[(i*t+s)*h:], state[:h])
			}
		}
		x = y
	}
	if !n.layer.Last {
		return x
	}
	var last []float64
	for i := range batch {
		last = append(last, x[(i*t+t-1)*h:][:h]...)
	}
	return last
}
