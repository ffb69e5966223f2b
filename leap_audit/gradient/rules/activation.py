"""Activation functions. At a kink the subgradient from the flat side is taken: 0 at relu(0)."""

import numpy as np
import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.table import Gradients, Node, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.values import constant_of

_ONE = [sample((2, 3)), sample((2, 3, 4))]
STEEP = 2.0**100
LARGEST_BOUND = 2.0**27
"""Above it STEEP times the bound is no longer a float32."""


@gradient("Relu", samples=_ONE)
def relu(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy where y > 0"""
    return op.Mul(dy, between(op, node.outputs[0], low=0.0))


@gradient(
    "Clip",
    samples=[
        sample((2, 3), np.array(-0.7), np.array(0.9)),
        sample((2, 3), None, np.array(0.5)),
        sample((2, 3), np.array(-0.5)),
        sample((2, 3)),
    ],
)
def clip(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy where min < y < max"""
    (y,) = node.outputs
    bounds = [*node.inputs[1:], None, None][:2]
    low, high = (None if b is None else constant_of(b) for b in bounds)
    if any(b is not None and constant_of(b) is None for b in bounds):
        raise GradientUnavailable(f"Clip ({node.name}): its bounds are computed")
    mask = between(
        op,
        y,
        low=None if low is None else float(low.reshape(())),
        high=None if high is None else float(high.reshape(())),
    )
    return (dy if mask is None else op.Mul(dy, mask)), None, None


def between(
    op: Emitter, y: ir.Value, *, low: float | None = None, high: float | None = None
) -> ir.Value | None:
    """Return 1 where low < y < high and 0 elsewhere, in y's type; None where there is no bound."""
    parts = [
        _step(op, y, bound, rising)
        for bound, rising in ((low, True), (high, False))
        if bound is not None and np.isfinite(bound)
    ]
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else op.Mul(*parts)


def _step(op: Emitter, y: ir.Value, bound: float, rising: bool) -> ir.Value:
    """Return 1 above the bound (rising) or below it, 0 at the bound and beyond.

    In float32 a HardSigmoid so steep that it is a step: scaling by a power of two is exact, so
    it is 0 at the bound itself and 1 a float away from it (but for |y - bound| < 2**-100).
    Unlike Greater and Where it works in ONNX Runtime's blocked layout, which saves two
    conversions of every activation. Other types and bounds that would overflow compare.
    """
    if y.dtype == ir.DataType.FLOAT and abs(bound) < LARGEST_BOUND:
        steep = STEEP if rising else -STEEP
        return op.HardSigmoid(y, alpha=steep, beta=-float(np.float32(bound)) * steep)
    beyond = op.Greater(y, bound) if rising else op.Less(y, bound)
    return op.Cast(beyond, to=_type(y).value)


def one_minus(op: Emitter, y: ir.Value) -> ir.Value:
    """Return 1 - y for y in 0..1, in float32 as an operator of the blocked layout."""
    if y.dtype == ir.DataType.FLOAT:
        return op.HardSigmoid(y, alpha=-1.0, beta=1.0)
    return op.Sub(1.0, y)


def _type(value: ir.Value) -> ir.DataType:
    assert value.dtype is not None
    return value.dtype


@gradient("LeakyRelu", samples=[*_ONE, sample((2, 3), alpha=0.3)])
def leaky_relu(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy where x > 0, alpha * dy elsewhere"""
    slope = op.Mul(dy, float(node.attribute("alpha")))
    return op.Where(op.Greater(node.inputs[0], 0.0), dy, slope)


@gradient("PRelu", samples=[sample((2, 3, 4), (3, 1), wrt=(0, 1))], broadcasting=True)
def prelu(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy where x > 0, slope * dy elsewhere; dslope = dy * x where x <= 0"""
    x, slope = node.inputs
    assert dy.dtype is not None
    positive = op.Greater(x, 0.0)
    zero = op.constant(0.0, dy.dtype)
    return op.Where(positive, dy, op.Mul(dy, slope)), op.Where(positive, zero, op.Mul(dy, x))


@gradient("Elu", samples=[*_ONE, sample((2, 3), alpha=0.5)])
def elu(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy where x > 0, dy * (y + alpha) elsewhere"""
    alpha = float(node.attribute("alpha"))
    curved = op.Mul(dy, op.Add(node.outputs[0], alpha))
    return op.Where(op.Greater(node.inputs[0], 0.0), dy, curved)


@gradient("Selu", samples=[*_ONE, sample((2, 3), alpha=1.2, gamma=0.8)])
def selu(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = gamma * dy where x > 0, dy * (y + gamma * alpha) elsewhere"""
    alpha, gamma = float(node.attribute("alpha")), float(node.attribute("gamma"))
    curved = op.Mul(dy, op.Add(node.outputs[0], alpha * gamma))
    return op.Where(op.Greater(node.inputs[0], 0.0), op.Mul(dy, gamma), curved)


@gradient("Celu", samples=[])
def celu(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy where x > 0, dy * (y / alpha + 1) elsewhere"""
    alpha = float(node.attribute("alpha"))
    curved = op.Mul(dy, op.Add(op.Div(node.outputs[0], alpha), 1.0))
    return op.Where(op.Greater(node.inputs[0], 0.0), dy, curved)


@gradient("ThresholdedRelu", samples=[*_ONE, sample((2, 3), alpha=-0.3)])
def thresholded_relu(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy where x > alpha"""
    (x,) = node.inputs
    assert x is not None
    return op.Mul(dy, between(op, x, low=float(node.attribute("alpha"))))


@gradient("Shrink", samples=[*_ONE, sample((2, 3), lambd=0.8, bias=0.3)])
def shrink(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy where |x| > lambd"""
    size = op.Abs(node.inputs[0])
    return op.Mul(dy, between(op, size, low=float(node.attribute("lambd"))))


@gradient("Sigmoid", samples=_ONE)
def sigmoid(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy * y * (1 - y)"""
    (y,) = node.outputs
    return op.Mul(dy, op.Mul(y, one_minus(op, y)))


@gradient(
    "HardSigmoid", samples=[sample((2, 3), low=-4, high=4), sample((2, 3), alpha=0.4, beta=0.3)]
)
def hard_sigmoid(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = alpha * dy where 0 < y < 1"""
    (y,) = node.outputs
    inside = between(op, y, low=0.0, high=1.0)
    return op.Mul(op.Mul(dy, inside), float(node.attribute("alpha")))


@gradient("HardSwish", samples=[sample((2, 3), low=-4, high=4)])
def hard_swish(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """With h = y / x, 0 below -3 and 1 above 3: dx = dy * (h + x / 6 where -3 < x < 3)"""
    (x,) = node.inputs
    assert x is not None
    gate = op.HardSigmoid(x, alpha=1 / 6, beta=0.5)
    inside = between(op, x, low=-3.0, high=3.0)
    sixth = op.HardSigmoid(inside, alpha=1 / 6, beta=0.0)
    return op.Mul(dy, op.Add(gate, op.Mul(x, sixth)))


@gradient("Tanh", samples=_ONE)
def tanh(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy * (1 - y^2)"""
    (y,) = node.outputs
    return op.Mul(dy, op.Sub(1.0, op.Mul(y, y)))


@gradient("Softplus", samples=_ONE)
def softplus(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy * sigmoid(x)"""
    return op.Mul(dy, op.Sigmoid(node.inputs[0]))


@gradient("Mish", samples=_ONE)
def mish(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """With t = tanh(softplus(x)): dx = dy * (t + x * (1 - t^2) * sigmoid(x))"""
    (x,) = node.inputs
    t = op.Tanh(op.Softplus(x))
    bent = op.Mul(op.Mul(x, op.Sigmoid(x)), op.Sub(1.0, op.Mul(t, t)))
    return op.Mul(dy, op.Add(t, bent))


@gradient("Gelu", samples=[sample((2, 3), approximate="tanh", low=-4, high=4)])
def gelu(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """With P the normal distribution, p its density: dx = dy * (P(x) + x p(x))

    approximate="tanh", with t = tanh(u): P = (1 + t) / 2, p = (1 - t^2) u' / 2
    """
    (x,) = node.inputs
    if node.attribute("approximate") in ("tanh", b"tanh"):
        square = op.Mul(x, x)
        width, cubic = np.sqrt(2 / np.pi), 0.044715
        inner = op.Mul(op.Add(op.Mul(square, cubic), 1.0), width)
        t = op.Tanh(op.Mul(x, inner))
        slope = op.Add(op.Mul(square, 1.5 * cubic * width), width / 2)
        density = op.Mul(op.Sub(1.0, op.Mul(t, t)), slope)
        below = op.Add(op.Mul(t, 0.5), 0.5)
    else:
        t = op.Mul(x, np.sqrt(0.5))
        # (1 + erf) / 2 in one pass: from 0 to 1, so nothing is clipped.
        below = op.HardSigmoid(op.Erf(t), alpha=0.5, beta=0.5)
        density = op.Exp(op.Sub(-0.5 * np.log(2 * np.pi), op.Mul(t, t)))
    return op.Mul(dy, op.Add(below, op.Mul(x, density)))


@gradient("Softsign", samples=_ONE)
def softsign(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy / (1 + |x|)^2"""
    width = op.Add(op.Abs(node.inputs[0]), 1.0)
    return op.Div(dy, op.Mul(width, width))


@gradient(
    "Softmax", samples=[sample((2, 5)), sample((2, 5, 3), axis=1), sample((2, 5, 3), axis=-2)]
)
def softmax(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = y * (dy - sum(dy * y))"""
    (y,) = node.outputs
    inner = op.ReduceSum(op.Mul(dy, y), [node.attribute("axis")], keepdims=1)
    return op.Mul(y, op.Sub(dy, inner))


@gradient(
    "LogSoftmax", samples=[sample((2, 5)), sample((2, 5, 3), axis=1), sample((2, 5, 3), axis=-2)]
)
def log_softmax(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy - exp(y) * sum(dy)"""
    total = op.ReduceSum(dy, [node.attribute("axis")], keepdims=1)
    return op.Sub(dy, op.Mul(op.Exp(node.outputs[0]), total))
