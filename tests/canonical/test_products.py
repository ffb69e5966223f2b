"""Products of 8-bit numbers with unsigned factors: the numbers that ONNX defines, everywhere."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto

from leap_audit.canonical.form import canonicalise
from leap_audit.canonical.products import PRODUCTS, with_unsigned_factors
from leap_audit.run import Session, choose_provider
from tests.builders.contrib import one_node

CPU = choose_provider("cpu")
ONE = np.array(1.0, np.float32)
FINE = np.array(0.001, np.float32)
OPERATORS = (
    *("QLinearConv", "QLinearMatMul", "MatMulInteger", "ConvInteger", "QGemm"),
    *("MatMulIntegerToFloat", "DynamicQuantizeMatMul"),
)
WIDE = 64
"""Products that are added up: two of the largest already pass 16 bits."""


def factors(first: type, *, kernel: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers near their ends, whose sums of pairs do not fit 16 bits; (1, n), (n, 3)."""
    rng = np.random.default_rng(0)
    ends = np.iinfo(first)
    a = rng.integers(ends.max - 20, ends.max, (1, WIDE), endpoint=True).astype(first)
    b = np.where(rng.random((WIDE, 3)) < 0.8, 127, -90).astype(np.int8)
    return (a.reshape(1, WIDE, 1, 1), b.T.reshape(3, WIDE, 1, 1)) if kernel else (a, b)


def zero(first: type) -> np.ndarray:
    return np.array(np.iinfo(first).min + 7, first)


def inputs(operator: str, first: type) -> dict[str, np.ndarray | None]:
    a, b = factors(first, kernel="Conv" in operator)
    za, zb = zero(first), np.array(0, np.int8)
    match operator:
        case "MatMulInteger" | "ConvInteger":
            return {"a": a, "b": b, "za": za, "zb": zb}
        case "MatMulIntegerToFloat":
            return {"a": a, "b": b, "sa": ONE, "sb": ONE, "za": za, "zb": zb}
        case "DynamicQuantizeMatMul":
            return {"a": a.astype(np.float32), "b": b, "sb": ONE, "zb": zb}
        case "QGemm":
            return {"a": a, "sa": ONE, "za": za, "b": b, "sb": ONE, "zb": zb}
    return {
        "a": a,
        "sa": ONE,
        "za": za,
        "b": b,
        "sb": FINE,
        "zb": zb,
        "s": np.array(8.0, np.float32),
        "z": zero(first),
    }


def exactly(operator: str, first: type) -> np.ndarray:
    """What the products add up to, in whole numbers of 64 bits."""
    a, b = factors(first, kernel="Conv" in operator)
    left = a.reshape(1, WIDE).astype(np.int64) - int(zero(first))
    right = (b.reshape(3, WIDE).T if b.ndim == 4 else b).astype(np.int64)
    if operator == "DynamicQuantizeMatMul":
        left = a.astype(np.int64)
    summed = left @ right
    if not operator.startswith("QLinear"):
        return summed
    ends = np.iinfo(first)
    return np.clip(np.rint(summed * 0.001 / 8) + int(zero(first)), ends.min, ends.max)


def of_operator(operator: str, first: type) -> onnx.ModelProto:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(first))
    result, domain = TensorProto.FLOAT, "com.microsoft"
    if operator.startswith("QLinear"):
        result, domain = kind, ""
    elif operator.endswith("Integer"):
        result, domain = TensorProto.INT32, ""
    given = inputs(operator, first)
    # The first factor is given to the model, as others compute it in a network.
    return one_node(
        operator,
        {name: x.shape if name == "a" and x is not None else x for name, x in given.items()},
        domain=domain,
        kind=result,
        given=TensorProto.FLOAT if operator == "DynamicQuantizeMatMul" else kind,
        **({"alpha": 1.0} if operator == "QGemm" else {}),
    )


CASES = [
    (operator, first)
    for operator in OPERATORS
    for first in (np.uint8, np.int8)
    if not (operator == "DynamicQuantizeMatMul" and first is np.int8)
]


def run(model: onnx.ModelProto, given: Mapping[str, Any]) -> np.ndarray:
    return Session(model, CPU, threads=1, often=False).run(given)[0]


@pytest.mark.parametrize(("operator", "first"), CASES)
def test_sums_do_not_stop_at_16_bits(operator: str, first: type) -> None:
    model = of_operator(operator, first)
    a = inputs(operator, first)["a"]
    found = run(with_unsigned_factors(model, {}), {"a": a})
    wanted = exactly(operator, first)
    tolerance = 0.01 * np.abs(wanted).max() if operator == "DynamicQuantizeMatMul" else 0
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, atol=tolerance, rtol=1e-6)


@pytest.mark.parametrize(("operator", "first"), CASES)
def test_no_factor_stays_signed(operator: str, first: type) -> None:
    changed = with_unsigned_factors(of_operator(operator, first), {})
    (node,) = (n for n in changed.graph.node if n.op_type == operator)
    whole = onnx.shape_inference.infer_shapes(changed)
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*whole.graph.value_info,)}
    place = PRODUCTS[operator]
    for factor, _ in {place.second, place.first or place.second}:
        name = node.input[factor]
        assert kinds.get(name, TensorProto.UINT8) == TensorProto.UINT8
        assert name != "b"
    assert [v.name for v in changed.graph.output] == ["y"]


def test_attention_of_unsigned_weights_is_the_same() -> None:
    rng = np.random.default_rng(0)
    model = one_node(
        "QAttention",
        {
            "x": (1, 3, 8),
            "w": rng.integers(-60, 60, (8, 24)).astype(np.int8),  # small: no sum stops
            "b": np.zeros(24, np.float32),
            "sx": np.array(0.02, np.float32),
            "sw": np.array(0.01, np.float32),
            "mask": None,
            "zx": np.array(128, np.uint8),
            "zw": np.array(3, np.int8),
        },
        given=TensorProto.UINT8,
        num_heads=2,
    )
    changed = with_unsigned_factors(model, {})
    assert changed.graph.node[-1].input[1] != "w"
    x = {"x": rng.integers(0, 256, (1, 3, 8)).astype(np.uint8)}
    np.testing.assert_allclose(run(changed, x), run(model, x), rtol=1e-5)


def test_every_product_is_tried() -> None:
    assert set(PRODUCTS) == {*OPERATORS, "QAttention"}


def test_weights_that_are_kept_apart_are_found() -> None:
    model = of_operator("MatMulInteger", np.uint8)
    node = model.graph.node[0]
    del node.input[2:]  # without zero points the type is known of the numbers alone
    (b,) = (t for t in model.graph.initializer if t.name == "b")
    array = onnx.numpy_helper.to_array(b)
    model.graph.initializer.remove(b)
    model.graph.input.append(onnx.helper.make_tensor_value_info("b", TensorProto.INT8, array.shape))
    changed = with_unsigned_factors(model, {"b": ir.tensor(array)})
    a, _ = factors(np.uint8)
    found = run(changed, {"a": a, "b": array})
    np.testing.assert_array_equal(found, a.astype(np.int64) @ array.astype(np.int64))


def test_other_models_stay_as_they_are() -> None:
    model = one_node("Relu", {"x": (1, 2)}, domain="")
    assert with_unsigned_factors(model, {}) is model
    unsigned = of_operator("MatMulInteger", np.uint8)
    for tensor in unsigned.graph.initializer:
        if tensor.name in ("b", "zb"):
            array = onnx.numpy_helper.to_array(tensor).astype(np.int16) + 128
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.uint8), tensor.name))
    assert [n.op_type for n in with_unsigned_factors(unsigned, {}).graph.node] == ["MatMulInteger"]


def test_a_model_whose_sums_pass_16_bits_comes_in() -> None:
    """Its file check compares with exact sums, whatever the processor does by itself."""
    for operator in ("DynamicQuantizeMatMul", "QLinearMatMul"):
        canonicalise(of_operator(operator, np.uint8), provider=CPU)
