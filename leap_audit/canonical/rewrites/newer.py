"""Operators newer than the pinned opset that ONNX does not define by others."""

import numpy as np

from leap_audit.canonical.rewrite import Writer, Written, rewriting
from leap_audit.canonical.upgrade import NEWER
from leap_audit.graph.values import constant_of


@rewriting(f"{NEWER}::CumProd")
def cumulative_product(op: Writer) -> Written:
    """y_i = y_(i-1) x_i, which unlike a quotient of products knows zeros"""
    x, axis = op.node.inputs
    given = constant_of(axis)
    if x is None or x.shape is None or given is None:
        return None
    along = int(given.ravel()[0])
    count = x.shape[along]
    if not isinstance(count, int):
        return None
    parts = list(op.emit("Split", [x], {"axis": along, "num_outputs": count}, count))
    backward, exclusive = op.attribute("reverse", 0), op.attribute("exclusive", 0)
    parts = parts[::-1] if backward else parts
    if exclusive:
        parts = [op.Expand(1.0, op.Shape(parts[0])), *parts[:-1]]
    made = [parts[0]]
    for part in parts[1:]:
        made.append(op.Mul(made[-1], part))
    return op.Concat(*(made[::-1] if backward else made), axis=along)


@rewriting(f"{NEWER}::TensorScatter")
def tensor_scatter(op: Writer) -> Written:
    """The update in its place along one axis, which begins elsewhere in each item"""
    past, update, begin = (op.input(i) for i in range(3))
    if past is None or past.shape is None or update is None or update.shape is None:
        return None
    rank = len(past.shape)
    axis = op.attribute("axis", -2) % rank
    length, count = past.shape[axis], update.shape[axis]
    if not isinstance(length, int) or not isinstance(count, int):
        return None
    places = np.arange(count).reshape([-1 if i == axis else 1 for i in range(rank)])
    index = op.constant(places)
    if begin is not None:
        index = op.Add(index, op.Reshape(begin, [-1, *[1] * (rank - 1)]))
    if op.attribute("mode", "linear") == "circular":
        index = op.Mod(index, np.array(length))
    return op.ScatterElements(past, op.Expand(index, op.Shape(update)), update, axis=axis)
