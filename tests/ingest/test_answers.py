"""Kinds of answers: the graph and the numbers lie alike, and targets weigh the right scores."""

from collections.abc import Callable

import numpy as np
import pytest

from leap_audit.ingest.outputs.answer import (
    Answer,
    OneLogit,
    OwnProbabilities,
    ScoreMap,
    Sigmoids,
    Softmax,
    answer_kind,
)
from tests.builders.emitted import numbers, start

RNG = np.random.default_rng(0)
REGION = (0.0, 0.5, 0.5, 1.0)
"""The upper right quarter."""


@pytest.mark.parametrize(
    ("answer", "shape", "expected"),
    [
        (Softmax(3), (2, 3), lambda x: x[:, :, None]),
        (Sigmoids(3), (2, 3, 1, 1), lambda x: x.reshape(2, 3, 1)),
        (OneLogit(), (2, 1), lambda z: np.stack([-z / 2, z / 2], 1)),
        (
            answer_kind(3, "softmax", sides=(4, 6)),
            (2, 3, 4, 6),
            lambda x: x.reshape(2, 3, 24),
        ),
        (
            answer_kind(3, "sigmoid", sides=(4, 6), axis=3, region=REGION),
            (2, 4, 6, 3),
            lambda x: x[:, :2, 3:].transpose(0, 3, 1, 2).reshape(2, 3, 6),
        ),
        (
            answer_kind(2, "softmax", single=True, sides=(4, 6), region=REGION),
            (2, 1, 4, 6),
            lambda x: np.concatenate([-x / 2, x / 2], 1)[:, :, :2, 3:].reshape(2, 2, 6),
        ),
    ],
)
def test_columns(
    answer: Answer, shape: tuple[int, ...], expected: Callable[[np.ndarray], np.ndarray]
) -> None:
    scores = RNG.normal(size=shape).astype(np.float32)
    op, (value,) = start(scores=shape)
    (found,) = numbers(op, [answer.columns(op, value)], {"scores": scores})
    np.testing.assert_array_equal(found, expected(scores))
    np.testing.assert_array_equal(answer.columns_of(scores), expected(scores))
    assert found.shape[1:] == (answer.classes, answer.places)


@pytest.mark.parametrize("axis", [1, 3])
def test_a_region_is_of_the_cells_whose_centres_it_holds(axis: int) -> None:
    answer = answer_kind(3, "softmax", sides=(4, 6), axis=axis, region=(0.1, 0.0, 0.11, 0.4))
    assert isinstance(answer, ScoreMap)
    assert answer.window == (slice(0, 1), slice(0, 2))
    assert answer.places == 2


def test_the_kind_follows_from_what_was_measured() -> None:
    assert answer_kind(3, "softmax") == Softmax(3)
    assert answer_kind(3, "sigmoid") == Sigmoids(3)
    assert answer_kind(3, "given") == OwnProbabilities(3)
    assert answer_kind(2, "softmax", single=True) == OneLogit()
    assert answer_kind(2, "softmax", single=True).numbers == 1


def test_a_cotangent_weighs_a_targets_score() -> None:
    answer = answer_kind(4, "sigmoid", sides=(1, 2))
    np.testing.assert_array_equal(
        answer.cotangent((1, 3)), [[0, 0], [0.25, 0.25], [0, 0], [0.25, 0.25]]
    )
    np.testing.assert_array_equal(
        answer.cotangent((2,), np.array([0.25, 0.75])), [[0, 0], [0, 0], [0.25, 0.75], [0, 0]]
    )
    assert answer.cotangent((0,)).dtype == np.float32


def test_a_class_of_its_own_is_predicted_from_one_half_on() -> None:
    scores = np.array([[0.0, -1e-3], [2.0, -3.0]])
    assert Sigmoids(2).predicted(scores).tolist() == [[True, False], [True, False]]
    assert Softmax(2).predicted(scores).tolist() == [[False, True], [True, False]]


def test_given_probabilities_stay_what_they_are() -> None:
    p = np.array([[0.2], [0.3]])
    np.testing.assert_allclose(OwnProbabilities(2).probabilities(np.log(p)), p)


def test_reach_is_how_far_scores_stand_out() -> None:
    scores = np.array([[9.0, 2], [1, 1], [0, 0]])
    assert Softmax(3).reach(scores) == pytest.approx((8 + 1) / 2)
    assert Sigmoids(3).reach(-scores) == 9
