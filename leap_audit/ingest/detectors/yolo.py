"""The formats of YOLO: lists of rows, each a box in pixels and the confidences of the classes."""

from collections.abc import Sequence

import onnx_ir as ir

from leap_audit.graph.emit import Emitter
from leap_audit.graph.shapes import static_shape
from leap_audit.ingest.detectors.decoding import (
    ancestors_of,
    as_float,
    centred,
    corners,
    grid_points,
    part,
    widths_joined,
)
from leap_audit.ingest.detectors.logits import both_true, log_odds
from leap_audit.ingest.detectors.registry import (
    Counting,
    Outputs,
    RawDetections,
    Signature,
    detector,
)

__all__: list[str] = []

STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
"""Of the maps that a head of YOLO joins: P3 to P5, and the rarer sets."""
ULTRALYTICS = Counting(0.25, 0.7, "as in Ultralytics' predict")
ANCHORS = 3
"""Boxes in each cell of YOLOv5 and v7."""


@detector(
    "yolo5",
    about="YOLOv5 and v7: 5 + classes numbers in each of three rows for a cell",
    resize="letterbox",
)
def yolo5(outputs: Outputs) -> Signature | None:
    """Return the list of YOLOv5, with objectness: three rows for each cell."""
    found = [
        value
        for value in outputs.shaped(None, None)
        if static_shape(value)[2] > 5
        and any(static_shape(value)[1] == ANCHORS * outputs.cells(*strides) for strides in STRIDES)
    ]
    if len(found) != 1:
        return None
    (value,) = found
    _, rows, numbers = static_shape(value)
    words = (
        f"{rows} × {numbers}: centre, size, objectness and {numbers - 5} classes in each of "
        f"{rows} rows, three for a cell"
    )
    return Signature((str(value.name),), numbers - 5, rows, words, _yolo5, pixels=True)


def _yolo5(op: Emitter, values: Sequence[ir.Value], size: tuple[int, int]) -> RawDetections:
    (value,) = values
    box = op.Slice(_numbers_first(op, value), [0], [4], [1])
    return RawDetections(_both(op, value), centred(op, box, size))


@detector(
    "yolo8",
    about="YOLOv8, v9, 11 and 12: 4 + classes numbers in each of one row for a cell",
    resize="letterbox",
    counting=ULTRALYTICS,
)
def yolo8(outputs: Outputs) -> Signature | None:
    """Return the list of YOLOv8: box numbers before rows, and as many rows as cells."""
    if len(outputs.floats) != 1 or not (found := outputs.shaped(None, None)):
        return None
    (value,) = found
    _, numbers, rows = static_shape(value)
    if numbers < 5 or all(rows != outputs.cells(*strides) for strides in STRIDES):
        return None
    words = f"{numbers} × {rows}: centre, size and {numbers - 4} classes in each of {rows} rows"
    return Signature((str(value.name),), numbers - 4, rows, words, _yolo8, pixels=True)


def _yolo8(op: Emitter, values: Sequence[ir.Value], size: tuple[int, int]) -> RawDetections:
    (value,) = values
    numbers = static_shape(value)[1]
    scores = log_odds(op, value, 4, numbers)
    return RawDetections(scores, centred(op, part(op, value, 0, 4), size))


@detector(
    "yolo10",
    about="YOLOv10 and YOLO26: rows of four sides, confidence and class, chosen by TopK",
    several=False,
    resize="letterbox",
    counting=ULTRALYTICS,
)
def yolo10(outputs: Outputs) -> Signature | None:
    """Return what the TopK of an end-to-end detector chooses from."""
    found = outputs.shaped(None, 6)
    if len(found) != 1 or len(outputs.floats) != 1 or (read := _chosen_from(found[0])) is None:
        return None
    scores, _ = read
    _, rows, classes = static_shape(scores)
    words = (
        f"chosen by TopK from {rows} rows of four sides and {classes} classes, "
        f"tensor {scores.name!r}, which are read"
    )
    return Signature((str(found[0].name),), classes, rows, words, _yolo10, pixels=True)


def _yolo10(op: Emitter, values: Sequence[ir.Value], size: tuple[int, int]) -> RawDetections:
    read = _chosen_from(values[0])
    assert read is not None  # the format fits
    scores, whole = read
    odds = op.Transpose(log_odds(op, scores, 0, static_shape(scores)[2], 2), perm=[0, 2, 1])
    box = op.Slice(_numbers_first(op, whole), [0], [4], [1])
    return RawDetections(odds, corners(op, box, size))


def _chosen_from(value: ir.Value) -> tuple[ir.Value, ir.Value] | None:
    """The scores, (n, rows, classes), that the first TopK chooses from, and the tensor around.

    Its first four numbers in each row are the sides of the box; the classes follow.
    """
    for node in ancestors_of(value):
        if node.op_type != "TopK" or (before := node.inputs[0]) is None:
            continue
        best = before.producer()
        if best is None or best.op_type != "ReduceMax" or (scores := best.inputs[0]) is None:
            continue
        cut = scores.producer()
        if cut is None or cut.op_type not in ("Split", "Slice") or (whole := cut.inputs[0]) is None:
            continue
        shape, around = static_shape(scores), static_shape(whole)
        if len(shape) == 3 and around == (shape[0], shape[1], shape[2] + 4):
            return scores, whole
    return None


@detector(
    "yolox",
    about="YOLOX: box, objectness and classes in each of one row for a cell",
    counting=Counting(0.3, 0.45, "as in YOLOX's onnx_inference.py"),
)
def yolox(outputs: Outputs) -> Signature | None:
    """Return the list of YOLOX, decoded in the graph or not."""
    for value in outputs.shaped(None, None) if len(outputs.floats) == 1 else ():
        _, rows, numbers = static_shape(value)
        if rows != outputs.cells(*YOLOX) or numbers < 6:
            continue
        inside = any(node.op_type == "Exp" for node in ancestors_of(value))
        if not inside and widths_joined(value, numbers) != (4, 1, numbers - 5):
            continue
        how = "decoded in the graph" if inside else "decoded from cells of 8, 16 and 32 pixels"
        words = (
            f"{rows} × {numbers}: a box, objectness and {numbers - 5} classes in each of {rows} "
            f"rows, {how}"
        )
        write = _yolox_decoded if inside else _yolox
        return Signature((str(value.name),), numbers - 5, rows, words, write, pixels=inside)
    return None


YOLOX = (8, 16, 32)
"""Strides of its maps."""


def _yolox(op: Emitter, values: Sequence[ir.Value], size: tuple[int, int]) -> RawDetections:
    """Centres are offsets in cells, sizes logarithms of cells."""
    value = _numbers_first(op, values[0])
    middles, strides = grid_points(size, YOLOX)
    centre = op.Mul(op.Add(op.Slice(value, [0], [2], [1]), middles), strides)
    sides = op.Mul(op.Exp(op.Slice(value, [2], [4], [1])), strides)
    return RawDetections(_both(op, values[0]), centred(op, op.Concat(centre, sides, axis=1), size))


def _yolox_decoded(op: Emitter, values: Sequence[ir.Value], size: tuple[int, int]) -> RawDetections:
    return _yolo5(op, values, size)


def _both(op: Emitter, value: ir.Value) -> ir.Value:
    """Log-odds of objectness times class, (n, classes, rows), of (n, rows, 5 + classes)."""
    numbers = static_shape(value)[2]
    object_, class_ = log_odds(op, value, 4, 5, 2), log_odds(op, value, 5, numbers, 2)
    return op.Transpose(both_true(op, object_, class_), perm=[0, 2, 1])


def _numbers_first(op: Emitter, value: ir.Value) -> ir.Value:
    """(n, rows, numbers) -> (n, numbers, rows), float32."""
    return op.Transpose(as_float(op, value), perm=[0, 2, 1])
