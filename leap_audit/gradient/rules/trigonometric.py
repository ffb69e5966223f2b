"""Trigonometric and hyperbolic functions and their inverses (Sin, Cos: arithmetic; Tanh: there)."""

import onnx_ir as ir

from leap_audit.gradient.table import Gradients, Node, gradient, sample
from leap_audit.graph.emit import Emitter

_ANY = [sample((2, 3)), sample((2, 3, 4))]
_INSIDE = [sample((2, 3), low=-0.9, high=0.9)]


@gradient("Tan", samples=[sample((2, 3), low=-1.2, high=1.2)])
def tan(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy * (1 + y^2)"""
    (y,) = node.outputs
    return op.Mul(dy, op.Add(op.Mul(y, y), 1.0))


@gradient("Asin", samples=_INSIDE)
def asin(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy / sqrt(1 - x^2)"""
    return op.Div(dy, _opposite_side(op, node))


@gradient("Acos", samples=_INSIDE)
def acos(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = -dy / sqrt(1 - x^2)"""
    return op.Neg(op.Div(dy, _opposite_side(op, node)))


@gradient("Atan", samples=_ANY)
def atan(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy / (1 + x^2)"""
    return op.Div(dy, op.Add(_squared(op, node), 1.0))


@gradient("Sinh", samples=_ANY)
def sinh(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy * cosh(x)"""
    return op.Mul(dy, op.Cosh(node.inputs[0]))


@gradient("Cosh", samples=_ANY)
def cosh(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy * sinh(x)"""
    return op.Mul(dy, op.Sinh(node.inputs[0]))


@gradient("Asinh", samples=_ANY)
def asinh(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy / sqrt(x^2 + 1)"""
    return op.Div(dy, op.Sqrt(op.Add(_squared(op, node), 1.0)))


@gradient("Acosh", samples=[sample((2, 3), low=1.1, high=4)])
def acosh(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy / sqrt(x^2 - 1)"""
    return op.Div(dy, op.Sqrt(op.Sub(_squared(op, node), 1.0)))


@gradient("Atanh", samples=_INSIDE)
def atanh(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy / (1 - x^2)"""
    return op.Div(dy, op.Sub(1.0, _squared(op, node)))


def _squared(op: Emitter, node: Node) -> ir.Value:
    (x,) = node.inputs
    return op.Mul(x, x)


def _opposite_side(op: Emitter, node: Node) -> ir.Value:
    """The side sqrt(1 - x^2) of a right triangle whose other sides are x and 1."""
    return op.Sqrt(op.Sub(1.0, _squared(op, node)))
