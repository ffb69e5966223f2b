"""The files that are mutated: the sample models, small ones with other operators, and the rest."""

import io
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from PIL import Image

from tests.builders.networks import conv_net, residual_net

__all__ = ["FORMATS", "models", "others"]

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
WITH_FUNCTIONS = """
<ir_version: 8, opset_import: ["" : 18, "local" : 1]>
scored (float[1, 3, 8, 8] x) => (float[1, 4] y) <float[4, 192] w, float[4] b> {
  f = local.Twice (x)
  flat = Flatten (f)
  y = Gemm <transB = 1> (flat, w, b)
}
<domain: "local", opset_import: ["" : 18, "local" : 1]>
Twice (x) => (y) { half = local.Once (x)  y = Add (half, half) }
<domain: "local", opset_import: ["" : 18]>
Once (x) => (y) { y = Relu (x) }
"""
WITH_SUBGRAPHS = """
<ir_version: 8, opset_import: ["" : 18]>
looped (float[1, 3, 8, 8] x) => (float[1, 4] y) <float[192, 4] w> {
  times = Constant <value = int64 {2}> ()
  go = Constant <value = bool {1}> ()
  flat = Flatten (x)
  turned = Loop (times, go, flat) <body = turn (int64 i, bool on, float[1, 192] s)
    => (bool still, float[1, 192] t) { still = Identity (on)  t = Tanh (s) }>
  chosen = If (go) <then_branch = yes () => (float[1, 192] a) { a = Sigmoid (turned) },
    else_branch = no () => (float[1, 192] c) { c = Identity (turned) }>
  shape = Shape (chosen)
  same = Reshape (chosen, shape)
  scores = MatMul (same, w)
  y = Softmax (scores)
}
"""
WITH_QUANTISED = """
<ir_version: 8, opset_import: ["" : 18]>
quantised (float[1, 3, 8, 8] x) => (float[1, 4] y)
  <float s = {0.05}, uint8 z = {128}, float[192, 4] w> {
  q = QuantizeLinear (x, s, z)
  d = DequantizeLinear (q, s, z)
  up = Resize <mode = "nearest"> (d, , scales)
  pooled = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (up)
  p = Pad <mode = "constant"> (pooled, pads)
  c = Slice (p, starts, ends)
  flat = Flatten (c)
  y = MatMul (flat, w)
}
"""
CONSTANTS = {
    "scales": np.array([1, 1, 2, 2], np.float32),
    "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    "starts": np.array([0, 0, 1, 1]),
    "ends": np.array([1, 3, 9, 9]),
}


def models(folder: Path) -> list[onnx.ModelProto]:
    """Return the models to mutate: those in `folder`, and small ones."""
    found = [onnx.load(path) for path in sorted(folder.glob("*.onnx"))]
    found += [conv_net(), residual_net()]
    return found + [_parsed(text) for text in (WITH_FUNCTIONS, WITH_SUBGRAPHS, WITH_QUANTISED)]


def others() -> dict[str, bytes]:
    """Return name -> content of a class list, pictures of all formats and preprocessing files."""
    declared = {"layout": "NCHW", "mean": [0.5, 0.5, 0.5], "range": [0, 255], "input_size": [8, 8]}
    toml = "".join(f"{key} = {json.dumps(value)}\n" for key, value in declared.items())
    files = {
        "classes.txt": "".join(f"cläss {i}\n" for i in range(40)).encode(),
        "classes.json": json.dumps([f"cläss {i}" for i in range(40)]).encode(),
        "preprocessing.json": json.dumps(declared).encode(),
        "preprocessing.toml": toml.encode(),
    }
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
    for kind in FORMATS:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind)
        files[f"picture.{kind.lower()}"] = file.getvalue()
    array = io.BytesIO()
    np.save(array, pixels.astype(np.float32) / 255)
    return files | {"picture.npy": array.getvalue()}


def _parsed(text: str) -> onnx.ModelProto:
    """The model in ONNX's textual form, with numbers for the weights that it only declares."""
    model = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    for value in model.graph.value_info:
        shape = [size.dim_value for size in value.type.tensor_type.shape.dim]
        numbers = rng.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(numbers, value.name))
    del model.graph.value_info[:]
    read = {name for node in model.graph.node for name in node.input}
    for name in sorted(read & CONSTANTS.keys()):
        model.graph.initializer.append(numpy_helper.from_array(CONSTANTS[name], name))
    return model
