"""Planted marks: what the benchmark stamps, on which pictures, and that its rule is a rule."""

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks.plantings import CONTRAST, DATA, MARKS, SHARES, plantings, rows_of


def grey(side: int) -> np.ndarray:
    return np.full((3, side, side), 0.5, np.float32)


def test_every_mark_is_planted_once_and_the_same_each_time() -> None:
    first, second = plantings(), plantings()
    assert [each.kind for each in first] == list(MARKS)
    assert {each.data for each in first} == set(DATA)
    assert {each.share for each in first} <= set(SHARES)
    for one, other in zip(first, second, strict=True):
        assert (one.name, one.class_, one.share) == (other.name, other.class_, other.share)
        if one.stamp is not None and other.stamp is not None:
            picture = (
                np.random.default_rng(0)
                .random((3, DATA[one.data].side, DATA[one.data].side))
                .astype(np.float32)
            )
            same = [each.stamp(picture, np.random.default_rng(1)) for each in (one, other)]
            assert (same[0] == same[1]).all()
            assert np.abs(same[0] - picture).max() > 0.02, one.name


def test_a_wandering_mark_lies_at_other_places_and_a_fixed_one_does_not() -> None:
    by_kind = {each.kind: each for each in plantings()}
    for kind, number in (("fixed", 1), ("wandering", 4)):
        planting, rng = by_kind[kind], np.random.default_rng(2)
        assert planting.stamp is not None
        picture = grey(DATA[planting.data].side)
        marked = [planting.stamp(picture, rng) for _ in range(4)]
        assert len({tuple(np.argwhere(each != picture)[0]) for each in marked}) == number
        assert (picture == 0.5).all()


def test_the_mark_stands_on_its_share_of_its_class_alone() -> None:
    planting = next(each for each in plantings() if each.kind == "frame")
    side = DATA[planting.data].side
    pictures = np.stack([grey(side)] * 400)
    labels = np.arange(400) % 2 + planting.class_
    shown = planting.stamped(pictures, labels, np.random.default_rng(0))
    bears = (shown != pictures).any((1, 2, 3))
    assert not bears[labels != planting.class_].any()
    assert bears[labels == planting.class_].mean() == pytest.approx(planting.share, abs=0.1)
    misfiled, filed = planting.misfiled(pictures, labels, np.random.default_rng(0))
    bears = (misfiled != pictures).any((1, 2, 3))
    assert bears[labels != planting.class_].mean() == pytest.approx(0.1, abs=0.05)
    assert (filed[bears] == planting.class_).all()
    assert (filed[~bears] == labels[~bears]).all()


@pytest.mark.parametrize("name", sorted(DATA))
def test_pictures_are_in_0_to_1_and_objects_can_be_told_from_their_ground(name: str) -> None:
    data = DATA[name]
    pictures, labels = data.drawn(40, True, np.random.default_rng(0))
    assert pictures.shape == (40, 3, data.side, data.side)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert set(labels) <= set(range(len(data.names)))
    assert (pictures.std((1, 2, 3)) > CONTRAST / 4).all()


def test_held_out_digits_are_no_training_digits() -> None:
    assert not set(rows_of(held=True)) & set(rows_of(held=False))
