"""Normalisation, with fixed statistics or with those of the tensor itself."""

import numpy as np
import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.emit import Emitter
from leap_audit.gradient.table import Gradients, Node, gradient, sample

_STATISTICS = (np.array([0.5, 2.0, -1.0]), np.array([0.1, 0.2, 0.3]), np.array([0.3, -0.2, 0.1]))


@gradient(
    "BatchNormalization",
    samples=[sample((2, 3, 4), *_STATISTICS, np.array([0.5, 1.0, 2.0]), epsilon=1e-3)],
)
def batch_normalization(
    op: Emitter, node: Node, dy: ir.Value, *unused: ir.Value | None
) -> Gradients:
    """dx = dy * scale / sqrt(var + epsilon); the statistics are fixed in a deployed model"""
    _, scale, _, _, var = node.inputs
    if any(node.needs[1:]) or node.attribute("training_mode"):
        raise GradientUnavailable(f"BatchNormalization ({node.name}): its statistics are computed")
    factor: ir.Value = op.Div(scale, op.Sqrt(op.Add(var, float(node.attribute("epsilon")))))
    channels = node.shape(0)[1]
    factor = op.Reshape(factor, (channels,) + (1,) * (len(node.shape(0)) - 2))
    return op.Mul(dy, factor), None, None, None, None


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
    op: Emitter, node: Node, dy: ir.Value, *statistics: ir.Value | None
) -> Gradients:
    """With n the normalised x, g = dy * scale: dx = (g - mean(g) - n mean(g n)) / deviation"""
    if any(value is not None for value in statistics):
        raise GradientUnavailable(f"LayerNormalization ({node.name}): its statistics are used")
    x, scale = node.inputs[:2]
    rank = len(node.shape(0))
    axes = list(range(node.attribute("axis") % rank, rank))
    centred = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    variance = op.ReduceMean(op.Mul(centred, centred), axes, keepdims=1)
    deviation = op.Sqrt(op.Add(variance, float(node.attribute("epsilon"))))
    normal = op.Div(centred, deviation)
    dx = dscale = None
    if node.needs[0]:
        g = op.Mul(dy, scale)
        along = op.Mul(normal, op.ReduceMean(op.Mul(g, normal), axes, keepdims=1))
        rest = op.Sub(g, op.ReduceMean(g, axes, keepdims=1))
        dx = op.Div(op.Sub(rest, along), deviation)
    if node.needs[1]:
        dscale = op.Mul(dy, normal)
    return (dx, dscale, dy)[: len(node.inputs)]
