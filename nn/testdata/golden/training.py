#!/usr/bin/env python3
"""Writes training.json: every loss with its options, every optimizer with its own,
clipping and schedules. A case with a schedule has the rates of its first 40 steps."""
import warnings

from common import *

warnings.simplefilter("ignore")  # of schedulers that are stepped in another order


def entropy(spec, z, step, reduction):
    """cross_entropy; binary_cross_entropy as that of the logits 0 and z."""
    if spec["loss"] == "binary_cross_entropy":
        z = torch.cat([torch.zeros_like(z), z], dim=-1)
    w = spec.get("classweights")
    y = torch.tensor(step["labels"])
    kw = {"weight": None if w is None else torch.tensor(w, dtype=z.dtype),
          "label_smoothing": spec.get("labelsmoothing", 0.0), "reduction": reduction}
    if z.dim() == 3:
        return F.cross_entropy(z.transpose(1, 2), y.reshape(z.shape[:2]), **kw)
    return F.cross_entropy(z, y, **kw)


def regression(spec, z, step, reduction):
    t = torch.tensor(step["targets"], dtype=z.dtype).reshape(z.shape)
    if spec["loss"] == "mse":
        return F.mse_loss(z, t, reduction=reduction)
    if spec["loss"] == "mae":
        return F.l1_loss(z, t, reduction=reduction)
    return F.huber_loss(z, t, reduction=reduction, delta=spec.get("delta", 1.0))


def each(spec, z, step):
    f = entropy if "entropy" in spec["loss"] else regression
    return f(spec, z, step, "none").reshape(z.shape[0], -1).mean(dim=1)


def mean(spec, z, step):
    if spec["loss"] == "cox":
        z = z.reshape(-1)
        t = torch.tensor(step["targets"], dtype=z.dtype).reshape(-1, 2)
        time, event = t[:, 0], t[:, 1]
        later = time[None, :] >= time[:, None]
        risk = torch.logsumexp(z[None, :].masked_fill(~later, float("-inf")), dim=1)
        return ((risk - z) * event).sum() / event.sum().clamp(min=1)
    f = entropy if "entropy" in spec["loss"] else regression
    return f(spec, z, step, "mean")


class Rule:
    """A torch optimizer behind clip_grad_norm_ and before its scheduler."""

    def __init__(self, params, o):
        self.params, self.clip = list(params), o.get("clipnorm", 0)
        lr, decay = o["lr"], o.get("weightdecay", 0)
        T = torch.optim
        self.o = {
            "sgd": lambda: T.SGD(self.params, lr=lr, momentum=o.get("momentum", 0), nesterov=o.get("nesterov", False), weight_decay=decay),
            "adam": lambda: T.Adam(self.params, lr=lr, betas=(o["beta1"], o["beta2"]), eps=o["epsilon"], weight_decay=decay),
            "adamw": lambda: T.AdamW(self.params, lr=lr, betas=(o["beta1"], o["beta2"]), eps=o["epsilon"], weight_decay=decay),
            "rmsprop": lambda: T.RMSprop(self.params, lr=lr, alpha=o["alpha"], eps=o["epsilon"], momentum=o.get("momentum", 0), weight_decay=decay),
            "adagrad": lambda: T.Adagrad(self.params, lr=lr, eps=o["epsilon"], weight_decay=decay),
        }[o["kind"]]()
        self.s = self.schedule(o.get("schedule"))

    def schedule(self, s):
        if s is None:
            return None
        S = torch.optim.lr_scheduler
        w = s.get("warmup", 0)
        if s.get("kind") == "step":
            main = S.StepLR(self.o, step_size=s["every"], gamma=s["gamma"])
        elif s.get("kind") == "cosine":
            main = S.CosineAnnealingLR(self.o, T_max=s["total"] - w, eta_min=s.get("min", 0))
        else:
            main = S.ConstantLR(self.o, factor=1)
        if w == 0:
            return main
        rise = S.LinearLR(self.o, start_factor=1 / w, end_factor=1, total_iters=w - 1)
        return S.SequentialLR(self.o, [rise, main], milestones=[w])

    def zero_grad(self):
        self.o.zero_grad()

    def step(self):
        if self.clip:
            torch.nn.utils.clip_grad_norm_(self.params, self.clip)
        self.o.step()
        if self.s:
            self.s.step()


def rates(o, n):
    p = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    p.grad = torch.zeros_like(p)
    r, out = Rule([p], {**o, "kind": "sgd", "clipnorm": 0}), []
    for _ in range(min(n, o["schedule"].get("total", n))):  # CosineAnnealingLR rises again after it
        out.append(r.o.param_groups[0]["lr"])
        r.step()
    return out


def train(name, shape, layers, loss, opt, seed, **k):
    c = case(name, shape, layers, loss, opt, seed, mean_loss=mean, example_losses=each,
             optimizer=lambda net, o: Rule(net.parameters(), o), norms=loss != "cox", **k)
    if "schedule" in opt:
        c["rates"] = rates(opt, 40)
    return c


dense = lambda n, **k: {"kind": "dense", "units": n, **k}
tanh, relu = {"kind": "tanh"}, {"kind": "relu"}
net = lambda n: [dense(7), tanh, dense(n)]
TWO, FOUR = [0.25, 3.0], [1.5, 0.25, 3.0, 1.0]
ADAMS = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
STEP = {"kind": "step", "every": 3, "gamma": 0.5}
COSINE = {"kind": "cosine", "total": 20, "min": 0.001}
TEN = (4,) * 9 + (3,)

write([
    train("mae, momentum", [6], net(3), "mae", MOMENTUM, 1),
    train("mae of a sequence, adam", [3, 4], net(2), "mae", ADAM, 2),
    train("huber, sgd", [6], net(3), "huber", SGD, 3),
    train("huber, delta 0.3, adam", [5], net(2), "huber", ADAM, 4, delta=0.3),
    train("cox, linear, sgd", [6], [dense(1)], "cox", SGD, 5),
    # No bias: it moves every risk alike, so that its gradient is a rounding error that Adam enlarges.
    train("cox, mlp, adam", [6], [dense(8), tanh, dense(1, nobias=True)], "cox", ADAM, 6),
    train("classes, weights, sgd", [6], net(4), "cross_entropy", SGD, 7, classweights=FOUR),
    train("classes, smoothing, adam", [6], net(4), "cross_entropy", ADAM, 8, labelsmoothing=0.1),
    train("classes, weights and smoothing, momentum", [6], net(4), "cross_entropy", MOMENTUM, 9, classweights=FOUR, labelsmoothing=0.25),
    train("binary, weights, sgd", [6], net(1), "binary_cross_entropy", SGD, 10, classweights=TWO),
    train("binary, smoothing, sgd", [6], net(1), "binary_cross_entropy", SGD, 11, labelsmoothing=0.1),
    train("binary, weights and smoothing, adam", [6], net(1), "binary_cross_entropy", ADAM, 12, classweights=TWO, labelsmoothing=0.3),
    train("labels a step, weights and smoothing, sgd", [3, 5], net(4), "cross_entropy", SGD, 13, classweights=FOUR, labelsmoothing=0.2),
    train("binary labels a step, weights, sgd", [4, 3], net(1), "binary_cross_entropy", SGD, 14, classweights=TWO),

    train("sgd, decay", [6], net(3), "mse", {"kind": "sgd", "lr": 0.1, "weightdecay": 0.2}, 20, batches=TEN),
    train("sgd, momentum, decay", [6], net(3), "mse", {"kind": "sgd", "lr": 0.05, "momentum": 0.8, "weightdecay": 0.1}, 21, batches=TEN),
    train("sgd, nesterov", [6], net(3), "mse", {"kind": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True}, 22, batches=TEN),
    train("sgd, nesterov, decay, clip", [6], net(3), "mse", {"kind": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weightdecay": 0.1, "clipnorm": 0.5}, 23, batches=TEN),
    train("adam, decay", [6], net(3), "mse", {"kind": "adam", "lr": 0.01, **ADAMS, "weightdecay": 0.1}, 24, batches=TEN),
    train("adam, betas, clip", [6], net(3), "mse", {"kind": "adam", "lr": 0.02, "beta1": 0.7, "beta2": 0.95, "epsilon": 1e-4, "clipnorm": 0.2}, 25, batches=TEN),
    train("adamw", [6], net(3), "mse", {"kind": "adamw", "lr": 0.01, **ADAMS, "weightdecay": 0.01}, 26, batches=TEN),
    train("adamw, decay 0.5, clip", [6], net(3), "cross_entropy", {"kind": "adamw", "lr": 0.02, **ADAMS, "weightdecay": 0.5, "clipnorm": 0.3}, 27, batches=TEN),
    train("rmsprop", [6], net(3), "mse", {"kind": "rmsprop", "lr": 0.01, "alpha": 0.99, "epsilon": 1e-8}, 28, batches=TEN),
    train("rmsprop, momentum, decay", [6], net(3), "mse", {"kind": "rmsprop", "lr": 0.005, "alpha": 0.9, "epsilon": 1e-6, "momentum": 0.8, "weightdecay": 0.1}, 29, batches=TEN),
    train("adagrad", [6], net(3), "mse", {"kind": "adagrad", "lr": 0.05, "epsilon": 1e-10}, 30, batches=TEN),
    train("adagrad, decay, clip", [6], net(3), "mse", {"kind": "adagrad", "lr": 0.05, "epsilon": 1e-8, "weightdecay": 0.1, "clipnorm": 1.0}, 31, batches=TEN),

    train("sgd, warm-up", [6], net(3), "mse", {"kind": "sgd", "lr": 0.1, "schedule": {"warmup": 6}}, 40, batches=TEN),
    train("sgd, step", [6], net(3), "mse", {"kind": "sgd", "lr": 0.2, "schedule": STEP}, 41, batches=TEN),
    train("sgd, step after a warm-up", [6], net(3), "mse", {"kind": "sgd", "lr": 0.2, "momentum": 0.5, "schedule": {**STEP, "warmup": 4}}, 42, batches=TEN),
    train("adamw, cosine", [6], net(3), "mse", {"kind": "adamw", "lr": 0.02, **ADAMS, "weightdecay": 0.1, "schedule": COSINE}, 43, batches=TEN),
    train("adamw, cosine after a warm-up, clip", [6], net(3), "cross_entropy", {"kind": "adamw", "lr": 0.02, **ADAMS, "weightdecay": 0.1, "clipnorm": 0.5, "schedule": {**COSINE, "warmup": 5}}, 44, batches=TEN),
    train("rmsprop, cosine to zero", [6], net(3), "mse", {"kind": "rmsprop", "lr": 0.01, "alpha": 0.99, "epsilon": 1e-8, "schedule": {"kind": "cosine", "total": 12}}, 45, batches=TEN),
])
