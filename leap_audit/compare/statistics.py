"""The statistics of a comparison: small, exact, and explained on the page that shows them."""

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leap_audit.statistics import sign_test

__all__ = ["apart_by_chance", "mcnemar", "overlap", "overlap_by_chance", "spearman"]

Weights = NDArray[np.float64]


def spearman(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float | None:
    """Return the rank correlation of two rankings of the same pixels, -1..1 (Spearman 1904).

    Ties get the mean of their ranks. None where one of them is flat.
    """
    table = pd.DataFrame({"a": a.ravel(), "b": b.ravel()})
    found = float(table.corr(method="spearman").to_numpy()[0, 1])
    return found if math.isfinite(found) else None


def overlap(a: Weights, b: Weights) -> float:
    """Return the intersection over the union of two regions, 0..1 (Jaccard 1912).

    a, b: how much of each pixel belongs to the region, 0..1.
    """
    return float(np.minimum(a, b).sum() / np.maximum(a, b).sum())


def overlap_by_chance(a: float, b: float) -> float:
    """Return the intersection over union of unrelated regions with the areas a and b, 0..1."""
    return a * b / (a + b - a * b) if a > 0 and b > 0 else 0.0


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided p of McNemar's exact test (1947), 0..1; 1 where nothing changed."""
    return min(1.0, 2 * sign_test(max(gained, lost), min(gained, lost)))


def apart_by_chance(n: int, m: int) -> float:
    """Return how probable it is that the ranges of n and m draws of one thing do not meet.

    All orders of n + m draws are equally likely, and in two of them the one kind stands wholly
    below the other.
    """
    return 2 / math.comb(n + m, n)
