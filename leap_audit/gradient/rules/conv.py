"""Convolution. Its input gradient decides the speed of everything; the choice is made here alone.

ONNX Runtime's Conv is blocked and threaded, its ConvTranspose is plain im2col. So the gradient is
one Conv

- at stride 1: with the kernel flipped and its channels swapped;
- at a larger stride, for a depthwise kernel: the same over dy with zeros between its pixels.

At a larger stride any other kernel takes ConvTranspose: measured on twelve layers of ResNets,
ConvNeXt, ViT and EfficientNet it needs a third to a half of the time of one Conv for each phase of
the input grid, which multiplies zeros where the kernel is no multiple of the stride.

A constant kernel is flipped here, any other in the graph: ONNX Runtime folds that where it can. The
kernel's own gradient is in `kernel.py`.
"""

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from leap_audit.gradient.rules.kernel import conv_kernel_gradient
from leap_audit.gradient.rules.window import Window, window_of
from leap_audit.gradient.table import Gradients, Node, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of

__all__ = ["conv_input_gradient"]

Array: TypeAlias = NDArray[Any]


@gradient(
    "Conv",
    samples=[
        sample((2, 3, 5, 6), (4, 3, 3, 3), (4,), pads=[1, 1, 1, 1], wrt=(0, 1, 2)),
        sample((1, 4, 7, 6), (6, 2, 3, 2), group=2, pads=[1, 0, 1, 1], wrt=(0, 1)),
        sample((1, 4, 8, 8), (4, 1, 3, 3), group=4, strides=[2, 2], pads=[0, 0, 1, 1], wrt=(0, 1)),
        sample((1, 2, 9, 8), (3, 2, 3, 3), strides=[3, 3], wrt=(0, 1)),
        sample((1, 2, 9, 9), (3, 2, 2, 2), strides=[3, 3], wrt=(0, 1)),
        sample((1, 2, 8, 9), (3, 2, 3, 3), dilations=[2, 2], pads=[2, 2, 2, 2], wrt=(0, 1)),
        sample((1, 2, 9, 9), (3, 2, 3, 3), dilations=[2, 2], strides=[2, 2], wrt=(0, 1)),
        sample((1, 2, 8, 9), (3, 2, 1, 1), strides=[2, 2], wrt=(0, 1)),
        sample((1, 2, 8, 9), (3, 2, 7, 7), strides=[2, 2], pads=[3, 3, 3, 3], wrt=(0, 1)),
        sample((1, 2, 8, 9), (3, 2, 3, 3), strides=[1, 2], pads=[1, 1, 1, 1], wrt=(0, 1)),
        sample((1, 2, 7, 7), (3, 2, 3, 3), strides=[2, 2], auto_pad="SAME_LOWER", wrt=(0, 1)),
        sample((1, 2, 7, 7), (3, 2, 3, 3), pads=[3, 3, 3, 3], wrt=(0, 1)),
        sample((2, 3, 9), (4, 3, 4), strides=[2], pads=[1, 2], wrt=(0, 1)),
        sample(
            (1, 2, 4, 5, 6), (3, 2, 2, 3, 2), strides=[1, 2, 2], pads=[0, 1, 0, 1, 1, 0], wrt=(0, 1)
        ),
        sample((2, 6, 3, 4), (4, 6, 1, 1), (4,), wrt=(0, 1, 2)),
        sample((2, 6, 3, 4), (4, 3, 1, 1), group=2, wrt=(0, 1)),
        sample((2, 2, 3, 4), (4, 2, 1, 1), pads=[1, 0, 0, 1], wrt=(0, 1)),
        sample((1, 2, 3, 4, 2), (3, 2, 1, 1, 1), wrt=1),
        sample((2, 6, 11, 10), (4, 3, 3, 2), group=2, strides=[3, 4], dilations=[2, 3], wrt=1),
        sample((3, 1, 9, 9), (2, 1, 2, 2), strides=[4, 3], pads=[0, 0, 2, 2], wrt=(0, 1)),
    ],
)
def conv(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = the transposed convolution of dy; dw = the convolution of x with dy;

    dbias = dy summed over all but the channels
    """
    spatial, group = node.shape(0)[2:], node.attribute("group")
    window = window_of(node, node.shape(1)[2:], spatial)
    x, kernel = node.inputs[:2]
    assert x is not None
    assert kernel is not None
    dx = dw = db = None
    if node.needs[0]:
        dx = conv_input_gradient(op, dy, kernel, window, spatial, group)
    if node.needs[1]:
        dw = conv_kernel_gradient(op, x, dy, window, group)
    if len(node.inputs) > 2 and node.needs[2]:
        db = op.ReduceSum(dy, [0, *range(2, len(node.shape(0)))], keepdims=0)
    return dx, dw, db


def conv_input_gradient(
    op: Emitter,
    dy: ir.Value,
    kernel: ir.Value,
    window: Window,
    spatial: tuple[int, ...],
    group: int,
) -> ir.Value:
    """Return the gradient of a convolution's input, whose spatial shape is `spatial`."""
    numbers = constant_of(kernel)
    if numbers is not None and (found := _factor_behind(dy, numbers)) is not None:
        dy, numbers = found
        kernel = op.constant(numbers, _type(dy))
    case = _Case(op, dy, kernel, window, spatial, group)
    dx = None
    if all(s == 1 for s in window.strides):
        dx = _flipped(case)
    elif static_shape(kernel)[0] == group:
        dx = _zeros_between(case)
    if dx is not None:
        return dx
    out = static_shape(dy)[2:]
    axes = range(len(spatial))
    # Pixels at the far edge that no window reached.
    leftover = [
        spatial[i]
        + window.begin[i]
        + window.end[i]
        - window.reach(i)
        - (out[i] - 1) * window.strides[i]
        for i in axes
    ]
    return op.ConvTranspose(
        dy,
        kernel,
        strides=list(window.strides),
        dilations=list(window.dilations),
        pads=[
            *window.begin,
            *(end - min(0, left) for end, left in zip(window.end, leftover, strict=True)),
        ],
        output_padding=[max(0, left) for left in leftover],
        group=group,
    )


def _factor_behind(dy: ir.Value, kernel: Array) -> tuple[ir.Value, Array] | None:
    """Return dy without a constant factor for each channel, and the kernel with it.

    A normalisation behind the convolution leaves such a factor.
    """
    node = dy.producer()
    if node is None or node.op_type != "Mul":
        return None
    per_channel = (len(kernel), *(1 for _ in kernel.shape[2:]))
    rest, factor = node.inputs
    numbers = constant_of(factor)
    if rest is None or numbers is None or numbers.shape != per_channel or rest.shape != dy.shape:
        return None
    return rest, kernel * numbers[:, None]


def _type(value: ir.Value) -> ir.DataType:
    assert value.dtype is not None
    return value.dtype


@dataclass(frozen=True)
class _Case:
    """A convolution with a kernel (M, C/g, *k) whose input gradient is wanted."""

    op: Emitter
    dy: ir.Value
    kernel: ir.Value
    window: Window
    spatial: tuple[int, ...]
    group: int

    @property
    def out(self) -> tuple[int, ...]:
        """The spatial shape of dy."""
        return static_shape(self.dy)[2:]


def _turned(case: _Case) -> ir.Value | Array:
    """The kernel flipped, as (C, M/g, *k): within each group, what came out goes in."""
    op, g = case.op, case.group
    made, channels, *sides = static_shape(case.kernel)
    split, joined = (g, made // g, channels, *sides), (g * channels, made // g, *sides)
    order = (0, 2, 1, *range(3, 3 + len(sides)))
    axes = list(range(2, 2 + len(sides)))
    numbers = constant_of(case.kernel)
    if numbers is not None:
        return np.flip(numbers.reshape(split).transpose(order).reshape(joined), axis=tuple(axes))
    swapped = op.Reshape(op.Transpose(op.Reshape(case.kernel, split), perm=list(order)), joined)
    if all(side == 1 for side in sides):
        return swapped
    last, before_first = [-1 for _ in axes], [-side - 1 for side in sides]
    return op.Slice(swapped, last, before_first, axes, last)


def _flipped(case: _Case) -> ir.Value | None:
    op, dy, window, spatial = case.op, case.dy, case.window, case.spatial
    axes = range(len(spatial))
    begin = [window.reach(i) - 1 - window.begin[i] for i in axes]
    end = [spatial[i] - case.out[i] + window.reach(i) - 1 - begin[i] for i in axes]
    if min(begin) < 0:
        return None
    if min(end) < 0:  # zeros after the last pixel that the input does not reach
        kept = [case.out[i] + min(0, end[i]) for i in axes]
        dy = op.Slice(dy, [0] * len(kept), kept, [2 + i for i in axes])
        end = [max(0, e) for e in end]
    return op.Conv(
        dy,
        _turned(case),
        dilations=list(window.dilations),
        pads=[*begin, *end],
        group=case.group,
    )


def _zeros_between(case: _Case) -> ir.Value | None:
    """Repeat each pixel of dy over its stride, keep the first of each, convolve at stride 1."""
    if len(case.spatial) != 2:
        return None
    op, window = case.op, case.window
    s = window.strides
    repeated = op.Resize(
        case.dy,
        None,
        op.constant(np.array([1, 1, *s], np.float32)),
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )
    first = np.zeros(static_shape(repeated)[2:])
    first[:: s[0], :: s[1]] = 1
    spread = op.Mul(repeated, first)
    # The last stride's zeros may reach past the input: the far padding takes them back.
    return _flipped(replace(case, dy=spread, window=replace(window, strides=(1, 1))))
