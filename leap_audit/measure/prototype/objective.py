"""What a prototype is optimised for: the target's logit, and light penalties beside it."""

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from leap_audit.gradient import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.run.session import Array

__all__ = [
    "alike",
    "averaged",
    "coverage",
    "distance",
    "evenness",
    "likeness",
    "standardised_logits",
    "target_weights",
    "total_variation",
    "weighted_logit",
]


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
    """Append the objective of each item, (batch,): its targets' logits, plain or standardised.

    Not a margin over the nearest classes: that suppresses what classes share, and what they share
    is what an audit wants to see.
    """
    return op.ReduceSum(op.Mul(logits, weights), [1], keepdims=0)


def standardised_logits(op: Emitter, logits: ir.Value) -> ir.Value:
    """Append each picture's logits, (n, classes), in deviations from their mean over classes.

    It does not grow with the scale of all logits. Not for few classes: of two it is always 1.
    """
    centred = op.Sub(logits, op.ReduceMean(logits, [1], keepdims=1))
    spread = op.Sqrt(op.ReduceMean(op.Mul(centred, centred), [1], keepdims=1))
    return op.Div(centred, op.Add(spread, 1e-6))


def evenness(op: Emitter, logits: ir.Value, scale: float) -> ir.Value:
    """Append, (batch,), the mean log-probability over all classes: highest where all are equal.

    scale: what the logits are multiplied by before the softmax.
    """
    return op.ReduceMean(op.LogSoftmax(op.Mul(logits, scale), axis=1), [1], keepdims=0)


def averaged(op: Emitter, value: ir.Value, times: int) -> ir.Value:
    """Append the mean of each `times` items in a row: (items * times, ...) -> (items, ...)."""
    if times == 1:
        return value
    items, *rest = static_shape(value)
    return op.ReduceMean(op.Reshape(value, (items // times, times, *rest)), [1], keepdims=0)


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


def distance(op: Emitter, picture: ir.Value, grey: float) -> ir.Value:
    """Append the mean absolute distance of each picture from one grey, (batch,)."""
    return op.ReduceMean(op.Abs(op.Sub(picture, grey)), [1, 2, 3], keepdims=0)


def coverage(op: Emitter, alpha: ir.Value) -> ir.Value:
    """Append the mean of alpha over each picture, (batch,): how much of it is painted at all."""
    return op.ReduceMean(alpha, [1, 2, 3], keepdims=0)


def likeness(op: Emitter, features: ir.Value, same: ir.Value) -> ir.Value:
    """Append how much each item's features look like those of its siblings, (batch,).

    The mean cosine, weighed by `same`, (batch, batch), between the features before the final
    linear layer, or the logits where the last step is not linear, averaged over an item's views.
    Olah et al. 2017, section Diversity, there with Gram matrices of a layer.
    """
    features = averaged(op, features, static_shape(features)[0] // static_shape(same)[0])
    squared = op.ReduceSum(op.Mul(features, features), [1], keepdims=1)
    unit = op.Div(features, op.Sqrt(op.Add(squared, 1e-12)))
    cosines = op.MatMul(unit, op.Transpose(unit, perm=[1, 0]))
    return op.ReduceSum(op.Mul(cosines, same), [1], keepdims=0)


def alike(targets: Sequence[tuple[int, ...] | None]) -> Array:
    """Return (items, items): 1 / siblings between items of one target, else 0.

    An item of target None is there to fill a batch and has no siblings.
    """
    same = np.array([[a is not None and a == b for b in targets] for a in targets], np.float32)
    np.fill_diagonal(same, 0)
    return np.asarray(same / np.maximum(same.sum(1, keepdims=True), 1))
