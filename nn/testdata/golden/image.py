#!/usr/bin/env python3
"""Writes image.json: convolutions, pools, batch and group norms over images."""
from common import *


def pair(v, default):
    return tuple(v) if v else default


def conv(l, s):
    h, w, c = s
    kernel, stride, padding, dilation = l["kernel"], pair(l.get("stride"), (1, 1)), pair(l.get("padding"), (0, 0)), pair(l.get("dilation"), (1, 1))
    m = nn.Conv2d(c, l["units"], tuple(kernel), stride, padding, dilation, l.get("groups", 1), bias=not l.get("nobias", False))
    return m, after(m, s)


def pool(kind):
    def f(l, s):
        m = kind(tuple(l["kernel"]), pair(l.get("stride"), None), pair(l.get("padding"), (0, 0)))
        return m, after(m, s)
    return f


def after(m, s):
    """The shape [h,w,c] that m makes of s."""
    with torch.no_grad():
        n, c, h, w = m(torch.zeros(1, s[2], s[0], s[1])).shape
    return [h, w, c]


def batch_norm(l, s):
    kind = nn.BatchNorm2d if len(s) == 3 else nn.BatchNorm1d
    return kind(s[-1], eps=l.get("epsilon", 1e-5), momentum=l.get("momentum", 0.1)), s


BUILD.update({
    "conv2d": conv, "max_pool": pool(nn.MaxPool2d), "avg_pool": pool(nn.AvgPool2d), "batch_norm": batch_norm,
    "group_norm": lambda l, s: (nn.GroupNorm(l["groups"], s[-1], eps=l.get("epsilon", 1e-5)), s),
})


def init(net):
    """Norms begin as the identity, which hides mistakes."""
    for m in net.modules():
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)):
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.uniform_(m.bias, -0.5, 0.5)


def c(units, kernel, **k):
    return {"kind": "conv2d", "units": units, "kernel": kernel, **k}


def kind(name, **k):
    return {"kind": name, **k}


dense = lambda n: {"kind": "dense", "units": n}
relu, tanh, flat = kind("relu"), kind("tanh"), kind("flatten")


def block(norm, units):
    """A residual block that halves the image (He et al. 2015)."""
    return kind("residual",
                body=[c(units, [3, 3], stride=[2, 2], padding=[1, 1], nobias=True), norm, relu, c(units, [3, 3], padding=[1, 1], nobias=True), norm],
                shortcut=[c(units, [1, 1], stride=[2, 2], nobias=True), norm])


bn, gn = kind("batch_norm"), kind("group_norm", groups=2)

# A parameter that a batch norm follows has gradient zero but for rounding, and Adam
# would make steps of the rounding: nets with batch norms train by sgd.
write([
    case("cnn, classes, adam", [9, 8, 2], [c(4, [3, 3]), relu, kind("max_pool", kernel=[2, 2], stride=[1, 2]), c(5, [3, 3], stride=[2, 2], padding=[1, 1]), tanh,
         kind("avg_pool", kernel=[2, 2], stride=[1, 1], padding=[1, 0]), flat, dense(3)], "cross_entropy", ADAM, 1, init=init),
    case("cnn, binary, momentum", [6, 7, 1], [c(6, [3, 2], padding=[0, 1]), relu, kind("max_pool", kernel=[3, 3], stride=[2, 2], padding=[1, 1]), flat, tanh, dense(4), relu, dense(1)],
         "binary_cross_entropy", MOMENTUM, 2, init=init),
    case("depthwise, pointwise, dilated, groups, sgd", [8, 7, 4], [c(4, [3, 3], groups=4, padding=[1, 1]), c(6, [1, 1]), tanh, c(6, [3, 2], dilation=[2, 3], groups=2, padding=[1, 0]), tanh,
         c(12, [2, 3], groups=6, dilation=[1, 2], stride=[2, 1], padding=[1, 1]), kind("global_avg_pool"), dense(3)], "cross_entropy", SGD, 3, init=init),
    case("conv last, mse, sgd", [5, 4, 3], [c(4, [3, 3], padding=[1, 1]), tanh, c(2, [1, 1]), kind("global_max_pool")], "mse", SGD, 4, init=init),
    case("resnet with batch norm, momentum", [8, 6, 2], [c(4, [3, 3], padding=[1, 1], nobias=True), bn, relu, block(bn, 6),
         relu, kind("residual", body=[c(6, [3, 3], padding=[1, 1]), kind("batch_norm", momentum=0.3, epsilon=1e-3), relu]), kind("global_avg_pool"), dense(3)],
         "cross_entropy", MOMENTUM, 5, batches=(4, 4, 4, 3, 4), norms=False, init=init),
    case("batch norm of a flattened image and of features, momentum", [3, 4, 2], [c(3, [2, 2]), bn, flat, bn, tanh, dense(5), kind("batch_norm", momentum=0.5), tanh, dense(2)],
         "cross_entropy", MOMENTUM, 6, batches=(4, 4, 3, 4), norms=False, init=init),
    case("resnet with group norm, adam", [8, 6, 2], [c(4, [3, 3], padding=[1, 1]), gn, relu, block(gn, 6), relu, kind("global_avg_pool"), dense(6), kind("group_norm", groups=2, epsilon=1e-3), dense(3)],
         "cross_entropy", ADAM, 7, init=init),
])
