"""What a prototype is optimised for."""

import numpy as np
import pytest

from leap_audit.gradient import backpropagate
from leap_audit.measure.prototype.objective import (
    distance,
    target_weights,
    total_variation,
    weighted_logit,
)
from tests.builders.emitted import numbers, start


def test_a_hybrid_weighs_its_classes_equally() -> None:
    weights = target_weights([(1,), (0, 3), (2, 1, 0)], 4)
    third = 1 / 3
    want = [[0, 1, 0, 0], [0.5, 0, 0, 0.5], [third, third, third, 0]]
    np.testing.assert_allclose(weights, want, rtol=1e-6)
    assert weights.dtype == np.float32


def test_the_objective_is_the_plain_logit_of_each_item() -> None:
    op, (logits, weights) = start(logits=(2, 3), weights=(2, 3))
    score = weighted_logit(op, logits, weights)
    given = {"logits": [[1, 2, 3], [4, 5, 6]], "weights": target_weights([(1,), (0, 2)], 3)}
    (found,) = numbers(op, [score], given)
    np.testing.assert_allclose(found, [2, 5])


def test_total_variation_is_the_mean_step_between_neighbours() -> None:
    op, (picture,) = start(picture=(2, 3, 4, 5))
    x = np.random.default_rng(0).random((2, 3, 4, 5))
    want = np.zeros(2)
    for b in range(2):
        for c in range(3):
            for i in range(4):
                for j in range(5):
                    want[b] += abs(x[b, c, i + 1, j] - x[b, c, i, j]) if i < 3 else 0
                    want[b] += abs(x[b, c, i, j + 1] - x[b, c, i, j]) if j < 4 else 0
    (found,) = numbers(op, [total_variation(op, picture)], {"picture": x})
    np.testing.assert_allclose(found, want / (3 * 4 * 5), rtol=1e-5)


@pytest.mark.parametrize("grey", [0.0, 1.0, 0.25])
def test_distance_is_the_mean_absolute_difference_from_one_grey(grey: float) -> None:
    op, (picture,) = start(picture=(2, 3, 4, 5))
    x = np.random.default_rng(0).random((2, 3, 4, 5))
    (got,) = numbers(op, [distance(op, picture, grey)], {"picture": x})
    np.testing.assert_allclose(got, np.abs(x - grey).mean((1, 2, 3)), rtol=1e-5)


def test_total_variation_of_an_even_picture_is_zero_and_has_no_slope() -> None:
    op, (picture,) = start(picture=(1, 1, 4, 4))
    variation = total_variation(op, picture)
    slope = backpropagate(op, {variation: op.constant(np.ones(1))}, [picture])
    found, dx = numbers(op, [variation, *slope], {"picture": np.full((1, 1, 4, 4), 0.5)})
    assert found == 0
    np.testing.assert_array_equal(dx, 0)
