"""Rank correlation, precision and permutations on tables that were planted."""

import numpy as np
import pytest

from benchmarks.foretelling import foretold, permuted, spearman

NONE = np.array([], int)


def test_spearman_of_known_rows() -> None:
    a = np.array([[1.0, 2, 3, 4], [4, 3, 2, 1], [10, 20, 20, 30]])
    b = np.array([[0.1, 0.2, 30, 31]])
    # Ties share a rank: (1, 2.5, 2.5, 4) with (1, 2, 3, 4) is 4.5 / √(4.5 · 5).
    assert spearman(a, b)[:, 0] == pytest.approx([1, -1, (4.5 / 5) ** 0.5])


def test_a_constant_row_has_no_correlation() -> None:
    assert np.isnan(spearman(np.ones((1, 4)), np.arange(4.0)[None]))


def planted(n: int = 8, classes: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Return what was seen, and the classes it was seen of."""
    return np.random.default_rng(0).normal(size=(n, classes)), np.arange(n) * 3


def test_a_reading_that_says_what_was_seen() -> None:
    seen, classes = planted()
    table = foretold(np.exp(seen), seen, classes, NONE)
    for each in (table.spearman, table.precision):
        mean, by_chance, p = permuted(each, np.random.default_rng(0))
        assert mean == pytest.approx(1)
        assert by_chance == pytest.approx(each.mean(), abs=0.01)
        assert p < 0.001


def test_a_reading_that_says_nothing() -> None:
    seen, classes = planted()
    reading = np.random.default_rng(1).normal(size=seen.shape)
    mean, _, p = permuted(foretold(reading, seen, classes, NONE).spearman, np.random.default_rng(0))
    assert abs(mean) < 0.15
    assert p > 0.05


def test_a_reading_of_what_is_always_on_is_no_better_than_chance() -> None:
    rng = np.random.default_rng(0)
    always = rng.normal(size=40)
    seen = always + 0.1 * rng.normal(size=(8, 40))
    reading = always + 0.1 * rng.normal(size=(8, 40))
    table = foretold(reading, seen, np.arange(8), NONE)
    mean, by_chance, p = permuted(table.spearman, np.random.default_rng(0))
    assert mean > 0.9
    assert by_chance == pytest.approx(mean, abs=0.02)
    assert p > 0.05


def test_the_own_class_and_those_left_out_do_not_count() -> None:
    seen, classes = planted()
    reading = seen.copy()
    reading[np.arange(len(classes)), classes] = -1e6
    reading[:, 1] = 1e6
    table = foretold(reading, seen, classes, np.array([1]))
    assert np.diag(table.spearman) == pytest.approx(1)
    assert np.diag(table.precision) == pytest.approx(1)


@pytest.mark.parametrize(("classes", "strongest"), [(1001, 10), (31, 10), (10, 3)])
def test_precision_counts_the_three_most_among_the_strongest(classes: int, strongest: int) -> None:
    seen = np.arange(float(classes))[None]
    reading = np.zeros((1, classes))
    last_among = classes - strongest
    reading[0, [classes - 1, last_among, last_among - 1]] = 3, 2, 1
    table = foretold(reading, seen, np.array([0]), NONE)
    assert table.precision[0, 0] == pytest.approx(2 / 3)


def test_the_chance_is_never_nought() -> None:
    *_, p = permuted(np.eye(12), np.random.default_rng(0))
    assert p == pytest.approx(1 / 10_001)
    *_, p = permuted(np.ones((5, 5)), np.random.default_rng(0))
    assert p == 1
