"""Each operator that only moves numbers: integers keep their gradient and their zero point."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from leap_audit.canonical.form import canonicalise, to_proto
from leap_audit.gradient import build_gradient
from leap_audit.graph.operators import MOVING
from leap_audit.graph.opset import IR_VERSION, OPSET
from leap_audit.run import Session, choose_provider

CPU = choose_provider("cpu")
X = np.arange(16).reshape(2, 4, 1, 2)
MOVES: dict[str, tuple[list[np.ndarray], dict[str, object]]] = {
    "Compress": ([np.array([True, False, True, True])], {"axis": 1}),
    "Concat": ([], {"axis": 1}),
    "DepthToSpace": ([], {"blocksize": 2}),
    "Expand": ([np.array([2, 4, 3, 2])], {}),
    "Flatten": ([], {}),
    "Gather": ([np.array([2, 0, 2])], {"axis": 1}),
    "GatherElements": ([np.array([[[[0, 0]], [[2, 1]]]] * 2)], {"axis": 1}),
    "GatherND": ([np.array([[[1], [1]], [[0], [3]]])], {"batch_dims": 1}),
    "Identity": ([], {}),
    "Reshape": ([np.array([2, 8])], {}),
    "ReverseSequence": ([np.array([3, 4])], {"batch_axis": 0, "time_axis": 1}),
    "Slice": ([np.array([1]), np.array([4]), np.array([1])], {}),
    "SpaceToDepth": ([], {"blocksize": 1}),
    "Split": ([np.array([4])], {"axis": 1}),
    "Squeeze": ([np.array([2])], {}),
    "Tile": ([np.array([1, 1, 2, 1])], {}),
    "Transpose": ([], {"perm": [0, 3, 1, 2]}),
    "Unsqueeze": ([np.array([1])], {}),
}
"""Operator -> its other inputs and its attributes."""


def _model(op_type: str, kind: int, *, quantised: bool = False) -> onnx.ModelProto:
    """Return y = float(moved(x))², or the same through int8 with a scale of 0.1."""
    others, attributes = MOVES[op_type]
    names = [f"other{i}" for i in range(len(others))]
    moved = helper.make_node(op_type, ["q", *names], ["moved"], name="move", **attributes)
    before = [helper.make_node("Identity", ["x"], ["q"])]
    after = [helper.make_node("Cast", ["moved"], ["f"], to=TensorProto.FLOAT)]
    if quantised:
        before = [helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"])]
        after = [helper.make_node("DequantizeLinear", ["moved", "scale", "zero"], ["f"])]
    graph = helper.make_graph(
        [*before, moved, *after, helper.make_node("Mul", ["f", "f"], ["y"])],
        "move",
        [helper.make_tensor_value_info("x", kind, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            *(numpy_helper.from_array(a, name) for a, name in zip(others, names, strict=True)),
            numpy_helper.from_array(np.float32(0.1), "scale"),
            numpy_helper.from_array(np.int8(3), "zero"),
        ],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    return onnx.shape_inference.infer_shapes(model)


def _gradient(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    built = build_gradient(model, batch=2)
    (size,) = [v.type.tensor_type.shape for v in built.graph.input if v.name == "cotangent"]
    ones = np.ones([d.dim_value for d in size.dim], np.float32)
    return Session(built, CPU).run({"x": x, "cotangent": ones}, ["x_grad"])[0]


def test_every_operator_that_moves_is_tested() -> None:
    assert set(MOVES) == MOVING


@pytest.mark.parametrize("op_type", MOVES)
def test_moved_integers_have_the_gradient_of_floats(op_type: str) -> None:
    expected = _gradient(_model(op_type, TensorProto.FLOAT), X.astype(np.float32))
    assert expected.any()
    actual = _gradient(_model(op_type, TensorProto.UINT8), X.astype(np.uint8))
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("op_type", MOVES)
def test_moved_int8_is_written_as_uint8(op_type: str) -> None:
    model = _model(op_type, TensorProto.FLOAT, quantised=True)
    canonical = to_proto(canonicalise(model, batch=2, provider=CPU))
    kinds = {v.name: v.type.tensor_type.elem_type for v in canonical.graph.value_info}
    assert TensorProto.INT8 not in kinds.values()
    x = {"x": X.astype(np.float32) - 8}
    (expected,) = Session(model, CPU, often=False).run(x)
    np.testing.assert_array_equal(Session(canonical, CPU, often=False).run(x)[0], expected)
