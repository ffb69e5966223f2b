"""Repeating, masking and accumulating along axes."""

import numpy as np
import onnx_ir as ir

from leap_audit.gradient.table import Gradients, Node, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape


@gradient(
    "Tile",
    samples=[
        sample((2, 3), np.array([2, 3])),
        sample((2, 1, 3), np.array([1, 4, 2])),
        sample((2, 3), np.array([1, 1])),
        sample((3,), np.array([2])),
    ],
)
def tile(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = the copies in dy summed"""
    shape = node.shape(0)
    counts = [n // m for n, m in zip(static_shape(dy), shape, strict=True)]
    repeated = [axis for axis, count in enumerate(counts) if count > 1]
    if not repeated:
        return dy, None
    split: list[int] = []
    copies: list[int] = []
    for axis, (count, length) in enumerate(zip(counts, shape, strict=True)):
        if axis in repeated:
            copies.append(len(split))
            split.append(count)
        split.append(length)
    return op.ReduceSum(op.Reshape(dy, split), copies, keepdims=0), None


@gradient(
    "Trilu",
    samples=[
        sample((3, 4)),
        sample((3, 4), upper=0),
        sample((2, 4, 3), np.array(1)),
        sample((2, 4, 3), np.array(-1), upper=0),
    ],
)
def trilu(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = the same triangle of dy"""
    return op.Trilu(dy, *node.inputs[1:], upper=node.attribute("upper")), None


@gradient(
    "CumSum",
    samples=[
        sample((2, 4), np.array(1)),
        sample((2, 4), np.array(0), reverse=1),
        sample((2, 4, 3), np.array(-2), exclusive=1),
        sample((2, 4), np.array(1), exclusive=1, reverse=1),
    ],
)
def cum_sum(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy accumulated from the other end"""
    dx = op.CumSum(
        dy,
        node.inputs[1],
        exclusive=node.attribute("exclusive"),
        reverse=1 - node.attribute("reverse"),
    )
    return dx, None
