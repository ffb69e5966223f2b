"""Small classifiers with any inputs, for tests of what goes into a model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(0)
CONV = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)
BIAS = np.zeros(3, np.float32)
LAST = RNG.standard_normal((3, 4)).astype(np.float32)
HEAD = [
    ("Conv", ["z", "conv"], ["c"]),
    ("GlobalAveragePool", ["c"], ["g"]),
    ("Flatten", ["g"], ["features"]),
    ("Gemm", ["features", "last", "bias"], ["y"], {"transB": 1}),
]
"""From `z`, (batch, 3, height, width), to three scores `y`."""
Node = Sequence[Any]
Input = tuple[str, int, Sequence[int | str]]
F32 = TensorProto.FLOAT


def network(
    nodes: Sequence[Node],
    inputs: Sequence[Input],
    arrays: Mapping[str, Any] | None = None,
    *,
    output: Sequence[int | str] = ("n", 3),
    opset: int = 17,
) -> onnx.ModelProto:
    """Return a model with these inputs and constants, whose output is `y`."""
    read = {name for node in nodes for name in node[1]}
    given = {"conv": CONV, "last": LAST, "bias": BIAS, **(arrays or {})}
    graph = helper.make_graph(
        [helper.make_node(*n[:3], name=n[2][0], **(n[3] if len(n) > 3 else {})) for n in nodes],
        "small",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info("y", F32, list(output))],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in given.items() if n in read],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def behind(
    nodes: Sequence[Node],
    arrays: Mapping[str, Any] | None = None,
    *,
    kind: int = F32,
    shape: Sequence[int | str] = ("n", 3, 16, 16),
    opset: int = 17,
) -> onnx.ModelProto:
    """Return a classifier whose input `x` these nodes turn into `z`, which is convolved."""
    return network([*nodes, *HEAD], [("x", kind, shape)], arrays, opset=opset)
