"""Learning rates: how they fall towards the end, and the range test that finds one."""

from collections.abc import Sequence

import numpy as np

__all__ = ["best_rate", "range_test", "settling"]

LOWEST, HIGHEST = 1e-3, 1e2
"""Of a range test, as factors of the learning rate asked for."""
SMOOTHING = 0.1
"""Share of the test that a score is averaged over."""
CAUTION = 3.0
"""How far below the rate at which the score rose highest one stays (Smith 2017)."""


def settling(steps: int, share: float) -> list[float]:
    """Return factors of the learning rate: 1, falling to nothing over the last `share` of steps.

    So that a picture settles.
    """
    return [min(1.0, (steps - step) / steps / share) for step in range(steps)]


def range_test(steps: int) -> list[float]:
    """Return factors of the learning rate that rise by equal factors over `steps`."""
    return [float(f) for f in np.geomspace(LOWEST, HIGHEST, steps)]


def best_rate(factors: Sequence[float], scores: Sequence[float]) -> float:
    """Return the factor to go on with, from the score after a step at each factor.

    A third of the one at which the score, smoothed, stood highest: beyond it, steps overshoot.
    Smith 2017, cyclical learning rates.
    """
    width = max(1, round(SMOOTHING * len(scores)))
    padded = np.pad(np.asarray(scores, np.float64), (width // 2, width - 1 - width // 2), "edge")
    smooth = np.convolve(padded, np.full(width, 1 / width), "valid")
    return float(factors[int(np.argmax(smooth))] / CAUTION)
