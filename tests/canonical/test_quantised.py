"""Operators on whole numbers written in floating-point ones: ONNX Runtime's kernels' numbers."""

import numpy as np
import pytest
from onnx import TensorProto

from leap_audit.canonical.form import canonicalise, to_proto
from leap_audit.canonical.products import with_unsigned_factors
from leap_audit.run import Session, choose_provider
from tests.builders.contrib import one_node

CPU = choose_provider("cpu")
RNG = np.random.default_rng(0)
U8, I8, F32, I32 = (getattr(TensorProto, n) for n in ("UINT8", "INT8", "FLOAT", "INT32"))


def _i8(*shape: int) -> np.ndarray:
    return RNG.integers(-128, 128, shape).astype(np.int8)


def _scale(*numbers: float) -> np.ndarray:
    return np.array(numbers if len(numbers) > 1 else numbers[0], np.float32)


def _u8(number: int) -> np.ndarray:
    return np.array(number, np.uint8)


X = {"x": (2, 3, 6, 6), "xs": _scale(0.02), "xz": _u8(120)}
ROW = {"x": (3, 4), "xs": _scale(0.05), "xz": _u8(100)}
Y = {"ys": _scale(0.04), "yz": _u8(90)}
OTHER = {"b": RNG.integers(0, 256, (4,)).astype(np.uint8), "bs": _scale(0.03), "bz": _u8(70)}
KERNEL = {"w": _i8(4, 3, 3, 3), "ws": _scale(0.01, 0.02, 0.005, 0.01), "wz": np.zeros(4, np.int8)}
MATRIX = {"w": _i8(4, 5), "ws": _scale(0.01, 0.02, 0.005, 0.01, 0.03), "wz": np.zeros(5, np.int8)}
CONV_OUT = {"ys": _scale(0.15), "yz": _u8(120)}
BIAS = {"bias": RNG.integers(-2000, 2000, 4).astype(np.int32)}
LARGE = {**Y, "ys": _scale(0.2)}
IN_ONE = {"ws": _scale(0.01), "wz": np.array(3, np.int8)}
COLUMNS = {"b": RNG.integers(0, 256, (3, 2)).astype(np.uint8)}
FIVE = np.arange(5, dtype=np.float32)

CASES = [
    ("QLinearConv", {**X, **KERNEL, **CONV_OUT}, "", U8, {"pads": [1, 1, 1, 1]}),
    ("QLinearConv", {**X, **KERNEL, **CONV_OUT, **BIAS}, "", U8, {"strides": [2, 2]}),
    ("QLinearConv", {**X, **KERNEL, **IN_ONE, **CONV_OUT, **BIAS}, "", U8, {}),
    (
        "QLinearConv",
        {**X, "x": (2, 6, 6, 3), **KERNEL, **CONV_OUT, **BIAS},
        "com.microsoft",
        U8,
        {"channels_last": 1},
    ),
    ("QLinearMatMul", {**ROW, **MATRIX, **LARGE}, "", U8, {}),
    ("ConvInteger", {"x": X["x"], "w": KERNEL["w"], "xz": X["xz"]}, "", I32, {"pads": [1] * 4}),
    ("ConvInteger", {"x": X["x"], "w": KERNEL["w"]}, "", I32, {"strides": [2, 1]}),
    ("MatMulInteger", {"x": (3, 4), "w": MATRIX["w"], "xz": _u8(100)}, "", I32, {}),
    (
        "MatMulInteger",
        {"x": (3, 4), "w": MATRIX["w"], "xz": _u8(9), "wz": _i8(5)},
        "",
        I32,
        {},
    ),
    (
        "MatMulIntegerToFloat",
        {"x": (3, 4), "w": MATRIX["w"], "xs": ROW["xs"], "ws": MATRIX["ws"], "xz": ROW["xz"]},
        "com.microsoft",
        F32,
        {},
    ),
    (
        "MatMulIntegerToFloat",
        {
            "x": (3, 4),
            "w": MATRIX["w"],
            "xs": ROW["xs"],
            "ws": _scale(0.01),
            "xz": ROW["xz"],
            "wz": np.array(3, np.int8),
            "b": FIVE,
        },
        "com.microsoft",
        F32,
        {},
    ),
    ("QLinearAdd", {**ROW, **OTHER, **Y}, "com.microsoft", U8, {}),
    ("QLinearMul", {**ROW, **OTHER, **Y}, "com.microsoft", U8, {}),
    ("QLinearSigmoid", {**ROW, "ys": _scale(1 / 256), "yz": _u8(0)}, "com.microsoft", U8, {}),
    ("QLinearLeakyRelu", {**ROW, **Y}, "com.microsoft", U8, {"alpha": 0.2}),
    (
        "QLinearSoftmax",
        {**ROW, "ys": _scale(1 / 256), "yz": _u8(0)},
        "com.microsoft",
        U8,
        {"axis": -1, "opset": 13},
    ),
    (
        "QLinearSoftmax",
        {**X, "xs": _scale(0.05), "ys": _scale(1 / 256), "yz": _u8(0)},
        "com.microsoft",
        U8,
        {"axis": 2, "opset": 12},
    ),
    ("QLinearConcat", {**Y, **ROW, **OTHER, **COLUMNS}, "com.microsoft", U8, {"axis": 1}),
    (
        "QLinearAveragePool",
        {**X, "ys": _scale(0.02), "yz": _u8(120)},
        "com.microsoft",
        U8,
        {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]},
    ),
    (
        "QLinearAveragePool",
        {**X, "ys": _scale(0.02), "yz": _u8(120)},
        "com.microsoft",
        U8,
        {"kernel_shape": [2, 2], "channels_last": 1},
    ),
    ("QLinearGlobalAveragePool", {**X, **Y}, "com.microsoft", U8, {}),
    ("QLinearGlobalAveragePool", {**X, **Y}, "com.microsoft", U8, {"channels_last": 1}),
    ("QGemm", {**ROW, **MATRIX, "c": FIVE.astype(np.int32) * 90, **LARGE}, "com.microsoft", U8, {}),
    (
        "QGemm",
        {**ROW, "w": _i8(5, 4), **IN_ONE, "c": FIVE.astype(np.int32)},
        "com.microsoft",
        F32,
        {"transB": 1, "alpha": 0.5},
    ),
    ("DequantizeLinear", ROW, "com.microsoft", F32, {}),
    ("NhwcMaxPool", {"x": (1, 6, 5, 3)}, "com.microsoft", U8, {"kernel_shape": [2, 2]}),
]


@pytest.mark.parametrize(
    ("op_type", "inputs", "domain", "kind", "attributes"),
    [pytest.param(*case, id=f"{case[0]}-{i}") for i, case in enumerate(CASES)],
)
def test_rewritten_is_the_kernel(
    op_type: str, inputs: dict, domain: str, kind: int, attributes: dict
) -> None:
    model = one_node(op_type, inputs, domain=domain, kind=kind, given=U8, **attributes)
    proto = to_proto(canonicalise(model, batch=inputs["x"][0]))
    assert {node.domain for node in proto.graph.node} == {""}
    assert not {node.op_type for node in proto.graph.node} & {op_type} - {"DequantizeLinear"}
    feed = {"x": np.random.default_rng(1).integers(0, 256, inputs["x"]).astype(np.uint8)}
    (wanted,) = Session(with_unsigned_factors(model, {}), CPU, threads=1).run(feed)
    (found,) = Session(proto, CPU, threads=1).run(feed)
    assert found.dtype == wanted.dtype
    if kind == U8:  # of what lies between two numbers, another order of sums rounds to the other
        apart = np.abs(found.astype(int) - wanted.astype(int))
        assert apart.max() <= 1
        assert (apart > 0).mean() < 0.02
        assert len(np.unique(wanted)) > 3
    else:
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_what_is_quantised_by_its_own_range_is_the_kernel() -> None:
    inputs = {"x": (3, 4), "w": MATRIX["w"], "ws": MATRIX["ws"], "wz": MATRIX["wz"]}
    model = one_node("DynamicQuantizeMatMul", {**inputs, "bias": FIVE})
    proto = to_proto(canonicalise(model, batch=3))
    feed = {"x": np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)}
    (wanted,) = Session(model, CPU, threads=1).run(feed)
    (found,) = Session(proto, CPU, threads=1).run(feed)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_quantising_is_the_kernel() -> None:
    inputs = {
        "x": (3, 4),
        "s": _scale(0.1, 0.2, 0.3, 0.4),
        "z": np.array([0, 9, 255, 80], np.uint8),
    }
    model = one_node("QuantizeLinear", inputs, kind=U8)
    proto = to_proto(canonicalise(model, batch=3))
    assert [node.domain for node in proto.graph.node] == [""]
    feed = {"x": 20 * np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)}
    (wanted,) = Session(model, CPU, threads=1).run(feed)
    (found,) = Session(proto, CPU, threads=1).run(feed)
    np.testing.assert_array_equal(found, wanted)


def test_a_zero_point_for_each_matrix_of_a_batch_stays_as_it_is() -> None:
    inputs = {"x": (2, 3, 4), "w": _i8(2, 4, 5), "xz": None, "wz": _i8(2, 1, 5)}
    model = one_node("MatMulInteger", inputs, domain="", kind=I32, given=U8)
    assert [n.op_type for n in canonicalise(model, batch=2).graph] == ["MatMulInteger"]
