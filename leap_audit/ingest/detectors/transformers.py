"""Detectors of queries: DETR and its kin, whose rows are one object each."""

from collections.abc import Sequence

import onnx_ir as ir

from leap_audit.graph.emit import Emitter
from leap_audit.graph.operators import PICKING, SHAPE_ONLY
from leap_audit.graph.shapes import static_shape
from leap_audit.ingest.detectors.decoding import (
    ancestors_of,
    as_float,
    centred,
    log_odds_of_softmax,
    part,
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

WITH_BACKGROUND = frozenset({81, 92})
"""Logits of COCO's 80 classes, or of its 91 numbers, and of no object."""
QUERIES = Counting(0.5, 1.0, "as in post_process_object_detection of Transformers")
SIGMOIDS = frozenset({80, 90, 91, 365})
"""Logits of COCO's classes or numbers, or of Objects365's classes, each with its own sigmoid."""
"""Operators whose numbers are those of their first input."""


def _pair(outputs: Outputs) -> tuple[ir.Value, ir.Value] | None:
    """The logits, (queries, numbers), and the boxes, (queries, 4).

    Boxes of other detectors have this shape too. So they must be called as Transformers calls them,
    or come from a Sigmoid behind attention, unless the user names the format.
    """
    boxes = outputs.shaped(None, 4)
    named = [value for value in boxes if "pred_boxes" in str(value.name)]
    for found in sorted(named or boxes, key=lambda value: not _from_sigmoids(value)):
        logits = _logits_beside(outputs, found)
        if logits is None:
            continue
        called = "logits" in str(logits.name) and "boxes" in str(found.name)
        attends = any(node.op_type == "Softmax" for node in ancestors_of(logits))
        if called or outputs.declared or (attends and _from_sigmoids(found)):
            return logits, found
    return None


def _logits_beside(outputs: Outputs, boxes: ir.Value) -> ir.Value | None:
    """The output of as many rows as the boxes; of several the one called so, or just before them.

    Detectors of Transformers give hidden states of the same rows too, all behind the boxes.
    """
    rows = static_shape(boxes)[1]
    same = [value for value in outputs.shaped(rows, None) if value is not boxes]
    named = [value for value in same if str(value.name) in ("logits", "pred_logits")]
    if len(same) > 1 and not named:
        before = outputs.floats[: outputs.floats.index(boxes)][-1:]
        return before[0] if before and before[0] in same else None
    return next(iter(named or same), None)


def _from_sigmoids(value: ir.Value) -> bool:
    """Whether every number of a tensor comes from a Sigmoid, under what picks and arranges them."""
    node = value.producer()
    if node is None:
        return False
    if node.op_type == "Concat":
        return all(_from_sigmoids(each) for each in node.inputs if each is not None)
    if node.op_type in SHAPE_ONLY | PICKING and (before := node.inputs[0]) is not None:
        return _from_sigmoids(before)
    return node.op_type == "Sigmoid"


def _fits(outputs: Outputs, numbers: int, extra: int, usual: frozenset[int]) -> bool:
    """Whether so many logits may be of a kind, by the count of names, or else as is usual.

    extra: logits beside those of the classes. A count of names that fits neither kind is no hint.
    """
    if outputs.names in (numbers, numbers - 1):
        return numbers == outputs.names + extra
    others = SIGMOIDS if extra else WITH_BACKGROUND
    return numbers in usual or numbers not in others


@detector(
    "detr",
    about="DETR, Conditional DETR with softmax and YOLOS: logits, the last of no object, and boxes",
    several=False,
    plain=False,
    counting=QUERIES,
)
def detr(outputs: Outputs) -> Signature | None:
    """Return the logits and boxes of queries whose classes and no object share 100 %."""
    pair = _pair(outputs)
    if pair is None:
        return None
    _, queries, numbers = static_shape(pair[0])
    if numbers < 2 or not _fits(outputs, numbers, 1, WITH_BACKGROUND):
        return None
    words = (
        f"{queries} × {numbers} and {queries} × 4: the logits of {numbers - 1} classes and of no "
        f"object, centre and size, in each of {queries} rows"
    )
    names = (str(pair[0].name), str(pair[1].name))
    return Signature(names, numbers - 1, queries, words, _detr)


def _detr(
    op: Emitter,
    values: Sequence[ir.Value],
    size: tuple[int, int],  # noqa: ARG001
) -> RawDetections:
    logits, boxes = (op.Transpose(as_float(op, value), perm=[0, 2, 1]) for value in values)
    numbers = static_shape(logits)[1]
    scores = op.Slice(log_odds_of_softmax(op, logits, 1), [0], [numbers - 1], [1])
    return RawDetections(scores, centred(op, boxes, (1, 1)))


@detector(
    "rtdetr",
    about="RT-DETR, Deformable DETR: logits, each with its own sigmoid, and boxes",
    several=False,
    counting=QUERIES,
)
def rtdetr(outputs: Outputs) -> Signature | None:
    """Return the logits and boxes of queries whose classes have each their own probability."""
    pair = _pair(outputs)
    if pair is not None:
        _, queries, numbers = static_shape(pair[0])
        if not _fits(outputs, numbers, 0, SIGMOIDS):
            return None
        words = (
            f"{queries} × {numbers} and {queries} × 4: the logits of {numbers} classes, centre and "
            f"size, in each of {queries} rows"
        )
        return Signature(
            (str(pair[0].name), str(pair[1].name)), numbers, queries, words, _rtdetr_logits
        )
    return _joined(outputs)


def _joined(outputs: Outputs) -> Signature | None:
    """One output of box and probabilities, as Ultralytics exports RT-DETR."""
    found = outputs.shaped(None, None)
    if len(found) != 1 or len(outputs.floats) != 1:
        return None
    (value,) = found
    node = value.producer()
    if node is None or node.op_type != "Concat" or node.attributes["axis"].as_int() not in (2, -1):
        return None
    parts = [each for each in node.inputs if each is not None]
    last = parts[-1].producer()
    if len(parts) != 2 or static_shape(parts[0])[-1] != 4 or last is None:
        return None
    if last.op_type != "Sigmoid":
        return None
    _, queries, numbers = static_shape(value)
    words = (
        f"{queries} × {numbers}: centre, size and {numbers - 4} classes in each of {queries} rows"
    )
    return Signature((str(value.name),), numbers - 4, queries, words, _rtdetr_joined)


def _rtdetr_logits(
    op: Emitter,
    values: Sequence[ir.Value],
    size: tuple[int, int],  # noqa: ARG001
) -> RawDetections:
    logits, boxes = (as_float(op, value) for value in values)
    scores = op.Transpose(logits, perm=[0, 2, 1])
    return RawDetections(scores, centred(op, op.Transpose(boxes, perm=[0, 2, 1]), (1, 1)))


def _rtdetr_joined(
    op: Emitter,
    values: Sequence[ir.Value],
    size: tuple[int, int],  # noqa: ARG001
) -> RawDetections:
    (value,) = values
    numbers = static_shape(value)[2]
    odds = log_odds(op, value, 4, numbers, axis=2)
    boxes = part(op, value, 0, 4, axis=2)
    return RawDetections(
        op.Transpose(odds, perm=[0, 2, 1]),
        centred(op, op.Transpose(boxes, perm=[0, 2, 1]), (1, 1)),
    )
