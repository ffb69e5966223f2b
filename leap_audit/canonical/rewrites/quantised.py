"""Write operators on integers as floating-point ones between DequantizeLinear and QuantizeLinear.

The rounding stays one node, whose gradient is straight through.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from leap_audit.canonical.rewrite import MICROSOFT, Writer, Written, rewriting
from leap_audit.graph.shapes import shape_of


@rewriting(f"{MICROSOFT}QuantizeLinear", f"{MICROSOFT}DequantizeLinear")
def standard_now(op: Writer) -> Written:
    """The same node in ONNX's domain, which has its types since opset 21"""
    return op.emit(op.node.op_type, op.node.inputs, {"axis": 1, **_attributes(op)}, 1)


@rewriting("QLinearConv", f"{MICROSOFT}QLinearConv")
def qlinear_conv(op: Writer) -> Written:
    """q(Conv(d(x), d(w), d(b))), by com.microsoft perhaps with the channels last"""
    shape, bias, given = shape_of(op.input(3)), op.input(8), _attributes(op)
    if shape is None:
        return None
    operands = [_float(op, 3, axis=0)]
    if bias is not None:
        scale = op.Mul(op.input(1), op.input(4))
        operands.append(op.DequantizeLinear(bias, scale, axis=0))
    last = given.pop("channels_last", 0)
    y = channels_first(op, _float(op, 0), last, len(shape), "Conv", given, operands)
    return _whole(op, y, 6)


@rewriting("QLinearMatMul")
def qlinear_matmul(op: Writer) -> Written:
    """q(MatMul(d(a), d(b))), with scales for the rows of a or the columns of b"""
    y = op.MatMul(_float(op, 0, axis=-2), _float(op, 3, axis=-1))
    return _whole(op, y, 6, axis=-2)


@rewriting("ConvInteger")
def conv_integer(op: Writer) -> Written:
    """Conv(x - its zero point, w - its zero point)"""
    x, w = _centred(op, op.input(0), op.input(2)), _centred(op, op.input(1), op.input(3), axis=0)
    return _counted(op, op.Conv(x, w, **_attributes(op)))


@rewriting("MatMulInteger")
def matmul_integer(op: Writer) -> Written:
    """MatMul(a - its zero point, b - its zero point)"""
    if any(op.input(i) is not None and len(shape_of(op.input(i)) or ()) > 1 for i in (2, 3)):
        return None  # one zero point for each matrix of a batch
    a = _centred(op, op.input(0), op.input(2), axis=-2)
    return _counted(op, op.MatMul(a, _centred(op, op.input(1), op.input(3), axis=-1)))


@rewriting(f"{MICROSOFT}MatMulIntegerToFloat")
def matmul_integer_to_float(op: Writer) -> Written:
    """MatMul(d(a), d(b)) + bias"""
    a = op.DequantizeLinear(op.input(0), op.input(2), op.input(4), axis=-2)
    b = op.DequantizeLinear(op.input(1), op.input(3), op.input(5), axis=-1)
    return _plus(op, op.MatMul(a, b), op.input(6))


@rewriting(f"{MICROSOFT}DynamicQuantizeMatMul")
def dynamic_quantize_matmul(op: Writer) -> Written:
    """MatMul(d(q(a)), d(b)) + bias, a quantised by its own range"""
    whole, scale, zero_point = op.emit("DynamicQuantizeLinear", [op.input(0)], {}, 3)
    a = op.DequantizeLinear(whole, scale, zero_point)
    b = op.DequantizeLinear(op.input(1), op.input(2), op.input(3), axis=-1)
    return _plus(op, op.MatMul(a, b), op.input(4))


@rewriting(f"{MICROSOFT}QLinearAdd", f"{MICROSOFT}QLinearMul")
def qlinear_pair(op: Writer) -> Written:
    """q(d(a) + d(b)) or q(d(a) * d(b))"""
    name = op.node.op_type.removeprefix("QLinear")
    (y,) = op.emit(name, [_float(op, 0), _float(op, 3)], {}, 1)
    return _whole(op, y, 6)


@rewriting(f"{MICROSOFT}QGemm")
def qgemm(op: Writer) -> Written:
    """q(alpha d(a)' d(b)' + d(c)); without a scale of y the result is floating point"""
    turned = bool(op.attribute("transB", 0))
    a, b = _float(op, 0), _float(op, 3, axis=0 if turned else 1)
    alpha, c = op.number("alpha", 1.0), op.input(6)
    given = {"alpha": alpha, "transA": op.attribute("transA", 0), "transB": int(turned)}
    if c is None:
        y = op.Gemm(a, b, **given)
    else:
        scale = op.Mul(op.Mul(op.input(1), op.input(4)), alpha)
        y = op.Gemm(a, b, op.DequantizeLinear(c, scale, axis=-1), **given)
    return y if op.input(7) is None else _whole(op, y, 7)


@rewriting(f"{MICROSOFT}QLinearSigmoid")
def qlinear_sigmoid(op: Writer) -> Written:
    """q(Sigmoid(d(x)))"""
    return _whole(op, op.Sigmoid(_float(op, 0)), 3)


@rewriting(f"{MICROSOFT}QLinearLeakyRelu")
def qlinear_leaky_relu(op: Writer) -> Written:
    """q(LeakyRelu(d(x)))"""
    return _whole(op, op.LeakyRelu(_float(op, 0), alpha=op.number("alpha", 0.01)), 3)


@rewriting(f"{MICROSOFT}QLinearSoftmax")
def qlinear_softmax(op: Writer) -> Written:
    """q(Softmax(d(x))); before opset 13 over all axes from `axis` on"""
    x, axis = _float(op, 0), op.attribute("axis", -1)
    if op.attribute("opset", 13) >= 13:
        return _whole(op, op.Softmax(x, axis=axis), 3)
    flat = op.Softmax(op.Flatten(x, axis=axis), axis=-1)
    return _whole(op, op.Reshape(flat, op.Shape(x)), 3)


@rewriting(f"{MICROSOFT}QLinearConcat")
def qlinear_concat(op: Writer) -> Written:
    """q(Concat(d(x1), d(x2), ...))"""
    count = (len(op.node.inputs) - 2) // 3
    parts = [_float(op, 2 + 3 * k) for k in range(count)]
    return _whole(op, op.Concat(*parts, axis=op.attribute("axis", 1)), 0)


@rewriting(f"{MICROSOFT}QLinearAveragePool")
def qlinear_average_pool(op: Writer) -> Written:
    """q(AveragePool(d(x)))"""
    given = _attributes(op)
    last = given.pop("channels_last", 0)
    rank = 2 + len(given["kernel_shape"])
    return _whole(op, channels_first(op, _float(op, 0), last, rank, "AveragePool", given), 3)


@rewriting(f"{MICROSOFT}QLinearGlobalAveragePool")
def qlinear_global_average_pool(op: Writer) -> Written:
    """q(GlobalAveragePool(d(x)))"""
    last = op.attribute("channels_last", 0)
    shape = shape_of(op.input(0))
    if last and shape is None:
        return None
    rank = len(shape) if shape is not None else 4
    return _whole(op, channels_first(op, _float(op, 0), last, rank, "GlobalAveragePool", {}), 3)


def channels_first(
    op: Writer,
    x: ir.Value,
    last: int,
    rank: int,
    op_type: str,
    attributes: dict[str, Any],
    more: Sequence[ir.Value] = (),
) -> ir.Value:
    """Return an operator of ONNX's, which wants channels first, of a tensor with channels last."""
    if last:
        x = op.Transpose(x, perm=[0, rank - 1, *range(1, rank - 1)])
    (y,) = op.emit(op_type, [x, *more], attributes, 1)
    return op.Transpose(y, perm=[0, *range(2, rank), 1]) if last else y


def _float(op: Writer, index: int, axis: int = 1) -> ir.Value:
    """Return input `index` dequantised by the two inputs behind it, its scale and zero point."""
    x, scale, zero_point = (op.input(index + k) for k in range(3))
    return op.DequantizeLinear(x, scale, zero_point, axis=axis)


def _whole(op: Writer, y: ir.Value, index: int, axis: int = 1) -> ir.Value:
    """Return y quantised by the scale at input `index` and the zero point behind it."""
    return op.QuantizeLinear(y, op.input(index), op.input(index + 1), axis=axis)


def _centred(
    op: Writer, x: ir.Value | None, zero_point: ir.Value | None, axis: int = 1
) -> ir.Value:
    """Return x minus its zero point as floating-point numbers."""
    shape = shape_of(zero_point) or ()
    return op.DequantizeLinear(x, np.ones(shape, np.float32), zero_point, axis=axis)


def _counted(op: Writer, y: ir.Value) -> ir.Value:
    """Return whole numbers; who makes them floating point again reads them before the detour."""
    (old,) = op.node.outputs
    for use in list(old.uses()):
        cast = use.node
        if cast.op_type != "Cast" or cast.outputs[0].is_graph_output():
            continue
        to = ir.DataType(cast.attributes["to"].as_int())
        if to == ir.DataType.FLOAT:
            ir.convenience.replace_all_uses_with(cast.outputs[0], y)
    return op.Cast(y, to=ir.DataType.INT32.value)


def _plus(op: Writer, y: ir.Value, bias: ir.Value | None) -> ir.Value:
    return y if bias is None else op.Add(y, bias)


def _attributes(op: Writer) -> dict[str, Any]:
    return {a.name: a.value for a in op.node.attributes.values()}
