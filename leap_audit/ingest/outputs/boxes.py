"""Boxes: how much two of them share, and which of several that overlap are kept."""

from collections.abc import Sequence

import numpy as np

from leap_audit.run.session import Array

__all__ = ["box_iou", "iou", "suppressed"]


def box_iou(one: Array, others: Array) -> Array:
    """Return the intersection over union of a box with each of several, (n,) float64 in 0..1.

    one: (4,), others: (4, n): left, top, right and bottom, in any unit; 0 where both are empty.
    """
    first, several = np.asarray(one, np.float64), np.asarray(others, np.float64)
    low, high = np.maximum(first[:2, None], several[:2]), np.minimum(first[2:, None], several[2:])
    shared = np.clip(high - low, 0, None).prod(0)
    areas = np.clip(several[2:] - several[:2], 0, None).prod(0)
    union = np.clip(first[2:] - first[:2], 0, None).prod() + areas - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the intersection over union of two boxes, 0..1: see `box_iou`."""
    return float(box_iou(np.asarray(one), np.asarray(other)[:, None])[0])


def suppressed(boxes: Array, confidence: Array, classes: Array, overlap: float) -> tuple[int, ...]:
    """Return which boxes non-maximum suppression keeps, the most confident first.

    A box goes where it shares more than `overlap` (intersection over union) with a more confident
    one of the same class that is kept. boxes: (4, n); confidence, classes: (n,). Equal confidences:
    the first box first.
    """
    left = np.argsort(-np.asarray(confidence, np.float64), kind="stable")
    kept = []
    while left.size:
        best, left = int(left[0]), left[1:]
        kept.append(best)
        same = classes[left] == classes[best]
        left = left[~(same & (box_iou(boxes[:, best], boxes[:, left]) > overlap))]
    return tuple(kept)
