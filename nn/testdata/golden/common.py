"""Networks as data to PyTorch modules, and the numbers that nn's tests hold
themselves to: losses, logits, gradients, per-example norms, trained parameters.

A script beside this file calls write(cases) and its output is committed:

    python3 image.py > image.json          (Debian's python3-torch serves)

Parameters are drawn in float32 and everything is computed in float64 from there, so
that the numbers are exact to some 1e-15 and the test's tolerances are those of
float32 alone. Inputs are synthetic. Layers are dicts with the field names of
nn.Layer in lower case. Images are (n, h, w, c) outside and (n, c, h, w) inside.
"""
import json
import sys

import torch
import torch.nn.functional as F
from torch import nn


class Residual(nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


class Mean(nn.Module):  # over all axes but the channels
    def forward(self, x):
        return x.mean(dim=(2, 3)) if x.dim() == 4 else x.mean(dim=1)


class Max(nn.Module):
    def forward(self, x):
        return x.amax(dim=(2, 3)) if x.dim() == 4 else x.amax(dim=1)


# BUILD maps a kind to f(layer, shape) -> (module, shape after it). Scripts add theirs.
BUILD = {
    "dense": lambda l, s: (nn.Linear(s[-1], l["units"], bias=not l.get("nobias", False)), s[:-1] + [l["units"]]),
    "flatten": lambda l, s: (nn.Flatten(), [prod(s)]),
    "relu": lambda l, s: (nn.ReLU(), s),
    "tanh": lambda l, s: (nn.Tanh(), s),
    "sigmoid": lambda l, s: (nn.Sigmoid(), s),
    "softmax": lambda l, s: (nn.Softmax(dim=-1), s),
    "global_avg_pool": lambda l, s: (Mean(), [s[-1]]),
    "global_max_pool": lambda l, s: (Max(), [s[-1]]),
}


def prod(s):
    n = 1
    for d in s:
        n *= d
    return n


def residual(l, s):
    body, out = build(l["body"], s)
    shortcut, _ = build(l.get("shortcut", []), s)
    return Residual(body, shortcut), out


BUILD["residual"] = residual


def build(layers, shape):
    mods = []
    for l in layers:
        m, shape = BUILD[l["kind"]](l, shape)
        mods.append(m)
    return nn.Sequential(*mods), shape


def state(net, pick=lambda p: p):
    """Tensors by torch's names, flat in torch's order. Counters are left out."""
    return {k: pick(v).reshape(-1).tolist() for k, v in net.state_dict().items() if v.is_floating_point()}


def example_losses(spec, z, step):
    """The loss of each example."""
    loss = spec["loss"]
    if loss == "cross_entropy":
        y = torch.tensor(step["labels"])
        if z.dim() == 3:
            y = y.reshape(z.shape[0], z.shape[1])
            return F.cross_entropy(z.transpose(1, 2), y, reduction="none").mean(dim=1)
        return F.cross_entropy(z, y, reduction="none")
    if loss == "binary_cross_entropy":
        y = torch.tensor(step["labels"]).to(z.dtype)
        return F.binary_cross_entropy_with_logits(z.reshape(-1), y, reduction="none")
    if loss == "mse":
        t = torch.tensor(step["targets"], dtype=z.dtype).reshape(z.shape)
        return F.mse_loss(z, t, reduction="none").reshape(z.shape[0], -1).mean(dim=1)
    raise ValueError(loss)


def mean_loss(spec, z, step):
    """The loss that is trained on."""
    return example_losses(spec, z, step).mean()


def optimizer(net, o):
    """o has the fields of nn.Optimizer in lower case."""
    if o["kind"] == "sgd":
        return torch.optim.SGD(net.parameters(), lr=o["lr"], momentum=o.get("momentum", 0))
    if o["kind"] == "adam":
        return torch.optim.Adam(net.parameters(), lr=o["lr"], betas=(o["beta1"], o["beta2"]), eps=o["epsilon"])
    raise ValueError(o["kind"])


SGD = {"kind": "sgd", "lr": 0.1}
MOMENTUM = {"kind": "sgd", "lr": 0.05, "momentum": 0.9}
ADAM = {"kind": "adam", "lr": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}


def inside(x, shape):
    x = x.reshape([x.shape[0]] + shape)
    return x.permute(0, 3, 1, 2) if len(shape) == 3 else x


def outside(z):
    return z.permute(0, 2, 3, 1) if z.dim() == 4 else z


def case(name, shape, layers, loss, opt, seed, batches=(4, 4, 4, 3), norms=True, vocab=0,
         mean_loss=None, example_losses=None, optimizer=None, init=None, **options):
    """One network, trained on len(batches) random batches. vocab > 0: inputs are ids
    below it. options are further fields of nn.Spec in lower case."""
    mean_loss = mean_loss or globals()["mean_loss"]
    example_losses = example_losses or globals()["example_losses"]
    optimizer = optimizer or globals()["optimizer"]
    torch.manual_seed(seed)
    net, out = build(layers, list(shape))
    if init:
        init(net)
    net = net.double()
    net.train()
    spec = {"inputs": prod(shape), "shape": list(shape) if len(shape) > 1 or vocab else None, "layers": layers, "loss": loss, **options}
    o = optimizer(net, opt)
    res = {"name": name, "spec": spec, "optimizer": opt, "params": state(net), "steps": []}

    def draw(n):
        x = torch.randint(0, vocab, (n, prod(shape))).double() if vocab else torch.randn(n, prod(shape)).double()
        return x

    for k, n in enumerate(batches):
        x = draw(n)
        step = {"x": x.reshape(-1).tolist()}
        rows = out[0] if len(out) == 2 else 1
        if loss in ("cross_entropy", "binary_cross_entropy"):
            step["labels"] = torch.randint(0, max(out[-1], 2), (n * rows,)).tolist()
        elif loss == "cox":
            step["targets"] = torch.stack([torch.rand(n).double(), torch.randint(0, 2, (n,)).double()], dim=1).reshape(-1).tolist()
        else:
            step["targets"] = torch.randn(n * prod(out)).double().reshape(-1).tolist()
        z = outside(net(inside(x, list(shape))))
        if norms:
            losses = example_losses(spec, z, step)
            step["norms"] = []
            for i in range(n):
                g = torch.autograd.grad(losses[i], list(net.parameters()), retain_graph=True)
                step["norms"].append(sum((v * v).sum() for v in g).sqrt().item())
        o.zero_grad()
        mean = mean_loss(spec, z, step)
        mean.backward()
        step["logits"] = z.reshape(-1).tolist()
        step["loss"] = mean.item()
        if k == 0:
            step["grad"] = {name: p.grad.reshape(-1).tolist() for name, p in net.named_parameters()}
        o.step()
        if k in (0, len(batches) - 1):
            step["params"] = state(net)
        res["steps"].append(step)
    # As it is used afterwards: running statistics, no dropout.
    net.eval()
    x = draw(3)
    res["eval"] = {"x": x.reshape(-1).tolist(), "logits": outside(net(inside(x, list(shape)))).reshape(-1).tolist()}
    return res


def write(cases):
    json.dump({"torch": torch.__version__, "cases": cases}, sys.stdout, separators=(",", ":"))
    print()
