"""The discrete Fourier transform, whose gradient is its transpose: the transform the other way."""

import numpy as np
import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.table import Gradients, Node, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of


@gradient(
    "DFT",
    samples=[
        sample((2, 6, 1)),
        sample((2, 5, 2)),
        sample((2, 6, 2), np.array(4)),
        sample((2, 5, 3, 1), np.array(8), np.array(1)),
        sample((2, 6, 1), None, np.array(1), onesided=1),
        sample((2, 5, 1), np.array(7), onesided=1),
        sample((5, 3, 2), None, np.array(-3), inverse=1),
        sample((2, 6, 1), np.array(4), inverse=1),
        sample((2, 5, 2), np.array(8), inverse=1),
        sample((2, 4, 2), inverse=1, onesided=1),
        sample((2, 4, 2), np.array(7), inverse=1, onesided=1),
        sample((2, 4, 2), np.array(5), inverse=1, onesided=1),
        sample((2, 3, 2), np.array(8), inverse=1, onesided=1),
    ],
)
def dft(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """y_k = sum x_n e^(-2 pi i k n / N): dx_n = sum dy_k e^(2 pi i k n / N), real if x is

    inverse, which divides by N: dx = the transform of dy, over N
    """
    shape = node.shape(0)
    axis = _number(node, 2, -2) % len(shape)
    inverse, onesided = node.attribute("inverse"), node.attribute("onesided")
    whole = 2 * (shape[axis] - 1) if inverse and onesided else shape[axis]
    length = _number(node, 1, whole)
    if inverse:
        dx = op.DFT(dy, None, axis, onesided=onesided)
        weights = np.full(static_shape(dx)[axis], 1.0)
        if onesided:  # each of these stands for its mirror image too, but 0 and the middle
            weights[1 : (length + 1) // 2] = 2.0
        dx = op.Mul(dx, _along(weights / length, axis, len(shape)))
    else:
        dx = op.Mul(op.DFT(_resized(op, dy, axis, length), None, axis, inverse=1), float(length))
    dx = _resized(op, dx, axis, shape[axis])
    return dx if shape[-1] == 2 else op.Slice(dx, [0], [1], [-1]), None, None


def _number(node: Node, index: int, default: int) -> int:
    """Return a whole number that an input gives, or its default."""
    if index >= len(node.inputs) or node.inputs[index] is None:
        return default
    given = constant_of(node.inputs[index])
    if given is None:
        raise GradientUnavailable(f"DFT ({node.name}): its length or its axis is computed")
    return int(given.ravel()[0])


def _along(weights: np.ndarray, axis: int, rank: int) -> np.ndarray:
    return weights.reshape([-1 if i == axis else 1 for i in range(rank)])


def _resized(op: Emitter, x: ir.Value, axis: int, length: int) -> ir.Value:
    """Return the first numbers along an axis, or all of them and zeros behind."""
    rank, have = len(static_shape(x)), static_shape(x)[axis]
    if have > length:
        return op.Slice(x, [0], [length], [axis])
    pads = [0] * 2 * rank
    pads[rank + axis] = length - have
    return op.Pad(x, pads) if have < length else x
