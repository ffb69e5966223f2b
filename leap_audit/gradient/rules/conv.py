"""Convolution. Its input gradient decides the speed of everything; the choice is made here alone.

ONNX Runtime's Conv is blocked and threaded, its ConvTranspose is plain im2col. So with a constant
kernel the gradient is one Conv

- at stride 1: with the kernel flipped and its channels swapped;
- at a larger stride, for a depthwise kernel: the same over dy with zeros between its pixels.

At a larger stride any other kernel takes ConvTranspose: measured on twelve layers of ResNets,
ConvNeXt, ViT and EfficientNet it needs a third to a half of the time of one Conv for each phase of
the input grid, which multiplies zeros where the kernel is no multiple of the stride.
"""

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.table import Gradients, Node, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of

__all__ = ["Window", "conv_input_gradient", "window_of"]

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class Window:
    """How a kernel slides: one entry per spatial axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]

    def reach(self, axis: int) -> int:
        """Pixels a kernel spans along an axis."""
        return self.dilations[axis] * (self.kernel[axis] - 1) + 1


def window_of(node: Node, kernel: tuple[int, ...], spatial: tuple[int, ...]) -> Window:
    """Return the sliding window of a convolution or pooling, with auto_pad made explicit."""
    rank = len(kernel)
    strides = tuple(node.attribute("strides", [1] * rank))
    dilations = tuple(node.attribute("dilations", [1] * rank))
    pads = list(node.attribute("pads", [0] * (2 * rank)))
    auto = node.attribute("auto_pad")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pads = [0] * (2 * rank)
        for i in range(rank):
            out = -(-spatial[i] // strides[i])
            total = max(0, (out - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 - spatial[i])
            small, large = total // 2, total - total // 2
            upper = auto == "SAME_UPPER"
            pads[i], pads[rank + i] = (small, large) if upper else (large, small)
    elif auto == "VALID":
        pads = [0] * (2 * rank)
    return Window(kernel, strides, dilations, tuple(pads[:rank]), tuple(pads[rank:]))


@gradient(
    "Conv",
    samples=[
        sample((2, 3, 5, 6), (4, 3, 3, 3), (4,), pads=[1, 1, 1, 1]),
        sample((1, 4, 7, 6), (6, 2, 3, 2), group=2, pads=[1, 0, 1, 1]),
        sample((1, 4, 8, 8), (4, 1, 3, 3), group=4, strides=[2, 2], pads=[0, 0, 1, 1]),
        sample((1, 2, 9, 8), (3, 2, 3, 3), strides=[3, 3]),
        sample((1, 2, 9, 9), (3, 2, 2, 2), strides=[3, 3]),
        sample((1, 2, 8, 9), (3, 2, 3, 3), dilations=[2, 2], pads=[2, 2, 2, 2]),
        sample((1, 2, 9, 9), (3, 2, 3, 3), dilations=[2, 2], strides=[2, 2]),
        sample((1, 2, 8, 9), (3, 2, 1, 1), strides=[2, 2]),
        sample((1, 2, 8, 9), (3, 2, 7, 7), strides=[2, 2], pads=[3, 3, 3, 3]),
        sample((1, 2, 8, 9), (3, 2, 3, 3), strides=[1, 2], pads=[1, 1, 1, 1]),
        sample((1, 2, 7, 7), (3, 2, 3, 3), strides=[2, 2], auto_pad="SAME_LOWER"),
        sample((1, 2, 7, 7), (3, 2, 3, 3), pads=[3, 3, 3, 3]),
        sample((2, 3, 9), (4, 3, 4), strides=[2], pads=[1, 2]),
        sample((1, 2, 4, 5, 6), (3, 2, 2, 3, 2), strides=[1, 2, 2], pads=[0, 1, 0, 1, 1, 0]),
    ],
)
def conv(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = the transposed convolution of dy; dbias = dy summed over all but the channels"""
    if node.needs[1]:
        raise GradientUnavailable(f"Conv ({node.name}): its kernel is computed from the input")
    spatial = node.shape(0)[2:]
    window = window_of(node, node.shape(1)[2:], spatial)
    kernel = node.inputs[1]
    assert kernel is not None
    dx = conv_input_gradient(op, dy, kernel, window, spatial, node.attribute("group"))
    db = None
    if len(node.inputs) > 2 and node.needs[2]:
        db = op.ReduceSum(dy, [0, *range(2, len(node.shape(0)))], keepdims=0)
    return dx, None, db


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
    if numbers is not None:
        if (found := _factor_behind(dy, numbers)) is not None:
            dy, numbers = found
            kernel = op.constant(numbers, _type(dy))
        case = _Case(op, dy, numbers, window, spatial, group)
        dx = None
        if all(s == 1 for s in window.strides):
            dx = _flipped(case)
        elif numbers.shape[0] == group:
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
    """A convolution with a constant kernel, (M, C/g, *k), whose input gradient is wanted."""

    op: Emitter
    dy: ir.Value
    kernel: Array
    window: Window
    spatial: tuple[int, ...]
    group: int

    @property
    def out(self) -> tuple[int, ...]:
        """The spatial shape of dy."""
        return static_shape(self.dy)[2:]

    @property
    def swapped(self) -> Array:
        """The kernel as (C, M/g, *k): within each group, what came out goes in."""
        m, c = self.kernel.shape[:2]
        g = self.group
        grouped = self.kernel.reshape(g, m // g, c, *self.kernel.shape[2:])
        return np.swapaxes(grouped, 1, 2).reshape(g * c, m // g, *self.kernel.shape[2:])


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
    turned = np.flip(case.swapped, axis=tuple(range(2, case.kernel.ndim)))
    return op.Conv(
        dy,
        turned,
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
