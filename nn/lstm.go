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
	i, f, g, o := a[:n], a[n:][:n], a[2*n:][:n], a[3*n:][:n]
	c, tanhC, was := kept[:n], kept[n:][:n], before[:n]
	for j := range h {
		i[j], f[j] = kernel.Sigmoid(i[j]), kernel.Sigmoid(f[j])
		g[j], o[j] = kernel.Tanh(g[j]), kernel.Sigmoid(o[j])
		c[j] = kernel.FMA(f[j], was[j], float32(i[j]*g[j]))
		tanhC[j] = kernel.Tanh(c[j])
		h[j] = o[j] * tanhC[j]
	}
}

func lstmBackward(a, kept, _, before, dh, carry []float32) {
	n := len(dh)
	gi, gf, gg, gout := a[:n], a[n:][:n], a[2*n:][:n], a[3*n:][:n]
	tanhC, was, carry := kept[n:][:n], before[:n], carry[:n]
	for j, d := range dh {
		i, f, g, o, tc := gi[j], gf[j], gg[j], gout[j], tanhC[j]
		dc := kernel.FMA(float32(d*o), kernel.FMA(-tc, tc, 1), carry[j])
		gi[j] = float32(dc*g) * float32(i*(1-i))
		gf[j] = float32(dc*was[j]) * float32(f*(1-f))
		gg[j] = float32(dc*i) * kernel.FMA(-g, g, 1)
		gout[j] = float32(d*tc) * float32(o*(1-o))
		carry[j] = dc * f
	}
}
