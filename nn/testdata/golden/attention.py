#!/usr/bin/env python3
"""Writes attention.json: self-attention, layer norms and the activations of their blocks."""
import common
from common import *


class SelfAttention(nn.MultiheadAttention):
    def __init__(self, e, heads, causal):
        super().__init__(e, heads, batch_first=True)
        self.causal = causal

    def forward(self, x):
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1) if self.causal else None
        return super().forward(x, x, x, need_weights=False, attn_mask=mask)[0]


common.BUILD.update({
    "attention": lambda l, s: (SelfAttention(s[-1], l["heads"], l.get("causal", False)), s),
    "layer_norm": lambda l, s: (nn.LayerNorm(s[-1], eps=l.get("epsilon", 1e-5)), s),
    "leaky_relu": lambda l, s: (nn.LeakyReLU(l.get("slope", 0.01)), s),
    "gelu": lambda l, s: (nn.GELU(), s),
    "silu": lambda l, s: (nn.SiLU(), s),
})

dense = lambda n, **k: {"kind": "dense", "units": n, **k}
attention = lambda heads, **k: {"kind": "attention", "heads": heads, **k}
norm, gelu, silu, leaky = {"kind": "layer_norm"}, {"kind": "gelu"}, {"kind": "silu"}, {"kind": "leaky_relu"}
residual = lambda *body: {"kind": "residual", "body": list(body)}


def stir(net):  # so that gammas, betas and biases of attention are not ones and zeros
    with torch.no_grad():
        for p in net.parameters():
            if p.dim() == 1:
                p.add_(0.3 * torch.randn_like(p))


# The gradient of the keys' bias is zero but for rounding, which Adam would blow up.
MILD = {**ADAM, "epsilon": 1e-3}

block = lambda e, heads, causal: [residual(norm, attention(heads, causal=causal)), residual(norm, dense(2 * e), gelu, dense(e))]

write([
    case("attention, flatten, classes, sgd", [5, 6], [attention(3), {"kind": "flatten"}, dense(4)], "cross_entropy", SGD, 1, init=stir),
    case("attention of one head, causal, mse, momentum", [3, 4], [dense(5), attention(1, causal=True)], "mse", MOMENTUM, 2, init=stir),
    case("transformer block, causal, a label a step, adam", [6, 4], [dense(8)] + block(8, 2, True) + [norm, dense(5)], "cross_entropy", MILD, 3, init=stir),
    case("transformer block, pooled, binary, adam", [4, 3], [dense(6)] + block(6, 3, False) + [{"kind": "global_avg_pool"}, dense(1)], "binary_cross_entropy", MILD, 4, init=stir),
    case("layer norm with epsilon, mse, sgd", [7], [dense(5), {"kind": "layer_norm", "epsilon": 0.1}, dense(2)], "mse", SGD, 5, init=stir),
    case("gelu, silu and leaky relu, classes, momentum", [6], [dense(9), gelu, dense(8), silu, dense(7), leaky, dense(6), {"kind": "leaky_relu", "slope": 0.2}, dense(3)], "cross_entropy", MOMENTUM, 6),
])
