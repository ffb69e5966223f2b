"""What the canonical form does with sequences, Compress and Upsample."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from leap_audit.canonical.form import canonicalise
from leap_audit.gradient import Emitter, backpropagate
from leap_audit.run import choose_provider


def _model(
    nodes: Sequence[onnx.NodeProto], opset: int = 17, **constants: object
) -> onnx.ModelProto:
    """A graph from x of shape (1, 4, 6) to y; a node is (operator, inputs, output, attributes)."""
    made = [
        helper.make_node(name, list(inputs), [output], **attributes)
        for name, inputs, output, attributes in nodes
    ]
    given = [numpy_helper.from_array(np.asarray(c), name) for name, c in constants.items()]
    shape = [1, 4, 6] if opset > 10 else [1, 2, 4, 6]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(made, "g", [x], [y], given)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


PIECES = ("SplitToSequence", ["x", "two"], "s", {"axis": 1})
TWO = np.int64(2)


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([PIECES, ("SequenceAt", ["s", "last"], "y", {})], {"last": np.int64(-1)}),
        ([PIECES, ("ConcatFromSequence", ["s"], "y", {"axis": 2})], {}),
        ([PIECES, ("ConcatFromSequence", ["s"], "y", {"axis": 0, "new_axis": 1})], {}),
        (
            [
                ("SplitToSequence", ["x"], "s", {"axis": 2, "keepdims": 0}),
                ("SequenceAt", ["s", "two"], "y", {}),
            ],
            {},
        ),
        (
            [
                ("SplitToSequence", ["x", "widths"], "s", {"axis": -1}),
                ("SequenceAt", ["s", "two"], "y", {}),
            ],
            {"widths": np.array([1, 2, 3])},
        ),
        (
            [
                ("Relu", ["x"], "r", {}),
                ("SequenceConstruct", ["x", "r", "x"], "s", {}),
                ("SequenceErase", ["s", "one"], "t", {}),
                ("Sigmoid", ["x"], "g", {}),
                ("SequenceInsert", ["t", "g", "one"], "u", {}),
                ("SequenceInsert", ["u", "r"], "v", {}),
                ("ConcatFromSequence", ["v"], "y", {"axis": 1}),
            ],
            {"one": np.int64(1)},
        ),
        (
            [
                ("SequenceEmpty", [], "s", {}),
                ("SequenceInsert", ["s", "x"], "t", {}),
                ("SequenceAt", ["t", "zero"], "y", {}),
            ],
            {"zero": np.int64(0)},
        ),
        ([("Compress", ["x", "some"], "y", {"axis": 1})], {"some": np.array([0, 1, 1], bool)}),
        ([("Compress", ["x", "some"], "y", {})], {"some": np.array([1, 0, 0, 1], bool)}),
    ],
)
def test_sequences_and_compress_become_operators_with_a_gradient(
    nodes: Sequence[onnx.NodeProto], constants: dict[str, Any]
) -> None:
    # canonicalise compares the outputs with those of the model itself.
    model = canonicalise(_model(nodes, two=TWO, **constants), provider=choose_provider("cpu"))
    operators = {node.op_type for node in model.graph}
    assert not {name for name in operators if "Sequence" in name or name == "Compress"}
    (x,), (y,) = model.graph.inputs, model.graph.outputs
    assert y.name == "y"
    op = Emitter(model.graph, "gradient")
    if y is not x and operators:
        dy = op.constant(np.ones(tuple(y.shape)))
        (dx,) = backpropagate(op, {y: dy}, [x])
        assert dx.shape == x.shape


def test_a_computed_position_stays() -> None:
    nodes = [
        PIECES,
        ("ReduceMax", ["x"], "m", {"keepdims": 0}),
        ("Greater", ["m", "limit"], "b", {}),
        ("Cast", ["b"], "at", {"to": TensorProto.INT64}),
        ("SequenceAt", ["s", "at"], "y", {}),
    ]
    model = canonicalise(_model(nodes, two=TWO, limit=np.float32(3)))
    assert "SequenceAt" in {node.op_type for node in model.graph}


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(
    ("name", "opset", "scale"),
    [("Upsample", 7, 2.0), ("Upsample", 9, 1.5), ("Resize", 10, 2.0), ("Resize", 10, 0.5)],
)
def test_upsample_keeps_its_numbers(name: str, opset: int, scale: float, mode: str) -> None:
    scales = np.array([1, 1, scale, scale], np.float32)
    if opset == 7:
        model = _model([(name, ["x"], "y", {"mode": mode, "scales": scales})], opset)
    else:
        model = _model([(name, ["x", "scales"], "y", {"mode": mode})], opset, scales=scales)
    canonical = canonicalise(model, provider=choose_provider("cpu"))
    assert [node.op_type for node in canonical.graph] == ["Resize"]
