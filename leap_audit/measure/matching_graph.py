"""The score of a detection as part of a graph: over all rows, by their overlap with its box."""

import numpy as np
import onnx_ir as ir

from leap_audit.graph.emit import Emitter

__all__ = ["MIDDLE", "best_row", "log_overlaps", "one_object"]

MIDDLE = (0.25, 0.25, 0.75, 0.75)
"""The box of a prototype's one object, in fractions of the picture."""
ELSEWHERE = 0.5
"""How much the mean score of rows that do not touch the middle counts against it."""
LEAST = 1e-4
"""Overlap of boxes that have none in common, so that its logarithm is finite."""
AWAY = -6.0
"""Log of the overlap below which a box does not touch the middle."""


def log_overlaps(op: Emitter, boxes: ir.Value, wanted: ir.Value) -> ir.Value:
    """Append the log of each box's intersection over union with the wanted one, (n, 1, rows).

    boxes: (n, 4, rows) left, top, right and bottom; wanted: (n, 4, 1), in the same unit.
    """
    low = op.Max(_sides(op, boxes, 0), _sides(op, wanted, 0))
    high = op.Min(_sides(op, boxes, 2), _sides(op, wanted, 2))
    common = _area(op, low, high)
    own = _area(op, _sides(op, boxes, 0), _sides(op, boxes, 2))
    other = _area(op, _sides(op, wanted, 0), _sides(op, wanted, 2))
    union = op.Add(op.Sub(op.Add(own, other), common), 1e-12)
    return op.Log(op.Add(op.Div(common, union), LEAST))


def best_row(op: Emitter, log_p: ir.Value, boxes: ir.Value, wanted: ir.Value) -> ir.Value:
    """Append the log of a detection's matched score, (n, classes, 1).

    log_p: (n, classes, rows), the log-probability of each class; boxes, wanted: see `log_overlaps`.
    """
    return op.ReduceMax(op.Add(log_p, log_overlaps(op, boxes, wanted)), [2], keepdims=1)


def one_object(op: Emitter, scores: ir.Value, boxes: ir.Value) -> ir.Value:
    """Append how much a picture has one object of each class, in the middle, (n, classes).

    The log of the sum over rows of exp(score), each row weighed by its box's overlap with MIDDLE,
    less ELSEWHERE times the mean score of the rows whose boxes do not touch MIDDLE, of those that
    speak for the class: what speaks against it may do so as much as it likes.
    scores: (n, classes, rows), log-odds; boxes: (n, 4, rows) in fractions.
    """
    near = log_overlaps(op, boxes, op.constant(np.array(MIDDLE).reshape(1, 4, 1)))
    here = op.ReduceLogSumExp(op.Add(scores, near), [2], keepdims=0)
    away = op.Cast(op.Less(near, AWAY), to=ir.DataType.FLOAT.value)
    many = op.Add(op.ReduceSum(away, [2], keepdims=0), 1e-6)
    stated = op.Softplus(scores)
    there = op.Div(op.ReduceSum(op.Mul(stated, away), [2], keepdims=0), many)
    return op.Sub(here, op.Mul(there, ELSEWHERE))


def _sides(op: Emitter, boxes: ir.Value, first: int) -> ir.Value:
    return op.Slice(boxes, [first], [first + 2], [1])


def _area(op: Emitter, low: ir.Value, high: ir.Value) -> ir.Value:
    """(n, 1, rows) of the corners, (n, 2, rows) each; 0 where they do not span a box."""
    sides = op.Relu(op.Sub(high, low))
    return op.Mul(op.Slice(sides, [0], [1], [1]), op.Slice(sides, [1], [2], [1]))
