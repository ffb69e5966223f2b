"""Sequences whose positions are constants become the tensors they hold; Compress becomes Gather.

An optional tensor is a sequence of one or of none.

A sequence of which anything is computed (its length, a position) stays as it is. Unlike the other
rewritings these look at several nodes at once, and at constants that only folding brings out.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from leap_audit.canonical.rewrite import Writer, replace
from leap_audit.graph.emit import TensorNames
from leap_audit.graph.opset import ONNX_DOMAIN
from leap_audit.graph.values import constant_of

__all__ = ["UNPACKED", "unpack"]

Held = list[ir.Value]
Sequences = dict[ir.Value | None, Held]


def unpack(graph: ir.Graph) -> bool:
    """Put tensors in the place of what reads sequences, and return whether there was one."""
    sequences: Sequences = {}
    names = TensorNames(graph)
    found = False
    for node in list(graph):
        write = UNPACKED.get(node.op_type)
        if write is None or node.domain not in ONNX_DOMAIN:
            continue
        op = Writer(graph, node, names)
        made = write(op, sequences)
        if made is None:
            continue
        if isinstance(made, list):
            graph.insert_before(node, op.nodes)
            sequences[node.outputs[0]] = made
        else:
            replace(graph, op, node, [made])
            found = True
    return found


def _number(op: Writer, index: int, default: int) -> int | None:
    """A constant whole number, the default for an absent input, None if it is computed."""
    if op.input(index) is None:
        return default
    numbers = constant_of(op.input(index))
    return None if numbers is None else int(numbers.ravel()[0])


def _construct(op: Writer, _: Sequences) -> Held | None:
    return [value for value in op.node.inputs if value is not None]


def _insert(op: Writer, sequences: Sequences) -> Held | None:
    held, new = sequences.get(op.input(0)), op.input(1)
    if held is None or new is None:
        return None
    at = _number(op, 2, len(held))
    if at is None:
        return None
    at += len(held) if at < 0 else 0
    return [*held[:at], new, *held[at:]]


def _erase(op: Writer, sequences: Sequences) -> Held | None:
    held, at = sequences.get(op.input(0)), _number(op, 1, -1)
    if held is None or at is None:
        return None
    return [value for i, value in enumerate(held) if i != at % len(held)]


def _at(op: Writer, sequences: Sequences) -> ir.Value | None:
    held, at = sequences.get(op.input(0)), _number(op, 1, 0)
    return None if held is None or at is None else held[at]


def _length(op: Writer, sequences: Sequences) -> ir.Value | None:
    held = sequences.get(op.input(0))
    return None if held is None else op.constant(np.array(len(held)))


def _element(op: Writer, sequences: Sequences) -> ir.Value | None:
    held = _optional(op, sequences)
    return held[0] if held else None


def _has_element(op: Writer, sequences: Sequences) -> ir.Value | None:
    held = _optional(op, sequences)
    return None if held is None else op.constant(np.array(bool(held)))


def _optional(op: Writer, sequences: Sequences) -> Held | None:
    """What an optional tensor holds, or a tensor that is given instead of one."""
    value = op.input(0)
    if value is None:
        return []
    producer = value.producer()
    if value in sequences or (producer is not None and producer.op_type in UNPACKED):
        return sequences.get(value)
    return [value] if isinstance(value.type, ir.TensorType) else None


def _split(op: Writer, _: Sequences) -> Held | None:
    x, split = op.input(0), op.input(1)
    given = constant_of(split)
    if x is None or x.shape is None or (split is not None and given is None):
        return None
    axis = op.attribute("axis", 0)
    length = x.shape[axis]
    if not isinstance(length, int):
        return None
    widths = [1] * length
    if given is not None and given.ndim:
        widths = [int(width) for width in given]
    elif given is not None:
        whole, rest = divmod(length, int(given))
        widths = [int(given)] * whole + [rest] * bool(rest)
    parts = list(op.emit("Split", [x, widths], {"axis": axis}, len(widths)))
    if split is None and not op.attribute("keepdims", 1):
        parts = [op.Squeeze(part, [axis]) for part in parts]
    return parts


def _join(op: Writer, sequences: Sequences) -> ir.Value | None:
    held = sequences.get(op.input(0))
    if held is None:
        return None
    axis = op.attribute("axis", 0)
    if op.attribute("new_axis", 0):
        held = [op.Unsqueeze(value, [axis]) for value in held]
    return op.Concat(*held, axis=axis)


def _compress(op: Writer, _: Sequences) -> ir.Value | None:
    x, condition = op.node.inputs
    kept = constant_of(condition)
    if kept is None:
        return None
    axis = op.attribute("axis")
    if axis is None:
        x, axis = op.Reshape(x, [-1]), 0
    return op.Gather(x, np.flatnonzero(kept), axis=axis)


UNPACKED: dict[str, Callable[[Writer, Sequences], Held | ir.Value | None]] = {
    "SequenceEmpty": _construct,
    "SequenceConstruct": _construct,
    "SequenceInsert": _insert,
    "SequenceErase": _erase,
    "SequenceAt": _at,
    "SequenceLength": _length,
    "SplitToSequence": _split,
    "ConcatFromSequence": _join,
    "Compress": _compress,
    "Optional": _construct,
    "OptionalGetElement": _element,
    "OptionalHasElement": _has_element,
}
