"""Log-odds of confidences: the logits under their Sigmoids, where the graph has them.

The log-odds of a probability that was rounded to 1 are lost, and so is their gradient.
"""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import onnx_ir as ir

from leap_audit.graph.emit import Emitter
from leap_audit.graph.operators import RESHAPING
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of
from leap_audit.ingest.detectors.decoding import as_float, log_odds_of_log, log_probability, part
from leap_audit.run.session import Array

__all__ = ["both_true", "log_odds"]


def log_odds(op: Emitter, value: ir.Value, start: int, stop: int, axis: int = 1) -> ir.Value:
    """Return log p - log(1 - p) of the probabilities start..stop along an axis, float32.

    What their Sigmoids were given, where they come from such under Concat, Split, Slice, Transpose
    and what changes shapes alone; else computed.
    """
    found = _Undoing(op)(value)
    place = (slice(None),) * axis + (slice(start, stop),)
    if not found.logits[place].all():
        return log_odds_of_log(op, log_probability(op, part(op, value, start, stop, axis)))
    return op.Slice(as_float(op, found.value), [start], [stop], [axis])


def both_true(op: Emitter, one: ir.Value, other: ir.Value) -> ir.Value:
    """Return the log-odds of p · q from those of p and q, exact for any.

    1 / (p q) - 1 = e^-a + e^-b + e^-(a+b), whose logarithm is summed without overflow.
    """
    either = op.Sub(op.Softplus(op.Sub(one, other)), one)
    neither = op.Neg(op.Add(one, other))
    return op.Neg(op.Add(either, op.Softplus(op.Sub(neither, either))))


@dataclass(frozen=True)
class _Undone:
    """A tensor with logits where it has sigmoids of them, and everything else as it is."""

    value: ir.Value
    logits: Array
    """Of its shape, bool: where it has logits."""


class _Undoing:
    def __init__(self, op: Emitter) -> None:
        self._op = op
        self._known: dict[ir.Value, _Undone] = {}

    def __call__(self, value: ir.Value) -> _Undone:
        if value not in self._known:
            self._known[value] = self._found(value)
        return self._known[value]

    def _found(self, value: ir.Value) -> _Undone:
        node, op, shape = value.producer(), self._op, static_shape(value)
        plain = _Undone(value, np.zeros(shape, bool))
        if node is None or not node.inputs or (first := node.inputs[0]) is None:
            return plain
        if node.op_type == "Sigmoid":
            return _Undone(first, np.ones(shape, bool))
        if node.op_type == "Identity":
            return self(first)
        if node.op_type == "Concat":
            parts = [self(each) for each in node.inputs if each is not None]
            if not any(each.logits.any() for each in parts):
                return plain
            axis = node.attributes["axis"].as_int()
            joined = op.Concat(*(each.value for each in parts), axis=axis)
            return _Undone(joined, np.concatenate([each.logits for each in parts], axis))
        if node.op_type not in RESHAPING | {"Transpose", "Slice", "Split"}:
            return plain
        before = self(first)
        if not before.logits.any():
            return plain
        if node.op_type in RESHAPING:
            return _Undone(op.Reshape(before.value, shape), before.logits.reshape(shape))
        if node.op_type == "Transpose":
            order = list(range(len(shape)))[::-1]
            if "perm" in node.attributes:
                order = list(node.attributes["perm"].as_ints())
            return _Undone(op.Transpose(before.value, perm=order), before.logits.transpose(order))
        place = _split(node, value) if node.op_type == "Split" else _sliced(node, before.logits)
        if place is None:
            return plain
        axis, start, stop = place
        where = (slice(None),) * axis + (slice(start, stop),)
        part = op.Slice(before.value, [start], [stop], [axis])
        return _Undone(part, before.logits[where])


def _split(node: ir.Node, value: ir.Value) -> tuple[int, int, int] | None:
    """(axis, start, stop) of one output of a Split."""
    rank = len(static_shape(value))
    axis = node.attributes["axis"].as_int() % rank if "axis" in node.attributes else 0
    widths = [static_shape(each)[axis] for each in node.outputs]
    number = list(node.outputs).index(value)
    start = [0, *accumulate(widths)][number]
    return axis, start, start + widths[number]


def _sliced(node: ir.Node, before: Array) -> tuple[int, int, int] | None:
    """(axis, start, stop) of a Slice along one axis in steps of 1, None of any other."""
    given = [constant_of(each) for each in node.inputs[1:]]
    if len(given) < 3 or any(each is None or each.size != 1 for each in given):
        return None
    start, stop, axis, *step = (int(each.item()) for each in given if each is not None)
    if step not in ([], [1]):
        return None
    axis %= before.ndim
    start, stop, _ = slice(start, stop).indices(before.shape[axis])
    return axis, start, stop
