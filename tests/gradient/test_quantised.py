"""Quantised models: the gradient is straight through, as PyTorch's fake quantisation has it."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from leap_audit.gradient import Emitter, backpropagate, build_gradient
from leap_audit.run import Session, choose_provider
from tests.gradient.graphs import numbers, start
from tests.ingest.contrib import one_node

CPU = choose_provider("cpu")
QUANTISED = ("mlperf_tiny_resnet8_quant_tflite", "mobilenet_v2_1.0_224_quant_tflite")


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


def test_what_only_moves_numbers_passes_the_gradient_on() -> None:
    op, (x,) = start(x=(2, 3))
    s = op.constant(0.5)
    z = op.constant(0, ir.DataType.INT8)
    moved = op.Transpose(op.Concat(*[op.QuantizeLinear(x, s, z)] * 2, axis=0), perm=[1, 0])
    y = op.DequantizeLinear(moved, s, z)
    dy = op.constant(np.arange(12.0).reshape(3, 4))
    (dx,) = numbers(op, backpropagate(op, {y: dy}, [x]), {"x": np.ones((2, 3))})
    np.testing.assert_allclose(dx, [[2, 10, 18], [4, 12, 20]], rtol=1e-6)


def test_indices_are_not_quantised_numbers() -> None:
    op, (x,) = start(x=(2,))
    y = op.Mul(x, op.Cast(op.Cast(x, to=TensorProto.INT8), to=TensorProto.FLOAT))
    (dx,) = numbers(op, backpropagate(op, {y: op.constant([1.0, 1.0])}, [x]), {"x": [2, 3]})
    np.testing.assert_allclose(dx, [2, 3])


def test_measuring_the_range_adds_nothing() -> None:
    def write(op: Emitter, x: ir.Value) -> ir.Value:
        whole, scale, zero_point = op.emit("DynamicQuantizeLinear", [x], {}, 3)
        w = op.constant([[3, -2], [5, 7]], ir.DataType.INT8)
        product = op.MatMulInteger(whole, w, zero_point)
        return op.Mul(op.Cast(product, to=TensorProto.FLOAT), op.Mul(scale, 0.5))

    op, (x,) = start(x=(1, 2))
    op.graph.outputs.append(write(op, x))
    session = Session(build_gradient(_model(op)), CPU, threads=1)
    given = {"x": np.array([[0.7, -0.3]], np.float32), "cotangent": np.ones((1, 2), np.float32)}
    y, dx = session.run(given)
    np.testing.assert_allclose(y, [[0.3, -1.75]], atol=0.05)
    np.testing.assert_allclose(dx, [[0.5, 6.0]], rtol=1e-5)


def _model(op: Emitter) -> onnx.ModelProto:
    return ir.to_proto(ir.Model(op.graph, ir_version=10))


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
        scale = arrays["sw"].reshape(3, 1, 1, 1)
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
    x = rng.uniform(-1, 1, (1, 2, 5, 5)).astype(np.float32)
    cotangent = rng.standard_normal((1, 3, 5, 5)).astype(np.float32)
    results = [
        Session(build_gradient(_conv(quantised)), CPU, threads=1).run(
            {"x": x, "cotangent": cotangent}
        )
        for quantised in (True, False)
    ]
    (y, dx), (exact, wanted) = results
    np.testing.assert_allclose(y, exact, atol=0.2)
    np.testing.assert_allclose(dx, wanted, rtol=1e-4, atol=1e-5)


U = TensorProto.UINT8
S, Z = np.float32(0.05), np.uint8(100)
_A = {"x": (2, 4), "sx": np.asarray(S), "zx": np.asarray(Z)}
_Y = {"sy": np.asarray(np.float32(0.04)), "zy": np.asarray(np.uint8(90))}


@pytest.mark.parametrize(
    ("op_type", "attributes", "exact"),
    [
        ("QLinearSigmoid", {}, lambda x: 1 / (1 + np.exp(-x))),
        ("QLinearLeakyRelu", {"alpha": 0.2}, lambda x: np.where(x > 0, x, 0.2 * x)),
    ],
)
def test_an_operator_on_whole_numbers(op_type: str, attributes: dict, exact) -> None:
    model = one_node(op_type, {**_A, **_Y}, kind=U, **attributes)
    model.graph.input[0].type.tensor_type.elem_type = U
    session = Session(build_gradient(model, batch=2), CPU, threads=1)
    whole = np.random.default_rng(0).integers(70, 140, (2, 4)).astype(np.uint8)
    y, dx = session.run({"x": whole, "cotangent": np.ones((2, 4), np.float32)})
    x = (whole.astype(np.float64) - 100) * 0.05
    steps = np.rint(exact(x) / 0.04) + 90
    assert np.abs(y.astype(int) - steps).max() <= 1
    slope = (exact(x + 1e-5) - exact(x - 1e-5)) / 2e-5
    keep = np.abs(x) > 1e-3  # the kink
    np.testing.assert_allclose(dx[keep], (slope * 0.05 / 0.04)[keep], rtol=1e-3)


@pytest.mark.parametrize("name", QUANTISED)
def test_real_quantised_models(name: str, shared: Path) -> None:
    path = shared / "models" / f"{name}.onnx"
    if not path.exists():
        pytest.skip(f"{path.parent} has no {path.name}")
    gradient = build_gradient(path)
    session = Session(gradient, CPU, threads=1)
    kind = gradient.graph.input[0].type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
    shape = [d.dim_value for d in kind.shape.dim]
    picture = np.random.default_rng(0).integers(0, 127, shape).astype(dtype)
    classes = [d.dim_value for d in gradient.graph.output[0].type.tensor_type.shape.dim]
    cotangent = np.eye(classes[-1], dtype=np.float32)[:1]
    scores, dx = session.run({session.inputs[0]: picture, "cotangent": cotangent})
    (wanted,) = Session(onnx.load(path), CPU, threads=1).run({session.inputs[0]: picture})
    assert np.abs(scores.astype(int) - wanted.astype(int)).max() <= 1
    assert dx.dtype == np.float32
    assert dx.shape == picture.shape
    assert np.isfinite(dx).all()
    assert np.abs(dx).max() > 0
