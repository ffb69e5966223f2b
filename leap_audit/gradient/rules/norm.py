"""Normalisation with fixed statistics."""

import numpy as np
import onnx_ir as ir

from leap_audit.gradient.emit import Emitter
from leap_audit.gradient.table import Gradients, Node, gradient, sample

_STATISTICS = (np.array([0.5, 2.0, -1.0]), np.array([0.1, 0.2, 0.3]), np.array([0.3, -0.2, 0.1]))


@gradient(
    "BatchNormalization",
    samples=[sample((2, 3, 4), *_STATISTICS, np.array([0.5, 1.0, 2.0]), epsilon=1e-3)],
)
def batch_normalization(op: Emitter, node: Node, dy: ir.Value, *_: ir.Value | None) -> Gradients:
    """dx = dy * scale / sqrt(var + epsilon); the statistics are fixed in a deployed model"""
    _, scale, _, _, var = node.inputs
    if any(node.needs[1:]) or node.attribute("training_mode"):
        raise ValueError(f"BatchNormalization ({node.name}): its statistics are computed")
    factor = op.Div(scale, op.Sqrt(op.Add(var, float(node.attribute("epsilon")))))
    channels = node.shape(0)[1]
    factor = op.Reshape(factor, (channels,) + (1,) * (len(node.shape(0)) - 2))
    return op.Mul(dy, factor), None, None, None, None
