"""Directions of an encoder's own space that stand for classes."""

import numpy as np
import pytest

from leap_audit.measure.embedding.directions import (
    SCALES,
    SURE,
    class_directions,
    principal_directions,
)
from leap_audit.measure.embedding.spread import unit_vectors
from leap_audit.measure.examples.gathered import softmax_rows
from leap_audit.run.session import Array


def blobs(spread: float) -> tuple[Array, list[int]]:
    rng = np.random.default_rng(0)
    classes = [i % 3 for i in range(60)]
    return 2 + 3 * np.eye(8)[classes] + spread * rng.normal(size=(60, 8)), classes


def test_centroids_lose_what_all_classes_have_in_common() -> None:
    vectors, classes = blobs(0.2)
    found = class_directions(vectors, [*classes], ["a", "b", "c", "without a picture"])
    assert found.names == ("a", "b", "c")
    assert np.allclose(found.vectors.sum(0), 0)
    units = unit_vectors(vectors)
    cosines = units @ unit_vectors(found.vectors).T
    assert (cosines.argmax(1) == np.array(classes)).all()
    own = softmax_rows(found.scale * cosines)[np.arange(60), classes].mean()
    assert own == pytest.approx(SURE, abs=0.06)


def test_a_scale_is_no_larger_than_the_pictures_support() -> None:
    apart, classes = blobs(0.2)
    mixed, _ = blobs(6.0)
    sure = class_directions(apart, classes, "abc").scale
    unsure = class_directions(mixed, classes, "abc").scale
    assert unsure < sure
    assert {sure, unsure} <= set(SCALES)
    assert class_directions(apart, classes, "abc", 7.0).scale == 7


def test_pictures_without_a_class_count_for_none() -> None:
    vectors, classes = blobs(0.2)
    far = np.concatenate([vectors, [[-9.0] * 8]])
    with_one = class_directions(far, [*classes, None], "abc")
    assert np.allclose(with_one.vectors, class_directions(vectors, classes, "abc").vectors)


def test_principal_directions_count_both_ways() -> None:
    rng = np.random.default_rng(0)
    vectors = 4 + rng.normal(size=(80, 6)) * [3, 2, 1, 0.1, 0.1, 0.1]
    found = principal_directions(vectors)
    assert len(found.names) == len(set(found.names)) == len(found.vectors) == 6
    assert np.allclose(found.vectors[::2], -found.vectors[1::2])
    units = unit_vectors(vectors)
    deviations = (units @ found.vectors[::2].T).std(0)
    assert (np.diff(deviations) < 0).all()
    assert found.scale * deviations[0] == pytest.approx(3)
    line = principal_directions(4 + rng.normal(size=(80, 1)) * np.eye(6)[0])
    assert line.names == ("direction 1+", "direction 1−")


def test_vectors_that_are_all_alike_have_two_dimensions_instead() -> None:
    same = np.ones((10, 5))
    assert principal_directions(same).names == ("dimension 0", "dimension 1")
    assert class_directions(same, [0, 1] * 5, "ab").names == ("dimension 0", "dimension 1")
