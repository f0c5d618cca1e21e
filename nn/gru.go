package nn

import "tacit/nn/internal/kernel"

// gruKind: the gated recurrent unit (Cho et al. 2014, https://arxiv.org/abs/1406.1078)
// in torch.nn.GRU's form, where the reset gate acts on the sum q and not on h_{s−1}:
//
//	r = σ(x_s·W_ir + b_ir + h_{s−1}·W_hr + b_hr)      z alike
//	q = h_{s−1}·W_hn + b_hn      n = tanh(x_s·W_in + b_in + r∘q)
//	h_s = (1 − z)∘n + z∘h_{s−1}      h_{−1} = 0
//
// and with the error δh_s from above and from step s+1:
//
//	δ_n = δh_s∘(1 − z)∘(1 − n²)       δ_q = δ_n∘r
//	δ_z = δh_s∘(h_{s−1} − n)∘z∘(1 − z)      δ_r = δ_n∘q∘r∘(1 − r)
//	δh_{s−1} += δh_s∘z + [δ_r δ_z δ_q]·W_hhᵀ      ∂x_s = [δ_r δ_z δ_n]·W_ihᵀ
//	∂W_ih = Σ_s x_sᵀ·[δ_r δ_z δ_n]       ∂b_ih = Σ_s [δ_r δ_z δ_n]
//	∂W_hh = Σ_s h_{s−1}ᵀ·[δ_r δ_z δ_q]   ∂b_hh = Σ_s [δ_r δ_z δ_q]
//
// q is the sum apart; δ_q takes its place.
var gruKind = recurrentKind(GRU, cell{gates: 3, apart: 1, keeps: 1, forward: gruForward, backward: gruBackward})

func gruForward(h, a, q, prev, _ []float32) {
	w := len(h)
	kernel.GRU(h, a, a[w:], a[2*w:], q, prev)
}

func gruBackward(a, q, prev, _, dh, carry []float32) {
	w := len(dh)
	kernel.GRUBack(a, a[w:], a[2*w:], q, prev, dh, carry)
}
