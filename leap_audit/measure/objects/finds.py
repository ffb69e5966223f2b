"""Pictures, and the objects that a detector finds in each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leap_audit.ingest.outputs.answer import Detections
from leap_audit.ingest.outputs.boxes import iou
from leap_audit.measure.detections import DetectedBox
from leap_audit.measure.experiments.material import evenly
from leap_audit.measure.matching import BoxSides, detected, look
from leap_audit.measure.run import Run
from leap_audit.run.session import Array

__all__ = ["Finds", "detector_answer", "finds_of", "is_there"]

SAME = 0.5
"""Overlap from which on a detection is of the same object."""


@dataclass(frozen=True, eq=False)
class Finds:
    """Pictures, and the objects that a detector finds in each."""

    pictures: Array
    """(n, channels, height, width) in 0..1."""
    objects: tuple[tuple[DetectedBox, ...], ...]

    def of(self, class_: int, most: int) -> list[tuple[int, DetectedBox]]:
        """Return at most so many (picture, object) of a class: one of each picture first."""
        ranked = [
            (rank, i, each)
            for i, several in enumerate(self.objects)
            for rank, each in enumerate(o for o in several if o.class_ == class_)
        ]
        return [(i, each) for _, i, each in sorted(ranked, key=lambda r: r[:2])[:most]]

    def others(self, class_: int, most: int) -> list[tuple[int, DetectedBox]]:
        """Return at most so many (picture, object) of other classes, evenly spread.

        Objects that are also found as the class are left out.
        """
        found = [
            (i, each)
            for i, several in enumerate(self.objects)
            for each in several
            if each.class_ != class_ and not is_there(several, class_, each.box)
        ]
        return [found[int(k)] for k in evenly(np.arange(len(found)), most)]


def finds_of(run: Run, pictures: Sequence[Array]) -> Finds:
    """Return the objects that a detector finds in each of several pictures."""
    answer = detector_answer(run)
    objects = tuple(detected(seen, answer) for seen in look(run, np.stack(pictures)))
    return Finds(np.stack(pictures).astype(np.float32), objects)


def detector_answer(run: Run) -> Detections:
    """Return the kind of answer of a detector."""
    answer = run.model.answer
    assert isinstance(answer, Detections)
    return answer


def is_there(several: Sequence[DetectedBox], class_: int, box: BoxSides) -> bool:
    """Return whether an object of a class is among several, at a place."""
    return any(each.class_ == class_ and iou(box, each.box) >= SAME for each in several)
