"""Learning rates: how they fall, how a range test finds one, and whether a search has settled."""

from collections.abc import Sequence

import numpy as np

from leap_audit.run.session import Array

__all__ = ["best_rate", "has_settled", "range_test", "settling"]

SETTLED = 0.35
"""Share of the steps, at the end, that converge by the falling learning rate alone."""
CHANCE = 2.0
"""Standard errors that the slope of an objective which does not rise stays below."""
LEFT = 0.1
"""Share of its whole rise that a search which has settled would not bring any more."""

LOWEST, HIGHEST = 1e-3, 1e2
"""Of a range test, as factors of the learning rate asked for."""
SMOOTHING = 0.1
"""Share of the test that a score is averaged over."""
CAUTION = 3.0
"""How far below the rate at which the score rose highest one stays (Smith 2017)."""


def settling(steps: int) -> list[float]:
    """Return factors of the learning rate: 1, falling to nothing over the last steps (`SETTLED`).

    So that a picture settles.
    """
    return [min(1.0, (steps - step) / steps / SETTLED) for step in range(steps)]


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


def has_settled(curve: Array) -> bool:
    """Return whether the objective had all but stopped rising while the learning rate was full.

    By the line through the later half of those steps: another eighth as many would bring less than
    a tenth of the whole rise, even at its slope and a standard error more. A class that cannot rise
    has settled too: the line through all of those steps rises no more than chance does. The steps
    after them move less and less by design and would flatter the answer.

    curve: (steps,), the objective at each step.
    """
    full = curve[: len(curve) - int(SETTLED * len(curve))]
    if len(full) < 8:
        return False
    slope, error = _trend(full)
    if slope <= CHANCE * error:
        return True
    eighth = len(full) // 8
    slope, error = _trend(full[len(full) // 2 :])
    rise = full[-eighth:].mean() - full[:eighth].mean()
    return bool(eighth * (slope + error) < LEFT * rise)


def _trend(scores: Array) -> tuple[float, float]:
    """The slope of the line through scores, by least squares, a step, and its standard error."""
    steps = np.arange(len(scores)) - (len(scores) - 1) / 2
    # Equal scores become exactly 0: rounding would give them a slope.
    scores = np.asarray(scores, np.float64) - scores[0]
    spread = steps @ steps
    slope = steps @ scores / spread
    rest = scores - scores.mean() - slope * steps
    return float(slope), float(np.sqrt(rest @ rest / (len(scores) - 2) / spread))
