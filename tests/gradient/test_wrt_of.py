"""What is differentiated with respect to what: inputs, outputs, and tensors inside the graph."""

import warnings

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from leap_audit.errors import FlatGradient, GradientUnavailable
from leap_audit.gradient import build_gradient, check_gradient
from leap_audit.run import Session, choose_provider
from tests.builders.networks import conv_net


def _run(model: onnx.ModelProto, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    session = Session(model, choose_provider("cpu"), threads=1)
    return dict(zip(session.outputs, session.run(inputs), strict=True))


def _two_inputs() -> onnx.ModelProto:
    """y = a * b, z = sign(a) + b, index = argmax(a)"""
    nodes = [
        helper.make_node("Mul", ["a", "b"], ["y"]),
        helper.make_node("Sign", ["a"], ["s"], name="the sign"),
        helper.make_node("Add", ["s", "b"], ["z"]),
        helper.make_node("ArgMax", ["a"], ["index"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 3]) for n in "ab"],
        [
            helper.make_tensor_value_info("index", TensorProto.INT64, ["n", 1]),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 3]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


A = np.array([[1.0, -2.0, 0.5]], np.float32)
B = np.array([[3.0, 4.0, -5.0]], np.float32)
DY = np.array([[1.0, 10.0, 100.0]], np.float32)


def test_the_first_floating_output_with_respect_to_every_input() -> None:
    found = _run(build_gradient(_two_inputs()), a=A, b=B, cotangent=DY)
    assert list(found) == ["index", "y", "z", "a_grad", "b_grad"]
    np.testing.assert_array_equal(found["a_grad"], B * DY)
    np.testing.assert_array_equal(found["b_grad"], A * DY)


def test_one_input_of_another_output() -> None:
    found = _run(build_gradient(_two_inputs(), wrt="b", of="z"), a=A, b=B, cotangent=DY)
    assert list(found) == ["index", "y", "z", "b_grad"]
    np.testing.assert_array_equal(found["b_grad"], DY)


def test_what_is_flat_is_named_and_has_no_part() -> None:
    with pytest.warns(FlatGradient, match="Sign .*'the sign'"):
        model = build_gradient(_two_inputs(), of="z")
    found = _run(model, a=A, b=B, cotangent=DY)
    np.testing.assert_array_equal(found["a_grad"], 0 * A)
    np.testing.assert_array_equal(found["b_grad"], DY)
    with (
        pytest.warns(FlatGradient),
        pytest.raises(GradientUnavailable, match="depend on 'a', except through Sign"),
    ):
        build_gradient(_two_inputs(), wrt="a", of="z")


def test_a_mask_is_not_worth_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_gradient(conv_net())


def test_tensors_inside_are_outputs_too() -> None:
    rng = np.random.default_rng(0)
    image = rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
    dy = rng.standard_normal((2, 5)).astype(np.float32)
    found = _run(
        build_gradient(conv_net(1), batch=2, wrt=["r1", "image"]), image=image, cotangent=dy
    )
    whole = _run(build_gradient(conv_net(1), batch=2), image=image, cotangent=dy)
    assert list(found) == ["scores", "r1", "r1_grad", "image_grad"]
    np.testing.assert_allclose(found["image_grad"], whole["image_grad"], rtol=1e-5, atol=1e-7)
    # The chain rule, once over the layer and once through it.
    lower = _run(
        build_gradient(conv_net(1), batch=2, of="r1"), image=image, cotangent=found["r1_grad"]
    )
    np.testing.assert_allclose(lower["r1"], found["r1"], rtol=1e-6)
    np.testing.assert_allclose(lower["image_grad"], whole["image_grad"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"of": "index"}, "'index' holds whole numbers"),
        ({"wrt": "index"}, "'index' holds whole numbers"),
        ({"of": "yy"}, "no tensor called 'yy'; did you mean 'y'"),
        ({"wrt": "a nothing at all"}, "no tensor called"),
        ({"wrt": "z", "of": "y"}, "does not depend on 'z'"),
    ],
)
def test_what_cannot_be_differentiated_is_said(asked: dict[str, str], sentence: str) -> None:
    with pytest.raises(GradientUnavailable, match=sentence):
        build_gradient(_two_inputs(), **asked)


def test_free_height_and_width_are_given() -> None:
    model = conv_net(size="side")
    graph = build_gradient(model, batch=2, shapes={"image": (3, 8, 10)}).graph
    assert [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim] == [2, 3, 8, 10]


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_other_floating_types(dtype: int) -> None:
    kind = helper.tensor_dtype_to_np_dtype(dtype)
    weight = np.random.default_rng(0).standard_normal((3, 2)).astype(kind)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])],
        "typed",
        [helper.make_tensor_value_info("x", dtype, [1, 3])],
        [helper.make_tensor_value_info("y", dtype, [1, 2])],
        [helper.make_tensor("w", dtype, weight.shape, weight.tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    gradient = build_gradient(model)
    x, dy = np.full((1, 3), 0.5, kind), np.ones((1, 2), kind)
    found = _run(gradient, x=x, cotangent=dy)
    expected = (dy * (x @ weight > 0)) @ weight.T
    np.testing.assert_allclose(found["x_grad"], expected, rtol=5e-3)
    assert found["x_grad"].dtype == kind


def test_the_check_passes_what_is_right_and_fails_what_is_wrong() -> None:
    right = build_gradient(conv_net(), batch=2)
    assert check_gradient(right).agrees
    wrong = onnx.ModelProto()
    wrong.CopyFrom(right)
    name = next(w.name for w in wrong.graph.initializer if w.dims and list(w.dims)[:2] == [3, 6])
    (kernel,) = (w for w in wrong.graph.initializer if w.name == name)
    bent = numpy_helper.to_array(kernel).copy()
    bent[:, :2] *= 1.3
    kernel.CopyFrom(numpy_helper.from_array(bent, name))
    assert not check_gradient(wrong).agrees
    with pytest.raises(GradientUnavailable, match="inside the graph"):
        check_gradient(build_gradient(conv_net(), wrt="r1"))


def test_the_graph_says_what_it_differentiates_and_the_check_reads_it() -> None:
    gradient = build_gradient(conv_net(), of="flat")
    assert {prop.key: prop.value for prop in gradient.metadata_props}["leap_audit.of"] == "flat"
    assert check_gradient(gradient).agrees
