"""Resize: linear and separable, so its gradient is one constant matrix for each resized axis."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from leap_audit.errors import GradientUnavailable
from leap_audit.gradient.table import Gradients, Node, RuleSample, gradient, sample
from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.graph.values import constant_of

Matrix = NDArray[np.float64]


def _case(scale: float, mode: str, coordinates: str, **more: Any) -> RuleSample:
    scales = np.array([1.0, 1.0, scale, 0.7])
    kind: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": coordinates, **more}
    return sample((1, 2, 4, 5), None, scales, **kind)


def _crop(mode: str, **more: Any) -> RuleSample:
    roi = np.array([0.0, 0.0, 0.3, -0.2, 1.0, 1.0, 0.9, 0.7])
    kind = {"coordinate_transformation_mode": "tf_crop_and_resize", "mode": mode, **more}
    return sample((1, 2, 4, 5), roi, None, np.array([1, 2, 5, 4]), **kind)


@gradient(
    "Resize",
    samples=[
        sample((1, 2, 3, 4), None, np.array([1.0, 1.0, 2.0, 3.0])),
        sample((1, 2, 3, 4), None, np.array([1.0, 1.0, 2.0, 3.0]), mode="linear"),
        sample((3, 4), None, np.array([2.0, 0.5]), nearest_mode="round_prefer_ceil"),
        sample((4,), None, np.array([2.5]), nearest_mode="floor"),
        sample((2, 6), None, None, np.array([2, 5]), nearest_mode="ceil"),
        *(
            _case(1.75, mode, coordinates)
            for mode in ("nearest", "linear", "cubic")
            for coordinates in ("half_pixel", "asymmetric", "pytorch_half_pixel")
        ),
        _case(1.6, "linear", "half_pixel_symmetric"),
        _case(1.75, "cubic", "half_pixel", cubic_coeff_a=-0.5, exclude_outside=1),
        _case(0.5, "linear", "half_pixel", antialias=1),
        _case(0.45, "cubic", "half_pixel", antialias=1),
        _case(0.45, "cubic", "half_pixel", antialias=1, exclude_outside=1),
        _crop("nearest"),
        _crop("linear", extrapolation_value=3.0),
        _crop("cubic"),
        *(
            sample((1, 2, 4, 5), None, None, np.array([1, 2, 7, length]), mode="linear",
                   coordinate_transformation_mode=coordinates)
            for coordinates in ("align_corners", "pytorch_half_pixel")
            for length in (1, 3)
        ),
        *(
            sample(
                (1, 4, 5, 2), None, None, np.array([7, 8]), axes=[1, 2], mode="linear",
                keep_aspect_ratio_policy=policy,
            )
            for policy in ("stretch", "not_larger", "not_smaller")
        ),
        sample((1, 2, 3, 2, 4), None, np.array([1, 1, 2.0, 1.5, 0.5]), mode="linear"),
        sample((2, 3, 3, 2, 4), None, np.array([1, 1, 2.0, 3.0, 1.0])),
        sample((2, 3, 4), None, np.array([2.0, 1.0, 1.0])),
    ],
)  # fmt: skip
def resize(op: Emitter, node: Node, dy: ir.Value) -> Gradients:
    """dx = dy times the transposed matrix of each resized axis; sums of blocks where it repeats"""
    axes = _axes(node, static_shape(dy))
    matrices = {a.axis: _matrix(node, a) for a in axes}
    matrices = {i: m for i, m in matrices.items() if not _is_identity(m)}
    dx = _summed_blocks(op, dy, matrices)
    if dx is not None:
        return dx, None, None, None
    for axis in sorted(matrices, key=lambda i: matrices[i].shape[1] / matrices[i].shape[0]):
        dy = _times(op, dy, matrices[axis], axis)
    return dy, None, None, None


@dataclass(frozen=True)
class _Axis:
    """How one axis is resized."""

    axis: int
    old: int
    new: int
    scale: float
    crop: tuple[float, float]


def _axes(node: Node, out: tuple[int, ...]) -> list[_Axis]:
    shape, given = node.shape(0), [*node.inputs, None, None, None][1:4]
    roi, scales, sizes = (constant_of(value) for value in given)
    if any(value is not None and constant_of(value) is None for value in given):
        raise GradientUnavailable(f"Resize ({node.name}): its region, scales or sizes are computed")
    axes = [int(a) % len(shape) for a in node.attribute("axes", range(len(shape)))]
    if scales is not None and scales.size:
        factors = [float(s) for s in scales]
    else:
        assert sizes is not None
        factors = [int(n) / shape[a] for n, a in zip(sizes, axes, strict=True)]
        policy = node.attribute("keep_aspect_ratio_policy")
        if policy != "stretch":
            factors = [min(factors) if policy == "not_larger" else max(factors)] * len(axes)
    crops = [(0.0, 1.0)] * len(axes)
    if roi is not None and roi.size:
        crops = [(float(roi[i]), float(roi[len(axes) + i])) for i in range(len(axes))]
    return [
        _Axis(a, shape[a], out[a], factor, crop)
        for a, factor, crop in zip(axes, factors, crops, strict=True)
    ]


def _matrix(node: Node, axis: _Axis) -> Matrix:
    """Return what an axis is multiplied by, of shape (new, old)."""
    mode = node.attribute("mode")
    at = _coordinates(node, axis, np.float32 if mode == "nearest" else np.float64)
    if mode == "nearest":
        first = _rounded(at, node.attribute("nearest_mode"))[:, None]
        weights = np.ones(first.shape)
    else:
        stretch = min(axis.scale, 1.0) if node.attribute("antialias") else 1.0
        reach = 1 if mode == "linear" else 2
        taps = 2 * int(np.ceil(reach / stretch)) + 1
        first = np.floor(at).astype(np.int64)[:, None] + np.arange(taps) - taps // 2
        distance = np.abs(first - at[:, None]) * stretch
        a = float(node.attribute("cubic_coeff_a"))
        weights = _hat(distance) if mode == "linear" else _cubic(distance, a)
        if node.attribute("exclude_outside"):
            weights = np.where((first >= 0) & (first < axis.old), weights, 0.0)
        weights /= weights.sum(1, keepdims=True)
    matrix = np.zeros((axis.new, axis.old))
    rows = np.broadcast_to(np.arange(axis.new)[:, None], first.shape)
    np.add.at(matrix, (rows, np.clip(first, 0, axis.old - 1)), weights)
    if node.attribute("coordinate_transformation_mode") == "tf_crop_and_resize":
        matrix[(at < 0) | (at > axis.old - 1)] = 0.0  # the extrapolation value
    return matrix


def _coordinates(node: Node, axis: _Axis, dtype: Any) -> NDArray[Any]:
    """Where each new pixel lies on the old axis.

    Nearest neighbours are found in float32, as ONNX Runtime does: between two pixels, the
    rounding of this arithmetic decides.
    """
    n, m, scale = (dtype(np.float32(number)) for number in (axis.old, axis.new, axis.scale))
    start, end = (dtype(np.float32(edge)) for edge in axis.crop)
    at = np.arange(axis.new, dtype=dtype)
    mode = node.attribute("coordinate_transformation_mode")
    if axis.new == 1 and mode in ("pytorch_half_pixel", "align_corners"):
        return at
    if mode in ("half_pixel", "pytorch_half_pixel"):
        at = (at + dtype(0.5)) / scale - dtype(0.5)
    elif mode == "half_pixel_symmetric":
        offset = n / 2 * (1 - m / (scale * n))
        at = (float(offset) + (np.arange(axis.new) + 0.5) / float(scale) - 0.5).astype(dtype)
    elif mode == "align_corners":
        at = at * (n - 1) / (m - 1)
    elif mode == "asymmetric":
        at = at / scale
    elif mode == "tf_crop_and_resize" and axis.new == 1:
        at = at + (start + end) * (n - 1) / 2
    elif mode == "tf_crop_and_resize":
        at = start * (n - 1) + at * (end - start) * (n - 1) / (m - 1)
    else:
        raise GradientUnavailable(f"Resize ({node.name}): {mode!r} is no mode of ONNX's")
    return at


def _rounded(at: NDArray[Any], how: str) -> NDArray[np.int64]:
    whole = np.floor(at)
    rest = at - whole
    up = {
        "floor": rest < 0,
        "ceil": rest > 0,
        "round_prefer_floor": rest > 0.5,
        "round_prefer_ceil": rest > 0.5 - 1e-6,  # ONNX Runtime has such a margin
    }[how]
    return np.asarray(whole + up, np.int64)


def _hat(distance: Matrix) -> Matrix:
    return np.maximum(0.0, 1.0 - distance)


def _cubic(distance: Matrix, a: float) -> Matrix:
    """Keys (1981), with a for the slope at 1."""
    d = distance
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = a * (((d - 5) * d + 8) * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _is_identity(matrix: Matrix) -> bool:
    return matrix.shape[0] == matrix.shape[1] and bool((matrix == np.eye(len(matrix))).all())


def _summed_blocks(op: Emitter, dy: ir.Value, matrices: dict[int, Matrix]) -> ir.Value | None:
    """Return the sum over the blocks of equal pixels, None where pixels are not just repeated."""
    rank = len(static_shape(dy))
    blocks = [1] * (rank - 2)
    for axis, matrix in matrices.items():
        new, old = matrix.shape
        times = new // old
        if axis < 2 or new % old or not np.array_equal(matrix, np.eye(old).repeat(times, 0)):
            return None
        blocks[axis - 2] = times
    if not matrices or rank > 5:
        return None
    return op.Mul(op.AveragePool(dy, kernel_shape=blocks, strides=blocks), float(np.prod(blocks)))


def _times(op: Emitter, dy: ir.Value, matrix: Matrix, axis: int) -> ir.Value:
    """Return dy with the axis multiplied by the transposed matrix."""
    assert dy.dtype is not None
    shape = static_shape(dy)
    if axis == len(shape) - 1 and axis:
        return op.MatMul(dy, op.constant(matrix, dy.dtype))
    transposed = op.constant(matrix.T, dy.dtype)
    if axis == len(shape) - 2 or len(shape) == 1:
        return op.MatMul(transposed, dy)
    before, after = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
    flat = op.MatMul(transposed, op.Reshape(dy, [before, shape[axis], after]))
    return op.Reshape(flat, [*shape[:axis], matrix.shape[1], *shape[axis + 1 :]])
