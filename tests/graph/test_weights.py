"""Weights taken out of a model and put back."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from leap_audit.errors import ModelRefused
from leap_audit.graph.weights import LARGE, into_proto, restore_weights, split_weights


def _model(weight: onnx.TensorProto, *, listed: bool) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, LARGE])]
    if listed:
        inputs.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, list(weight.dims)))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "test",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2])],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("listed", [True, False], ids=["listed as input", "not listed"])
def test_weights_leave_as_inputs_and_come_back(listed: bool) -> None:
    numbers = np.arange(2 * LARGE, dtype=np.float32).reshape(LARGE, 2)
    model = _model(numpy_helper.from_array(numbers, "w"), listed=listed)
    light, weights = split_weights(model)
    assert [value.name for value in light.graph.input] == ["x", "w"]
    assert not light.graph.initializer
    assert light.ByteSize() < 1000
    whole = ir.from_proto(light)
    restore_weights(whole, weights)
    assert [value.name for value in whole.graph.inputs] == ["x"]
    tensor = whole.graph.initializers["w"].const_value
    assert tensor is not None
    np.testing.assert_array_equal(tensor.numpy(), numbers)
    proto = into_proto(whole)
    assert [value.name for value in proto.graph.input] == ["x"]
    np.testing.assert_array_equal(numpy_helper.to_array(proto.graph.initializer[0]), numbers)
    assert not whole.graph.initializers


def test_weights_with_fewer_numbers_than_their_shape_are_refused() -> None:
    weight = numpy_helper.from_array(np.zeros((LARGE, 2), np.float32), "w")
    weight.raw_data = weight.raw_data[:-8]
    with pytest.raises(ModelRefused, match=r"'w' has other numbers than its shape says"):
        split_weights(_model(weight, listed=False))
