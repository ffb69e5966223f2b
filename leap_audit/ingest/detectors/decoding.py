"""Pieces that the formats decode with: probabilities, and boxes from their numbers."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
import onnx_ir as ir

from leap_audit.graph.emit import Emitter
from leap_audit.graph.operators import ARRANGING
from leap_audit.graph.shapes import static_shape
from leap_audit.ingest.outputs.reading import LEAST, NEAREST
from leap_audit.run.session import Array

__all__ = [
    "ancestors_of",
    "as_float",
    "centred",
    "corners",
    "grid_points",
    "log_odds_of_log",
    "log_odds_of_softmax",
    "log_probability",
    "part",
    "rows_last",
    "widths_joined",
]


def part(op: Emitter, value: ir.Value, start: int, stop: int, axis: int = 1) -> ir.Value:
    """Return the entries start..stop of a tensor along an axis, as float32.

    What was concatenated of them is taken from before the Concat, so that the operator that
    computes it can be seen.
    """
    while (node := value.producer()) is not None and node.op_type == "Identity":
        value = _first(node)
    rank = len(static_shape(value))
    joined = node is not None and node.op_type == "Concat"
    if joined and node is not None and node.attributes["axis"].as_int() % rank == axis % rank:
        parts = [x for x in node.inputs if x is not None]
        ends = [0, *accumulate(static_shape(x)[axis] for x in parts)]
        for (low, high), each in zip(pairwise(ends), parts, strict=True):
            if low <= start and stop <= high:
                return part(op, each, start - low, stop - low, axis)
    if (start, stop) != (0, static_shape(value)[axis]):
        value = op.Slice(value, [start], [stop], [axis])
    return as_float(op, value)


def as_float(op: Emitter, value: ir.Value) -> ir.Value:
    """Return a tensor as float32."""
    if value.dtype == ir.DataType.FLOAT:
        return value
    return op.Cast(value, to=ir.DataType.FLOAT.value)


def log_probability(op: Emitter, probability: ir.Value) -> ir.Value:
    """Return log p, through the Sigmoid or the Softmax at the end, where there is one."""
    node = probability.producer()
    if node is not None and node.op_type == "Sigmoid":
        return op.Neg(op.Softplus(op.Neg(as_float(op, _first(node)))))
    if node is not None and node.op_type == "Softmax":
        axis = node.attributes["axis"].as_int() if "axis" in node.attributes else -1
        return op.LogSoftmax(as_float(op, _first(node)), axis=axis)
    if node is not None and node.op_type == "Transpose":
        perm = list(node.attributes["perm"].as_ints())
        return op.Transpose(log_probability(op, _first(node)), perm=perm)
    return op.Log(op.Max(as_float(op, probability), LEAST))


def log_odds_of_log(op: Emitter, log_p: ir.Value) -> ir.Value:
    """Return log p - log(1 - p) of log p; finite for p that rounds to 1."""
    rest = op.Max(op.Sub(1.0, op.Exp(log_p)), NEAREST)
    return op.Sub(log_p, op.Log(rest))


def log_odds_of_softmax(op: Emitter, logits: ir.Value, axis: int) -> ir.Value:
    """Return log p - log(1 - p) of the Softmax of logits, float32, exact for p near 1 too.

    1 - p is summed from the probabilities of all others. axis: of the classes, 1 or the last.
    """
    log_p = op.LogSoftmax(logits, axis=axis)
    shape = static_shape(logits)
    others = np.float32(1) - np.eye(shape[axis], dtype=np.float32)
    p, last = op.Exp(log_p), axis % len(shape) == len(shape) - 1
    rest = op.MatMul(p, others) if last else op.MatMul(others, p)
    return op.Sub(log_p, op.Log(op.Max(rest, LEAST)))


def rows_last(op: Emitter, value: ir.Value) -> ir.Value:
    """Return (n, numbers, rows) of (n, numbers, height, width), the rows of a map first."""
    batch, numbers = static_shape(value)[:2]
    return op.Reshape(value, (batch, numbers, -1))


def centred(op: Emitter, box: ir.Value, size: tuple[float, float]) -> ir.Value:
    """Return boxes as fractions, (n, 4, rows), of centre x, centre y, width and height.

    size: (height, width) that the numbers are in units of; (1, 1): they are fractions already.
    """
    middle = op.Slice(box, [0], [2], [1])
    half = op.Mul(op.Slice(box, [2], [4], [1]), 0.5)
    return corners(op, op.Concat(op.Sub(middle, half), op.Add(middle, half), axis=1), size)


def corners(op: Emitter, box: ir.Value, size: tuple[float, float]) -> ir.Value:
    """Return boxes as fractions, (n, 4, rows), of left, top, right and bottom; size: `centred`."""
    if tuple(size) == (1, 1):
        return box
    height, width = size
    scale = [[[1 / width], [1 / height], [1 / width], [1 / height]]]
    return op.Mul(box, scale)


def _first(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None
    return value


def ancestors_of(value: ir.Value) -> list[ir.Node]:
    """Return the nodes that a tensor is computed from, the nearest first."""
    seen: set[ir.Node] = set()
    found: list[ir.Node] = []
    front = [value.producer()]
    while front:
        node = front.pop(0)
        if node is None or node in seen:
            continue
        seen.add(node)
        found.append(node)
        front += [each.producer() for each in node.inputs if each is not None]
    return found


def widths_joined(value: ir.Value, numbers: int) -> tuple[int, ...]:
    """Return how many of the `numbers` of each row come from each part that was concatenated.

    Looked for under what arranges rows and joins levels; empty where no such Concat is found, or
    levels differ.
    """
    node = value.producer()
    if node is None:
        return ()
    if node.op_type in ARRANGING:
        return widths_joined(_first(node), numbers)
    if node.op_type != "Concat":
        return ()
    parts = [x for x in node.inputs if x is not None]
    widths = tuple(static_shape(x)[node.attributes["axis"].as_int()] for x in parts)
    if sum(widths) == numbers and len(widths) > 1:
        return widths
    each = {widths_joined(x, numbers) for x in parts}
    return each.pop() if len(each) == 1 else ()


def grid_points(
    size: tuple[int, int], strides: Sequence[int], offset: float = 0.0
) -> tuple[Array, Array]:
    """Return the column and row of each cell of maps of these strides, and its stride.

    (1, 2, cells) and (1, 1, cells); offset: what is added to columns and rows.
    """
    points, sides = [], []
    for stride in strides:
        down, across = np.mgrid[: -(-size[0] // stride), : -(-size[1] // stride)]
        points.append(np.stack([across.ravel(), down.ravel()]) + offset)
        sides.append(np.full((1, down.size), stride))
    found = np.concatenate(points, 1)[None], np.concatenate(sides, 1)[None]
    return found[0].astype(np.float32), found[1].astype(np.float32)
