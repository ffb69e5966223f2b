"""Operators newer than the pinned opset are written as ONNX defines them, and differentiated."""

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


NEWER = [
    ("RMSNormalization", ["scale"], 23, {}, {"scale": RNG.random(8).astype(np.float32)}),
    ("Attention", ["x", "x"], 23, {"is_causal": 1}, {}),
    ("RotaryEmbedding", ["cos", "sin"], 23, {}, ROTATION),
    ("Swish", [], 24, {"alpha": 0.5}, {}),
    ("Sigmoid", [], 23, {}, {}),
]


def test_every_newer_operator_that_counts_as_written_is_tested() -> None:
    newer = {each.name for each in operator_states() if "as ONNX defines it" in each.note}
    assert newer == {name for name, *_ in NEWER} - {"Sigmoid"}


@pytest.mark.parametrize(("op_type", "inputs", "opset", "attributes", "constants"), NEWER)
def test_an_operator_of_a_newer_opset(op_type, inputs, opset, attributes, constants) -> None:
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
