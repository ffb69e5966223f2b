"""What a detector finds in a picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from leap_audit.errors import UsageError
from leap_audit.ingest.outputs.answer import BOXES, Detections
from leap_audit.measure.detection_targets import DetectionTarget, Part
from leap_audit.measure.run import SCORES, Run
from leap_audit.run.session import Array

__all__ = [
    "DetectedBox",
    "boxes_of",
    "detected_box",
    "detection_number",
    "most_confident",
    "raw_answers",
    "raw_detections",
]


@dataclass(frozen=True)
class DetectedBox:
    """One detection in a picture."""

    row: int
    """Of the model's answer, such as its anchor or query."""
    class_: int
    name: str
    """Of the class."""
    confidence: float
    """0..1, as the model gives it."""
    box: tuple[float, float, float, float]
    """Left, top, right and bottom as fractions of the picture that the model sees."""

    def target(self, part: Part = "class") -> DetectionTarget:
        """Return what explains it: its class, or a part of its box."""
        return DetectionTarget(self.row, part, self.class_, self.box)


def raw_detections(run: Run, picture: Array) -> tuple[Array, Array]:
    """Return the probabilities, (classes, rows) in 0..1, and the boxes, (4, rows), of a picture.

    picture: (channels, height, width) in 0..1. The boxes are left, top, right and bottom as
    fractions of it. Raises UsageError: the model is no detector.
    """
    answer = run.model.answer
    if not isinstance(answer, Detections):
        raise UsageError(
            f"the model is no detector: it was taken for {run.model.identity.task}; name its "
            "format with --detector if it is one."
        )
    return next(raw_answers(run.at_once(1), picture[None]))


def raw_answers(run: Run, pictures: Sequence[Array] | Array) -> Iterator[tuple[Array, Array]]:
    """Yield `raw_detections` of each of n pictures, both of one pass through the detector.

    pictures: (n, channels, height, width) in 0..1.
    """
    for start in range(0, len(pictures), run.batch):
        part = np.asarray(pictures[start : start + run.batch], np.float32)
        found = run.activations(part, (SCORES, BOXES))
        for own, boxes in zip(found[SCORES], found[BOXES], strict=True):
            yield run.model.answer.probabilities(own), boxes


def boxes_of(run: Run, picture: Array, names: Sequence[str] = ()) -> tuple[DetectedBox, ...]:
    """Return the detections in a picture, the most confident first. Parameters: `raw_detections`.

    names: of the classes; empty: their numbers.
    """
    picture = np.asarray(picture, np.float32)
    probs, boxes = raw_detections(run, picture)
    assert isinstance(run.model.answer, Detections)
    return tuple(
        detected_box(probs, boxes, row, names) for row in run.model.answer.kept(probs, boxes)
    )


def detection_number(run: Run, picture: Array, number: int) -> DetectionTarget:
    """Return the target of the detection of this number, from 0 on, the most confident first.

    Number 0 is the most confident row, however little that is. Raises UsageError: there are fewer.
    """
    picture = np.asarray(picture, np.float32)
    found = boxes_of(run, picture)
    if number < len(found):
        return found[number].target()
    if number == 0:
        return most_confident(run, picture).target()
    threshold = getattr(run.model.answer, "threshold", 0.0)
    raise UsageError(
        f"target: there is no detection {number}; the picture has {len(found)} with a confidence "
        f"of {threshold:g} or more, from 0 on."
    )


def most_confident(run: Run, picture: Array, names: Sequence[str] = ()) -> DetectedBox:
    """Return the most confident row, however little that is. Parameters: `boxes_of`."""
    probs, boxes = raw_detections(run, np.asarray(picture, np.float32))
    return detected_box(probs, boxes, int(probs.max(0).argmax()), names)


def detected_box(probs: Array, boxes: Array, row: int, names: Sequence[str] = ()) -> DetectedBox:
    """Return the detection of a row of an answer, of its most probable class.

    probs: (classes, rows) in 0..1; boxes: (4, rows); names: see `boxes_of`.
    """
    class_ = int(probs[:, row].argmax())
    left, top, right, bottom = map(float, boxes[:, row])
    name = names[class_] if names else str(class_)
    return DetectedBox(row, class_, name, float(probs[class_, row]), (left, top, right, bottom))
