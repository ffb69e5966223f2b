"""Pair the objects that two detectors find in the same photograph."""

from collections.abc import Sequence

from leap_audit.artifacts import Sample
from leap_audit.compare.record import ObjectsPair
from leap_audit.ingest.outputs.boxes import iou

__all__ = ["is_same_box", "pair_objects"]

SAME = 0.5
"""Overlap of two boxes from which on they are of the same object."""


def pair_objects(old: Sample, new: Sample, to_new: dict[int, int]) -> ObjectsPair:
    """Return which objects both find, by class and place, and which one alone.

    The most confident object of the new model first takes the object of the old one that its box
    overlaps most. to_new: class of the old model -> that of the new one.
    """
    left = list(old.detections)
    gained, kept = [], 0
    for found in new.detections:
        others = [each for each in left if to_new.get(each.class_) == found.class_]
        nearest = max(others, key=lambda each: iou(each.box, found.box), default=None)
        if nearest is not None and is_same_box(nearest.box, found.box):
            left.remove(nearest)
            kept += 1
        else:
            gained.append(found)
    return ObjectsPair(kept=kept, lost=tuple(left), gained=tuple(gained))


def is_same_box(one: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether two boxes overlap by half of their union or more."""
    return iou(one, other) >= SAME
