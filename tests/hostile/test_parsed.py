"""Graphs that parse and contradict themselves are refused in one sentence, wherever it shows."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import ModelRefused
from leap_audit.ingest.loading import load_file


def model_of(*nodes: onnx.NodeProto, side: int = 8) -> onnx.ModelProto:
    """Return a model of a picture that flattens it behind these nodes."""
    flat = helper.make_node("Flatten", ["x"], ["y"])
    graph = helper.make_graph(
        [*nodes, flat],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, "n"])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def other_numbers(count: int) -> onnx.ModelProto:
    model = model_of(helper.make_node("Dropout", ["x", "ratio"], ["z"]))
    tensor = model.graph.initializer.add(name="ratio", data_type=TensorProto.FLOAT, dims=[1])
    tensor.float_data.extend([0.5] * count)
    return model


def numbers_of_another_type() -> onnx.ModelProto:
    model = model_of(helper.make_node("Unsqueeze", ["x", "axis"], ["z"]))
    tensor = model.graph.initializer.add(name="axis", data_type=TensorProto.INT64)
    tensor.int32_data.append(0)
    return model


def constant_of_nothing() -> onnx.ModelProto:
    return model_of(onnx.NodeProto(op_type="Constant", output=["c"]))


def called(arguments: int, functions: int) -> onnx.ModelProto:
    """A call with more arguments than the function has, or of a function that is there twice."""
    model = model_of(helper.make_node("F", ["x"] * arguments, ["z"], domain="local"))
    body = [helper.make_node("Relu", ["a"], ["b"])]
    opsets = [helper.make_opsetid("", 17)]
    for _ in range(functions):
        model.functions.append(helper.make_function("local", "F", ["a"], ["b"], body, opsets))
    return model


CASES: dict[str, Callable[[], onnx.ModelProto]] = {
    "fewer numbers than the shape says": lambda: other_numbers(0),
    "more numbers than the shape says": lambda: other_numbers(8),
    "numbers of another type": numbers_of_another_type,
    "a Constant without a value": constant_of_nothing,
    "too many arguments": lambda: called(3, 1),
    "a function twice": lambda: called(1, 2),
    "an input larger than memory": lambda: model_of(side=1 << 30),
}


@pytest.mark.parametrize("name", CASES)
def test_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(CASES[name]().SerializeToString())
    with pytest.raises(ModelRefused) as caught:
        load_file(path, DeclaredPreprocessing(), None, None, None)
    assert str(caught.value).endswith(".")
