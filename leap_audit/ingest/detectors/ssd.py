"""Detectors of TensorFlow's object detection: what they give before their own suppression."""

from collections.abc import Sequence

import onnx
import onnx_ir as ir

from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.ingest.detectors.decoding import as_float
from leap_audit.ingest.detectors.logits import log_odds
from leap_audit.ingest.detectors.registry import (
    Counting,
    Outputs,
    RawDetections,
    Signature,
    detector,
)
from leap_audit.ingest.outputs.tensor_outputs import with_outputs

__all__ = ["without_suppression"]

BOXES_NAME, SCORES_NAME = "raw_detection_boxes", "raw_detection_scores"


def without_suppression(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model of TensorFlow's object detection with its raw outputs alone; others as is.

    What sorts the boxes out has shapes that depend on the picture, and no gradient.
    """
    names = [value.name for value in proto.graph.output]
    raw = [name for wanted in (BOXES_NAME, SCORES_NAME) for name in names if wanted in name]
    return with_outputs(proto, raw) if len(raw) == 2 and len(names) > 2 else proto


@detector(
    "tf_ssd",
    about="TensorFlow's object detection: raw_detection_boxes and raw_detection_scores",
    counting=Counting(0.5, 0.6, "as TensorFlow's object detection draws and exports them"),
)
def tf_ssd(outputs: Outputs) -> Signature | None:
    """Return the raw boxes and the raw scores, whose first class is the background."""
    boxes = [v for v in outputs.shaped(None, 4) if BOXES_NAME in str(v.name)]
    scores = [v for v in outputs.shaped(None, None) if SCORES_NAME in str(v.name)]
    if len(boxes) != 1 or len(scores) != 1:
        return None
    _, rows, numbers = static_shape(scores[0])
    if static_shape(boxes[0])[1] != rows or numbers < 2:
        return None
    words = (
        f"{rows} × 4 and {rows} × {numbers}: top, left, bottom and right, the background and "
        f"{numbers - 1} classes in each of {rows} rows, before non-maximum suppression"
    )
    names = (str(boxes[0].name), str(scores[0].name))
    return Signature(names, numbers - 1, rows, words, _tf_ssd)


def _tf_ssd(
    op: Emitter,
    values: Sequence[ir.Value],
    size: tuple[int, int],  # noqa: ARG001
) -> RawDetections:
    boxes, scores = values
    odds = log_odds(op, scores, 1, static_shape(scores)[2], axis=2)
    sides = op.Transpose(as_float(op, boxes), perm=[0, 2, 1])
    left_first = op.Gather(sides, op.constant([1, 0, 3, 2], ir.DataType.INT64), axis=1)
    return RawDetections(op.Transpose(odds, perm=[0, 2, 1]), left_first)
