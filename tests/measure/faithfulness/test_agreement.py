"""Which part of the highest pixels of two maps is the same, where it is known."""

import numpy as np
import pytest

from leap_audit.measure.faithfulness.agreement import TOP_SHARE, top_overlap

RNG = np.random.default_rng(0)


def test_a_map_agrees_with_itself_whatever_its_unit() -> None:
    values = RNG.standard_normal((20, 30))
    assert top_overlap(values, values) == pytest.approx(1)
    assert top_overlap(values, np.exp(3 * values)) == pytest.approx(1)
    assert top_overlap(values, -values) == 0


def test_the_highest_pixels_alone_count() -> None:
    a, b = np.zeros((10, 10)), np.zeros((10, 10))
    a.ravel()[:10] = b.ravel()[5:15] = 2  # the highest tenth of each; half of it is common
    a.ravel()[50:] = RNG.random(50)
    b.ravel()[50:] = RNG.random(50)
    assert top_overlap(a, b) == pytest.approx(0.5)


def test_by_chance_it_is_the_share_that_is_compared() -> None:
    found = [top_overlap(RNG.random((40, 40)), RNG.random((40, 40))) for _ in range(40)]
    assert np.mean(found) == pytest.approx(TOP_SHARE, abs=0.01)
    flat = np.ones((40, 40))
    assert top_overlap(flat, RNG.random((40, 40))) == pytest.approx(TOP_SHARE)
    assert top_overlap(flat, 0 * flat) == pytest.approx(1)


def test_pixels_that_tie_share_what_is_left() -> None:
    a, b = np.zeros((10, 10)), np.zeros((10, 10))
    a[0, :5], a[1, :] = 2, 1  # five are above; the other five places are shared by ten
    b[1, :] = 1
    assert top_overlap(a, b) == pytest.approx(0.5)
    b[:] = 0
    b[0, :] = 1
    assert top_overlap(a, b) == pytest.approx(0.5)


def test_a_share_is_at_least_a_pixel() -> None:
    values = np.array([[0.0, 1.0], [0.0, 0.0]])
    assert top_overlap(values, values, 0.01) == 1
    assert top_overlap(values, values[::-1], 0.01) == 0
