"""Of several rankings the one that stands the check, on a network that looks at one patch."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from leap_audit.config import IsolationOptions
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import Softmax
from leap_audit.measure.isolation.ranking import best_of, candidates, rankings, slopes_of
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from tests.builders.classifiers import linear, read_model, uncounted

SIDE = 16
PATCH = np.s_[9:14, 2:7]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Return a classifier whose class 1 is the brightness of a checkered patch."""
    pattern = np.zeros((SIDE, SIDE))
    pattern[PATCH] = np.where(np.indices((5, 5)).sum(0) % 2, -1, 1)
    weights = np.stack([np.zeros(SIDE**2), pattern.ravel(), -pattern.ravel() / 4])
    path = linear(tmp_path_factory.mktemp("planted") / "m.onnx", weights, side=SIDE)
    return read_model(path)


@pytest.fixture
def subject() -> Subject:
    picture = np.random.default_rng(0).uniform(0, 1, (1, SIDE, SIDE)).astype(np.float32)
    picture[0][PATCH] = 1 - np.indices((5, 5)).sum(0) % 2
    return Subject(picture, 1)


def truth() -> NDArray[Any]:
    scores = np.random.default_rng(1).random((SIDE, SIDE))
    scores[PATCH] += 1
    return scores


def test_the_slopes_point_at_the_patch(model: Model, subject: Subject) -> None:
    found = slopes_of(Run(model, 4, 1), subject, IsolationOptions(), 0)
    assert found.shape == (SIDE, SIDE)
    assert found.min() >= 0
    assert found[PATCH].min() > np.delete(found.ravel(), np.arange(8 * SIDE, 15 * SIDE)).max()


def test_the_slopes_are_those_of_the_class_asked_about(model: Model, subject: Subject) -> None:
    run = Run(model, 4, 1)
    first, second = (
        slopes_of(run, Subject(subject.picture, class_), IsolationOptions(), 0) for class_ in (1, 2)
    )
    assert second.max() == pytest.approx(first.max() / 16, rel=1e-3)
    assert slopes_of(run, Subject(subject.picture, 0), IsolationOptions(), 0).max() == 0


def test_the_draws_belong_to_the_subject_not_to_the_batch(model: Model, subject: Subject) -> None:
    first, again = (
        slopes_of(Run(model, batch, 1), subject, IsolationOptions(), 3) for batch in (2, 8)
    )
    np.testing.assert_allclose(first, again, rtol=1e-4)


def test_the_ranking_that_keeps_and_loses_the_class_is_chosen(
    model: Model, subject: Subject
) -> None:
    classifier = Run(model, 8, 1)
    wrong = [-truth(), np.random.default_rng(2).random((SIDE, SIDE))]
    for place in range(3):
        several = [*wrong[:place], truth(), *wrong[place:]]
        assert best_of(classifier, subject, several) == place


class TwoPatches:
    """Class 1 where `joined` says so of whether each of two patches is white."""

    model = SimpleNamespace(answer=Softmax(2), reading=None)
    places = (np.s_[2:4, 2:4], np.s_[12:14, 12:14])

    def __init__(self, joined: Callable[[list[bool]], bool]) -> None:
        self._joined = joined

    def scores(self, pictures: NDArray[Any]) -> Iterator[NDArray[Any]]:
        for picture in pictures:
            said = self._joined([bool((picture[0][p] > 0.9).all()) for p in self.places])
            yield np.array([[0.0], [9.0 if said else -9.0]])


@pytest.mark.parametrize("joined", [any, all])
def test_a_ranking_of_both_patches_beats_one_of_the_first_alone(
    joined: Callable[[list[bool]], bool],
) -> None:
    """Where either is enough, only erasing tells them apart; where both are needed, keeping."""
    both = np.random.default_rng(3).random((SIDE, SIDE))
    first = both.copy()
    for place, (in_both, in_first) in zip(
        TwoPatches.places, ((3.0, 3.0), (2.0, -1.0)), strict=True
    ):
        both[place], first[place] = in_both, in_first
    picture = np.zeros((1, SIDE, SIDE), np.float32)
    for place in TwoPatches.places:
        picture[0][place] = 1
    run = cast(Run, TwoPatches(joined))
    assert best_of(run, Subject(picture, 1), [first, both]) == 1
    assert best_of(run, Subject(picture, 1), [both, first]) == 0


def test_the_slopes_count_seven_tenths_beside_the_optimised_map() -> None:
    rng = np.random.default_rng(5)
    scores, slopes = rng.standard_normal((SIDE, SIDE)), rng.random((SIDE, SIDE)) + 0.1
    _, mean, alone = candidates(scores, slopes)
    standard = (scores - scores.mean()) / scores.std()
    np.testing.assert_allclose(mean - standard, 0.7 * alone, rtol=1e-6, atol=1e-9)
    assert np.corrcoef(alone.ravel(), np.log(slopes).ravel())[0, 1] == pytest.approx(1)


def test_of_equals_the_optimised_map_is_kept(model: Model, subject: Subject) -> None:
    classifier = Run(model, 8, 1)
    assert best_of(classifier, subject, [truth(), truth(), truth()]) == 0


def test_candidates_are_numbers_even_without_slopes() -> None:
    for scores, slopes in ((truth(), np.zeros((SIDE, SIDE))), (np.ones((4, 4)), np.eye(4))):
        several = candidates(scores, slopes)
        assert len(several) == 3
        assert all(np.isfinite(each).all() for each in several)
        np.testing.assert_array_equal(several[0], scores)


def test_what_only_rounding_tells_apart_ranks_nothing() -> None:
    slopes = 0.25 + 1e-8 * np.random.default_rng(0).random((SIDE, SIDE))
    scores, mean, alone = candidates(truth(), slopes)
    assert np.ptp(alone) == 0
    np.testing.assert_array_equal(np.argsort(mean, axis=None), np.argsort(scores, axis=None))


def test_a_map_that_settled_in_the_wrong_place_is_not_kept(
    model: Model, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*given: Any, **more: Any) -> Any:
        yield -truth()

    monkeypatch.setattr("leap_audit.measure.isolation.ranking.rank_pixels", lost)
    (found,) = rankings(
        Run(model, 8, 1),
        [subject],
        IsolationOptions(steps=1),
        seed=0,
        batch=1,
        advance=uncounted,
    )
    inside = np.zeros((SIDE, SIDE), bool)
    inside[PATCH] = True
    assert found[inside].mean() > found[~inside].mean()


def test_no_subjects(model: Model, tmp_path: Path) -> None:
    given = {"seed": 0, "batch": 1, "advance": uncounted}
    assert list(rankings(Run(model, 1, 1), [], IsolationOptions(), **given)) == []
