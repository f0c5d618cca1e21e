#!/usr/bin/env python3
"""Writes structure.json: residual paths and dense layers over sequences."""
from common import *

dense = lambda n, **k: {"kind": "dense", "units": n, **k}
tanh, relu = {"kind": "tanh"}, {"kind": "relu"}

write([
    case("residual mlp, classes, adam", [6], [dense(5), {"kind": "residual", "body": [dense(7), tanh, dense(5)]}, relu, dense(3)], "cross_entropy", ADAM, 1),
    case("residual with shortcut, mse, momentum", [6], [{"kind": "residual", "body": [dense(4), tanh], "shortcut": [dense(4, nobias=True)]}, dense(2)], "mse", MOMENTUM, 2),
    case("residual in residual, binary, sgd", [5], [dense(4), {"kind": "residual", "body": [{"kind": "residual", "body": [dense(4), relu]}, dense(4)]}, dense(1)], "binary_cross_entropy", SGD, 3),
    case("dense over a sequence, labels a step, adam", [4, 6], [dense(9), tanh, dense(3)], "cross_entropy", ADAM, 4),
    case("dense over a sequence, softmax, flatten, sgd", [3, 5], [dense(4), {"kind": "softmax"}, {"kind": "flatten"}, dense(2)], "cross_entropy", SGD, 5),
])
