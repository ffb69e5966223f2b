"""Quantisation, straight through: rounding counts as the identity, within what can be represented.

Bengio et al. 2013. The gradient of a whole number is that of the loss per step of it, in float32.
"""

import math

import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.poles import behind_pole
from leap_audit.gradient.rules.activation import between
from leap_audit.gradient.table import Gradients, Node, gradient
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of


@gradient("DequantizeLinear", samples=[])
def dequantize_linear(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy * scale"""
    return op.Mul(dy, _laid_out(op, node, _scale(op, node, dy))), None, None


@gradient("QuantizeLinear", samples=[])
def quantize_linear(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy / scale where the rounded number can be represented, 0 beyond"""
    (y,) = node.outputs
    x, zero_point = node.inputs[0], node.inputs[2] if len(node.inputs) > 2 else None
    assert x is not None
    assert x.dtype is not None
    assert y.dtype is not None
    if not y.dtype.is_integer():
        raise GradientUnavailable(f"QuantizeLinear ({node.name}): to {y.dtype}, no whole numbers")
    scale = _laid_out(op, node, _scale(op, node, x))
    steps = op.Round(op.Div(x, scale))
    numbers = constant_of(zero_point)
    if zero_point is not None and (numbers is None or numbers.any()):
        steps = op.Add(steps, _laid_out(op, node, op.Cast(zero_point, to=x.dtype.value)))
    bits = y.dtype.bitwidth
    low = -(2.0 ** (bits - 1)) if y.dtype.is_signed() else 0.0
    low, high = low - 0.5, low + 2.0**bits - 0.5
    if behind_pole(x):  # 0 / 0 is no number, and a comparison with it is false
        inside = op.And(op.Greater(steps, low), op.Less(steps, high))
        mask: ir.Value | None = op.Cast(inside, to=x.dtype.value)
    else:
        mask = between(op, steps, low=low, high=high)
    dx = dy if dy.dtype == x.dtype else op.Cast(dy, to=x.dtype.value)
    return op.Div(op.Mul(dx, mask), scale), None, None


@gradient("DynamicQuantizeLinear", samples=[])
def dynamic_quantize_linear(
    op: Emitter, node: Node, dy: ir.Value | None, *unused: ir.Value | None
) -> Gradients:
    """dx = dy / scale: the range is that of x itself, so nothing is beyond it"""
    assert dy is not None
    return op.Div(dy, node.outputs[1])


def _scale(op: Emitter, node: Node, like: ir.Value) -> ir.Value:
    """The scale in the type of `like`."""
    if any(node.needs[1:]):
        raise GradientUnavailable(f"{node.op_type} ({node.name}): its scale depends on the input")
    scale = node.inputs[1]
    assert scale is not None
    assert like.dtype is not None
    return scale if scale.dtype == like.dtype else op.Cast(scale, to=like.dtype.value)


def _laid_out(op: Emitter, node: Node, value: ir.Value) -> ir.Value:
    """A scale or zero point so that it broadcasts over x: of all of it, an axis, or blocks."""
    shape, own = node.shape(0), static_shape(value)
    if math.prod(own) == 1:
        return op.Reshape(value, []) if own else value
    axis = node.attribute("axis") % len(shape)
    if len(own) == 1:
        return op.Reshape(value, [-1 if i == axis else 1 for i in range(len(shape))])
    size = node.attribute("block_size")
    repeated = op.Expand(
        op.Unsqueeze(value, [axis + 1]), [*own[: axis + 1], size, *own[axis + 1 :]]
    )
    whole = op.Reshape(repeated, [*own[:axis], own[axis] * size, *own[axis + 1 :]])
    return op.Slice(whole, [0], [shape[axis]], [axis])
