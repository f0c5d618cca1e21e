#!/usr/bin/env python3
"""Train the network of examples/mnist-cnn in PyTorch as `tacit model train` does, and print a JSON line.

The same data, batches of 64 in a new order each epoch, Adam with the learning rate along a
cosine, the pixels in memory as 0 to 1; the test set is judged once, at the end. The seconds
are of the whole process but its imports.
"""
import argparse
import gzip
import json
import math
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def idx(path, header):
    with gzip.open(path) as f:
        return np.frombuffer(f.read(), np.uint8, offset=header)


def images(path):
    return torch.from_numpy(idx(path, 16).reshape(-1, 1, 28, 28).astype(np.float32) / 255)


def labels(path):
    return torch.from_numpy(idx(path, 8).astype(np.int64))


def main():
    a = argparse.ArgumentParser()
    a.add_argument("data")
    a.add_argument("--threads", type=int, default=1)
    a.add_argument("--epochs", type=int, default=10)
    a.add_argument("--batch", type=int, default=64)
    a.add_argument("--rate", type=float, default=0.002)
    a.add_argument("--channels-last", action="store_true")
    o = a.parse_args()
    torch.set_num_threads(o.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    start = time.perf_counter()
    x, y = images(f"{o.data}/train-images-idx3-ubyte.gz"), labels(f"{o.data}/train-labels-idx1-ubyte.gz")
    tx, ty = images(f"{o.data}/t10k-images-idx3-ubyte.gz"), labels(f"{o.data}/t10k-labels-idx1-ubyte.gz")
    net = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                        nn.Flatten(), nn.Linear(1568, 32), nn.ReLU(), nn.Linear(32, 10))
    if o.channels_last:
        net, x, tx = (v.to(memory_format=torch.channels_last) for v in (net, x, tx))
    rule = torch.optim.Adam(net.parameters(), lr=o.rate)
    steps, step = o.epochs * math.ceil(len(x) / o.batch), 0
    for _ in range(o.epochs):
        for rows in torch.randperm(len(x)).split(o.batch):
            for g in rule.param_groups:
                g["lr"] = o.rate / 2 * (1 + math.cos(math.pi * step / steps))
            rule.zero_grad()
            F.cross_entropy(net(x[rows]), y[rows]).backward()
            rule.step()
            step += 1
    with torch.no_grad():
        right = sum((net(tx[i:i + 1000]).argmax(1) == ty[i:i + 1000]).sum().item() for i in range(0, len(tx), 1000))
    print(json.dumps({"seconds": round(time.perf_counter() - start, 1), "accuracy": right / len(tx), "threads": o.threads, "channels_last": o.channels_last}))


main()
