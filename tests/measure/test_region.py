"""The smallest region that is enough, read off a ranking."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from leap_audit.config import IsolationOptions
from leap_audit.ingest.outputs.answer import Softmax
from leap_audit.measure.isolation.region import AREAS, read_region, shown
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject

SIDE = 20

ENOUGH = IsolationOptions().enough


class Planted:
    """Class 1 where at least so many of the wanted pixels are white, class 0 otherwise."""

    def __init__(self, wanted: NDArray[Any], needed: float) -> None:
        self._wanted = wanted
        self._needed = needed

    model = SimpleNamespace(answer=Softmax(2))

    def scores(self, pictures: NDArray[Any]) -> Iterator[NDArray[Any]]:
        white = ((pictures[:, 0] > 0.9) & self._wanted).sum((1, 2))
        logits = np.where((white >= self._needed)[:, None], [[-4.0, 4.0]], [[4.0, -4.0]])
        yield from logits[:, :, None]


def planted(rows: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the wanted pixels (the first rows), a picture white there, and their ranking."""
    wanted = np.zeros((SIDE, SIDE), bool)
    wanted[:rows] = True
    picture = np.where(wanted, 1.0, 0.0)[None].astype(np.float32)
    return wanted, picture, -np.arange(SIDE * SIDE, dtype=float).reshape(SIDE, SIDE)


def read(model: Planted, picture: NDArray[Any], scores: NDArray[Any]) -> Any:
    return read_region(cast(Run, model), Subject(picture, 1), scores, ENOUGH)


@pytest.mark.parametrize("rows", [1, 2, 4, 9])
def test_the_smallest_sufficient_area_is_chosen(rows: int) -> None:
    wanted, picture, scores = planted(rows)
    region = read(Planted(wanted, rows * SIDE), picture, scores)
    needed = rows / SIDE
    assert region.area == min(area for area in AREAS if area >= needed)
    assert region.enough
    assert region.inside[wanted].all()
    assert abs(region.inside.mean() - region.area) < 0.01
    assert region.prob == pytest.approx(1, abs=1e-3)
    assert region.prob_keep >= ENOUGH * region.prob
    assert region.prob_delete < 0.01


def test_no_region_is_enough() -> None:
    wanted, picture, scores = planted(SIDE - 4)
    region = read(Planted(wanted, (SIDE - 4) * SIDE), picture, scores)
    assert not region.enough
    assert region.prob_keep < ENOUGH * region.prob
    assert region.area in AREAS


def test_a_ranking_that_misses_needs_more() -> None:
    wanted, picture, scores = planted(2)
    model = Planted(wanted, 2 * SIDE)
    assert read(model, picture, scores).area < 0.2
    assert not read(model, picture, -scores).enough


@pytest.mark.parametrize("shape", [(20, 20), (28, 28), (7, 40)])
def test_the_ranking_uses_its_levels_evenly(shape: tuple[int, int]) -> None:
    scores = np.random.default_rng(0).standard_normal(shape) ** 5
    model = Planted(np.zeros(shape, bool), 0)
    ranking = read(model, np.zeros((1, *shape), np.float32), scores).ranking
    assert ranking.dtype == np.uint8
    assert (ranking.min(), ranking.max()) == (0, 255)
    order = np.argsort(scores, axis=None)
    assert (np.diff(ranking.ravel()[order].astype(int)) >= 0).all()
    counts, _ = np.histogram(ranking, bins=4, range=(0, 256))
    assert np.ptp(counts) <= 0.05 * scores.size


def test_equal_scores_are_ranked_too() -> None:
    model = Planted(np.zeros((8, 8), bool), 0)
    region = read(model, np.zeros((1, 8, 8), np.float32), np.zeros((8, 8)))
    assert (region.ranking.min(), region.ranking.max()) == (0, 255)


@pytest.mark.parametrize("channels", [1, 2, 3, 7])
def test_what_is_shown_is_in_colour_and_whole_inside(channels: int) -> None:
    picture = np.random.default_rng(0).random((channels, 6, 7))
    inside = np.zeros((6, 7), bool)
    inside[2:4, 1:5] = True
    found = shown(picture, inside)
    assert found.shape == (3, 6, 7)
    colours = picture[[min(band, channels - 1) for band in range(3)]]
    np.testing.assert_array_equal(found[:, inside], colours[:, inside])
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.ptp(found[:, ~inside]) < np.ptp(picture)
