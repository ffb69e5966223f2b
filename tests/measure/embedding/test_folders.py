"""Where pictures of one class are far apart and those of two classes near."""

import numpy as np
import pytest

from leap_audit.measure.embedding.folders import separation_of
from leap_audit.run.session import Array


def blobs(spread: float = 0.3) -> tuple[Array, list[int]]:
    rng = np.random.default_rng(0)
    classes = [i % 3 for i in range(30)]
    return 3 * np.eye(6)[classes] + spread * rng.normal(size=(30, 6)), classes


def test_classes_that_lie_apart() -> None:
    vectors, classes = blobs()
    found = separation_of(vectors, classes, np.random.default_rng(0))
    assert found is not None
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines, same = units @ units.T, np.equal.outer(classes, classes)
    assert found.same == pytest.approx(cosines[same & ~np.eye(30, dtype=bool)].mean())
    assert found.different == pytest.approx(cosines[~same].mean())
    assert found.agreement == 1
    assert found.chance < 0.6
    assert found.far == ()
    assert found.by_class == ((0, 1.0), (1, 1.0), (2, 1.0))


def test_a_picture_far_from_its_own_class_and_the_nearest_pair_are_named() -> None:
    vectors, classes = blobs()
    vectors[7] = vectors[5] + 0.01
    found = separation_of(vectors, classes, np.random.default_rng(0))
    assert found is not None
    assert [(each.place, each.nearer) for each in found.far] == [(7, classes[5])]
    assert found.far[0].other > found.far[0].own
    assert {found.near[0].first, found.near[0].second} == {5, 7}
    assert found.near[0].cosine > 0.99
    again = separation_of(vectors, classes, np.random.default_rng(0), [(5, 7)])
    assert again is not None
    assert {again.near[0].first, again.near[0].second} != {5, 7}


def test_vectors_that_know_nothing_agree_as_often_as_chance() -> None:
    _, classes = blobs()
    vectors = np.random.default_rng(4).normal(size=(30, 6))
    found = separation_of(vectors, classes, np.random.default_rng(0))
    assert found is not None
    assert found.agreement <= found.chance


def test_too_few_pictures_and_those_without_a_class_are_left_out() -> None:
    vectors, classes = blobs()
    assert separation_of(vectors, [None] * 30, np.random.default_rng(0)) is None
    assert separation_of(vectors, [0, 1, *[None] * 28], np.random.default_rng(0)) is None
    known = [k if k < 2 else None for k in classes]
    found = separation_of(vectors, known, np.random.default_rng(0))
    assert found is not None
    assert [k for k, _ in found.by_class] == [0, 1]
