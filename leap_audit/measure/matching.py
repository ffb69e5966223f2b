"""What a detector says of a picture, and the score of a detection once the picture is changed.

A changed picture gives other rows, so a detection is matched by its place: its score is the
greatest product of overlap and probability over all rows (see `MatchedTarget`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from leap_audit.ingest.outputs.answer import Detections
from leap_audit.ingest.outputs.boxes import box_iou
from leap_audit.measure.detection_targets import MatchedTarget
from leap_audit.measure.detections import DetectedBox, detected_box, raw_answers
from leap_audit.measure.run import Run
from leap_audit.run.session import Array

__all__ = [
    "BoxSides",
    "Look",
    "box_at",
    "class_at",
    "covered_shares",
    "detected",
    "look",
    "matched",
    "rows_at",
]

TOUCHING = 0.05
CELLS = 64
"""Rows and columns in which the area that boxes cover is counted."""

BoxSides: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom, as fractions of the picture."""


@dataclass(frozen=True, eq=False)
class Look:
    """What a detector says of one picture, before boxes that overlap are taken together."""

    probs: Array
    """(classes, rows) in 0..1."""
    boxes: Array
    """(4, rows) left, top, right and bottom, as fractions of the picture."""


def look(run: Run, pictures: Sequence[Array] | Array) -> Iterator[Look]:
    """Yield what a detector says of each of n pictures, (n, channels, height, width) in 0..1."""
    for probs, boxes in raw_answers(run, pictures):
        yield Look(probs, boxes)


def matched(seen: Look, class_: int, box: BoxSides) -> float:
    """Return the score of a detection, 0..1: see `MatchedTarget`."""
    return MatchedTarget(class_, box).value(seen.probs, seen.boxes)


def class_at(seen: Look, box: BoxSides) -> tuple[int, float]:
    """Return the class with the greatest matched score at a place, and that score."""
    scores = (box_iou(np.asarray(box), seen.boxes) * seen.probs).max(1)
    first = int(scores.argmax())
    return first, float(scores[first])


def detected(seen: Look, answer: Detections) -> tuple[DetectedBox, ...]:
    """Return the objects that a detector finds in a picture, the most confident first."""
    return tuple(
        detected_box(seen.probs, seen.boxes, row) for row in answer.kept(seen.probs, seen.boxes)
    )


def box_at(boxes: Array, row: int) -> BoxSides:
    """Return the box of a row of (4, rows)."""
    left, top, right, bottom = (float(each) for each in boxes[:, row])
    return left, top, right, bottom


def rows_at(seen: Look, box: BoxSides | None) -> Array:
    """Return (rows,) bool: the rows whose boxes overlap with one by TOUCHING; all if none does."""
    if box is None:
        return np.ones(seen.boxes.shape[1], bool)
    there = box_iou(np.asarray(box), seen.boxes) >= TOUCHING
    return np.asarray(there if there.any() else np.ones_like(there))


def covered_shares(objects: Sequence[DetectedBox], classes: int) -> Array:
    """Return (classes,): the fraction of the picture that the boxes of each class cover, 0..1."""
    middles = (np.arange(CELLS) + 0.5) / CELLS
    covered = np.zeros((classes, CELLS, CELLS), bool)
    for each in objects:
        left, top, right, bottom = each.box
        down = (middles >= top) & (middles < bottom)
        across = (middles >= left) & (middles < right)
        covered[each.class_] |= np.outer(down, across)
    return np.asarray(covered.mean((1, 2)))
