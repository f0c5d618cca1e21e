#!/usr/bin/env python3
"""What a reader of our files does: a safetensors parser, torch.nn modules of the same
layers, load_state_dict with strict=True. Reads the cases that the test wrote to the folder
of the first argument and writes the modules' outputs, and their state_dicts as files."""
import json
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "testdata", "golden"))
import common
import torch

common.case = lambda *a, **k: None  # only the modules of the golden scripts, not their numbers
common.write = lambda cases: None
import attention, image, sequence  # noqa: E401,F401,E402



def turned(build, there, back, axes):
    """Modules that torch has for its own order of axes, working on ours."""
    def f(l, s):
        m, out = build(l, s)
        if len(s) == axes:
            inner = m.forward
            m.forward = lambda x: inner(x.permute(there)).permute(back)
        return m, out
    return f


for kind in "dense", "layer_norm", "softmax":  # the last axis of [n, c, h, w]
    common.BUILD[kind] = turned(common.BUILD[kind], (0, 2, 3, 1), (0, 3, 1, 2), 3)
for kind in "batch_norm", "group_norm":  # the second axis of [n, t, c]
    common.BUILD[kind] = turned(common.BUILD[kind], (0, 2, 1), (0, 2, 1), 2)
common.BUILD["dropout"] = lambda l, s: (torch.nn.Dropout(l["rate"]), s)


def load(path):
    """Tensors and metadata of a safetensors file."""
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + n])
    meta = header.pop("__metadata__", {})
    out = {}
    for name, t in header.items():
        a, b = t["data_offsets"]
        dtype = {"F32": torch.float32, "I64": torch.int64}[t["dtype"]]
        out[name] = torch.frombuffer(bytearray(raw[8 + n + a:8 + n + b]), dtype=dtype).reshape(t["shape"]) if b > a else torch.empty(t["shape"])
    return out, meta


def save(path, tensors, meta):
    header, data = {"__metadata__": meta}, b""
    for name, t in tensors.items():
        values = t.flatten().tolist()
        raw = struct.pack("<%d%s" % (len(values), "q" if t.dtype == torch.int64 else "f"), *values)
        header[name] = {"dtype": {torch.float32: "F32", torch.int64: "I64"}[t.dtype], "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    head = json.dumps(header).encode()
    open(path, "wb").write(struct.pack("<Q", len(head)) + head + data)


folder = sys.argv[1]
for c in json.load(open(os.path.join(folder, "cases.json"))):
    tensors, meta = load(os.path.join(folder, c["file"]))
    assert meta["layout"] == "torch", meta
    mean, std = tensors.pop("standardise.mean", None), tensors.pop("standardise.std", None)
    net, _ = common.build(c["layers"], c["shape"])
    assert [k for k in net.state_dict() if not k.endswith("num_batches_tracked")] == list(tensors), "the order of tensors"
    net.load_state_dict(tensors, strict=True)
    net.eval()
    net.double()
    x = torch.tensor(c["x"], dtype=torch.float64).reshape([-1] + c["shape"])
    if mean is not None:
        x = (x - mean) / (std + 1e-9)
    with torch.no_grad():
        y = common.outside(net(common.inside(x, c["shape"])))
    json.dump(y.reshape(-1).tolist(), open(os.path.join(folder, c["file"] + ".json"), "w"))
    net.float()
    save(os.path.join(folder, c["file"] + ".back"), net.state_dict(), {"layout": "torch", "from": "torch"})
