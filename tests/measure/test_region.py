"""The smallest region that is enough, read off a ranking."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from leap_audit.config import IsolationOptions
from leap_audit.ingest.outputs.answer import Softmax
from leap_audit.ingest.outputs.directions import DirectionReading, Directions
from leap_audit.ingest.outputs.reading import Reading
from leap_audit.measure.isolation.optimise import blurred
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

    model = SimpleNamespace(answer=Softmax(2), reading=None)

    def scores(self, pictures: NDArray[Any]) -> Iterator[NDArray[Any]]:
        white = ((pictures[:, 0] > 0.9) & self._wanted).sum((1, 2))
        logits = np.where((white >= self._needed)[:, None], [[-4.0, 4.0]], [[4.0, -4.0]])
        yield from logits[:, :, None]


class Probable(Planted):
    """Class 1 with the probability that a function gives a picture, (height, width)."""

    def __init__(self, prob: Callable[[NDArray[Any]], float]) -> None:
        self._prob = prob

    def scores(self, pictures: NDArray[Any]) -> Iterator[NDArray[Any]]:
        for picture in pictures:
            p = self._prob(picture[0])
            yield np.array([[0.0], [np.log(p / (1 - p))]])


def planted(rows: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the wanted pixels (the first rows), a picture white there, and their ranking."""
    wanted = np.zeros((SIDE, SIDE), bool)
    wanted[:rows] = True
    picture = np.where(wanted, 1.0, 0.0)[None].astype(np.float32)
    return wanted, picture, -np.arange(SIDE * SIDE, dtype=float).reshape(SIDE, SIDE)


def checkered(rows: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the same with a checkered part, of which no blur leaves anything white."""
    wanted, _, scores = planted(rows)
    wanted &= np.indices((SIDE, SIDE)).sum(0) % 2 == 0
    return wanted, wanted[None].astype(np.float32), scores


def read(model: Planted, picture: NDArray[Any], scores: NDArray[Any]) -> Any:
    return read_region(cast(Run, model), Subject(picture, 1), scores, IsolationOptions())


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


@pytest.mark.parametrize(("adds", "enough"), [(0.009, False), (0.011, True), (0.1, True)])
def test_a_picture_that_adds_less_than_one_percent_carries_nothing(
    adds: float, enough: bool
) -> None:
    wanted, picture, scores = planted(2)
    model = Probable(lambda x: 0.3 + adds * float((x[wanted] > 0.9).mean()))
    assert read(model, picture, scores).enough == enough


def test_a_region_keeps_a_share_of_what_the_picture_adds() -> None:
    """The erased picture has 60 %, the whole one 90 %: 80 % of the 30 between are to be kept."""
    wanted, picture, scores = checkered(6)
    model = Probable(lambda x: 0.6 + 0.3 * float((x[wanted] > 0.9).mean()))
    region = read(model, picture, scores)
    assert (region.enough, region.area) == (True, 0.25)
    assert region.prob_keep == pytest.approx(0.6 + 0.3 * 5 / 6, abs=0.01)


class Vectors(Planted):
    """An encoder between two directions: the cosine with the second is that of a function."""

    def __init__(self, cosine: Callable[[NDArray[Any]], float], scale: float) -> None:
        self._cosine = cosine
        directions = Directions(np.eye(2), scale)
        reading = DirectionReading(cast(Reading, None), directions)
        self.model = SimpleNamespace(answer=Softmax(2), reading=reading)
        self._scale = scale

    def scores(self, pictures: NDArray[Any]) -> Iterator[NDArray[Any]]:
        for picture in pictures:
            yield self._scale * np.array([[0.1], [self._cosine(picture[0])]])


@pytest.mark.parametrize("scale", [1.0, 10.0, 1000.0])
def test_a_region_of_an_encoder_is_read_by_the_cosine(scale: float) -> None:
    """Its probability is all or nothing, or nothing moves it, as the factor happens to be."""
    wanted, picture, scores = checkered(6)
    model = Vectors(lambda x: 0.12 + 0.2 * float((x[wanted] > 0.9).mean()), scale)
    region = read(model, picture, scores)
    assert (region.enough, region.area) == (True, 0.15)
    assert region.cosines is not None
    assert region.cosines.whole == pytest.approx(0.32)
    assert region.cosines.keep == pytest.approx(0.12 + 0.2 / 2, abs=0.01)
    assert region.cosines.delete == pytest.approx(0.12 + 0.2 / 2, abs=0.01)
    assert region.cosines.erased == pytest.approx(0.12)
    assert region.prob == pytest.approx(1 / (1 + np.exp(-0.22 * scale)))


@pytest.mark.parametrize(("adds", "enough"), [(0.019, False), (0.021, True)])
def test_a_picture_that_adds_next_to_nothing_to_a_cosine(adds: float, enough: bool) -> None:
    wanted, picture, scores = planted(2)
    model = Vectors(lambda x: 0.3 + adds * float((x[wanted] > 0.9).mean()), 100.0)
    assert read(model, picture, scores).enough == enough


def test_regions_of_up_to_sixty_percent_are_tried() -> None:
    for rows, area in ((11, 0.6), (13, None)):
        wanted, picture, scores = checkered(rows)
        region = read(Planted(wanted, int(wanted.sum())), picture, scores)
        assert (region.area if region.enough else None) == area


def test_where_no_region_is_enough_the_one_that_keeps_most_is_shown() -> None:
    wanted, picture, scores = checkered(SIDE)
    model = Probable(lambda x: 0.1 + 0.8 * float((x[wanted] > 0.9).mean()))
    region = read(model, picture, scores)
    assert (region.enough, region.area) == (False, 0.6)
    assert region.prob_keep == pytest.approx(0.1 + 0.8 * 0.6, abs=0.02)


def test_the_blur_that_says_least_of_the_class_stands_for_what_is_erased() -> None:
    picture = (np.indices((SIDE, SIDE))[1] // 5 % 2)[None].astype(np.float32)  # wide stripes
    prob = lambda x: 0.05 + 1.8 * float(x.std())  # noqa: E731
    fills = blurred(picture[None])[:, 0, 0]
    assert np.ptp([prob(each) for each in fills]) > 0.05
    fill = fills[int(np.argmin([prob(each) for each in fills]))]
    scores = -np.arange(SIDE * SIDE, dtype=float).reshape(SIDE, SIDE)
    region = read(Probable(prob), picture, scores)
    erased = np.where(region.inside, fill, picture[0])
    kept = np.where(region.inside, picture[0], fill)
    assert region.prob_delete == pytest.approx(prob(erased), rel=1e-4)
    assert region.prob_keep == pytest.approx(prob(kept), rel=1e-4)


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
