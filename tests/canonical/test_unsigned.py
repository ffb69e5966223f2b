"""Signed activations written as unsigned ones: the same numbers, and graphs that load."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import parser

from leap_audit.canonical.form import canonicalise, to_proto
from leap_audit.run import Session, choose_provider

CPU = choose_provider("cpu")
HEAD = '<ir_version: 8, opset_import: ["": 13]> g (float[3,4] x) => '
THERE = "q = QuantizeLinear(x, s, z) "
BODIES = {
    "pair": "(float[3,4] y) {THERE} y = DequantizeLinear(q, s, z)",
    "moved afterwards": "(float[4,3] y) {THERE} d = DequantizeLinear(q, s, z) "
    "t = Transpose<perm=[1,0]>(d) y = Exp(t)",
    "moved between": "(float[4,3] y) {THERE} t = Transpose<perm=[1,0]>(q) "
    "y = DequantizeLinear(t, s, z)",
    "joined": "(float[6,4] y) {THERE} r = QuantizeLinear(n, s, z) j = Concat<axis=0>(q, r) "
    "y = DequantizeLinear(j, s, z)",
    "joined with a constant": "(float[4,4] y) {THERE} j = Concat<axis=0>(q, c) "
    "y = DequantizeLinear(j, s, z)",
    "joined with a constant that is read itself": "(float[4,4] y, float[1,4] u) {THERE} "
    "j = Concat<axis=0>(q, c) y = DequantizeLinear(j, s, z) u = DequantizeLinear(c, s, z)",
    "split": "(float[3,2] y, float[3,2] u) {THERE} a, b = Split<axis=1>(q) "
    "y = DequantizeLinear(a, s, z) u = DequantizeLinear(b, s, z)",
    "read twice": "(float[3,4] y, float[4,3] u) {THERE} y = DequantizeLinear(q, s, z) "
    "t = Transpose<perm=[1,0]>(q) u = DequantizeLinear(t, s, z)",
    "pooled": "(float[1,1,2,3] y) {THERE} f = Reshape(q, four) "
    "p = MaxPool<kernel_shape=[2,2], pads=[0,0,0,0]>(f) y = DequantizeLinear(p, s, z)",
    "an axis": "(float[3,4] y) q = QuantizeLinear<axis=1>(x, ss, zz) "
    "y = DequantizeLinear<axis=1>(q, ss, zz)",
}
DATA = (
    "<float s = {0.02}, int8 z = {-7}, float[4] ss = {0.01, 0.02, 0.005, 0.03}, "
    "int8[4] zz = {-128, 5, 127, 0}, int64[4] four = {1, 1, 3, 4}, "
    "int8[1,4] c = {-128, 127, 0, -7}> "
)


def _model(body: str) -> onnx.ModelProto:
    outputs, nodes = body.replace("{THERE}", "n = Neg(x) " + THERE).split(") ", 1)
    return parser.parse_model(f"{HEAD}{outputs}) {DATA} {{ {nodes} }}")


def _kinds(model: onnx.ModelProto) -> set[int]:
    known = onnx.shape_inference.infer_shapes(model).graph
    return {value.type.tensor_type.elem_type for value in known.value_info}


@pytest.mark.parametrize("name", BODIES)
def test_the_numbers_are_the_same(name: str) -> None:
    model = _model(BODIES[name])
    found = to_proto(canonicalise(model, batch=3))
    assert onnx.TensorProto.INT8 not in _kinds(found)
    assert onnx.TensorProto.UINT8 in _kinds(found)
    x = {"x": np.linspace(-4, 4, 12, dtype=np.float32).reshape(3, 4)}
    wanted = Session(model, CPU, often=False).run(x)
    for want, have in zip(wanted, Session(found, CPU, often=False).run(x), strict=True):
        np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize("name", BODIES)
def test_the_graph_loads_at_the_default_level(name: str) -> None:
    found = to_proto(canonicalise(_model(BODIES[name]), batch=3))
    onnxruntime.InferenceSession(found.SerializeToString(), providers=["CPUExecutionProvider"])


def test_a_zero_point_that_is_left_out_is_0() -> None:
    model = parser.parse_model(
        '<ir_version: 10, opset_import: ["": 21]> g (float[3,4] x) => (float[4,3] y) '
        "<float s = {0.02}> { q = QuantizeLinear<output_dtype=3>(x, s) "
        "d = DequantizeLinear(q, s) t = Transpose<perm=[1,0]>(d) y = Neg(t) }"
    )
    found = to_proto(canonicalise(model, batch=3))
    assert onnx.TensorProto.INT8 not in _kinds(found)
    x = {"x": np.linspace(-4, 4, 12, dtype=np.float32).reshape(3, 4)}
    (want,) = Session(model, CPU, often=False).run(x)
    np.testing.assert_array_equal(Session(found, CPU).run(x)[0], want)


@pytest.mark.parametrize(
    "body",
    [
        "(int8[3,4] q) {THERE} d = DequantizeLinear(q, s, z)",
        "(float[3,4] y) {THERE} y = Cast<to=1>(q)",
        "(float[3,4] y) {THERE} t = Max(q, q) y = DequantizeLinear(t, s, z)",
    ],
)
def test_what_else_is_read_stays_signed(body: str) -> None:
    model = _model(body)
    found = to_proto(canonicalise(model, batch=3, provider=CPU))
    kinds = {v.type.tensor_type.elem_type for v in (*found.graph.output,)} | _kinds(found)
    assert onnx.TensorProto.INT8 in kinds


def test_sixteen_bits_stay_as_they_are() -> None:
    model = parser.parse_model(
        '<ir_version: 10, opset_import: ["": 21]> g (float[3,4] x) => (float[3,4] y) '
        "<float s = {0.02}, int16 z = {-7}> { q = QuantizeLinear(x, s, z) "
        "y = DequantizeLinear(q, s, z) }"
    )
    assert onnx.TensorProto.INT16 in _kinds(to_proto(canonicalise(model, batch=3)))


WEIGHTS = {
    "of all": "d = DequantizeLinear(w, s, z)",
    "an axis": "d = DequantizeLinear<axis=0>(w, ss, zz)",
    "no zero point": "d = DequantizeLinear(w, s)",
    "twice": "e = DequantizeLinear(w, s, z) f = DequantizeLinear<axis=0>(w, ss, zz) d = Add(e, f)",
}


@pytest.mark.parametrize("how", WEIGHTS)
def test_weights_are_unsigned_too(how: str) -> None:
    """Of signed ones ONNX Runtime's sums stop at 16 bits on processors without VNNI."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 13]> g (float[3,4] x) => (float[3,2] y) '
        "<float s = {0.02}, int8 z = {-7}, uint8 zu = {120}, "
        "float[4] ss = {0.01, 0.02, 0.005, 0.03}, int8[4] zz = {-128, 5, 127, 0}, "
        "int8[4,2] w = {-128, 127, 0, -7, 5, 100, -100, 90}> "
        "{ q = QuantizeLinear(x, s, zu) u = DequantizeLinear(q, s, zu) "
        f"{WEIGHTS[how]} m = MatMul(u, d) p = QuantizeLinear(m, s, zu) "
        "y = DequantizeLinear(p, s, zu) }"
    )
    found = canonicalise(model, batch=3)
    assert ir.DataType.INT8 not in {value.dtype for value in found.graph.initializers.values()}
    x = {"x": np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)}
    (want,) = Session(model, CPU, often=False).run(x)
    for often in (True, False):
        np.testing.assert_array_equal(Session(found, CPU, often=often).run(x)[0], want)
