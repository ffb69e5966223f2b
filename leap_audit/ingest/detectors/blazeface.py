"""Face detectors of MediaPipe (BlazeFace): a face, its box and its key points at each anchor."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import onnx_ir as ir

from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.ingest.detectors.decoding import as_float, centred, grid_points
from leap_audit.ingest.detectors.registry import (
    Counting,
    Outputs,
    RawDetections,
    Signature,
    detector,
)

__all__: list[str] = []

ANCHORS = {(8, 16): (2, 6), (16, 32): (2, 6), (4,): (1,)}
"""Strides of the maps of the short-range, back-camera and full-range detectors -> anchors in each
cell of a map (MediaPipe, ssd_anchors_calculator.cc: two for each layer of a stride, or one)."""
NUMBERS = 16
"""Of an anchor: centre and size of the box, then six key points, all from the anchor in pixels."""


@detector(
    "blazeface",
    about="MediaPipe's face detectors: 16 numbers and one logit in each row",
    resize="letterbox",
    range=(-1.0, 1.0),
    counting=Counting(0.5, 0.3, "as in MediaPipe's graphs of face detection"),
)
def blazeface(outputs: Outputs) -> Signature | None:
    """Return boxes with key points, and the logits of the one class, a face."""
    boxes, logits = outputs.shaped(None, NUMBERS), outputs.shaped(None, 1)
    if len(boxes) != 1 or len(logits) != 1 or len(outputs.floats) != 2:
        return None
    rows = static_shape(boxes[0])[1]
    if static_shape(logits[0])[1] != rows:
        return None
    for strides, anchors in ANCHORS.items():
        each = [outputs.cells(stride) for stride in strides]
        if rows == sum(count * cells for count, cells in zip(anchors, each, strict=True)):
            words = (
                f"{rows} × {NUMBERS} and {rows} × 1: centre, size and six key points, which are "
                f"not read, and the logit of a face, at each of {rows} anchors"
            )
            names = (str(boxes[0].name), str(logits[0].name))
            return Signature(names, 1, rows, words, partial(_blazeface, strides=strides))
    return None


def _blazeface(
    op: Emitter, values: Sequence[ir.Value], size: tuple[int, int], *, strides: tuple[int, ...]
) -> RawDetections:
    numbers, logits = (op.Transpose(as_float(op, value), perm=[0, 2, 1]) for value in values)
    points = []
    for stride, anchors in zip(strides, ANCHORS[strides], strict=True):
        middles, sides = grid_points(size, (stride,), 0.5)
        points.append(np.repeat(middles * sides, anchors, axis=2))
    centre = op.Add(op.Slice(numbers, [0], [2], [1]), np.concatenate(points, 2))
    box = op.Concat(centre, op.Slice(numbers, [2], [4], [1]), axis=1)
    return RawDetections(logits, centred(op, box, size))
