package nn

import "tacit/nn/internal/kernel"

// rnnKind: Elman's network (1990, https://doi.org/10.1207/s15516709cog1402_1) with
// tanh, torch.nn.RNN's default:
//
//	a_s = x_s·W_ih + b_ih + h_{s−1}·W_hh + b_hh      h_s = tanh a_s      h_{−1} = 0
//
// and with the error δh_s = ∂L/∂h_s from above and from step s+1:
//
//	δ_s = δh_s·(1 − h_s²)      δh_{s−1} += δ_s·W_hhᵀ      ∂x_s = δ_s·W_ihᵀ
//	∂W_ih = Σ_s x_sᵀ·δ_s       ∂W_hh = Σ_s h_{s−1}ᵀ·δ_s   ∂b_ih = ∂b_hh = Σ_s δ_s
var rnnKind = recurrentKind(RNN, cell{gates: 1, forward: rnnForward, backward: rnnBackward})

func rnnForward(h, g, _, _, _ []float32) {
	kernel.TanhOf(g[:len(h)], g)
	copy(h, g)
}

func rnnBackward(g, _, _, _, dh, _ []float32) { kernel.TanhBack(g[:len(dh)], dh, g) }
