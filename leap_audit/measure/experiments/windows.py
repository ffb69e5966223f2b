"""Which regions of a picture to try first: those whose covering should change the answer most."""

import numpy as np

from leap_audit.measure.experiments.marks import FILL, Box
from leap_audit.measure.smooth import blur_matrix
from leap_audit.run.session import Array

__all__ = ["SIDES", "promising"]

SIDES = (0.12, 0.19, 0.28)
"""Sides of the square regions, as fractions of the short side."""
EACH = 2
"""Regions of each size."""


def promising(picture: Array, slope: Array) -> list[Box]:
    """Return regions in falling order of what covering them should cost the class, per size.

    slope: the gradient of the class's lead with respect to the picture, (channels, height, width).
    The cost is its first order: the sum over the region of slope times what covering takes away.
    Regions of one size do not overlap by more than half a side.
    """
    _, height, width = picture.shape
    short = min(height, width)
    sigma = FILL * short
    blur = blur_matrix(height, sigma) @ picture @ blur_matrix(width, sigma).T
    cost = ((picture - blur) * slope).sum(0)
    boxes: list[Box] = []
    for side in SIDES:
        n = max(2, round(side * short))
        sums = _sums(cost, n)
        for _ in range(EACH):
            top, left = (int(i) for i in np.unravel_index(int(sums.argmax()), sums.shape))
            boxes.append((top, left, n, n))
            half = max(1, n // 2)
            sums[
                max(0, top - half) : top + half + 1, max(0, left - half) : left + half + 1
            ] = -np.inf
            if not np.isfinite(sums).any():
                break
    return boxes


def _sums(cost: Array, n: int) -> Array:
    """The sum over each square of n pixels, by its upper left corner."""
    total = np.zeros((cost.shape[0] + 1, cost.shape[1] + 1))
    total[1:, 1:] = cost.cumsum(0).cumsum(1)
    return total[n:, n:] - total[:-n, n:] - total[n:, :-n] + total[:-n, :-n]
