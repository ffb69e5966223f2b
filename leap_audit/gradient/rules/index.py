"""Operators that pick tensors' numbers, or put them, by indices that may be computed."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from leap_audit.gradient.rules.scatter import added_at
from leap_audit.gradient.table import Gradients, Node, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape

_Pick = Callable[[ir.Value], ir.Value]
_Put = Callable[[ir.Value, ir.Value, str], ir.Value]


def full(op: Emitter, number: float, like: ir.Value, shape: Sequence[int]) -> ir.Value:
    """Return a tensor of one number, of the type of `like`."""
    assert like.dtype is not None
    return op.Expand(op.constant(number, like.dtype), list(shape))


@gradient(
    "TopK",
    samples=[
        sample((3, 5), np.array([2]), outputs=2),
        sample((3, 5), np.array([2]), outputs=2, axis=0, largest=0),
        sample((2, 5, 3), np.array([4]), outputs=2, axis=-2),
    ],
)
def top_k(op: Emitter, node: Node, dy: ir.Value, *unused: ir.Value | None) -> Gradients:
    """dx = dy at the places of the largest, zeros elsewhere"""
    zeros = full(op, 0.0, dy, node.shape(0))
    return op.ScatterElements(zeros, node.outputs[1], dy, axis=node.attribute("axis")), None


@gradient(
    "GatherElements",
    samples=[
        sample((3, 4), np.array([[0, 2, 2, -1], [1, 0, 2, 0]])),
        sample((3, 2), np.array([[1, 0, -1], [0, 0, 0], [1, 1, 0]]), axis=1),
    ],
)
def gather_elements(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy added to where each number was taken from"""
    return added_at(op, node.shape(0), node.inputs[1], dy, axis=node.attribute("axis")), None


@gradient(
    "GatherND",
    samples=[
        sample((3, 4), np.array([[0, 1], [2, -1], [0, 1]])),
        sample((3, 4, 2), np.array([[[1]], [[1]]])),
        sample((2, 3, 4), np.array([[1], [-1]]), batch_dims=1),
        sample((2, 3, 4, 2), np.array([[[[1, 0]]] * 3, [[[3, 1]]] * 3]), batch_dims=2),
    ],
)
def gather_nd(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy added to where each slice was taken from"""
    indices, batch = node.inputs[1], node.attribute("batch_dims")
    if batch:  # ScatterND knows no batch: its indices name the items
        shape = node.shape(1)[:-1]
        items = np.moveaxis(np.indices(shape)[:batch], 0, -1)
        indices = op.Concat(op.constant(items, ir.DataType.INT64), indices, axis=-1)
    return added_at(op, node.shape(0), indices, dy), None


_PLACES = np.array([[0, 2, 2], [1, 0, -1]])


@gradient(
    "ScatterElements",
    samples=[
        sample((3, 3), np.array([[0, 2, 1], [1, 0, -1]]), (2, 3), wrt=(0, 2)),
        sample((2, 5), np.array([[0, 3], [1, -1]]), (2, 2), wrt=(0, 2), axis=1),
        *(
            sample((3, 3), _PLACES, (2, 3), wrt=(0, 2), reduction=reduction)
            for reduction in ("add", "mul", "max", "min")
        ),
        sample((2, 3), np.array([[0, 0], [1, 0]]), (2, 2), wrt=2, axis=-1, reduction="mul"),
    ],
)
def scatter_elements(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy where it was not overwritten; dupdates = dy at its place, more where they reduce"""
    indices, axis = node.inputs[1], node.attribute("axis") % len(node.shape(0))

    def pick(x: ir.Value) -> ir.Value:
        return op.GatherElements(x, indices, axis=axis)

    def put(x: ir.Value, updates: ir.Value, reduction: str) -> ir.Value:
        return op.ScatterElements(x, indices, updates, axis=axis, reduction=reduction)

    return _scattered(op, node, dy, pick, put)


@gradient(
    "ScatterND",
    samples=[
        sample((4, 3), np.array([[2], [0]]), (2, 3), wrt=(0, 2)),
        sample((4, 3), np.array([[2, 1], [0, -1]]), (2,), wrt=(0, 2)),
        *(
            sample((4, 3), np.array([[2], [0], [-2]]), (3, 3), wrt=(0, 2), reduction=reduction)
            for reduction in ("add", "mul", "max", "min")
        ),
    ],
)
def scatter_nd(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy where it was not overwritten; dupdates = dy at its place, more where they reduce"""
    indices = node.inputs[1]

    def pick(x: ir.Value) -> ir.Value:
        return op.GatherND(x, indices)

    def put(x: ir.Value, updates: ir.Value, reduction: str) -> ir.Value:
        return op.ScatterND(x, indices, updates, reduction=reduction)

    return _scattered(op, node, dy, pick, put)


def _scattered(op: Emitter, node: Node, dy: ir.Value, pick: _Pick, put: _Put) -> Gradients:
    """The gradients of data and updates.

    none: ddata = dy but 0 where it was overwritten, dupdates = dy at its place
    add:  ddata = dy, dupdates = dy at its place
    mul:  each = dy * the product of the other factors
    max, min: dy to the extreme, shared equally among ties
    """
    data, _, updates = node.inputs
    assert data is not None
    assert updates is not None
    assert dy.dtype is not None
    reduction = node.attribute("reduction")
    if reduction == "none":
        nothing = full(op, 0.0, dy, static_shape(updates))
        return put(dy, nothing, "none") if node.needs[0] else None, None, pick(dy)
    if reduction == "add":
        return dy, None, pick(dy)
    if reduction == "mul":
        return _multiplied(op, node, dy, pick, put)
    y = node.outputs[0]
    hit = op.Cast(op.Equal(data, y), to=dy.dtype.value)
    update_hit = op.Cast(op.Equal(updates, pick(y)), to=dy.dtype.value)
    share = op.Div(dy, put(hit, update_hit, "add"))
    return op.Mul(share, hit), None, op.Mul(pick(share), update_hit)


def _multiplied(op: Emitter, node: Node, dy: ir.Value, pick: _Pick, put: _Put) -> Gradients:
    """Zeros are left out of the product and counted, so that none is divided by."""
    data, _, updates = node.inputs
    assert data is not None
    assert updates is not None
    ones = full(op, 1.0, dy, node.shape(0))
    ddata = op.Mul(dy, put(ones, updates, "mul")) if node.needs[0] else None
    if not node.needs[2]:
        return ddata, None, None
    is_zero = op.Equal(updates, 0.0)
    factors = op.Where(is_zero, 1.0, updates)
    product = op.Mul(dy, put(data, factors, "mul"))
    assert dy.dtype is not None
    zero = op.Cast(is_zero, to=dy.dtype.value)
    others = op.Sub(pick(put(full(op, 0.0, dy, node.shape(0)), zero, "add")), zero)
    alone = op.Cast(op.Equal(others, 0.0), to=dy.dtype.value)
    return ddata, None, op.Mul(op.Div(pick(product), factors), alone)


@gradient(
    "ReverseSequence",
    samples=[
        sample((4, 3), np.array([1, 4, 2])),
        sample((3, 4, 2), np.array([1, 4, 2]), batch_axis=0, time_axis=1),
    ],
)
def reverse_sequence(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy reversed again"""
    axes = {name: node.attribute(name) for name in ("batch_axis", "time_axis")}
    return op.ReverseSequence(dy, node.inputs[1], **axes), None


@gradient(
    "OneHot",
    samples=[
        sample(np.array([[0, 2], [-1, 7]]), np.array(3), (2,), wrt=2),
        sample(np.array([0, 2, 1]), np.array(4), (2,), wrt=2, axis=0),
    ],
)
def one_hot(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dvalues = the sums of dy where it is cold and where it is hot"""
    assert dy.dtype is not None
    indices, depth = node.inputs[:2]
    values = op.constant([0.0, 1.0], dy.dtype)
    mask = op.OneHot(indices, depth, values, axis=node.attribute("axis"))
    hot = op.ReduceSum(op.Mul(dy, mask), keepdims=0)
    cold = op.Sub(op.ReduceSum(dy, keepdims=0), hot)
    return None, None, op.Concat(op.Reshape(cold, [1]), op.Reshape(hot, [1]), axis=0)
