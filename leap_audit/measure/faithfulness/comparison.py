"""Compare methods on the same pictures: which does better, and how surely."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from leap_audit.run.session import Array

__all__ = ["Standing", "paired_interval", "standings"]

DRAWS = 10_000
SHARE = 0.95


@dataclass(frozen=True)
class Standing:
    """One method among several, by one figure over the same pictures."""

    method: str
    mean: float
    behind: float
    """How far it lies behind the best one, on average; 0 for the best."""
    low: float
    high: float
    """The 95 % interval of `behind` over pictures; one that holds 0 tells nothing apart."""


def paired_interval(
    differences: Array, rng: np.random.Generator, share: float = SHARE
) -> tuple[float, float]:
    """Return the bootstrap interval (percentiles) that holds `share` of the means.

    differences: (n,), one for each picture that both methods were measured on.
    """
    drawn = rng.integers(0, len(differences), (DRAWS, len(differences)))
    low, high = np.quantile(differences[drawn].mean(1), [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def standings(figures: Mapping[str, Array], rng: np.random.Generator) -> list[Standing]:
    """Return the methods from the best to the last, the highest mean first.

    figures: method -> (n,), in the order of the same n pictures.
    """
    order = sorted(figures, key=lambda name: -float(np.mean(figures[name])))
    best = np.asarray(figures[order[0]], np.float64)
    found = []
    for name in order:
        apart = best - np.asarray(figures[name], np.float64)
        low, high = paired_interval(apart, rng)
        found.append(Standing(name, float(np.mean(figures[name])), float(apart.mean()), low, high))
    return found
