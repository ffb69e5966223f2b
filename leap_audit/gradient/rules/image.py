"""Operators that cut pictures into blocks, or crop them."""

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.rules.arithmetic import in_type_of
from leap_audit.gradient.table import Gradients, Node, RuleSample, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of


def _blocks(shape: tuple[int, ...], image: list[int], block: list[int], **k: Any) -> RuleSample:
    return sample(shape, np.array(image), np.array(block), **k)


@gradient(
    "Col2Im",
    samples=[
        _blocks((1, 5, 5), [5, 5], [1, 5]),
        _blocks((2, 12, 12), [7, 6], [2, 3], strides=[2, 2], pads=[0, 1, 1, 1]),
        _blocks((1, 4, 5), [6, 6], [2, 2], dilations=[1, 5]),
        _blocks((1, 8, 36), [3, 4, 5], [1, 2, 2]),
        _blocks((1, 2, 3), [6], [2], strides=[2]),
    ],
)
def col_to_image(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = the blocks of dy that each column was added to"""
    n, columns, count = node.shape(0)
    image, block = (constant_of(value) for value in node.inputs[1:3])
    if image is None or block is None:
        raise GradientUnavailable(f"Col2Im ({node.name}): its sizes are computed")
    rank = len(image)
    strides, dilations = (node.attribute(a) or [1] * rank for a in ("strides", "dilations"))
    pads = list(node.attribute("pads") or [0] * 2 * rank)
    channels = static_shape(dy)[1]
    padded = op.Pad(dy, [0, 0, *pads[:rank], 0, 0, *pads[rank:]]) if any(pads) else dy
    sizes = static_shape(padded)[2:]
    places = np.zeros((1, 1), np.int64)
    for size, width, stride, dilation in zip(sizes, block, strides, dilations, strict=True):
        starts = np.arange(0, size - dilation * (int(width) - 1), stride)
        taps = np.arange(int(width))[:, None] * dilation + starts
        places = places[:, None, :, None] * size + taps[None, :, None, :]
        places = places.reshape(places.shape[0] * int(width), -1)
    flat = op.Reshape(padded, [n, channels, math.prod(sizes)])
    return op.Reshape(op.Gather(flat, places, axis=2), [n, columns, count]), None, None


@gradient(
    "CenterCropPad",
    samples=[
        sample((5, 8), np.array([8, 3])),
        sample((2, 5, 6), np.array([2, 9]), axes=[1, -1]),
        sample((4, 7), np.array([7, 4])),
    ],
)
def center_crop_pad(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy padded where it was cropped and cropped where it was padded"""
    shape = node.shape(0)
    axes = [a % len(shape) for a in node.attribute("axes") or range(len(shape))]
    return op.CenterCropPad(dy, [shape[a] for a in axes], axes=axes), None


@gradient("CastLike", samples=[sample((2, 3), (1,))])
def cast_like(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy in the type of x; whole numbers leave it as it is"""
    return in_type_of(op, node.inputs[0], dy), None
