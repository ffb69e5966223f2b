"""The ranking of pixels, on a network whose class depends on one patch alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from leap_audit.config import IsolationOptions
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import Answer, Sigmoids, Softmax
from leap_audit.measure.isolation.optimise import (
    FIRST_SOFTNESS,
    SOFTNESS,
    _softness,
    blurred,
    rank_pixels,
)
from leap_audit.measure.run import Run
from leap_audit.measure.subject import SURE, WIDEST, Subject, sharpness
from tests.builders.classifiers import linear, read_model, write_model

SIDE = 16
PATCH = (9, 2, 14, 7)
"""top, left, bottom, right"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Return a classifier whose class 1 is the brightness of a checkered patch."""
    top, left, bottom, right = PATCH
    pattern = np.zeros((SIDE, SIDE))
    pattern[top:bottom, left:right] = np.where(
        np.indices((bottom - top, right - left)).sum(0) % 2, -1, 1
    )
    folder = tmp_path_factory.mktemp("planted")
    weights = np.stack([np.zeros(SIDE**2), pattern.ravel(), -pattern.ravel() / 4])
    return read_model(linear(folder / "m.onnx", weights, side=SIDE))


def picture(seed: int) -> NDArray[Any]:
    """Return noise with the patch's pattern in it."""
    top, left, bottom, right = PATCH
    found = np.random.default_rng(seed).uniform(0, 1, (1, SIDE, SIDE)).astype(np.float32)
    checkered = np.indices((bottom - top, right - left)).sum(0) % 2
    found[0, top:bottom, left:right] = 1 - checkered
    return found


def ranked(model: Model, subjects: list[Subject], **given: Any) -> list[NDArray[Any]]:
    counted: list[int] = []
    options = IsolationOptions(steps=given.pop("steps", 60), grid=8)
    chosen = {"seed": 0, "batch": 2, **given}
    maps = list(rank_pixels(Run(model, 1, 1), subjects, options, advance=counted.append, **chosen))
    assert sum(counted) == options.steps * len(subjects)
    return maps


def test_the_first_pixel_lies_where_the_truth_was_planted(model: Model) -> None:
    maps = ranked(model, [Subject(picture(k), 1) for k in range(3)])
    top, left, bottom, right = PATCH
    assert len(maps) == 3
    for scores in maps:
        assert scores.shape == (SIDE, SIDE)
        y, x = np.unravel_index(int(scores.argmax()), scores.shape)
        assert top <= y < bottom
        assert left <= x < right


def test_a_ranking_is_the_same_in_any_company(model: Model) -> None:
    subjects = [Subject(picture(k), 1) for k in range(4)] + [Subject(picture(0), 2)]
    (alone,) = ranked(model, subjects[2:3], batch=1, steps=10)
    for batch in (1, 2, 3, 8):
        together = ranked(model, subjects, batch=batch, steps=10)
        assert len(together) == 5
        np.testing.assert_allclose(together[2], alone, atol=1e-3)
    assert np.abs(together[0] - together[4]).max() > 1e-3  # the same picture, another class


def test_the_seed_decides(model: Model) -> None:
    subject = [Subject(picture(0), 1)]
    first, again, other = (ranked(model, subject, seed=s, steps=5)[0] for s in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert np.abs(first - other).max() > 1e-3


def test_an_oblong_picture(tmp_path: Path) -> None:
    weights = {"w": np.random.default_rng(0).standard_normal((3 * 8 * 12, 3))}
    path = write_model(
        tmp_path / "m.onnx",
        [("Flatten", ["x"], "f"), ("Gemm", ["f", "w"], "y")],
        weights,
        shape=("n", 3, 8, 12),
    )
    subject = Subject(np.random.default_rng(1).random((3, 8, 12), np.float32), 0)
    (scores,) = ranked(read_model(path), [subject], steps=2)
    assert scores.shape == (8, 12)


def test_no_subjects(model: Model) -> None:
    assert ranked(model, []) == []


def test_a_model_that_takes_one_picture_at_a_time_gets_the_same_map(model: Model) -> None:
    """It stands in the graph of a step twice, for what is kept and for what is left."""
    (wanted,) = ranked(model, [Subject(picture(0), 1)], steps=3)
    (found,) = ranked(replace(model, batchable=False), [Subject(picture(0), 1)], steps=3)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("answer", [Softmax(3), Sigmoids(3)])
def test_the_first_answer_of_an_encoder_is_not_too_sure_to_have_a_slope(answer: Answer) -> None:
    sure = np.array([[31.0], [22.0], [19.0]])
    factor = sharpness(sure, answer, cosines=True)
    assert answer.probabilities(factor * sure).max() == pytest.approx(SURE, abs=1e-6)
    doubtful = np.array([[0.31], [0.22], [0.19]])
    assert sharpness(doubtful, answer, cosines=True) == 1


def test_sharpness_tames_scores_in_the_thousands_and_leaves_others_alone() -> None:
    assert sharpness(np.array([[0], [1], [5.0]]), Softmax(4)) == 1
    assert sharpness(np.zeros((4, 2)), Softmax(4)) == sharpness(np.zeros((4, 2)), Sigmoids(4)) == 1
    wild = np.array([0, 100, 50_000.0, -3e6, 20])
    factor = sharpness(wild[:, None], Softmax(4))
    assert sharpness(wild[:, None], Sigmoids(4)) * 3e6 == pytest.approx(WIDEST)
    assert 0 < factor < 1
    assert sharpness(wild[:, None], Softmax(4), cosines=True) < factor
    assert (wild.max() - np.median(wild)) * factor == pytest.approx(WIDEST)


def test_blurs_stay_in_range_and_grow() -> None:
    pictures = np.random.default_rng(0).random((2, 3, 10, 12)).astype(np.float32)
    fills = blurred(pictures)
    assert fills.shape[1:] == pictures.shape
    assert fills.min() >= 0
    assert fills.max() <= 1
    spreads = [float(fill.std()) for fill in fills]
    assert spreads == sorted(spreads, reverse=True)
    even = blurred(np.full((1, 1, 8, 8), 0.4, np.float32))
    np.testing.assert_allclose(even, 0.4, rtol=1e-5)


def test_the_edge_sharpens_and_then_stays() -> None:
    widths = [_softness(step, 100) for step in range(100)]
    assert widths[0] == FIRST_SOFTNESS
    assert widths == sorted(widths, reverse=True)
    assert widths[60:] == pytest.approx([SOFTNESS] * 40)
    assert _softness(0, 1) == FIRST_SOFTNESS
