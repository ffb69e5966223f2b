"""Quantised models: the gradient is straight through, as PyTorch's fake quantisation has it."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from leap_audit.canonical.products import with_unsigned_factors
from leap_audit.errors import GradientUnavailable, StraightThrough, UsageError
from leap_audit.gradient import backpropagate, build_gradient, check_gradient
from leap_audit.run import Session, choose_provider
from tests.builders.contrib import one_node
from tests.builders.emitted import numbers, start
from tests.builders.networks import attention_net, conv_net, transformer

CPU = choose_provider("cpu")
Net = Callable[[], onnx.ModelProto]


def _there_and_back(
    scale: np.ndarray, zero_point: np.ndarray, x: np.ndarray, **attributes: int
) -> np.ndarray:
    """The gradient of the sum of x quantised and dequantised."""
    op, (value,) = start(x=x.shape)
    kind = ir.DataType.from_numpy(zero_point.dtype)
    s, z = op.constant(scale), op.constant(zero_point, kind)
    y = op.DequantizeLinear(op.QuantizeLinear(value, s, z, **attributes), s, z, **attributes)
    dy = op.constant(np.ones(x.shape))
    return numbers(op, backpropagate(op, {y: dy}, [value]), {"x": x})[0]


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_a_tensor_is_quantised_as_torch_fakes_it(kind: type) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).uniform(-3, 3, (4, 50)).astype(np.float32)
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    theirs = torch.from_numpy(x).requires_grad_()
    torch.fake_quantize_per_tensor_affine(theirs, 0.0123, low + 100, low, high).sum().backward()
    dx = _there_and_back(np.array(0.0123, np.float32), np.array(low + 100, kind), x)
    np.testing.assert_allclose(dx, theirs.grad.numpy(), rtol=1e-6)
    assert set(np.round(dx.ravel(), 5)) == {0.0, 1.0}


def test_an_axis_is_quantised_as_torch_fakes_it() -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).uniform(-3, 3, (4, 3, 5)).astype(np.float32)
    scale, zero_point = np.array([0.01, 0.005, 0.02], np.float32), np.array([3, -9, 0])
    theirs = torch.from_numpy(x).requires_grad_()
    torch.fake_quantize_per_channel_affine(
        theirs, torch.from_numpy(scale), torch.from_numpy(zero_point).int(), 1, -128, 127
    ).sum().backward()
    dx = _there_and_back(scale, zero_point.astype(np.int8), x, axis=1)
    np.testing.assert_allclose(dx, theirs.grad.numpy(), rtol=1e-6)


def test_a_block_is_quantised_by_its_own_scale() -> None:
    x = np.array([[1.0, 1.0, 1.0, 1.0, 1.0], [9.0, 9.0, 9.0, 9.0, 9.0]], np.float32)
    scale = np.array([[0.1, 0.001, 0.1], [0.01, 0.1, 0.1]], np.float32)
    dx = _there_and_back(scale, np.zeros((2, 3), np.int8), x, axis=1, block_size=2)
    np.testing.assert_allclose(dx, [[1, 1, 0, 0, 1], [0, 0, 1, 1, 1]], rtol=1e-6)


def test_the_bound_is_where_the_rounded_number_can_be_represented() -> None:
    x = np.array([-129.0, -128.5, -128.0, 127.0, 127.4, 127.5, 128.0], np.float32)
    dx = _there_and_back(np.array(1.0, np.float32), np.array(0, np.int8), x)
    np.testing.assert_array_equal(dx, [0, 1, 1, 1, 1, 0, 0])  # halves round to even


def test_what_only_moves_numbers_passes_the_gradient_on() -> None:
    op, (x,) = start(x=(2, 3))
    s = op.constant(0.5)
    z = op.constant(0, ir.DataType.INT8)
    moved = op.Transpose(op.Concat(*[op.QuantizeLinear(x, s, z)] * 2, axis=0), perm=[1, 0])
    y = op.DequantizeLinear(moved, s, z)
    dy = op.constant(np.arange(12.0).reshape(3, 4))
    (dx,) = numbers(op, backpropagate(op, {y: dy}, [x]), {"x": np.ones((2, 3))})
    np.testing.assert_allclose(dx, [[2, 10, 18], [4, 12, 20]], rtol=1e-6)


def test_the_largest_of_quantised_numbers_takes_it_all() -> None:
    op, (x,) = start(x=(1, 1, 1, 4))
    s, z = op.constant(0.5), op.constant(3, ir.DataType.UINT8)
    pooled = op.MaxPool(op.QuantizeLinear(x, s, z), kernel_shape=[1, 2], strides=[1, 2])
    y = op.DequantizeLinear(pooled, s, z)
    dy = op.constant([[[[2.0, 3.0]]]])
    (dx,) = numbers(op, backpropagate(op, {y: dy}, [x]), {"x": [[[[0, 9, 5, 1]]]]})
    assert dx.tolist() == [[[[0, 2, 3, 0]]]]


def test_numbers_that_a_cast_made_whole_are_not_quantised() -> None:
    op, (x,) = start(x=(2,))
    y = op.Mul(x, op.Cast(op.Cast(x, to=TensorProto.INT8), to=TensorProto.FLOAT))
    (dx,) = numbers(op, backpropagate(op, {y: op.constant([1.0, 1.0])}, [x]), {"x": [2, 3]})
    np.testing.assert_allclose(dx, [2, 3])


def test_measuring_the_range_adds_nothing() -> None:
    inputs = {
        "x": (1, 2),
        "w": np.array([[3, -2], [5, 7]], np.int8),
        "ws": np.array(0.5, np.float32),
    }
    model = one_node("DynamicQuantizeMatMul", inputs)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, ["n", 2]))
    with pytest.warns(StraightThrough, match=r"rounding: DynamicQuantizeLinear \(1 node"):
        session = Session(build_gradient(model), CPU, threads=1)
    given = {"x": np.array([[0.7, -0.3]], np.float32), "cotangent": np.ones((1, 2), np.float32)}
    y, dx = session.run(given)
    np.testing.assert_allclose(y, [[0.3, -1.75]], atol=0.05)
    np.testing.assert_allclose(dx, [[0.5, 6.0]], rtol=1e-5)


def test_a_scale_computed_from_the_input_is_refused() -> None:
    op, (x,) = start(x=(2,))
    whole = op.constant([1, 2], ir.DataType.INT8)
    y = op.DequantizeLinear(whole, op.ReduceMax(x, keepdims=0))
    with pytest.raises(GradientUnavailable, match="its scale depends on the input"):
        backpropagate(op, {y: op.constant([1.0, 1.0])}, [x])


def _conv(quantised: bool) -> onnx.ModelProto:
    """A convolution of whole numbers between two floating-point ends, or in floating point."""
    rng = np.random.default_rng(0)
    arrays = {
        "w": rng.integers(-100, 100, (3, 2, 3, 3)).astype(np.int8),
        "b": rng.integers(-2000, 2000, 3).astype(np.int32),
        "sx": np.float32(0.02),
        "zx": np.uint8(128),
        "sw": np.array([0.01, 0.02, 0.005], np.float32),
        "zw": np.zeros(3, np.int8),
        "sy": np.float32(0.2),
        "zy": np.uint8(120),
    }
    if quantised:
        reads = ["q", "sx", "zx", "w", "sw", "zw", "sy", "zy", "b"]
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["q"]),
            helper.make_node("QLinearConv", reads, ["p"], pads=[1, 1, 1, 1]),
            helper.make_node("DequantizeLinear", ["p", "sy", "zy"], ["y"]),
        ]
    else:
        scale = np.asarray(arrays["sw"]).reshape(3, 1, 1, 1)
        arrays = {
            "w": arrays["w"] * scale,
            "b": (arrays["b"] * arrays["sw"] * arrays["sx"]).astype(np.float32),
        }
        nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1])]
    graph = helper.make_graph(
        nodes,
        "conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 5, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 5, 5])],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_a_quantised_convolution_has_the_gradient_of_the_one_in_floating_point() -> None:
    rng = np.random.default_rng(1)
    given = {
        "x": rng.uniform(-1, 1, (1, 2, 5, 5)).astype(np.float32),
        "cotangent": rng.standard_normal((1, 3, 5, 5)).astype(np.float32),
    }
    with pytest.warns(StraightThrough, match=r"QuantizeLinear \(2 nodes"):
        built = build_gradient(_conv(quantised=True))
    y, dx = Session(built, CPU, threads=1).run(given)
    exact, wanted = Session(build_gradient(_conv(quantised=False)), CPU, threads=1).run(given)
    np.testing.assert_allclose(y, exact, atol=0.2)
    np.testing.assert_allclose(dx, wanted, rtol=1e-4, atol=1e-5)


class _Pictures:
    """Random inputs, as onnxruntime.quantization asks for them."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(7)
        self._left: Iterator[dict[str, np.ndarray]] = iter(
            [{name: rng.standard_normal(shape).astype(np.float32)} for _ in range(16)]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._left, None)


def _quantised(model: onnx.ModelProto, how: str, folder: Path) -> onnx.ModelProto:
    """The model as ONNX Runtime's own quantisation writes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnxruntime import quantization

        made, shape = folder / "made.onnx", [d.dim_value for d in _dims(model)]
        onnx.save(model, folder / "float.onnx")
        if how == "dynamic":
            quantization.quantize_dynamic(folder / "float.onnx", made)
        else:
            quantization.quantize_static(
                folder / "float.onnx",
                made,
                _Pictures(model.graph.input[0].name, (4, *shape[1:])),
                **_settings(quantization, how),
            )
        return onnx.load(made)


def _settings(quantization: Any, how: str) -> dict[str, Any]:
    """The arguments of quantize_static that a name stands for."""
    form, *more = how.split()
    kind = quantization.QuantType
    settings: dict[str, dict[str, Any]] = {
        "": {
            "activation_type": kind.QUInt8,
            "weight_type": kind.QInt8,
            "per_channel": form == "QDQ",
        },
        "defaults": {},
        "channels": {"per_channel": True, "reduce_range": True},
        "unsigned": {"activation_type": kind.QUInt8, "weight_type": kind.QUInt8},
        "symmetric": {"extra_options": {"ActivationSymmetric": True}},
        "16": {"activation_type": kind.QUInt16, "weight_type": kind.QInt8},
        "signed16": {"activation_type": kind.QInt16, "weight_type": kind.QInt16},
        "weights": {"extra_options": {"AddQDQPairToWeight": True, "DedicatedQDQPair": True}},
    }
    return {"quant_format": quantization.QuantFormat[form], **settings["".join(more)]}


STATIC = [
    *("QDQ", "QDQ defaults", "QDQ channels", "QDQ unsigned", "QDQ symmetric", "QDQ 16"),
    *("QDQ signed16", "QDQ weights", "QOperator", "QOperator defaults", "QOperator channels"),
    "QOperator unsigned",
]


def _dims(model: onnx.ModelProto) -> list[onnx.TensorShapeProto.Dimension]:
    return list(model.graph.input[0].type.tensor_type.shape.dim)


@pytest.mark.parametrize("how", [*STATIC, "dynamic"])
@pytest.mark.parametrize(
    ("net", "least"), [(conv_net, 0.97), (attention_net, 0.98), (transformer, 0.95)]
)
def test_a_network_that_onnx_runtime_quantises(
    net: Net, least: float, how: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    model = net()
    name, shape = model.graph.input[0].name, [4, *(d.dim_value for d in _dims(model)[1:])]
    x = rng.standard_normal(shape).astype(np.float32)
    graph = build_gradient(model, batch=4)
    scores = [d.dim_value for d in graph.graph.output[0].type.tensor_type.shape.dim]
    given = {name: x, "cotangent": rng.standard_normal(scores).astype(np.float32)}
    _, exact = Session(graph, CPU, threads=1).run(given)
    quantised = _quantised(model, how, tmp_path)
    with pytest.warns(StraightThrough):
        gradient = build_gradient(quantised, batch=4)
    # As whoever uses the file loads it: with ONNX Runtime's defaults.
    session = onnxruntime.InferenceSession(
        gradient.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    y, dx = session.run(None, given)
    exact_sums = with_unsigned_factors(quantised, {})
    (wanted,) = Session(exact_sums, CPU, threads=1, often=False).run({name: x})
    step = 8 / 255 * np.abs(wanted).max()  # a few steps; the layers are compared elsewhere
    np.testing.assert_allclose(y, wanted, atol=step)
    cosine = float((dx * exact).sum() / np.linalg.norm(dx) / np.linalg.norm(exact))
    assert cosine > least


def test_difference_quotients_of_steps_are_refused() -> None:
    with pytest.warns(StraightThrough):
        gradient = build_gradient(_conv(quantised=True))
    with pytest.raises(UsageError, match="steps and no slopes"):
        check_gradient(gradient)
