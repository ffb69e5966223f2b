"""RoiAlign and MaxRoiPool: regions of pictures, each cut into bins."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.rules.index import full
from leap_audit.gradient.table import Gradients, Node, RuleSample, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of

LEAST = -3.0e38
"""Below every candidate of a maximum: in the place of samples that a region does not have."""
_REGIONS = np.array(
    [[0.3, 1.1, 4.2, 5.3], [-2, -1.5, 7.9, 9.2], [2, 2, 2.4, 2.3], [1.5, 1.2, 40, 9.3]]
)
_ITEMS = np.array([0, 1, 1, 0])


def _case(wrt: int | tuple[int, ...] = 0, items: int = 2, **attributes: Any) -> RuleSample:
    size = {"output_height": 2, "output_width": 3}
    return sample((items, 2, 6, 7), _REGIONS, _ITEMS % items, wrt=wrt, **size, **attributes)


@dataclass(frozen=True)
class _Axis:
    """How one axis is read: arrays of (regions, bins, samples), those of weights with (pixels)."""

    before: ir.Value
    """The weight of the pixel before each sample, at that pixel's place."""
    behind: ir.Value
    slope: ir.Value
    """The derivative of both by the sample's position."""
    along: ir.Value
    """Where in its region the sample is, from 0 at the start to 1 at the end."""
    taken: ir.Value
    """Whether the region has this sample: (regions, 1, samples)."""
    count: ir.Value
    """Samples in a bin of each region, at least 1: (regions, 1, 1)."""
    free: ir.Value
    """1 where the region is as long as its corners say, 0 where that is below the least length."""

    def mean(self, op: Emitter) -> ir.Value:
        """Return what each pixel weighs in each bin's average: (regions, bins, pixels)."""
        return op.Div(op.ReduceSum(op.Add(self.before, self.behind), [2], keepdims=0), self.count)


@gradient(
    "RoiAlign",
    samples=[
        *(
            _case((0, 1), coordinate_transformation_mode=way, sampling_ratio=ratio, mode="avg")
            for way in ("half_pixel", "output_half_pixel")
            for ratio in (0, 2)
        ),
        *(
            _case(coordinate_transformation_mode=way, sampling_ratio=ratio, mode="max")
            for way in ("half_pixel", "output_half_pixel")
            for ratio in (0, 2)
        ),
        _case(spatial_scale=0.7, sampling_ratio=3),
        _case((0, 1), spatial_scale=0.7),
        _case((0, 1), items=1, sampling_ratio=2),
    ],
)
def roi_align(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """avg: y = A x B', a bin the mean of its samples: dx = A' dy B; dregions by the slopes of A, B

    max: dx = dy at the largest of the weighted pixels, as ONNX defines it, shared among ties
    """
    x, regions, items = node.inputs
    assert regions is not None
    rows, columns = (_axis(op, node, regions, axis) for axis in (0, 1))
    if node.attribute("mode") == "max":
        if node.needs[1]:
            raise GradientUnavailable(
                f"RoiAlign ({node.name}): its regions are computed from the input, and with mode "
                "'max' they have no gradient; export it with mode 'avg'."
            )
        picked = op.Gather(x, items, axis=0)
        return _to_items(op, node, _through_maximum(op, picked, dy, rows, columns)), None, None
    a, b = (op.Unsqueeze(axis.mean(op), [1]) for axis in (rows, columns))
    dx = dregions = None
    if node.needs[0]:
        dx = (
            _to_one(op, rows.mean(op), op.MatMul(dy, b))
            if node.shape(0)[0] == 1
            else _to_items(op, node, op.MatMul(op.MatMul(_turned(op, a), dy), b))
        )
    if node.needs[1]:
        picked = op.Gather(x, items, axis=0)
        da = op.MatMul(dy, _turned(op, op.MatMul(picked, _turned(op, b))))
        db = op.MatMul(_turned(op, dy), op.MatMul(a, picked))
        ends = [_ends(op, node, *pair) for pair in ((columns, db), (rows, da))]
        dregions = op.Concat(*(end[i] for i in (0, 1) for end in ends), axis=1)
    return dx, dregions, None


def _axis(op: Emitter, node: Node, regions: ir.Value, axis: int) -> _Axis:
    """Return how the rows (0) or the columns (1) are read."""
    n, bins = node.shape(0)[2 + axis], node.attribute(("output_height", "output_width")[axis])
    half = node.attribute("coordinate_transformation_mode") == "half_pixel"
    scaled = op.Sub(op.Mul(regions, float(node.attribute("spatial_scale"))), 0.5 if half else 0.0)
    start, end = (
        op.Reshape(op.Gather(scaled, k, axis=1), [-1, 1, 1]) for k in (1 - axis, 3 - axis)
    )
    given = op.Sub(end, start)
    length = given if half else op.Max(given, 1.0)
    dtype = length.dtype
    assert dtype is not None
    free = op.Cast(op.Equal(given, length) if half else op.Greater(given, 1.0), to=dtype.value)
    width = op.Div(length, float(bins))
    ratio = node.attribute("sampling_ratio")
    steps = ratio or _most(node, regions, n, bins)
    wanted = full(op, float(ratio), width, static_shape(width)) if ratio else op.Ceil(width)
    count = op.Max(wanted, 1.0)
    edges = op.Add(start, op.Mul(width, np.arange(bins, dtype=np.float64).reshape(1, -1, 1)))
    # Of the samples that one size for all regions cannot hold, those outside are left out.
    gap = op.Div(width, count)
    skipped = op.Floor(op.Sub(op.Div(op.Sub(-1.0, edges), gap), 2.0))
    skipped = full(op, 0.0, width, static_shape(edges)) if ratio else op.Max(skipped, 0.0)
    number = op.Add(skipped, np.arange(steps, dtype=np.float64))
    at = op.Add(edges, op.Mul(op.Add(number, 0.5), gap))
    taken = op.Less(number, wanted)
    kept = op.And(taken, op.And(op.GreaterOrEqual(at, -1.0), op.LessOrEqual(at, float(n))))
    kept = op.Unsqueeze(op.Cast(kept, to=dtype.value), [3])
    held = op.Clip(at, 0.0, n - 1.0)
    first = op.Floor(held)
    rest = op.Unsqueeze(op.Sub(held, first), [3])
    moves = op.Cast(op.Equal(held, at), to=dtype.value)
    pixels = np.arange(n, dtype=np.float64)
    before, behind = (
        op.Mul(kept, op.Cast(op.Equal(op.Unsqueeze(index, [3]), pixels), to=dtype.value))
        for index in (first, op.Min(op.Add(first, 1.0), n - 1.0))
    )
    return _Axis(
        before=op.Mul(before, op.Sub(1.0, rest)),
        behind=op.Mul(behind, rest),
        slope=op.Mul(op.Sub(behind, before), op.Unsqueeze(moves, [3])),
        along=op.Div(op.Sub(at, start), length),
        taken=taken,
        count=count,
        free=free,
    )


def _most(node: Node, regions: ir.Value, n: int, bins: int) -> int:
    """Return how many samples of a bin lie on the picture at most: they are half a pixel apart."""
    most = 2 * n + 8
    given = constant_of(regions)
    if given is None:
        return most
    length = float(np.abs(given * node.attribute("spatial_scale")).max(initial=0.0)) * 2
    return min(most, math.ceil(length / bins) + 1)


def _ends(op: Emitter, node: Node, axis: _Axis, dw: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Return the gradients of the regions' starts and ends: (regions, 1) each."""
    dw = op.Unsqueeze(op.ReduceSum(dw, [1], keepdims=0), [2])
    dat = op.Div(op.ReduceSum(op.Mul(dw, axis.slope), [3], keepdims=0), axis.count)
    dat = op.Mul(dat, float(node.attribute("spatial_scale")))
    share = op.Mul(op.ReduceSum(op.Mul(dat, axis.along), [1, 2], keepdims=1), axis.free)
    whole = op.ReduceSum(dat, [1, 2], keepdims=1)
    return op.Reshape(op.Sub(whole, share), [-1, 1]), op.Reshape(share, [-1, 1])


def _through_maximum(
    op: Emitter, picked: ir.Value, dy: ir.Value, rows: _Axis, columns: _Axis
) -> ir.Value:
    """Return the gradient of each region's picture, (regions, channels, height, width)."""
    shape = static_shape(dy)
    assert dy.dtype is not None
    a, b = (_candidates(op, axis) for axis in (rows, columns))
    weighed = op.MatMul(op.MatMul(a, picked), _turned(op, b))
    steps = [static_shape(m)[2] // size for m, size in zip((a, b), shape[2:], strict=True)]
    apart = (shape[0], shape[1], shape[2], steps[0], shape[3], steps[1])
    there = op.And(_there(op, rows, 4), _there(op, columns, 2))
    values = op.Where(there, op.Reshape(weighed, apart), LEAST)
    hit = op.Cast(op.Equal(values, op.ReduceMax(values, [3, 5], keepdims=1)), to=dy.dtype.value)
    ties = op.ReduceSum(hit, [3, 5], keepdims=1)
    dvalues = op.Mul(hit, op.Div(op.Unsqueeze(dy, [3, 5]), ties))
    dweighed = op.Reshape(op.Where(there, dvalues, 0.0), static_shape(weighed))
    return op.MatMul(op.MatMul(_turned(op, a), dweighed), b)


def _candidates(op: Emitter, axis: _Axis) -> ir.Value:
    """Return the weights, a row for each pixel beside a sample: (regions, 1, rows, pixels)."""
    both = op.Concat(axis.before, axis.behind, axis=2)
    regions, _, _, pixels = static_shape(both)
    return op.Reshape(both, [regions, 1, -1, pixels])


def _there(op: Emitter, axis: _Axis, position: int) -> ir.Value:
    """Return whether there is such a candidate: rows at axes 2, 3 of six, columns at 4, 5."""
    both = op.Concat(axis.taken, axis.taken, axis=2)
    regions, bins, steps = static_shape(both)
    places = (bins, steps, 1, 1) if position == 4 else (1, 1, bins, steps)
    return op.Reshape(both, [regions, 1, *places])


def _turned(op: Emitter, x: ir.Value) -> ir.Value:
    return op.Transpose(x, perm=[0, 1, 3, 2])


def _to_items(op: Emitter, node: Node, dpicked: ir.Value) -> ir.Value:
    """Add the gradients of the regions' pictures to those of the pictures they are of."""
    zeros = full(op, 0.0, dpicked, node.shape(0))
    return op.ScatterND(zeros, op.Unsqueeze(node.inputs[2], [1]), dpicked, reduction="add")


def _to_one(op: Emitter, a: ir.Value, columns: ir.Value) -> ir.Value:
    """Return the gradient of the one picture that all regions are of, without one for each region.

    a: (regions, bins, height); columns: (regions, channels, bins, width).
    """
    height, channels, width = static_shape(a)[2], static_shape(columns)[1], static_shape(columns)[3]
    side_by_side = op.Reshape(op.Transpose(a, perm=[2, 0, 1]), [1, 1, height, -1])
    stacked = op.Reshape(op.Transpose(columns, perm=[1, 0, 2, 3]), [1, channels, -1, width])
    return op.MatMul(side_by_side, stacked)


@gradient("MaxRoiPool", samples=[])
def max_roi_pool(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy at each bin's maximum, shared equally among ties; regions are whole pixels"""
    x, regions = node.inputs
    assert dy.dtype is not None
    shape, bins = node.shape(0), node.attribute("pooled_shape")
    items = op.Cast(op.Gather(regions, 0, axis=1), to=ir.DataType.INT64.value)
    scaled = op.Mul(regions, float(node.attribute("spatial_scale")))
    corners = op.Mul(op.Sign(scaled), op.Floor(op.Add(op.Abs(scaled), 0.5)))
    rows, columns = (
        [
            _in_bin(op, corners, axis, k, bins[axis], shape[2 + axis], dy.dtype)
            for k in range(bins[axis])
        ]
        for axis in (0, 1)
    )
    picked = op.Gather(x, items, axis=0)
    total: ir.Value | None = None
    for i, j in itertools.product(range(bins[0]), range(bins[1])):
        place = [i, j], [i + 1, j + 1], [2, 3]
        equal = op.Equal(picked, op.Slice(node.outputs[0], *place))
        hit = op.Mul(op.Cast(equal, to=dy.dtype.value), op.Mul(rows[i], columns[j]))
        ties = op.Max(op.ReduceSum(hit, [2, 3], keepdims=1), 1.0)
        part = op.Mul(hit, op.Div(op.Slice(dy, *place), ties))
        total = part if total is None else op.Add(total, part)
    zeros = full(op, 0.0, dy, shape)
    return op.ScatterND(zeros, op.Unsqueeze(items, [1]), total, reduction="add"), None


def _in_bin(
    op: Emitter, corners: ir.Value, axis: int, k: int, bins: int, n: int, dtype: ir.DataType
) -> ir.Value:
    """Return 1 for the rows or columns that the k-th bin of each region holds, else 0."""
    start, end = (op.Gather(corners, [i], axis=1) for i in (2 - axis, 4 - axis))
    width = op.Div(op.Max(op.Add(op.Sub(end, start), 1.0), 1.0), float(bins))
    first = op.Add(op.Floor(op.Mul(width, float(k))), start)
    behind = op.Add(op.Ceil(op.Mul(width, k + 1.0)), start)
    pixels = np.arange(n, dtype=np.float64)
    inside = op.And(op.GreaterOrEqual(pixels, first), op.Less(pixels, behind))
    column = [-1, 1, n, 1] if axis == 0 else [-1, 1, 1, n]
    return op.Reshape(op.Cast(inside, to=dtype.value), column)
