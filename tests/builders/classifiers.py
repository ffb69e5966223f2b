"""Tiny classifiers, written to a file and loaded as an audit loads them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from leap_audit.config import DeclaredPreprocessing
from leap_audit.ingest import load
from leap_audit.ingest.model import Model
from leap_audit.run import choose_provider

CPU = choose_provider("cpu")
Node = tuple[str, Sequence[str], str] | tuple[str, Sequence[str], str, Mapping[str, Any]]
RAW = {"range": (0, 1), "mean": 0.0, "std": 1.0}
"""Preprocessing that leaves pixels in 0..1 as they are."""


def write_model(
    path: Path,
    nodes: Sequence[Node],
    weights: Mapping[str, NDArray[Any]],
    *,
    shape: Sequence[int | str] = ("n", 1, 8, 8),
    outputs: Sequence[tuple[str, Sequence[int | str]]] = (("y", ("n", 3)),),
    opset: int = 17,
    listed: bool = False,
    kinds: Mapping[str, int] | None = None,
) -> Path:
    """Write a network whose input is `x`; floating weights become float32.

    listed: the weights are also inputs, as old exporters do it. kinds: output -> type, where it
    is not float.
    """
    arrays = {n: w.astype(np.float32) if w.dtype.kind == "f" else w for n, w in weights.items()}
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    made = [
        helper.make_node(n[0], list(n[1]), [n[2]], **(n[3] if len(n) > 3 else {})) for n in nodes
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))]
    if listed:
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors]
    given = [
        helper.make_tensor_value_info(name, (kinds or {}).get(name, TensorProto.FLOAT), list(dims))
        for name, dims in outputs
    ]
    graph = helper.make_graph(made, "tiny", inputs, given, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return path


def read_model(path: Path, **declared: Any) -> Model:
    """Return the model with pixels left as they are, or with the preprocessing declared.

    names: how many classes it is said to have.
    """
    names = declared.pop("names", None)
    return load(path, DeclaredPreprocessing.model_validate(declared or RAW), CPU, names=names)


def linear(path: Path, weights: NDArray[Any], side: int = 8, channels: int = 1) -> Path:
    """Write logits = weights · pixels, weights (classes, channels · side · side)."""
    nodes: list[Node] = [("Flatten", ["x"], "f"), ("Gemm", ["f", "w"], "y", {"transB": 1})]
    return write_model(
        path,
        nodes,
        {"w": weights},
        shape=("n", channels, side, side),
        outputs=[("y", ("n", len(weights)))],
    )


def uncounted(units: int = 1) -> None:
    """Take the progress of long work and do nothing with it."""


def one_at_a_time(path: Path) -> Path:
    """Write a model that takes the first item out of its batch."""
    nodes: list[Node] = [
        ("Gather", ["x", "first"], "g", {"axis": 0}),
        ("Reshape", ["g", "row"], "f"),
        ("Gemm", ["f", "w"], "y"),
    ]
    weights = {
        "first": np.array(0, np.int64),
        "row": np.array([1, 64], np.int64),
        "w": np.random.default_rng(0).standard_normal((64, 3)),
    }
    return write_model(path, nodes, weights, shape=(1, 1, 8, 8), outputs=[("y", (1, 3))])
