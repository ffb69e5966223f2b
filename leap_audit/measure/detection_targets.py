"""Targets of a detector: one detection, a part of its box, how well another picture matches it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from leap_audit.errors import UsageError
from leap_audit.ingest.outputs.answer import BOX_SIDES, Answer, Detections
from leap_audit.ingest.outputs.boxes import box_iou
from leap_audit.run.session import Array

__all__ = ["DetectionTarget", "MatchedTarget", "Part"]

ENDS = ((2, 1.0), (3, 1.0), (0, -1.0), (1, -1.0))
"""Right and bottom less left and top: the width plus the height of a box."""

Part: TypeAlias = Literal["class", "box", "left", "top", "right", "bottom"]
"""What of a detection is explained."""


@dataclass(frozen=True, eq=False)
class DetectionTarget:
    """One detection: the confidence in its class, or where its box is.

    The row stays the same while gradients are computed; methods that change the picture follow the
    detection to the row that matches it best (`MatchedTarget`).
    """

    row: int
    """Of the model's answer, from 0 on, as `leap_audit.detections` names it."""
    part: Part = "class"
    """class: the log-odds of the confidence; left, top, right, bottom: that side, as a fraction of
    the picture; box: how far the box reaches to all four sides, its width plus its height."""
    class_: int | None = None
    """None: the most probable one of the row on the explained picture."""
    box: tuple[float, ...] = ()
    """Left, top, right and bottom on the explained picture, as fractions; empty: not known yet."""

    def of(self, answer: Answer, scores: Array, boxes: Array) -> "DetectionTarget":
        """Return the target on a picture with these scores and boxes.

        scores: (classes, rows); boxes: (4, rows). Raises UsageError: the row or class is none.
        """
        if not isinstance(answer, Detections):
            raise UsageError("target: only a detector has detections; name a class.")
        if not 0 <= self.row < answer.rows:
            raise UsageError(
                f"target: there is no row {self.row}; the detector has {answer.rows}, from 0 on."
            )
        class_ = int(scores[:, self.row].argmax()) if self.class_ is None else self.class_
        if not 0 <= class_ < answer.classes:
            raise UsageError(
                f"target: there is no class {class_}; the model has {answer.classes}, from 0 on."
            )
        return DetectionTarget(self.row, self.part, class_, tuple(map(float, boxes[:, self.row])))

    def cotangent(self, answer: Answer) -> Array:
        """Return (classes, rows), whose product with the scores is the row's score."""
        if self.class_ is None:
            raise UsageError("target: a detection is explained of a picture, and none is named.")
        return answer.cotangent((self.class_,), np.eye(1, answer.places, self.row)[0])

    @property
    def elements(self) -> tuple[tuple[tuple[int, int], float], ...]:
        """Return the numbers of the boxes, (4, rows), that a part of the box is a sum of.

        Each by its position, with its factor; the first has the factor 1.
        """
        if self.part == "box":
            return tuple(((side, self.row), factor) for side, factor in ENDS)
        return (((BOX_SIDES.index(self.part), self.row), 1.0),)

    @property
    def matched(self) -> "MatchedTarget":
        """Return what methods that change the picture explain instead."""
        assert self.class_ is not None
        left, top, right, bottom = self.box
        return MatchedTarget(self.class_, (left, top, right, bottom))


@dataclass(frozen=True, eq=False)
class MatchedTarget:
    """How well any row of a detector's answer matches a detection of another picture.

    The most that a row's confidence in the class and its box's share with the detection's give
    together: max over rows of IoU · p(class), 0..1. After D-RISE (Petsiuk et al. 2021), whose
    cosine of the rows' class vectors is p(class) here, since a class is asked about.
    """

    class_: int
    box: tuple[float, float, float, float]
    """Left, top, right and bottom as fractions of the picture."""
    vector: tuple[float, ...] = ()
    """The probabilities of the row's classes, for the paper's match: max of IoU · cos(vectors) ·
    the row's own confidence."""

    def value(self, probs: Array, boxes: Array) -> float:
        """Return the match on a picture with these probabilities, (classes, rows), and boxes."""
        shares, wide = box_iou(np.asarray(self.box), boxes), np.asarray(probs, np.float64)
        if not self.vector:
            return float((wide[self.class_] * shares).max())
        own = np.asarray(self.vector, np.float64)
        length = np.linalg.norm(wide, axis=0) * np.linalg.norm(own)
        cosine = np.divide(own @ wide, length, out=np.zeros_like(length), where=length > 0)
        return float((cosine * wide.max(0) * shares).max())
