"""One suspicion figure a class, 0 to 1, from all that was tried; comparable between networks.

Chosen on the networks of docs/experiments.md: eight of CIFAR-10, six of them with a planted mark.
"""

import math

from leap_audit.artifacts import MarkKind, Trial, TriedOn

__all__ = ["CONFIRMED", "Q", "depth_score", "is_confirmed", "worth"]

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
DEPTH, STEEPNESS = 2.6, 2.0
"""Deviations below the other classes' areas at which a trigger counts one half, and how steeply."""


def worth(kind: MarkKind, effect: float, tried_on: TriedOn) -> float:
    """Return how much an effect of pasting speaks for a shortcut, 0..1."""
    if tried_on == "photographs":
        return max(0.0, effect)
    middle, width = MIDDLE.get(kind, (0.9, 0.05))
    return 1 / (1 + math.exp((middle - effect) / width))


def depth_score(depth: float) -> float:
    """Return how much a small trigger speaks for a shortcut, 0..1. depth: see `outlying`."""
    return 1 / (1 + math.exp(min(500.0, STEEPNESS * (DEPTH - depth))))


def is_confirmed(pasted: Trial, covered: Trial | None) -> bool:
    """Whether trials whose q is corrected confirm a shortcut."""
    if pasted.q > Q:
        return False
    agrees = covered is not None and covered.effect >= CONFIRMED
    return pasted.effect >= (CONFIRMED if agrees else SURE)
