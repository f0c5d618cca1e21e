#!/usr/bin/env python3
"""The ONNX project's own checker and shape inference on each file of a folder."""
import glob
import json
import os
import sys

import onnx

for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.onnx"))):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    out = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph.output[0]
    json.dump({
        "ir": model.ir_version,
        "opset": [[o.domain, o.version] for o in model.opset_import],
        "meta": {p.key: p.value for p in model.metadata_props},
        "inputs": [i.name for i in model.graph.input],
        "first": [n.op_type for n in model.graph.node[:2]],
        "output": [d.dim_param or d.dim_value for d in out.type.tensor_type.shape.dim],
        "again": model.SerializeToString(deterministic=True) == open(path, "rb").read(),
    }, open(path + ".json", "w"))
