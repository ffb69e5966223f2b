"""What a prototype is optimised for: the target's logit, with a light penalty on speckle."""

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from leap_audit.gradient import Emitter
from leap_audit.ingest.canonical import static_shape
from leap_audit.run.session import Array

__all__ = ["target_weights", "total_variation", "weighted_logit"]


def target_weights(targets: Sequence[tuple[int, ...]], classes: int) -> Array:
    """Return (targets, classes): the weight of each logit in each item's objective.

    A target of several classes is a hybrid of equal parts.
    """
    weights = np.zeros((len(targets), classes), np.float32)
    for row, target in zip(weights, targets, strict=True):
        for index in target:
            row[index] += 1 / len(target)
    return weights


def weighted_logit(op: Emitter, logits: ir.Value, weights: ir.Value) -> ir.Value:
    """Append the objective of each item, (batch,): the plain logit.

    Not a margin over other classes: that suppresses what classes share, and what they share is
    what an audit wants to see.
    """
    return op.ReduceSum(op.Mul(logits, weights), [1], keepdims=0)


def total_variation(op: Emitter, picture: ir.Value) -> ir.Value:
    """Append the mean absolute difference of neighbouring pixels of each item, (batch,)."""
    channels, height, width = static_shape(picture)[1:]
    pixels = float(math.prod((channels, height, width)))
    total: ir.Value | None = None
    for axis, n in ((2, height), (3, width)):
        ahead = op.Slice(picture, [1], [n], [axis])
        behind = op.Slice(picture, [0], [n - 1], [axis])
        part = op.ReduceSum(op.Abs(op.Sub(ahead, behind)), [1, 2, 3], keepdims=0)
        total = part if total is None else op.Add(total, part)
    assert total is not None
    return op.Div(total, pixels)
