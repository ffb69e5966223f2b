"""Operators newer than the pinned opset are written as ONNX defines them, and differentiated."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from leap_audit.gradient import build_gradient, check_gradient
from leap_audit.gradient.operators import operator_states

RNG = np.random.default_rng(0)
ROTATION = {
    "cos": RNG.random((1, 4, 4)).astype(np.float32),
    "sin": RNG.random((1, 4, 4)).astype(np.float32),
}
UPDATE = RNG.random((1, 2, 3, 8)).astype(np.float32)
CIRCULAR = {"update": RNG.random((1, 2, 4, 3)).astype(np.float32), "at": np.array([6])}


NEWER = [
    ("RMSNormalization", ["scale"], 23, {}, {"scale": RNG.random(8).astype(np.float32)}),
    ("Attention", ["x", "x"], 23, {"is_causal": 1}, {}),
    ("RotaryEmbedding", ["cos", "sin"], 23, {}, ROTATION),
    ("Sigmoid", [], 23, {}, {}),
    ("Swish", [], 24, {}, {}),
    ("Swish", [], 24, {"alpha": 1.5}, {}),
    ("SwiGLU", ["x"], 28, {}, {}),  # by Swish, and newer than ONNX Runtime
    ("CumProd", ["axis"], 26, {}, {"axis": np.array(3)}),
    ("CumProd", ["axis"], 26, {"reverse": 1, "exclusive": 1}, {"axis": np.array(-1)}),
    ("TensorScatter", ["update"], 24, {}, {"update": UPDATE}),
    ("TensorScatter", ["update", "at"], 24, {"mode": "circular", "axis": 3}, CIRCULAR),
]


def test_every_newer_operator_that_counts_as_written_is_tested() -> None:
    newer = {each.name for each in operator_states() if "newer than opset" in each.note}
    untried = {
        "BitCast",
        "CausalConvWithState",
        "LinearAttention",
    }  # bits; states of language models
    assert newer - untried <= {name for name, *_ in NEWER}, newer


@pytest.mark.parametrize(("op_type", "inputs", "opset", "attributes", "constants"), NEWER)
def test_an_operator_of_a_newer_opset(
    op_type: str, inputs: Any, opset: int, attributes: dict[str, Any], constants: Any
) -> None:
    graph = helper.make_graph(
        [helper.make_node(op_type, ["x", *inputs], ["y"], **attributes)],
        "newer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b", "c", "d"])],
        [numpy_helper.from_array(numbers, name) for name, numbers in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(model)
    gradient = build_gradient(model)
    assert {node.domain for node in gradient.graph.node} <= {"", "ai.onnx"}
    assert check_gradient(gradient).agrees


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_a_loss_is_written_as_onnx_defines_it(reduction: str) -> None:
    shape = ["a"] if reduction == "none" else []
    graph = helper.make_graph(
        [
            helper.make_node(
                "SoftmaxCrossEntropyLoss", ["x", "class", "w"], ["y"], reduction=reduction
            )
        ],
        "loss",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(np.array([1, 3]), "class"),
            numpy_helper.from_array(np.array([0.5, 1, 2, 1.5], np.float32), "w"),
        ],
    )
    opset = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    gradient = build_gradient(model, batch=2)
    assert "SoftmaxCrossEntropyLoss" not in {node.op_type for node in gradient.graph.node}
    assert check_gradient(gradient).agrees
