#!/usr/bin/env python3
"""Writes golden.json: losses, logits, gradients and trained parameters of small
nets by PyTorch, for golden_test.go. Inputs are synthetic.

    python3 make_golden.py > golden.json      (Debian's python3-torch serves)

Everything is drawn in float32 and computed in float64 from there, so that the
numbers are the exact ones to some 1e-15 and the test's tolerances are those of
float32 alone. The flat vectors are in Layout order: each weight as (in, out),
then its bias.
"""
import json
import sys

import torch
from torch import nn


def build(inputs, layers):
    mods, width = [], inputs
    for kind, units in layers:
        if kind == "dense":
            mods.append(nn.Linear(width, units))
            width = units
        else:
            mods.append({"relu": nn.ReLU(), "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(),
                         "softmax": nn.Softmax(dim=1)}[kind])
    return nn.Sequential(*mods), width


def flat(net, pick):
    out = []
    for m in net:
        if isinstance(m, nn.Linear):
            out += pick(m.weight).t().reshape(-1).tolist() + pick(m.bias).tolist()
    return out


def case(name, inputs, layers, loss, opt, batches, seed):
    torch.manual_seed(seed)
    net, width = build(inputs, layers)  # initialised in float32
    net = net.double()
    lr = opt["lr"]
    if opt["kind"] == "sgd":
        o = torch.optim.SGD(net.parameters(), lr=lr, momentum=opt["momentum"])
    else:
        o = torch.optim.Adam(net.parameters(), lr=lr)
    out = {"name": name, "inputs": inputs, "layers": layers, "loss": loss, "optimizer": opt,
           "params": flat(net, lambda p: p.data), "steps": []}
    for n in batches:
        x = torch.randn(n, inputs).double()
        step = {"x": x.reshape(-1).tolist()}
        z = net(x)
        if loss == "binary_cross_entropy":
            y = torch.randint(0, 2, (n,))
            step["labels"] = y.tolist()
            losses = nn.functional.binary_cross_entropy_with_logits(z[:, 0], y.double(), reduction="none")
        elif loss == "cross_entropy":
            y = torch.randint(0, width, (n,))
            step["labels"] = y.tolist()
            losses = nn.functional.cross_entropy(z, y, reduction="none")
        else:
            t = torch.randn(n, width).double()
            step["targets"] = t.reshape(-1).tolist()
            losses = nn.functional.mse_loss(z, t, reduction="none").mean(dim=1)
        # One example at a time: the norms that clipping needs.
        norms = []
        for i in range(n):
            g = torch.autograd.grad(losses[i], list(net.parameters()), retain_graph=True)
            norms.append(sum((v * v).sum() for v in g).sqrt().item())
        o.zero_grad()
        losses.mean().backward()
        step["logits"] = z.reshape(-1).tolist()
        step["loss_sum"] = losses.sum().item()
        step["norms"] = norms
        if len(out["steps"]) == 0:
            step["grad"] = flat(net, lambda p: p.grad)
        o.step()
        step["params"] = flat(net, lambda p: p.data) if len(out["steps"]) in (0, len(batches) - 1) else None
        out["steps"].append(step)
    return out


def main():
    sgd = {"kind": "sgd", "lr": 0.1, "momentum": 0.0}
    mom = {"kind": "sgd", "lr": 0.05, "momentum": 0.9}
    adam = {"kind": "adam", "lr": 0.01, "momentum": 0.0}
    b = [4, 4, 4, 4, 3]  # the last batch is a tail
    cases = [
        case("logistic regression, sgd", 13, [("dense", 1)], "binary_cross_entropy", sgd, b, 1),
        case("logistic regression, momentum", 13, [("dense", 1)], "binary_cross_entropy", mom, b, 2),
        case("logistic regression, adam", 13, [("dense", 1)], "binary_cross_entropy", adam, b, 3),
        case("relu mlp, binary, momentum", 13, [("dense", 9), ("relu", 0), ("dense", 5), ("relu", 0), ("dense", 1)],
             "binary_cross_entropy", mom, b, 4),
        case("relu mlp, classes, adam", 7, [("dense", 18), ("relu", 0), ("dense", 4)], "cross_entropy", adam, b, 5),
        case("tanh mlp, classes, momentum", 5, [("dense", 17), ("tanh", 0), ("dense", 3)], "cross_entropy", mom, b, 6),
        case("sigmoid mlp, two classes, sgd", 6, [("dense", 8), ("sigmoid", 0), ("dense", 2)], "cross_entropy", sgd, b, 7),
        case("softmax inside, mse, adam", 6, [("dense", 8), ("tanh", 0), ("dense", 5), ("softmax", 0), ("dense", 3)],
             "mse", adam, b, 8),
        case("softmax last, mse, momentum", 6, [("dense", 5), ("softmax", 0)], "mse", mom, b, 9),
        case("sigmoid first, mse, sgd", 4, [("sigmoid", 0), ("dense", 3), ("sigmoid", 0), ("dense", 2)], "mse", sgd, b, 10),
    ]
    json.dump({"torch": torch.__version__, "cases": cases}, sys.stdout, indent=None, separators=(",", ":"))
    print()


main()
