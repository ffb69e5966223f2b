"""Normalisation, with fixed statistics or with those of the tensor itself."""

import math
from functools import reduce

import numpy as np
import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.table import Gradients, Node, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.values import constant_of

_STATISTICS = (np.array([0.5, 2.0, -1.0]), np.array([0.1, 0.2, 0.3]), np.array([0.3, -0.2, 0.1]))


@gradient(
    "BatchNormalization",
    samples=[
        sample((2, 3, 4), *_STATISTICS, np.array([0.5, 1.0, 2.0]), epsilon=1e-3),
        sample((2, 3, 4), *_STATISTICS, np.array([0.5, 1.0, 2.0]), wrt=(0, 1, 2, 3, 4)),
        sample((2, 3), *_STATISTICS, np.array([0.5, 1.0, 2.0]), wrt=(1, 3)),
    ],
)
def batch_normalization(
    op: Emitter, node: Node, dy: ir.Value, *unused: ir.Value | None
) -> Gradients:
    """With n = (x - mean) / sqrt(var + epsilon): dx = dy * scale / sqrt(var + epsilon),

    dscale = sum(dy n), dbias = sum(dy), dmean = -sum(dx), dvar = -sum(dx n) / 2 / sqrt(var +
    epsilon), over all but the channels; the statistics are fixed in a deployed model
    """
    if node.attribute("training_mode"):
        raise GradientUnavailable(
            f"BatchNormalization ({node.name}): the mean and the variance are computed"
        )
    x, scale, _, mean, var = node.inputs
    rank = len(node.shape(0))
    shape = (node.shape(0)[1],) + (1,) * (rank - 2)
    others = [0, *range(2, rank)]

    def summed(value: ir.Value) -> ir.Value:
        return op.ReduceSum(value, others, keepdims=0)

    numbers, spread = constant_of(scale), constant_of(var)
    if not any(node.needs[1:]) and numbers is not None and spread is not None:
        factor = numbers / np.sqrt(spread + node.attribute("epsilon"))
        return op.Mul(dy, factor.reshape(shape)), None, None, None, None
    # Constant all the same, such as a scale that the graph dequantises.
    root = op.Sqrt(op.Add(var, float(node.attribute("epsilon"))))
    ratio = op.Div(scale, root)
    dx = dscale = dbias = dmean = dvar = None
    if node.needs[0]:
        dx = op.Mul(dy, op.Reshape(ratio, shape))
    if node.needs[2] or node.needs[3]:
        dbias = summed(dy)
        dmean = op.Neg(op.Mul(dbias, ratio)) if node.needs[3] else None
    if node.needs[1] or node.needs[4]:
        centred = op.Sub(x, op.Reshape(mean, shape))
        dscale = op.Div(summed(op.Mul(dy, centred)), root)
        dvar = op.Mul(op.Div(op.Mul(dscale, ratio), root), -0.5) if node.needs[4] else None
    return dx, dscale, dbias, dmean, dvar


@gradient(
    "LayerNormalization",
    samples=[
        sample((2, 3, 4), (4,), (4,), wrt=(0, 1, 2), low=0.2),
        sample((2, 3, 4), (3, 4), wrt=(0, 1), axis=1),
        sample((2, 3, 4), (1,), (4,), wrt=(0, 1, 2), axis=-1, epsilon=0.1),
    ],
    broadcasting=True,
)
def layer_normalization(
    op: Emitter,
    node: Node,
    dy: ir.Value | None,
    dmean: ir.Value | None = None,
    dinverse: ir.Value | None = None,
) -> Gradients:
    """With n the normalised x, g = dy * scale: dx = (g - mean(g) - n mean(g n)) / deviation

    and, of N numbers normalised together, dmean / N from the mean and - dinverse n / N / variance
    from the inverse deviation
    """
    x, scale = node.inputs[:2]
    assert x is not None
    rank = len(node.shape(0))
    axes = list(range(node.attribute("axis") % rank, rank))
    normal, inverse = _normalised_at_once(op, node, x, axes)
    kind = x.dtype.value if x.dtype is not None else ir.DataType.FLOAT.value
    share = 1 / math.prod(node.shape(0)[axis] for axis in axes)
    parts: list[ir.Value] = []
    dscale = None
    if dy is not None:
        parts.append(op.Mul(_projected(op, op.Mul(dy, scale), normal, axes), inverse))
        dscale = op.Mul(dy, normal)
    if dmean is not None:
        parts.append(op.Expand(op.Cast(op.Mul(dmean, share), to=kind), list(node.shape(0))))
    if dinverse is not None:
        share_of_it = op.Cast(op.Mul(dinverse, -share), to=kind)
        slope = op.Mul(op.Mul(inverse, inverse), share_of_it)
        parts.append(op.Mul(normal, slope))
    dx = reduce(op.Add, parts)
    zero = op.Mul(normal, 0.0) if dy is None else dy
    return (dx, zero if dscale is None else dscale, zero)[: len(node.inputs)]


@gradient(
    "InstanceNormalization",
    samples=[
        sample((2, 3, 4), (3,), (3,), wrt=(0, 1, 2)),
        sample((2, 3, 4, 5), (3,), (3,), epsilon=0.1),
        sample((1, 2, 3, 2, 3), (2,), (2,), wrt=(0, 1)),
    ],
)
def instance_normalization(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """As LayerNormalization's, over the pixels of each channel"""
    x, scale, _ = node.inputs
    assert x is not None
    rank = len(node.shape(0))
    pixels = list(range(2, rank))
    normal, deviation = _normalised(op, x, pixels, node.attribute("epsilon"))
    dx = dscale = dbias = None
    if node.needs[0]:
        column = op.Reshape(scale, (-1,) + (1,) * (rank - 2))
        dx = op.Div(_projected(op, op.Mul(dy, column), normal, pixels), deviation)
    if node.needs[1]:
        dscale = op.ReduceSum(op.Mul(dy, normal), [0, *pixels], keepdims=0)
    if node.needs[2]:
        dbias = op.ReduceSum(dy, [0, *pixels], keepdims=0)
    return dx, dscale, dbias


def _normalised(
    op: Emitter, x: ir.Value, axes: list[int], epsilon: float
) -> tuple[ir.Value, ir.Value]:
    """Return (x - mean) / deviation and the deviation."""
    centred = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    variance = op.ReduceMean(op.Mul(centred, centred), axes, keepdims=1)
    deviation = op.Sqrt(op.Add(variance, float(epsilon)))
    return op.Div(centred, deviation), deviation


def _normalised_at_once(
    op: Emitter, node: Node, x: ir.Value, axes: list[int]
) -> tuple[ir.Value, ir.Value]:
    """Return (x - mean) / deviation and 1 / deviation.

    One node reads x once; but of other types than float32 it gives rougher statistics.
    """
    epsilon = node.attribute("epsilon")
    if x.dtype != ir.DataType.FLOAT:
        normal, deviation = _normalised(op, x, axes, epsilon)
        return normal, op.Reciprocal(deviation)
    ones = np.ones([node.shape(0)[axis] for axis in axes])
    attributes = {"axis": axes[0], "epsilon": epsilon}
    normal, _, inverse = op.emit("LayerNormalization", [x, ones], attributes, 3)
    return normal, inverse


def _projected(op: Emitter, g: ir.Value, normal: ir.Value, axes: list[int]) -> ir.Value:
    """g - mean(g) - n mean(g n): what of g changes neither the mean nor the deviation"""
    along = op.Mul(normal, op.ReduceMean(op.Mul(g, normal), axes, keepdims=1))
    rest = op.Sub(g, op.ReduceMean(g, axes, keepdims=1))
    return op.Sub(rest, along)


@gradient(
    "LRN",
    samples=[  # as many items as channels: onnx.reference takes the one for the other
        sample((5, 5, 2, 3), size=3, alpha=0.5, beta=0.75, bias=1.5),
        sample((3, 3, 2, 2), size=7, alpha=2.0),
    ],
)
def lrn(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """With s = bias + alpha/size * (sum of x^2 over the channels around):

    dx = dy s^-beta - 2 alpha beta / size * x * (sum of dy y / s over the channels that see x)
    """
    shape = node.shape(0)
    size, beta = int(node.attribute("size")), float(node.attribute("beta"))
    share = float(node.attribute("alpha")) / size
    channel = np.arange(shape[1])
    offset = channel - channel[:, None]  # row: the channel that sees, column: the one seen
    seen = ((offset >= -((size - 1) // 2)) & (offset <= size // 2)).astype(float)
    columns = (shape[0], shape[1], -1)
    x, y, dy = (op.Reshape(value, columns) for value in (node.inputs[0], node.outputs[0], dy))
    s = op.Add(op.MatMul(share * seen, op.Mul(x, x)), float(node.attribute("bias")))
    received = op.MatMul(2 * beta * share * seen.T, op.Div(op.Mul(dy, y), s))
    dx = op.Sub(op.Mul(dy, op.Pow(s, -beta)), op.Mul(x, received))
    return op.Reshape(dx, shape)


@gradient(
    "LpNormalization",
    samples=[
        sample((2, 3, 4)),
        sample((2, 3, 4), axis=1),
        sample((2, 3, 4), axis=-2, p=1, low=0.5),  # onnx.reference forgets the absolute value
    ],
)
def lp_normalization(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = (dy - u * sum(dy y)) / norm with u = y (p = 2) or sign(x) (p = 1); 0 at norm 0"""
    (x,), (y,) = node.inputs, node.outputs
    axis = [node.attribute("axis")]
    first = node.attribute("p") == 1
    norm = (op.ReduceL1 if first else op.ReduceL2)(x, axis, keepdims=1)
    zero = op.Equal(norm, 0.0)
    inverse = op.Where(zero, 0.0, op.Reciprocal(op.Where(zero, 1.0, norm)))
    along = op.ReduceSum(op.Mul(dy, y), axis, keepdims=1)
    return op.Mul(op.Sub(dy, op.Mul(op.Sign(x) if first else y, along)), inverse)
