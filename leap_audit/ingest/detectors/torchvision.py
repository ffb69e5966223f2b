"""Detectors of torchvision: SSD, RetinaNet and Faster R-CNN, before their rows are picked."""

from collections.abc import Sequence

import onnx_ir as ir

from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.ingest.detectors.decoding import as_float, corners, log_odds_of_softmax
from leap_audit.ingest.detectors.logits import log_odds
from leap_audit.ingest.detectors.registry import (
    Counting,
    Outputs,
    RawDetections,
    Signature,
    detector,
)
from leap_audit.ingest.detectors.selection import ALL_BOXES

__all__: list[str] = []

INT64 = ir.DataType.INT64


@detector(
    "torchvision",
    about="torchvision's SSD, RetinaNet and Faster R-CNN, before rows are picked",
    counting=Counting(0.5, 0.5, "torchvision measures from 0.05 on, and shows from 0.8 or 0.9 on"),
)
def torchvision(outputs: Outputs) -> Signature | None:
    """Return the boxes of all rows, and their probabilities, of one Softmax or of Sigmoids."""
    boxes = [value for value in outputs.floats if value.name == ALL_BOXES]
    if len(boxes) != 1:
        return None
    rows = static_shape(boxes[0])[1]
    levels = [value for value in outputs.floats if value is not boxes[0]]
    numbers = {static_shape(value)[-1] for value in levels}
    if len(numbers) != 1:
        return None
    softmax = _is_softmax(levels[0])
    classes = numbers.pop() - softmax
    scored = sum(static_shape(value)[-2] for value in levels)
    if rows not in (scored, scored * classes):
        return None
    what = "rows" if rows == scored else "regions, which are held where the first stage finds them"
    words = (
        f"{scored} {what}, before thresholds, TopK and non-maximum suppression: four sides, "
        f"{'the background ' * softmax}and {classes} classes"
    )
    names = tuple(str(value.name) for value in (*levels, boxes[0]))
    return Signature(names, classes, scored, words, _torchvision, pixels=True)


def _is_softmax(value: ir.Value) -> bool:
    node = value.producer()
    return node is not None and node.op_type == "Softmax"


def _torchvision(op: Emitter, values: Sequence[ir.Value], size: tuple[int, int]) -> RawDetections:
    *levels, boxes = values
    numbers = static_shape(levels[0])[-1]
    softmax = levels[0].producer()
    if _is_softmax(levels[0]) and softmax is not None and softmax.inputs[0] is not None:
        last = len(static_shape(levels[0])) - 1
        odds = [log_odds_of_softmax(op, as_float(op, softmax.inputs[0]), last)]
    else:
        odds = [log_odds(op, each, 0, numbers, len(static_shape(each)) - 1) for each in levels]
    rows = op.Concat(*(op.Reshape(each, [1, -1, numbers]) for each in odds), axis=1)
    if _is_softmax(levels[0]):
        rows = op.Slice(rows, [1], [numbers], [2])
    _, count, classes = static_shape(rows)
    boxes = as_float(op, boxes)
    if static_shape(boxes)[1] != count:  # a box for each class: that of the most probable
        best = op.ArgMax(rows, axis=2, keepdims=1)
        which = op.Expand(op.Unsqueeze(best, [3]), op.constant([1, count, 1, 4], INT64))
        boxes = op.GatherElements(op.Reshape(boxes, [1, count, classes, 4]), which, axis=2)
        boxes = op.Squeeze(boxes, [2])
    sides = op.Transpose(boxes, perm=[0, 2, 1])
    return RawDetections(op.Transpose(rows, perm=[0, 2, 1]), corners(op, sides, size))
