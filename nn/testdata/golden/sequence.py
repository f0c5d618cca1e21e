#!/usr/bin/env python3
"""Writes sequence.json: embeddings, positions and recurrent layers, truncated too."""
from common import *


class Positional(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.weight = nn.Parameter(0.5 * torch.randn(shape))

    def forward(self, x):
        return x + self.weight


class Tokens(nn.Embedding):
    def forward(self, x):
        return super().forward(x.long())


def recurrent(base):
    class Recurrent(base):
        """Its outputs alone; with truncate the state is detached every so many steps."""

        def __init__(self, width, l):
            super().__init__(width, l["units"], l.get("depth", 1), batch_first=True)
            self.part, self.last = l.get("truncate", 0), l.get("last", False)

        def forward(self, x):
            state, out = None, []
            for part in x.split(self.part or x.shape[1], dim=1):
                y, state = super().forward(part, state)
                state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
                out.append(y)
            y = torch.cat(out, dim=1)
            return y[:, -1] if self.last else y

    return lambda l, s: (Recurrent(s[1], l), [l["units"]] if l.get("last") else [s[0], l["units"]])


BUILD["embedding"] = lambda l, s: (Tokens(l["vocab"], l["units"]), s + [l["units"]])
BUILD["positional"] = lambda l, s: (Positional(s), s)
BUILD["rnn"], BUILD["lstm"], BUILD["gru"] = recurrent(nn.RNN), recurrent(nn.LSTM), recurrent(nn.GRU)

dense = lambda n, **k: {"kind": "dense", "units": n, **k}
layer = lambda kind, units, **k: {"kind": kind, "units": units, **k}
ids = lambda vocab, units: {"kind": "embedding", "vocab": vocab, "units": units}
position = {"kind": "positional"}

# Under Adam a gradient of a few epsilon turns float32's rounding of it into as large a
# share of the learning rate; these seeds draw none.
write([
    case("rnn, last state, classes, adam", [7, 3], [layer("rnn", 9, last=True), dense(3)], "cross_entropy", ADAM, 1),
    case("rnn, two layers, labels a step, sgd", [5, 2], [layer("rnn", 4, depth=2), dense(3)], "cross_entropy", SGD, 2),
    case("lstm, two layers, last state, binary, adam", [6, 3], [layer("lstm", 5, depth=2, last=True), dense(1)], "binary_cross_entropy", ADAM, 3),
    case("lstm, states are the output, mse, momentum", [4, 3], [layer("lstm", 3)], "mse", MOMENTUM, 4),
    case("gru, last state, mse, momentum", [6, 3], [layer("gru", 7, last=True), dense(2)], "mse", MOMENTUM, 5),
    case("gru, two layers, labels a step, adam", [5, 4], [layer("gru", 4, depth=2), dense(3)], "cross_entropy", ADAM, 6),
    case("language model, embedding and lstm, adam", [8], [ids(11, 6), layer("lstm", 9), dense(11)], "cross_entropy", ADAM, 27, vocab=11),
    case("embedding, positions, gru, sgd", [6], [ids(5, 4), position, layer("gru", 6, last=True), dense(4)], "cross_entropy", SGD, 8, vocab=5),
    case("embedding, flatten, binary, momentum", [5], [ids(4, 3), {"kind": "flatten"}, dense(1)], "binary_cross_entropy", MOMENTUM, 9, vocab=4),
    case("rnn, truncated after 2 of 5, sgd", [5, 3], [layer("rnn", 6, truncate=2), dense(3)], "cross_entropy", SGD, 10),
    case("lstm, two layers, truncated after 3 of 8, adam", [8], [ids(7, 5), layer("lstm", 6, depth=2, truncate=3), dense(7)], "cross_entropy", ADAM, 11, vocab=7),
    case("lstm, truncated after 2 of 6, last state, sgd", [6, 2], [layer("lstm", 5, truncate=2, last=True), dense(3)], "cross_entropy", SGD, 12),
    case("gru, two layers, truncated after 2 of 5, momentum", [5, 3], [layer("gru", 4, depth=2, truncate=2), dense(2)], "mse", MOMENTUM, 13),
    case("recurrent layers of three kinds, residual, adam", [4, 3], [dense(4), {"kind": "residual", "body": [layer("rnn", 4)]}, layer("lstm", 5), layer("gru", 3, last=True), dense(2)], "cross_entropy", ADAM, 14),
])
