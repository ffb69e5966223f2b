"""The gradient of a convolution's kernel: a convolution itself.

With y[b, m, o] = sum of w[m, c, k] x[b, c, o stride + k dilation - pad], the kernel's gradient is
dw[m, c, k] = sum over b and o of dy[b, m, o] x[b, c, o stride + k dilation - pad]. That is the
convolution of x with dy for a kernel, where batch and channels change places, and so do strides and
dilations. The groups of a grouped convolution stay groups.
"""

import math

import onnx_ir as ir

from leap_audit.gradient.rules.window import Window
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape

__all__ = ["conv_kernel_gradient"]


def conv_kernel_gradient(
    op: Emitter, x: ir.Value, dy: ir.Value, window: Window, group: int
) -> ir.Value:
    """Return the gradient of a convolution's kernel, summed over the batch.

    x: (batch, C, *spatial). dy: (batch, M, *out). Returns (M, C / group, *kernel).
    """
    batch, channels, *spatial = static_shape(x)
    _, made, *out = static_shape(dy)
    axes = range(len(spatial))
    if {*window.kernel, *window.strides} == {1} and not any((*window.begin, *window.end)):
        return _of_points(op, x, dy, group)
    # What the windows read, and no more: else the result would be larger than the kernel.
    end = [
        (out[i] - 1) * window.strides[i] + window.reach(i) - window.begin[i] - spatial[i]
        for i in axes
    ]
    per_group = channels // group
    items = _swapped(op, x) if group == 1 else _with_groups_in_channels(op, x, group)
    dw = op.Conv(
        items,
        _swapped(op, dy),
        strides=list(window.dilations),
        dilations=list(window.strides),
        pads=[*window.begin, *(max(0, e) for e in end)],
        group=group,
    )
    if min(end) < 0:
        dw = op.Slice(dw, [0 for _ in axes], list(window.kernel), [2 + i for i in axes])
    assert static_shape(dw) == (per_group, made, *window.kernel), batch
    return _swapped(op, dw)


def _of_points(op: Emitter, x: ir.Value, dy: ir.Value, group: int) -> ir.Value:
    """The kernel of one pixel at stride 1: a matrix product, several times as fast."""
    batch, channels, *spatial = static_shape(x)
    made, pixels = static_shape(dy)[1], math.prod(spatial)
    rows = op.Reshape(dy, (batch, group, made // group, pixels))
    columns = op.Reshape(x, (batch, group, channels // group, pixels))
    each = op.MatMul(rows, op.Transpose(columns, perm=[0, 1, 3, 2]))
    dw = op.ReduceSum(each, [0], keepdims=0) if batch > 1 else each
    return op.Reshape(dw, (made, channels // group, *(1 for _ in spatial)))


def _swapped(op: Emitter, x: ir.Value) -> ir.Value:
    """The first two axes in each other's place; free where one of them has length 1."""
    first, second, *rest = static_shape(x)
    if 1 in (first, second):
        return op.Reshape(x, (second, first, *rest))
    return op.Transpose(x, perm=[1, 0, *range(2, 2 + len(rest))])


def _with_groups_in_channels(op: Emitter, x: ir.Value, group: int) -> ir.Value:
    """(batch, group * C, ...) as (C, group * batch, ...): a channel of each group is an item."""
    batch, channels, *spatial = static_shape(x)
    per_group = channels // group
    split = op.Reshape(x, (batch, group, per_group, *spatial))
    moved = op.Transpose(split, perm=[2, 1, 0, *(3 + i for i in range(len(spatial)))])
    return op.Reshape(moved, (per_group, group * batch, *spatial))
