"""GridSample: pictures read between their pixels."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.rules.index import full
from leap_audit.gradient.rules.scatter import added_at
from leap_audit.gradient.table import Gradients, Node, RuleSample, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape

A = -0.75
"""The coefficient of cubic interpolation, which ONNX fixes."""


@dataclass(frozen=True)
class _Tap:
    """One of the pixels that an axis is read at, for each point: (items, points) each."""

    index: ir.Value
    weight: ir.Value
    slope: ir.Value
    """The derivative of the weight by the coordinate."""


def _case(mode: str, padding: str, align: int, rank: int = 2) -> RuleSample:
    # Odd numbers of 128ths: no tie, and exact in float32, in which onnx.reference computes.
    odd = 2 * np.random.default_rng(align).integers(-90, 90, (2, *(3, 2, 2)[:rank], rank)) + 1
    shape = (2, 2, *(4, 3, 3)[:rank])
    return sample(shape, odd / 128, mode=mode, padding_mode=padding, align_corners=align)


@gradient(
    "GridSample",
    samples=[
        _case("linear", "zeros", 0),
        *(
            _case(mode, padding, align)
            for mode in ("linear", "nearest", "cubic")
            for padding, align in (
                ("zeros", 1),
                ("border", 0),
                ("reflection", 0),
                ("reflection", 1),
            )
            if (mode, padding) != ("cubic", "border")  # judged by ONNX Runtime, not the reference
        ),
        _case("linear", "zeros", 0, rank=3),
        _case("nearest", "border", 0, rank=3),
    ],
)
def grid_sample(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy times the weights of the pixels each point was read from, added at these pixels

    dgrid = dy times these pixels and the slopes of their weights
    """
    n, channels, *sizes = node.shape(0)
    x, grid = node.inputs
    points = math.prod(static_shape(dy)[2:])
    flat = op.Reshape(dy, [n, channels, 1, points])
    axes: list[list[_Tap]] = []
    steps: list[ir.Value] = []
    for i, size in enumerate(sizes):
        along = op.Reshape(op.Gather(grid, len(sizes) - 1 - i, axis=len(sizes) + 1), [n, points])
        taps, step = _taps(op, node, along, size)
        axes.append(taps)
        steps.append(step)
    pixels = list(itertools.product(*axes))
    index = _side_by_side(op, [_place(op, taps, sizes) for taps in pixels])
    where = op.Expand(op.Unsqueeze(index, [1]), [n, channels, len(pixels), points])
    where = op.Reshape(where, [n, channels, -1])
    dx: ir.Value | None = None
    if node.needs[0]:
        weight = _side_by_side(op, [_product(op, [t.weight for t in taps]) for taps in pixels])
        shares = op.Reshape(op.Mul(flat, op.Unsqueeze(weight, [1])), [n, channels, -1])
        dx = added_at(op, [n, channels, math.prod(sizes)], where, shares, axis=2)
        dx = op.Reshape(dx, node.shape(0))
    if not node.needs[1]:
        return dx, None
    read = op.GatherElements(op.Reshape(x, [n, channels, -1]), where, axis=2)
    read = op.Reshape(read, [n, channels, len(pixels), points])
    force = op.ReduceSum(op.Mul(read, flat), [1], keepdims=0)
    parts: list[ir.Value] = []
    for i, step in enumerate(steps):
        slopes = [
            _product(op, [t.slope if i == k else t.weight for k, t in enumerate(taps)])
            for taps in pixels
        ]
        total = op.ReduceSum(op.Mul(force, _side_by_side(op, slopes)), [1], keepdims=0)
        parts.append(op.Unsqueeze(op.Mul(total, step), [-1]))
    dgrid = op.Concat(*reversed(parts), axis=-1)
    return dx, op.Reshape(dgrid, node.shape(1))


def _side_by_side(op: Emitter, values: Sequence[ir.Value]) -> ir.Value:
    """Return (items, points) tensors as one, (items, pixels, points)."""
    return op.Concat(*(op.Unsqueeze(value, [1]) for value in values), axis=1)


def _product(op: Emitter, values: Sequence[ir.Value]) -> ir.Value:
    total = values[0]
    for value in values[1:]:
        total = op.Mul(total, value)
    return total


def _place(op: Emitter, taps: Sequence[_Tap], sizes: Sequence[int]) -> ir.Value:
    """Return the flat position of the pixel at these indices."""
    place = taps[0].index
    for tap, size in zip(taps[1:], sizes[1:], strict=True):
        place = op.Add(op.Mul(place, float(size)), tap.index)
    return op.Cast(place, to=ir.DataType.INT64.value)


def _taps(op: Emitter, node: Node, along: ir.Value, size: int) -> tuple[list[_Tap], ir.Value]:
    """Return what an axis is read at, and the derivative of its coordinate by the grid's."""
    mode, padding = (node.attribute(name) for name in ("mode", "padding_mode"))
    align = bool(node.attribute("align_corners"))
    low, high = (0.0, size - 1.0) if align else (-0.5, size - 0.5)
    scale = (high - low) / 2
    at = op.Add(op.Mul(op.Add(along, 1.0), scale), low)
    if mode == "nearest":
        at = op.Round(at)
    step = full(op, scale, at, static_shape(at))
    assert at.dtype is not None
    inside = op.And(op.GreaterOrEqual(at, low), op.LessOrEqual(at, high))
    if padding == "border":
        if mode != "cubic":  # there PyTorch and ONNX Runtime hold only the pixels within it
            step = op.Mul(step, op.Cast(inside, to=at.dtype.value))
            at = op.Where(inside, at, op.Clip(at, 0.0, size - 1.0))
    elif padding == "reflection":
        at, sign = _reflected(op, at, low, high)
        step = op.Mul(step, sign)
    elif padding != "zeros":
        raise GradientUnavailable(f"GridSample ({node.name}): {padding!r} is no mode of ONNX's")
    at = op.Clip(at, -4.0, size + 4.0)  # no index overflows, and all of them are outside
    zeros = full(op, 0.0, at, static_shape(at))
    ones = full(op, 1.0, at, static_shape(at))
    if mode == "nearest":
        pieces = [(at, ones, zeros)]
    else:
        first = op.Floor(at)
        t = op.Sub(at, first)
        kernel = {"linear": _linear, "cubic": _cubic}.get(mode)
        if kernel is None:
            raise GradientUnavailable(f"GridSample ({node.name}): {mode!r} is no mode of ONNX's")
        pieces = [(op.Add(first, k), w, s) for k, w, s in kernel(op, t, ones)]
    found: list[_Tap] = []
    for index, weight, slope in pieces:
        if padding == "zeros":
            outside = op.Or(op.Less(index, 0.0), op.Greater(index, size - 1.0))
            weight, slope = op.Where(outside, 0.0, weight), op.Where(outside, 0.0, slope)
        elif padding == "reflection":
            index, _ = _reflected(op, index, low, high)
        found.append(_Tap(op.Clip(index, 0.0, size - 1.0), weight, slope))
    return found, step


_Kernel = list[tuple[float, ir.Value, ir.Value]]


def _linear(op: Emitter, t: ir.Value, ones: ir.Value) -> _Kernel:
    return [(0.0, op.Sub(1.0, t), op.Neg(ones)), (1.0, t, ones)]


def _cubic(op: Emitter, t: ir.Value, ones: ir.Value) -> _Kernel:
    """Keys (1981): the weights of the pixels before, at, after and beyond, with their slopes."""
    near = [A + 2, -(A + 3), 0.0, 1.0]
    far = [A, -5 * A, 8 * A, -4 * A]
    rest = op.Sub(1.0, t)
    taps = [(-1.0, op.Add(t, 1.0), far), (0.0, t, near), (1.0, rest, near)]
    taps.append((2.0, op.Add(rest, 1.0), far))
    found: _Kernel = []
    for k, distance, polynomial in taps:
        slope = _horner(op, distance, [c * p for c, p in zip(polynomial, (3, 2, 1), strict=False)])
        found.append((k, _horner(op, distance, polynomial), slope if k < 1 else op.Neg(slope)))
    return found


def _horner(op: Emitter, x: ir.Value, coefficients: Sequence[float]) -> ir.Value:
    total = op.Mul(x, coefficients[0])
    for c in coefficients[1:-1]:
        total = op.Mul(op.Add(total, c), x)
    return op.Add(total, coefficients[-1])


def _reflected(op: Emitter, at: ir.Value, low: float, high: float) -> tuple[ir.Value, ir.Value]:
    """Return a coordinate mirrored at the borders until it is inside, and the slope of that."""
    width = high - low
    if not width:
        nothing = full(op, 0.0, at, static_shape(at))
        return nothing, nothing
    away = op.Sub(at, low)
    over = op.Sub(op.Mod(op.Abs(away), 2 * width, fmod=1), width)
    sign = op.Neg(op.Mul(op.Sign(over), op.Sign(away)))
    return op.Sub(high, op.Abs(over)), sign
