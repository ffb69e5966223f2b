"""Collapse, effective rank and hubs, on vectors that were planted."""

import numpy as np
import pytest

from leap_audit.measure.embedding.spread import (
    effective_rank,
    hubs_of,
    nearest_of,
    skewness,
    unit_vectors,
    vector_spread,
)


def test_the_effective_rank_counts_equal_singular_values() -> None:
    assert effective_rank(np.diag([2.0, 2, 2, 2])) == pytest.approx(4)
    assert effective_rank(np.outer(np.arange(1.0, 6), np.ones(3))) == pytest.approx(1)
    assert effective_rank(np.zeros((3, 3))) == 0
    unequal = np.diag([3.0, 1.0])
    shares = np.array([0.75, 0.25])
    assert effective_rank(unequal) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    wide = np.random.default_rng(0).normal(size=(5, 40))
    assert effective_rank(wide) == pytest.approx(effective_rank(wide.T))


def test_the_spread_of_a_collapsed_encoder_and_of_a_whole_one() -> None:
    rng = np.random.default_rng(0)
    whole = vector_spread(rng.normal(size=(60, 16)))
    assert abs(whole.mean_cosine) < 0.05
    assert whole.effective_rank > 12
    assert whole.possible_rank == 16
    assert whole.still == 0
    line = rng.normal(size=(60, 1)) * np.ones(16) + 5 + 1e-3 * rng.normal(size=(60, 16))
    assert vector_spread(line).mean_cosine > 0.9
    plane = np.concatenate([rng.normal(size=(60, 2)), np.zeros((60, 14))], 1)
    flat = vector_spread(plane)
    assert flat.effective_rank == pytest.approx(2, abs=0.1)
    assert flat.still == 14
    same = vector_spread(np.ones((5, 4), np.float32) * 0.3)
    assert same.mean_cosine == pytest.approx(1)
    assert same.effective_rank == 0
    assert same.still == 4


def test_the_mean_cosine_is_that_of_all_pairs() -> None:
    vectors = np.random.default_rng(1).normal(size=(7, 3)) + 1
    units = unit_vectors(vectors)
    cosines = (units @ units.T)[~np.eye(7, dtype=bool)]
    assert vector_spread(vectors).mean_cosine == pytest.approx(cosines.mean())


def test_neighbours_leave_the_picture_itself_out() -> None:
    vectors = np.array([[1, 0], [1, 0.1], [0, 1], [1, 0]])
    cosines, places = nearest_of(vectors, 2)
    assert places.tolist() == [[3, 1], [0, 3], [1, 0], [0, 1]]
    assert cosines[0].tolist() == pytest.approx([1, 1 / np.sqrt(1.01)])


def test_skewness() -> None:
    assert skewness(np.array([1, 2, 3])) == pytest.approx(0)
    assert skewness(np.ones(4)) == 0
    assert skewness(np.array([0, 0, 0, 4.0])) == pytest.approx(2 / np.sqrt(3))


def test_a_planted_hub_is_found_and_a_cloud_has_none() -> None:
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(120, 10))
    none = hubs_of(cloud, np.random.default_rng(1))
    assert none.skewness <= none.usual
    assert none.neighbours == 10
    assert none.times.sum() == 1200
    # Pictures on a shell around a middle in which a few lie: near to all, while others are far.
    shell = unit_vectors(rng.normal(size=(120, 60))) + 1.5 * np.eye(60)[0]
    shell[:3] = 1.5 * np.eye(60)[0] + 0.05 * rng.normal(size=(3, 60))
    hubs = hubs_of(shell, np.random.default_rng(1))
    assert hubs.skewness > 1.3 * hubs.usual
    assert set(np.argsort(-hubs.times)[:3]) == {0, 1, 2}
    assert hubs.centred < hubs.skewness / 2


def test_few_pictures_have_as_many_neighbours_as_a_quarter() -> None:
    found = hubs_of(np.random.default_rng(0).normal(size=(12, 4)), np.random.default_rng(0))
    assert found.neighbours == 3
