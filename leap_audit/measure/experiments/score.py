"""One suspicion figure a class, 0 to 1, from all that was tried; comparable between networks.

Chosen on the networks of docs/experiments.md: eight of CIFAR-10, six of them with a planted mark.
"""

import math
from collections.abc import Sequence

import numpy as np

from leap_audit.artifacts import MarkKind, Trial, TriedOn

__all__ = ["CONFIRMED", "Q", "beside", "depth_score", "is_confirmed", "worth"]

CONFIRMED, SURE = 0.3, 0.5
"""The effect of pasting from which a shortcut is confirmed if covering agrees, and from which it is
without."""
Q = 0.05
"""The largest corrected probability of a confirmed effect."""
MIDDLE: dict[MarkKind, tuple[float, float]] = {
    "region": (0.55, 0.08),
    "moved region": (0.55, 0.08),
    "frame": (0.38, 0.08),
    "colour": (0.68, 0.08),
}
"""Kind -> the effect that counts one half, and how steeply, of marks of prototypes: these overstate
their class, and their colours most."""
FENCE = 0.4
"""Tukey's fence of effects that networks of photographs stay below."""
FEW = 3
"""Other classes below which there is no fence."""
DEPTH, STEEPNESS = 2.0, 2.5
"""Deviations below the other classes' areas at which a trigger counts one half, and how steeply."""


def worth(kind: MarkKind, effect: float, tried_on: TriedOn) -> float:
    """Return how much an effect of pasting speaks for a shortcut, 0..1."""
    if tried_on == "photographs":
        return max(0.0, effect)
    middle, width = MIDDLE.get(kind, (0.9, 0.05))
    return 1 / (1 + math.exp((middle - effect) / width))


def beside(effect: float, others: Sequence[float]) -> float:
    """Return an effect of a prototype's mark less what such marks of other classes usually do.

    On some networks parts of objects turn most pictures whatever their class. Taken off is what
    Tukey's fence (1977) over the other classes, their upper quartile and 1.5 times the distance of
    the quartiles, exceeds the fence of networks of photographs by. others: effects of marks of the
    same kind; of fewer than FEW nothing is taken off.
    """
    if len(others) < FEW:
        return effect
    low, high = np.quantile(others, (0.25, 0.75))
    return effect - max(0.0, float(high + 1.5 * (high - low)) - FENCE)


def depth_score(depth: float) -> float:
    """Return how much a small trigger speaks for a shortcut, 0..1. depth: see `outlying`."""
    return 1 / (1 + math.exp(min(500.0, STEEPNESS * (DEPTH - depth))))


def is_confirmed(pasted: Trial, covered: Trial | None) -> bool:
    """Whether trials whose q is corrected confirm a shortcut."""
    if pasted.q > Q:
        return False
    agrees = covered is not None and covered.effect >= CONFIRMED
    return pasted.effect >= (CONFIRMED if agrees else SURE)
