"""Operators that move numbers without changing them."""

import math
from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.rules.scatter import added_at
from leap_audit.gradient.table import Gradients, Node, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of


@gradient(
    "Reshape", samples=[sample((2, 6), np.array([3, -1])), sample((2, 6), np.array([0, 2, 3]))]
)
def reshape(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy in the old shape"""
    return op.Reshape(dy, node.shape(0)), None


@gradient("Flatten", samples=[sample((2, 3, 4)), sample((2, 3, 4), axis=2)])
def flatten(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy in the old shape"""
    return op.Reshape(dy, node.shape(0))


@gradient("Squeeze", samples=[sample((2, 1, 3), np.array([1])), sample((1, 3, 1))])
def squeeze(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy in the old shape"""
    return op.Reshape(dy, node.shape(0)), None


@gradient("Unsqueeze", samples=[sample((2, 3), np.array([0, -1]))])
def unsqueeze(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy in the old shape"""
    return op.Reshape(dy, node.shape(0)), None


@gradient("Transpose", samples=[sample((2, 3, 4)), sample((2, 3, 4), perm=[1, 2, 0])])
def transpose(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy with the axes moved back"""
    rank = len(node.shape(0))
    perm = list(node.attribute("perm", range(rank)[::-1]))
    return op.Transpose(dy, perm=[perm.index(i) for i in range(rank)])


@gradient("Expand", samples=[sample((3, 1), np.array([2, 3, 4])), sample((2, 3), np.array([1, 3]))])
def expand(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy summed over the repeated axes"""
    shape, have = node.shape(0), static_shape(dy)
    aligned = (1,) * (len(have) - len(shape)) + shape
    axes = [i for i, (a, b) in enumerate(zip(aligned, have, strict=True)) if a == 1 != b]
    dx = op.ReduceSum(dy, axes, keepdims=1) if axes else dy
    return op.Reshape(dx, shape), None


@gradient(
    "Concat",
    samples=[
        sample((2, 3), (2, 1), (2, 2), wrt=(0, 1, 2), axis=1),
        sample((2, 3), (1, 3), wrt=(0, 1), axis=-2),
    ],
)
def concat(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """each dx is its piece of dy"""
    axis = node.attribute("axis") % len(static_shape(dy))
    found: list[ir.Value | None] = []
    start = 0
    for i, needed in enumerate(node.needs):
        length = node.shape(i)[axis]
        found.append(op.Slice(dy, [start], [start + length], [axis]) if needed else None)
        start += length
    return found


@gradient("Split", samples=[sample((2, 6), np.array([1, 2, 3]), outputs=3, axis=1)])
def split(op: Emitter, node: Node, *dys: ir.Value | None) -> Gradients:
    """dx = the pieces of dy side by side, zeros for a piece that nothing uses"""
    known = next(dy for dy in dys if dy is not None)
    assert known.dtype is not None
    pieces = [
        op.Expand(op.constant(0.0, known.dtype), static_shape(y)) if dy is None else dy
        for y, dy in zip(node.outputs, dys, strict=True)
    ]
    dx = op.Concat(*pieces, axis=node.attribute("axis")) if len(pieces) > 1 else pieces[0]
    return dx, None


@gradient(
    "Slice",
    samples=[
        sample((5, 6), np.array([1]), np.array([4]), np.array([0])),
        sample((5, 6), np.array([-2, 0]), np.array([-9, 6]), np.array([1, 0]), np.array([-1, 2])),
        sample((5, 6), np.array([0, 1]), np.array([2**31, -1])),
        sample((5, 6), np.array([1, 0]), np.array([5, 6]), None, np.array([2, 3])),
        sample((5, 7), np.array([2]), np.array([7]), np.array([1]), np.array([4])),
    ],
)
def slice_(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy scattered to where it was taken from, zeros elsewhere"""
    shape = node.shape(0)
    starts, ends, axes, steps = (
        None if i >= len(node.inputs) else constant_of(node.inputs[i]) for i in (1, 2, 3, 4)
    )
    if starts is None or ends is None:
        raise GradientUnavailable(f"Slice ({node.name}): its bounds are computed")
    axes = np.arange(len(starts)) if axes is None else axes % len(shape)
    steps = np.ones(len(starts), np.int64) if steps is None else steps
    index = [slice(None)] * len(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        n = shape[int(axis)]
        past = None if step < 0 and end < -n else int(end)
        index[int(axis)] = slice(int(start), past, int(step))
    if (np.asarray(steps) > 0).all():
        firsts, _, apart = zip(
            *(s.indices(n) for s, n in zip(index, shape, strict=True)), strict=True
        )
        return _spread(op, dy, firsts, apart, shape), None
    places = np.arange(math.prod(shape)).reshape(shape)[tuple(index)]
    return _scatter(op, dy, places, shape), None


def _spread(
    op: Emitter, dy: ir.Value, firsts: Sequence[int], steps: Sequence[int], shape: Sequence[int]
) -> ir.Value:
    """Return zeros of a shape with dy at first, first + step, ... along each axis."""
    for axis, (first, step, n) in enumerate(zip(firsts, steps, shape, strict=True)):
        own = list(static_shape(dy))
        if step == 1 or own[axis] == 1:
            continue
        behind = [step - 1 if i == axis + 1 else 0 for i in range(len(own) + 1)]
        zeros = op.Pad(op.Unsqueeze(dy, [axis + 1]), [*(0 for _ in behind), *behind])
        own[axis] *= step
        dy = op.Reshape(zeros, own)
        if first + own[axis] > n:  # zeros behind the last one do not fit
            dy = op.Slice(dy, [0], [n - first], [axis])
    after = [n - f - k for n, f, k in zip(shape, firsts, static_shape(dy), strict=True)]
    return op.Pad(dy, [*firsts, *after]) if any(firsts) or any(after) else dy


@gradient(
    "Gather",
    samples=[
        sample((4, 3), np.array([2, 0, 2])),
        sample((4, 3), np.array([[1, -1], [0, 1]]), axis=1),
        sample((4, 3), np.array(1), axis=0),
        sample((2, 7, 3), np.array([1, 3, 5]), axis=1),
        sample((2, 7, 3), np.array([0, 3, 6]), axis=1),
    ],
)
def gather(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy added to where each slice was taken from"""
    shape = node.shape(0)
    axis = node.attribute("axis") % len(shape)
    indices = constant_of(node.inputs[1])
    if indices is None:
        raise GradientUnavailable(f"Gather ({node.name}): its indices are computed")
    places_along = indices.reshape(-1) % shape[axis]
    steps = np.diff(places_along)
    if indices.ndim < 2 and places_along.size and (steps > 0).all() and len(set(steps)) < 2:
        along = op.Unsqueeze(dy, [axis]) if indices.ndim == 0 else dy
        firsts, apart = [0] * len(shape), [1] * len(shape)
        firsts[axis], apart[axis] = int(places_along[0]), int(steps[0]) if steps.size else 1
        return _spread(op, along, firsts, apart, shape), None
    places = np.take(np.arange(math.prod(shape)).reshape(shape), indices, axis=axis)
    return _scatter(op, dy, places, shape), None


@gradient(
    "Pad",
    samples=[
        sample((3, 4), np.array([1, 0, 2, 3])),
        sample((3, 4), np.array([1, 2, 2, 1]), mode="reflect"),
        sample((3, 4), np.array([1, 2, 2, 1]), mode="edge"),
        sample((3, 4), np.array([1, 2]), None, np.array([1]), mode="wrap"),
    ],
)
def pad(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy without the border; copied borders are added to where they came from"""
    shape = node.shape(0)
    pads = constant_of(node.inputs[1])
    if pads is None:
        raise GradientUnavailable(f"Pad ({node.name}): its widths are computed")
    given = constant_of(node.inputs[3]) if len(node.inputs) > 3 else None
    axes = list(range(len(shape))) if given is None else [int(a) % len(shape) for a in given]
    before, after = [0] * len(shape), [0] * len(shape)
    for axis, first, last in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        before[axis], after[axis] = int(first), int(last)
    mode = node.attribute("mode")
    if mode == "constant":
        first = [max(0, b) for b in before]
        last = [n - max(0, a) for n, a in zip(static_shape(dy), after, strict=True)]
        dx = op.Slice(dy, first, last, list(range(len(shape))))
        cut = [max(0, -w) for w in (*before, *after)]  # a negative width cuts pixels off
        return op.Pad(dx, cut) if any(cut) else dx, None
    widths = list(zip(before, after, strict=True))
    if min(before + after) < 0:
        raise GradientUnavailable(f"Pad ({node.name}): {mode} with a negative width")
    if mode not in ("reflect", "edge", "wrap"):
        raise GradientUnavailable(f"Pad ({node.name}): {mode!r} is no mode of ONNX's")
    border = cast(Literal["reflect", "edge", "wrap"], mode)
    places = np.pad(np.arange(math.prod(shape)).reshape(shape), widths, mode=border)
    return _scatter(op, dy, places, shape), None


@gradient(
    "DepthToSpace",
    samples=[sample((1, 8, 2, 3), blocksize=2), sample((1, 8, 2, 3), blocksize=2, mode="CRD")],
)
def depth_to_space(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy put back, block by block"""
    n, c, h, w = node.shape(0)
    b = node.attribute("blocksize")
    mode = node.attribute("mode")
    inner = c // (b * b)
    x = op.Reshape(dy, (n, inner, h, b, w, b))
    crd = mode in (b"CRD", "CRD")
    x = op.Transpose(x, perm=[0, 1, 3, 5, 2, 4] if crd else [0, 3, 5, 1, 2, 4])
    return op.Reshape(x, (n, c, h, w))


@gradient("SpaceToDepth", samples=[sample((1, 2, 4, 6), blocksize=2)])
def space_to_depth(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy put back, block by block"""
    return op.DepthToSpace(dy, blocksize=node.attribute("blocksize"), mode="DCR")


def _scatter(
    op: Emitter,
    dy: ir.Value,
    places: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    shape: tuple[int, ...],
) -> ir.Value:
    """Add dy to a tensor of zeros at flat positions; a position may come several times."""
    index = op.constant(places.ravel(), ir.DataType.INT64)
    flat = op.Reshape(dy, [-1])
    return op.Reshape(added_at(op, [math.prod(shape)], index, flat, axis=0), shape)
