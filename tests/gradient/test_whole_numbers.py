"""Inputs and outputs of whole numbers: which carry a gradient, and of what type it is."""

import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from leap_audit.errors import FlatGradient, GradientUnavailable, ModelRefused, StraightThrough
from leap_audit.gradient import build_gradient
from leap_audit.run import Session, choose_provider
from tests.builders.contrib import one_node
from tests.builders.networks import attention_net, conv_net

CPU = choose_provider("cpu")
WEIGHT = np.array([[1.0, -2.0], [3.0, 0.5], [0.0, 4.0]], np.float32)


def _model(
    nodes: list[Any], kinds: dict[str, int], outputs: dict[str, int], **arrays: Any
) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node(*node[:3], name=f"to {node[2][0]}", **node[3]) for node in nodes],
        "whole",
        [helper.make_tensor_value_info(name, kind, [1, 3]) for name, kind in kinds.items()],
        [helper.make_tensor_value_info(name, kind, ["n", "m"]) for name, kind in outputs.items()],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def _picture(kind: int, to: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """y = float(x) @ w"""
    nodes = [("Cast", ["x"], ["f"], {"to": to}), ("MatMul", ["f", "w"], ["y"], {})]
    weight = WEIGHT.astype(helper.tensor_dtype_to_np_dtype(to))
    return _model(nodes, {"x": kind}, {"y": to}, w=weight)


def _run(model: onnx.ModelProto, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    session = Session(model, CPU, threads=1)
    return dict(zip(session.outputs, session.run(inputs), strict=True))


@pytest.mark.parametrize("kind", ["UINT8", "INT8", "UINT16", "INT16"])
def test_a_picture_of_whole_numbers_that_is_cast(kind: str) -> None:
    number = getattr(TensorProto, kind)
    x = np.array([[1, 2, 3]], helper.tensor_dtype_to_np_dtype(number))
    dy = np.array([[1, 10]], np.float32)
    found = _run(build_gradient(_picture(number)), x=x, cotangent=dy)
    np.testing.assert_allclose(found["x_grad"], dy @ WEIGHT.T)
    assert found["x_grad"].dtype == np.float32


@pytest.mark.parametrize("to", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_its_gradient_is_float32_whatever_the_model_computes_in(to: int) -> None:
    dy = np.array([[1, 10]], helper.tensor_dtype_to_np_dtype(to))
    x = np.array([[1, 2, 3]], np.uint8)
    found = _run(build_gradient(_picture(TensorProto.UINT8, to)), x=x, cotangent=dy)
    np.testing.assert_allclose(found["x_grad"], dy @ WEIGHT.T)
    assert found["x_grad"].dtype == np.float32


def test_wider_whole_numbers_are_differentiated_where_they_are_asked_for() -> None:
    model = _picture(TensorProto.INT64)
    with pytest.raises(GradientUnavailable, match="name what to differentiate"):
        build_gradient(model)
    dy = np.array([[1, 10]], np.float32)
    found = _run(build_gradient(model, wrt="x"), x=np.array([[1, 2, 3]]), cotangent=dy)
    np.testing.assert_allclose(found["x_grad"], dy @ WEIGHT.T)


def _tokens(kind: int) -> onnx.ModelProto:
    """y = table[ids] * x"""
    nodes = [
        ("Cast", ["ids"], ["index"], {"to": TensorProto.INT64}),
        ("Gather", ["table", "index"], ["rows"], {}),
        ("Mul", ["rows", "x"], ["y"], {}),
    ]
    kinds = {"ids": kind, "x": TensorProto.FLOAT}
    return _model(nodes, kinds, {"y": TensorProto.FLOAT}, table=np.ones(300, np.float32))


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.INT64])
def test_indices_carry_no_gradient(kind: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = build_gradient(_tokens(kind)).graph
    assert [value.name for value in graph.output] == ["y", "x_grad"]
    with pytest.raises(GradientUnavailable, match="'ids' holds whole numbers"):
        build_gradient(_tokens(kind), wrt="ids")


def test_a_quantised_output_has_a_cotangent_in_float32() -> None:
    scale, zero_point = np.float32(0.5), np.uint8(3)
    nodes = [
        ("DequantizeLinear", ["x", "s", "z"], ["f"], {}),
        ("Exp", ["f"], ["e"], {}),
        ("QuantizeLinear", ["e", "s", "z"], ["y"], {}),
    ]
    kind = TensorProto.UINT8
    model = _model(nodes, {"x": kind}, {"y": kind}, s=scale, z=zero_point)
    with pytest.warns(StraightThrough, match=r"QuantizeLinear \(1 node, e.g. 'to y'"):
        built = build_gradient(model)
    types = {
        v.name: v.type.tensor_type.elem_type for v in (*built.graph.input, *built.graph.output)
    }
    assert types == {"x": kind, "cotangent": 1, "y": kind, "x_grad": 1}
    x, dy = np.array([[3, 4, 20]], np.uint8), np.array([[1, 2, 3]], np.float32)
    found = _run(built, x=x, cotangent=dy)
    np.testing.assert_array_equal(found["y"], _run(model, x=x)["y"])
    # exp(8.5) is beyond what 8 bits can hold.
    np.testing.assert_allclose(found["x_grad"], [[1, 2 * np.exp(0.5), 0]], rtol=1e-6)


def test_arithmetic_of_whole_numbers_is_named() -> None:
    nodes = [
        ("Cast", ["x"], ["wide"], {"to": TensorProto.INT32}),
        ("Mul", ["wide", "wide"], ["square"], {}),
        ("Cast", ["square"], ["f"], {"to": TensorProto.FLOAT}),
        ("Cast", ["x"], ["g"], {"to": TensorProto.FLOAT}),
        ("Add", ["f", "g"], ["y"], {}),
    ]
    model = _model(nodes, {"x": TensorProto.UINT8}, {"y": TensorProto.FLOAT})
    with pytest.warns(FlatGradient, match="'to square'"):
        built = build_gradient(model)
    dy = np.array([[1, 2, 3]], np.float32)
    found = _run(built, x=np.array([[1, 2, 3]], np.uint8), cotangent=dy)
    np.testing.assert_array_equal(found["x_grad"], dy)


def test_a_foreign_operator_is_named_before_its_shape_is_asked_for() -> None:
    model = one_node("CDist", {"x": (1, 3), "b": WEIGHT.T.copy()}, outputs=("far",))
    model.graph.node.append(helper.make_node("Exp", ["far"], ["y"]))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, ["n", "m"]))
    with pytest.raises(GradientUnavailable, match=r"no gradient rule for: com.microsoft.CDist"):
        build_gradient(model)


def test_scores_under_an_arg_max_are_named() -> None:
    nodes = [
        ("MatMul", ["x", "w"], ["scores"], {}),
        ("ArgMax", ["scores"], ["best"], {"axis": 1}),
        ("Cast", ["best"], ["y"], {"to": TensorProto.INT32}),
    ]
    model = _model(nodes, {"x": TensorProto.FLOAT}, {"y": TensorProto.INT32}, w=WEIGHT)
    with pytest.raises(GradientUnavailable, match="such as 'scores'"):
        build_gradient(model)
    assert [v.name for v in build_gradient(model, of="scores").graph.output][-1] == "x_grad"


@pytest.mark.parametrize("net", [conv_net, attention_net])
def test_half_precision_has_the_gradient_of_single_precision(net: Any) -> None:
    rng = np.random.default_rng(0)
    model = net()
    name, shape = model.graph.input[0].name, model.graph.input[0].type.tensor_type.shape
    given = {
        name: rng.standard_normal([4, *(d.dim_value for d in shape.dim[1:])]).astype(np.float16),
        "cotangent": rng.standard_normal((4, 5)).astype(np.float16),
    }
    half = _run(build_gradient(net(dtype=TensorProto.FLOAT16), batch=4), **given)[f"{name}_grad"]
    single = {name: x.astype(np.float32) for name, x in given.items()}
    exact = _run(build_gradient(model, batch=4), **single)[f"{name}_grad"]
    assert half.dtype == np.float16
    assert np.linalg.norm(half - exact) < 0.003 * np.linalg.norm(exact)


def test_weights_in_bfloat16() -> None:
    weight = numpy_helper.to_array(
        helper.make_tensor("w", TensorProto.BFLOAT16, [3, 2], WEIGHT.ravel())
    )
    nodes = [
        ("Cast", ["w"], ["f"], {"to": TensorProto.FLOAT}),
        ("MatMul", ["x", "f"], ["y"], {}),
    ]
    model = _model(nodes, {"x": TensorProto.FLOAT}, {"y": TensorProto.FLOAT}, w=weight)
    dy = np.array([[1, 10]], np.float32)
    found = _run(build_gradient(model), x=np.ones((1, 3), np.float32), cotangent=dy)
    np.testing.assert_allclose(found["x_grad"], dy @ WEIGHT.T)


@pytest.mark.parametrize("net", [conv_net, attention_net])
def test_a_network_in_bfloat16_is_refused_where_the_runtime_does_not_load_it(net: Any) -> None:
    with pytest.raises(ModelRefused, match=r"does not load: .*bfloat16.*convert it to float32"):
        build_gradient(net(dtype=TensorProto.BFLOAT16))
