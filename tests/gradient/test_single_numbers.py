"""Single numbers of shape [1], which ONNX Runtime takes where ONNX has them without a dimension."""

import numpy as np
import onnxruntime
import pytest
from onnx import parser

from leap_audit.gradient import build_gradient

CASES = {
    "Clip": ("<float[1] lo={-0.5}, float[1] hi={0.5}>", "y = Clip(x, lo, hi)"),
    "Clip below": ("<float[1] lo={-0.5}>", "y = Clip(x, lo)"),
    "CumSum": ("<int64[1] a={1}>", "y = CumSum(x, a)"),
    "Pad": ("<int64[4] p={0,1,0,-1}, float[1] v={2.5}>", "y = Pad(x, p, v)"),
    "OneHot": (
        "<int64[1] d={6}, float[2] v={0,1}, int64[4] i={0,1,2,3}>",
        "o = OneHot(i, d, v) y = Mul(x, o)",
    ),
    "QuantizeLinear": (
        "<float[1] s={0.05}, uint8[1] z={128}>",
        "q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)",
    ),
    "QuantizeLinear of int8": (
        "<float[1] s={0.05}, int8[1] z={3}>",
        "q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)",
    ),
    "Trilu": ("<int64[1] k={1}>", "y = Trilu(x, k)"),
    "If": (
        "<bool[1] c={1}>",
        "y = If(c) <then_branch = t () => (float[4,6] o) { o = Neg(x) }, "
        "else_branch = e () => (float[4,6] o) { o = Abs(x) }>",
    ),
}


@pytest.mark.filterwarnings("ignore::leap_audit.errors.StraightThrough")
@pytest.mark.parametrize("name", CASES)
def test_a_number_of_shape_1_is_a_number(name: str) -> None:
    numbers, nodes = CASES[name]
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> '
        f"g (float[4,6] x) => (float[4,6] y) {numbers} {{ {nodes} }}"
    )
    providers = ["CPUExecutionProvider"]
    x = {"x": np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)}
    original = onnxruntime.InferenceSession(model.SerializeToString(), providers=providers)
    (wanted,) = original.run(["y"], x)
    graph = build_gradient(model, batch=4)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=providers)
    y, dx = session.run(["y", "x_grad"], {**x, "cotangent": np.ones_like(wanted)})
    np.testing.assert_array_equal(y, wanted)
    assert np.isfinite(dx).all()
    assert np.abs(dx).max() > 0
