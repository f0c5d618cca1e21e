#!/usr/bin/env python3
"""Time training steps of the networks of `tacit bench nn` in PyTorch, a JSON object a line.

Forward, backward and update on random data of the same shapes; the best and the median
of blocks of some 40 ms. bench/compare.sh sets the environment that makes PyTorch as fast
as it gets. Convolutions are timed in both memory layouts; compare.sh takes the better.
"""
import argparse
import json
import math
import os
import time

import torch
from torch import nn
from torch.nn import functional as F


def mlp(*widths):
    layers = []
    for a, b in zip(widths, widths[1:]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def cnn():
    return nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10))


class Residual(nn.Module):
    """ResNet's basic block; where it halves the image its shortcut pads channels with zeros (option A)."""

    def __init__(self, wide, units, stride):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(wide, units, 3, stride, 1, bias=False), nn.BatchNorm2d(units), nn.ReLU(),
                                  nn.Conv2d(units, units, 3, 1, 1, bias=False), nn.BatchNorm2d(units))
        self.stride, self.pad = stride, units - wide

    def forward(self, x):
        y = self.body(x)
        if self.stride > 1:
            half = self.pad // 2
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, self.pad - half))
        return F.relu(x + y)


def resnet():
    layers, wide = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for units in (16, 32, 64):
        for i in range(3):
            layers.append(Residual(wide, units, 2 if units > 16 and i == 0 else 1))
            wide = units
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class Recurrent(nn.Module):
    """A recurrence whose last state is classified; over characters where vocab is given."""

    def __init__(self, cell, classes, vocab=None):
        super().__init__()
        self.embed = nn.Embedding(vocab, 8) if vocab else nn.Identity()
        self.cell, self.head = cell, nn.Linear(cell.hidden_size, classes)

    def forward(self, x):
        return self.head(self.cell(self.embed(x))[0][:, -1])


class Attention(nn.Module):
    def __init__(self, width, heads, steps):
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads = heads
        self.register_buffer("mask", torch.full((steps, steps), -math.inf).triu(1))

    def forward(self, x):
        b, t, w = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, t, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        if hasattr(F, "scaled_dot_product_attention"):
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            y = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(w // self.heads) + self.mask, -1) @ v
        return x + self.out(y.transpose(1, 2).reshape(b, t, w))


class Wide(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        return x + self.body(x)


class GPT(nn.Module):
    def __init__(self, vocab=96, width=128, depth=4, heads=4, steps=128):
        super().__init__()
        self.embed, self.place = nn.Embedding(vocab, width), nn.Parameter(0.02 * torch.randn(steps, width))
        self.blocks = nn.Sequential(*[m for _ in range(depth) for m in (Attention(width, heads, steps), Wide(width))])
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, vocab))

    def forward(self, x):
        return self.head(self.blocks(self.embed(x) + self.place)).flatten(0, 1)


def workload(name):
    """Return (network, inputs, labels, whether it convolves)."""
    kind = name.rstrip("0123456789")
    n = int(name[len(kind):])
    pixels, classes = torch.randn, lambda c, *s: torch.randint(0, c, s)
    if kind == "mlp":
        return mlp(784, 512, 512, 10), pixels(n, 784), classes(10, n), False
    if kind == "tab":
        return mlp(30, 64, 32, 1), pixels(n, 30), classes(2, n).float(), False
    if kind == "logreg":
        return nn.Linear(30, 1), pixels(n, 30), classes(2, n).float(), False
    if kind == "cnn":
        return cnn(), pixels(n, 1, 28, 28), classes(10, n), True
    if kind == "resnet":
        return resnet(), pixels(n, 3, 32, 32), classes(10, n), True
    if kind == "lstm":
        return Recurrent(nn.LSTM(8, 256, 2, batch_first=True), 80, 80), classes(80, n, 80), classes(80, n), False
    if kind in ("rnn", "gru"):
        cell = {"rnn": nn.RNN, "gru": nn.GRU}[kind](28, 128, batch_first=True)
        return Recurrent(cell, 10), pixels(n, 28, 28), classes(10, n), False
    if kind == "gpt":
        return GPT(), classes(96, n, 128), classes(96, n * 128), False
    raise SystemExit(f"unknown workload {name}")


def clipped(net, x, labels, lost, lr):
    """Return a step of DP-SGD in Opacus' scheme: per-example gradients by hooks, clipped to 1 and summed."""
    seen = {}
    for m in net.modules():
        if isinstance(m, (nn.Linear, nn.Conv2d)):
            m.register_forward_hook(lambda m, i, _: seen.__setitem__(m, [i[0].detach(), None]))
            m.register_full_backward_hook(lambda m, _, o: seen[m].__setitem__(1, o[0].detach()))

    def step():
        lost(net(x), labels).backward()
        grads = []
        for m, (i, d) in seen.items():
            if isinstance(m, nn.Conv2d):
                u = F.unfold(i, m.kernel_size, m.dilation, m.padding, m.stride)
                d = d.flatten(2)
                grads += [(m.weight, torch.einsum("nop,nkp->nok", d, u).view(len(x), *m.weight.shape)), (m.bias, d.sum(2))]
            else:
                grads += [(m.weight, torch.einsum("no,ni->noi", d, i)), (m.bias, d)]
        norms = torch.stack([g.flatten(1).norm(dim=1) for _, g in grads], 1).norm(dim=1)
        factor = (1 / (norms + 1e-6)).clamp(max=1)
        with torch.no_grad():
            for p, g in grads:
                p -= lr / len(x) * torch.einsum("n,n...->...", factor, g)
                p.grad = None
    return step


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--only", required=True)
    a.add_argument("--threads", type=int, default=1)
    a.add_argument("--opt", default="sgd")
    a.add_argument("--dp", action="store_true")
    a.add_argument("--secs", type=float, default=2)
    args = a.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    for name in args.only.split(","):
        for layout in ("contiguous", "channels_last"):
            torch.manual_seed(0)
            net, x, labels, conv = workload(name)
            if layout == "channels_last":
                if not conv or args.dp:
                    continue
                net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
            if labels.is_floating_point():
                lost = lambda z, t: F.binary_cross_entropy_with_logits(z.squeeze(1), t)
            else:
                lost = F.cross_entropy
            fused = {"foreach": True}
            opt = torch.optim.Adam(net.parameters(), 1e-4, **fused) if args.opt == "adam" else torch.optim.SGD(net.parameters(), 0.01, **fused)

            def step():
                opt.zero_grad(set_to_none=True)
                lost(net(x), labels).backward()
                opt.step()
            if args.dp:
                sums = lambda z, t: F.cross_entropy(z, t, reduction="sum")
                step = clipped(net, x, labels, sums, 0.01)
            for _ in range(5):
                step()
            start, n = time.perf_counter(), 0
            while time.perf_counter() - start < 0.1 or n < 2:
                step()
                n += 1
            n = max(1, round(0.04 * n / (time.perf_counter() - start)))
            blocks, begin = [], time.perf_counter()
            while len(blocks) < 3 or time.perf_counter() - begin < args.secs:
                start = time.perf_counter()
                for _ in range(n):
                    step()
                blocks.append((time.perf_counter() - start) / n)
            blocks.sort()
            print(json.dumps({"w": name, "opt": args.opt, "dp": args.dp, "threads": args.threads, "layout": layout, "torch": torch.__version__,
                              "best_ms": round(1e3 * blocks[0], 4), "med_ms": round(1e3 * blocks[len(blocks) // 2], 4)}), flush=True)


main()
