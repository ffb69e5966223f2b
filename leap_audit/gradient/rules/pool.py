"""Pooling. Ties in MaxPool go to the first pixel of the window, as ONNX Runtime's indices say."""

import math

import numpy as np
import onnx_ir as ir

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.rules.conv import conv_input_gradient
from leap_audit.gradient.rules.scatter import added_at
from leap_audit.gradient.rules.window import Window, window_of
from leap_audit.gradient.table import Gradients, Node, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape

_PLACES = np.array([[[[0, 3], [13, 10]], [[17, 18], [28, 31]]]])


@gradient("GlobalAveragePool", samples=[sample((2, 3, 4, 5)), sample((2, 3, 4))])
def global_average_pool(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy / pixels, repeated"""
    shape = node.shape(0)
    return op.Expand(op.Div(dy, float(math.prod(shape[2:]))), shape)


@gradient(
    "AveragePool",
    samples=[
        sample((1, 2, 6, 6), kernel_shape=[2, 2], strides=[2, 2]),
        sample((1, 2, 5, 6), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        sample((1, 2, 5, 6), kernel_shape=[3, 2], pads=[1, 0, 1, 1], count_include_pad=1),
        sample((1, 2, 6, 7), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        sample((1, 2, 7, 7), kernel_shape=[7, 7]),
        sample((1, 2, 9, 9), kernel_shape=[2, 2], strides=[3, 3]),
        sample((2, 3, 9), kernel_shape=[3], strides=[2]),
    ],
)
def average_pool(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = the transposed convolution of dy / count with a kernel of ones"""
    shape, out = node.shape(0), static_shape(dy)
    assert dy.dtype is not None
    window = window_of(node, tuple(node.attribute("kernel_shape")), shape[2:])
    _require_windows_in_the_picture(node, window, shape[2:], out[2:])
    counts = _counts(window, shape[2:], out[2:], bool(node.attribute("count_include_pad")))
    share = op.Div(dy, op.constant(counts, dy.dtype))
    whole = window.kernel == shape[2:] and not any(window.begin + window.end)
    if whole and math.prod(out[2:]) == 1:
        return op.Expand(share, shape)
    ones = op.constant(np.ones((shape[1], 1, *window.kernel)), dy.dtype)
    return conv_input_gradient(op, share, ones, window, shape[2:], shape[1])


@gradient(
    "MaxPool",
    samples=[
        sample((1, 2, 6, 6), kernel_shape=[2, 2], strides=[2, 2]),
        sample((1, 2, 6, 7), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        sample((1, 2, 6, 7), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        sample((2, 3, 8), kernel_shape=[2], strides=[2]),
    ],
)
def max_pool(op: Emitter, node: Node, dy: ir.Value, *unused: ir.Value | None) -> Gradients:
    """dx = dy added at each window's maximum"""
    shape = node.shape(0)
    assert dy.dtype is not None
    window = window_of(node, tuple(node.attribute("kernel_shape")), shape[2:])
    _require_windows_in_the_picture(node, window, shape[2:], static_shape(dy)[2:])
    attributes = {k: v for k, v in node.attributes.items() if k != "storage_order"}
    _, places = op.emit("MaxPool", [node.inputs[0]], attributes, 2)
    places, flat = op.Reshape(places, [-1]), op.Reshape(dy, [-1])
    return op.Reshape(added_at(op, [math.prod(shape)], places, flat, axis=0), shape)


@gradient("GlobalMaxPool", samples=[sample((2, 3, 4, 5))])
def global_max_pool(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy at the maximum, shared equally among ties"""
    assert dy.dtype is not None
    hit = op.Cast(op.Equal(node.inputs[0], node.outputs[0]), to=dy.dtype.value)
    ties = op.ReduceSum(hit, list(range(2, len(node.shape(0)))), keepdims=1)
    return op.Mul(hit, op.Div(dy, ties))


@gradient(
    "LpPool",
    samples=[
        sample((1, 2, 6, 6), kernel_shape=[2, 2], strides=[2, 2]),
        sample((1, 2, 5, 6), kernel_shape=[3, 2], pads=[1, 0, 1, 1], p=3),
        sample((1, 2, 5, 6), kernel_shape=[2, 2], dilations=[2, 1], p=1),
        sample((1, 2, 5, 6), kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"),
        sample((2, 3, 9), kernel_shape=[3], strides=[2]),
        sample((1, 1, 4, 4, 4), kernel_shape=[2, 2, 2], strides=[2, 2, 2]),
    ],
)
def lp_pool(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = sign(x) |x|^(p-1) * the transposed convolution of dy / y^(p-1); 0 where y is 0"""
    shape = node.shape(0)
    assert dy.dtype is not None
    window = window_of(node, tuple(node.attribute("kernel_shape")), shape[2:])
    _require_windows_in_the_picture(node, window, shape[2:], static_shape(dy)[2:])
    ones = op.constant(np.ones((shape[1], 1, *window.kernel)), dy.dtype)
    share = _per_length(op, node, dy)
    return _times_power(op, node, conv_input_gradient(op, share, ones, window, shape[2:], shape[1]))


@gradient("GlobalLpPool", samples=[])
def global_lp_pool(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = sign(x) |x|^(p-1) * dy / y^(p-1); 0 where y is 0"""
    return _times_power(op, node, _per_length(op, node, dy))


def _per_length(op: Emitter, node: Node, dy: ir.Value) -> ir.Value:
    """dy / y^(p-1), 0 where y is 0"""
    (y,) = node.outputs
    p = float(node.attribute("p"))
    if p == 1:
        return dy
    zero = op.Equal(y, 0.0)
    length = op.Where(zero, 1.0, y)
    return op.Where(zero, 0.0, op.Div(dy, length if p == 2 else op.Pow(length, p - 1)))


def _times_power(op: Emitter, node: Node, g: ir.Value) -> ir.Value:
    """g * sign(x) |x|^(p-1)"""
    (x,) = node.inputs
    p = float(node.attribute("p"))
    if p == 2:
        return op.Mul(g, x)
    signed = op.Mul(g, op.Sign(x))
    return signed if p == 1 else op.Mul(signed, op.Pow(op.Abs(x), p - 1))


@gradient(
    "MaxUnpool",
    samples=[
        sample((1, 2, 2, 2), _PLACES, kernel_shape=[2, 2], strides=[2, 2]),
        sample((1, 1, 3), np.array([[[1, 3, 4]]]), kernel_shape=[2], strides=[2]),
        sample((1, 1, 2, 2), np.array([[[[0, 4], [4, 8]]]]), kernel_shape=[2, 2]),
    ],
)
def max_unpool(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy from where each pixel was put; the last of several put there overwrote the others"""
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        raise GradientUnavailable(
            f"MaxUnpool ({node.name}): ONNX infers no shape from its output_shape; "
            "export it without one."
        )
    places = node.inputs[1]
    dx = op.Gather(op.Reshape(dy, [-1]), places)
    kernel = node.attribute("kernel_shape")
    strides = node.attribute("strides", [1 for _ in kernel])
    if all(s >= k for s, k in zip(strides, kernel, strict=True)):
        return dx, None  # windows that do not overlap have no pixel in common
    shape = node.shape(0)
    order = np.arange(1, math.prod(shape) + 1)
    empty = op.Expand(op.constant(0, ir.DataType.INT64), [math.prod(static_shape(dy))])
    last = op.ScatterElements(empty, op.Reshape(places, [-1]), order, reduction="max")
    return op.Where(op.Equal(op.Gather(last, places), order.reshape(shape)), dx, 0.0), None


def _require_windows_in_the_picture(
    node: Node, window: Window, spatial: tuple[int, ...], out: tuple[int, ...]
) -> None:
    """Refuse a last window that starts behind the picture.

    With ceil_mode, runtimes leave such a window out, but ONNX's shape inference counts it: every
    shape after this node would be wrong.
    """
    for i, n in enumerate(spatial):
        if (out[i] - 1) * window.strides[i] - window.begin[i] >= n:
            raise GradientUnavailable(
                f"{node.op_type} ({node.name}): with ceil_mode its last window starts behind the "
                "picture; export it without ceil_mode."
            )


def _counts(
    window: Window, spatial: tuple[int, ...], out: tuple[int, ...], include_pad: bool
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """How many pixels each average was taken over, of shape `out`."""
    total: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = np.ones(())
    for i, n in enumerate(spatial):
        first = np.arange(out[i]) * window.strides[i] - window.begin[i]
        taps = first[:, None] + np.arange(window.kernel[i]) * window.dilations[i]
        low, high = (-window.begin[i], n + window.end[i]) if include_pad else (0, n)
        total = np.multiply.outer(total, ((taps >= low) & (taps < high)).sum(1))
    return total
