"""Detectors that answer with one map: a box and its classes in each cell."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import onnx_ir as ir

from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.ingest.detectors.decoding import (
    centred,
    corners,
    grid_points,
    log_odds_of_log,
    log_probability,
    part,
    rows_last,
    widths_joined,
)
from leap_audit.ingest.detectors.logits import log_odds
from leap_audit.ingest.detectors.registry import (
    Counting,
    Outputs,
    RawDetections,
    Signature,
    detector,
)

__all__: list[str] = []

OBJECT, CLASS = 0.6, 0.4
"""Exponents of the two confidences in FastestDet's own (utils/tool.py, handle_preds)."""


@detector(
    "fastestdet",
    about="FastestDet: one map of 1 + 4 + classes channels",
    resize="stretch",
    channel_order="BGR",
    counting=Counting(0.65, 0.45, "as in FastestDet's test.py"),
)
def fastestdet(outputs: Outputs) -> Signature | None:
    """Return the map of FastestDet, which is objectness, four numbers and classes joined."""
    if len(outputs.floats) != 1 or not (found := outputs.shaped(None, None, None)):
        return None
    (value,) = found
    node = value.producer()
    if node is None or node.op_type != "Concat" or node.attributes["axis"].as_int() != 1:
        return None
    widths = [static_shape(each)[1] for each in node.inputs if each is not None]
    if len(widths) != 3 or widths[:2] != [1, 4]:
        return None
    _, channels, height, width = static_shape(value)
    classes, rows = widths[2], height * width
    words = f"{channels} × {height} × {width}: objectness, a box and {classes} classes in each cell"
    return Signature((str(value.name),), classes, rows, words, _fastestdet)


def _fastestdet(op: Emitter, values: Sequence[ir.Value], size: tuple[int, int]) -> RawDetections:  # noqa: ARG001
    """The confidence is objectness ** 0.6 · class ** 0.4, and the box lies about its cell."""
    (value,) = values
    _, channels, height, width = static_shape(value)
    object_ = op.Mul(log_probability(op, part(op, value, 0, 1)), OBJECT)
    class_ = op.Mul(log_probability(op, part(op, value, 5, channels)), CLASS)
    scores = log_odds_of_log(op, rows_last(op, op.Add(object_, class_)))
    box = rows_last(op, part(op, value, 1, 5))
    middle = op.Add(op.Tanh(op.Slice(box, [0], [2], [1])), cells(height, width))
    middle = op.Mul(middle, [[[1 / width], [1 / height]]])
    sides = op.Sigmoid(op.Slice(box, [2], [4], [1]))
    return RawDetections(scores, centred(op, op.Concat(middle, sides, axis=1), (1, 1)))


def cells(height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return (1, 2, height · width): the column and the row of each cell of a map."""
    down, across = np.mgrid[:height, :width]
    return np.stack([across.ravel(), down.ravel()])[None].astype(np.float32)


NANODET = {(8, 16, 32, 64): 0.0, (8, 16, 32): 0.5}
"""Strides of NanoDet-Plus and of NanoDet -> where in its cell the point of a row lies."""
BINS = 8
"""Of the distance to each side of the box, 0 to 7 cells."""


@detector(
    "nanodet",
    about="NanoDet and NanoDet-Plus: classes and 4 × 8 bins of distances in each row",
    channel_order="BGR",
    plain=False,
    counting=Counting(0.35, 0.6, "as in NanoDet's demo.py"),
)
def nanodet(outputs: Outputs) -> Signature | None:
    """Return the list of NanoDet: classes before the bins of distances."""
    for value in outputs.shaped(None, None) if len(outputs.floats) == 1 else ():
        _, rows, numbers = static_shape(value)
        classes = numbers - 4 * BINS
        if widths_joined(value, numbers) != (classes, 4 * BINS):
            continue
        for strides, offset in NANODET.items():
            if rows == outputs.cells(*strides):
                words = (
                    f"{rows} × {numbers}: {classes} classes, then {BINS} bins for the distance of "
                    f"each side, in each of {rows} rows"
                )
                write = partial(_nanodet, strides=strides, offset=offset)
                return Signature((str(value.name),), classes, rows, words, write)
    return None


def _nanodet(
    op: Emitter,
    values: Sequence[ir.Value],
    size: tuple[int, int],
    *,
    strides: tuple[int, ...],
    offset: float,
) -> RawDetections:
    """Each distance is the mean of its bins, weighed by their softmax (Li et al. 2020)."""
    (value,) = values
    batch, rows, numbers = static_shape(value)
    classes = numbers - 4 * BINS
    odds = op.Transpose(log_odds(op, value, 0, classes, axis=2), perm=[0, 2, 1])
    bins = op.Reshape(part(op, value, classes, numbers, axis=2), (batch, rows, 4, BINS))
    means = op.ReduceSum(op.Mul(op.Softmax(bins, axis=3), np.arange(BINS)), [3], keepdims=0)
    points, sides = grid_points(size, strides, offset)
    far = op.Mul(op.Transpose(means, perm=[0, 2, 1]), sides)
    at = points * sides
    low = op.Sub(at, op.Slice(far, [0], [2], [1]))
    high = op.Add(at, op.Slice(far, [2], [4], [1]))
    return RawDetections(odds, corners(op, op.Concat(low, high, axis=1), size))
