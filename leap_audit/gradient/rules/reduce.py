"""Reductions over axes."""

import math

import numpy as np
import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.table import Gradients, Node, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of

_SAMPLES = [
    sample((2, 3, 4), np.array([1]), keepdims=0),
    sample((2, 3, 4), np.array([-1, 0])),
    sample((2, 3, 4)),
    sample((2, 3, 4), keepdims=0),
]
_POSITIVE = [sample((2, 3, 4), np.array([1]), low=0.5), sample((2, 3, 4), low=0.5, keepdims=0)]


def _kept(op: Emitter, node: Node, y: ir.Value) -> ir.Value:
    """A reduced tensor with its reduced axes back, of length 1."""
    shape = tuple(1 if i in _axes(node) else d for i, d in enumerate(node.shape(0)))
    return y if static_shape(y) == shape else op.Reshape(y, shape)


def _axes(node: Node) -> set[int]:
    rank = len(node.shape(0))
    given = node.inputs[1] if len(node.inputs) > 1 else None
    if given is None:
        return set() if node.attribute("noop_with_empty_axes") else set(range(rank))
    axes = constant_of(given)
    if axes is None:
        raise GradientUnavailable(f"{node.op_type} ({node.name}): its axes are computed")
    if not axes.size:
        return set() if node.attribute("noop_with_empty_axes") else set(range(rank))
    return {int(a) % rank for a in axes.ravel()}


def _count(node: Node) -> int:
    return math.prod(node.shape(0)[a] for a in _axes(node))


@gradient("ReduceSum", samples=_SAMPLES)
def reduce_sum(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy, repeated"""
    return op.Expand(_kept(op, node, dy), node.shape(0)), None


@gradient("ReduceMean", samples=_SAMPLES)
def reduce_mean(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy / n, repeated"""
    share = op.Div(_kept(op, node, dy), float(_count(node)))
    return op.Expand(share, node.shape(0)), None


@gradient("ReduceL2", samples=_POSITIVE)
def reduce_l2(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy * x / y; 0 at the origin"""
    y = _kept(op, node, node.outputs[0])
    length = op.Where(op.Equal(y, 0.0), 1.0, y)
    return op.Mul(node.inputs[0], op.Div(_kept(op, node, dy), length)), None


@gradient("ReduceL1", samples=_SAMPLES)
def reduce_l1(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy * sign(x)"""
    return op.Mul(_kept(op, node, dy), op.Sign(node.inputs[0])), None


@gradient("ReduceLogSum", samples=_POSITIVE)
def reduce_log_sum(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy / sum(x)"""
    total = op.Exp(_kept(op, node, node.outputs[0]))
    return op.Expand(op.Div(_kept(op, node, dy), total), node.shape(0)), None


@gradient("ReduceSumSquare", samples=_SAMPLES)
def reduce_sum_square(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = 2 * dy * x"""
    return op.Mul(op.Mul(_kept(op, node, dy), 2.0), node.inputs[0]), None


@gradient("ReduceLogSumExp", samples=_SAMPLES)
def reduce_log_sum_exp(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy * exp(x - y)"""
    y = _kept(op, node, node.outputs[0])
    return op.Mul(_kept(op, node, dy), op.Exp(op.Sub(node.inputs[0], y))), None


@gradient(
    "ReduceProd",
    samples=[*_SAMPLES, sample(np.array([[2.0, 0.0, 3.0], [0.0, 1.5, 0.0]]), np.array([1]))],
)
def reduce_prod(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy * the product of the others, which is 0 where another one is 0"""
    axes = sorted(_axes(node))
    if not axes:
        return dy, None
    assert dy.dtype is not None
    x = node.inputs[0]
    zero = op.Equal(x, 0.0)
    factor = op.Where(zero, 1.0, x)
    others = op.Div(op.ReduceProd(factor, axes, keepdims=1), factor)
    own = op.Cast(zero, to=dy.dtype.value)
    alone = op.Equal(op.ReduceSum(own, axes, keepdims=1), own)  # no zero but perhaps itself
    return op.Mul(_kept(op, node, dy), op.Where(alone, others, 0.0)), None


@gradient("ReduceMax", "ReduceMin", samples=_SAMPLES)
def reduce_max(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy where x is the extreme, shared equally among ties"""
    x = node.inputs[0]
    assert dy.dtype is not None
    hit = op.Cast(op.Equal(x, _kept(op, node, node.outputs[0])), to=dy.dtype.value)
    axes = sorted(_axes(node))
    ties = op.ReduceSum(hit, axes, keepdims=1) if axes else hit
    return op.Mul(hit, op.Div(_kept(op, node, dy), ties)), None
