package nn

import "tacit/nn/internal/kernel"

// lstmKind: long short-term memory (Hochreiter and Schmidhuber 1997,
// https://doi.org/10.1162/neco.1997.9.8.1735, with the forget gate of Gers et al. 2000),
// torch.nn.LSTM. The four blocks of a_s = x_s·W_ih + b_ih + h_{s−1}·W_hh + b_hh are
//
//	i = σ(a_i)   f = σ(a_f)   g = tanh(a_g)   o = σ(a_o)
//	c_s = f∘c_{s−1} + i∘g      h_s = o∘tanh c_s      h_{−1} = c_{−1} = 0
//
// and with the errors δh_s and δc_s that come from above and from step s+1:
//
//	δc_s += δh_s∘o∘(1 − tanh² c_s)      δc_{s−1} = δc_s∘f
//	δ_i = δc_s∘g∘i∘(1 − i)       δ_f = δc_s∘c_{s−1}∘f∘(1 − f)
//	δ_g = δc_s∘i∘(1 − g²)        δ_o = δh_s∘tanh c_s∘o∘(1 − o)
//
// with δ_s = [δ_i δ_f δ_g δ_o] the rest is rnnKind's. A step keeps c_s and tanh c_s.
var lstmKind = recurrentKind(LSTM, cell{gates: 4, keeps: 2, forward: lstmForward, backward: lstmBackward})

func lstmForward(h, a, kept, _, before []float32) {
	n := len(h)
	kernel.LSTM(h, a, a[n:], a[2*n:], a[3*n:], kept, kept[n:], before)
}

func lstmBackward(a, kept, _, before, dh, carry []float32) {
	n := len(dh)
	kernel.LSTMBack(a, a[n:], a[2*n:], a[3*n:], kept[n:], before, dh, carry)
}
