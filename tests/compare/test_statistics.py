"""The statistics against literal, slower ways to the same numbers."""

import math
from itertools import permutations

import numpy as np
import pytest

from leap_audit.compare.changes import by_chance
from leap_audit.compare.statistics import (
    apart_by_chance,
    mcnemar,
    overlap,
    overlap_by_chance,
    spearman,
)


def test_spearman_is_the_correlation_of_ranks_with_ties_shared() -> None:
    a = np.array([[0, 10], [10, 255]], np.uint8)
    b = np.array([[3, 1], [2, 9]], np.uint8)
    ranks = [1, 2.5, 2.5, 4], [3, 1, 2, 4]
    assert spearman(a, b) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert spearman(a, a) == pytest.approx(1)
    assert spearman(a, 255 - a) == pytest.approx(-1)
    assert spearman(a, np.zeros_like(a)) is None


def test_overlap_counts_the_pixels_in_both_and_in_either() -> None:
    a, b = np.array([1.0, 1, 0, 0]), np.array([0.0, 1, 1, 0])
    assert overlap(a, b) == pytest.approx(1 / 3)
    assert overlap(a, a) == 1
    assert overlap(a, 1 - a) == 0


def test_overlap_by_chance_is_that_of_random_regions() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.random(200_000) < area for area in (0.1, 0.3))
    measured = overlap(a.astype(float), b.astype(float))
    assert overlap_by_chance(0.1, 0.3) == pytest.approx(measured, abs=0.003)
    assert overlap_by_chance(1, 1) == 1
    assert overlap_by_chance(0, 0.3) == 0


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (0, 20), (3, 9), (4, 4)])
def test_mcnemar_counts_the_splits_that_are_at_least_as_uneven(gained: int, lost: int) -> None:
    n = gained + lost
    uneven = [math.comb(n, k) for k in range(n + 1) if abs(2 * k - n) >= abs(gained - lost)]
    assert mcnemar(gained, lost) == pytest.approx(sum(uneven) / 2**n)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 3), (2, 4)])
def test_ranges_miss_each_other_as_often_as_counted(n: int, m: int) -> None:
    orders = list(permutations(range(n + m)))
    apart = [o for o in orders if max(o[:n]) < min(o[n:]) or min(o[:n]) > max(o[n:])]
    assert apart_by_chance(n, m) == pytest.approx(len(apart) / len(orders))


@pytest.mark.parametrize(
    ("p", "sentence"),
    [
        (0.0009, "Unlikely to be chance (p < 0.001, sign test)."),
        (0.0499, "Unlikely to be chance (p = 0.050, sign test)."),
        (0.05, "It may be chance (p = 0.050, sign test)."),
    ],
)
def test_chance_is_said_in_a_sentence(p: float, sentence: str) -> None:
    assert by_chance(p) == sentence
