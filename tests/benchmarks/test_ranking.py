"""Insertion and deletion against rankings whose figures are known; the bootstrap interval."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from benchmarks.ranking import STEPS, fills, insertion_deletion, paired_interval
from leap_audit.run.session import Array

SIDE = 8
PLANTED = np.zeros((SIDE, SIDE), bool)
PLANTED[2:6, 3:7] = True
POINTS = STEPS + 1


def share_shown(pictures: Array) -> Array:
    """The probability of a class that is the planted pixels: how many of them are white."""
    return np.asarray(pictures[:, 0, PLANTED].mean(1))


@pytest.mark.parametrize(
    ("scores", "inserted", "deleted"),
    [
        # 16 of 64 pixels are planted, and a step moves two: 1/8 of them each, and then all.
        (PLANTED.astype(float), 28.5 / POINTS, 4.5 / POINTS),
        (-PLANTED.astype(float), 4.5 / POINTS, 28.5 / POINTS),
    ],
)
def test_a_planted_ranking_has_its_figures(scores: Array, inserted: float, deleted: float) -> None:
    picture, fill = np.ones((1, SIDE, SIDE)), np.zeros((1, SIDE, SIDE))
    found = insertion_deletion(share_shown, picture, scores, fill)
    assert found == pytest.approx((inserted, deleted))


def test_the_first_and_the_last_picture_are_whole() -> None:
    shown: list[Array] = []

    def keep(pictures: Array) -> Array:
        shown.append(pictures)
        return np.zeros(len(pictures))

    picture, fill = np.full((3, SIDE, SIDE), 0.5), np.full((3, SIDE, SIDE), 0.25)
    insertion_deletion(keep, picture, np.arange(64.0).reshape(SIDE, SIDE), fill)
    inserted, deleted = shown
    assert len(inserted) == len(deleted) == POINTS
    assert (inserted[0] == fill).all()
    assert (inserted[-1] == picture).all()
    assert (deleted == (picture + fill - inserted)).all()
    assert (inserted[1] != fill).sum() == 3 * 2  # two pixels, of three channels
    assert inserted[1, 0, -1, -1] == 0.5  # the highest score enters first


def test_the_fills() -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (24, 36, 3), dtype=np.uint8)
    picture = levels.transpose(2, 0, 1) / np.float32(255)
    found = fills(picture)
    blurred = Image.fromarray(levels).filter(ImageFilter.GaussianBlur(24 / 12))
    assert (found["blur"] == np.asarray(blurred).transpose(2, 0, 1) / np.float32(255)).all()
    assert np.ptp(found["mean"], axis=(1, 2)).max() == 0
    assert found["mean"][:, 0, 0] == pytest.approx(picture.mean((1, 2)), abs=0.5 / 255)


def test_the_interval_is_that_of_the_mean() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(0.1, 0.2, 50)
    half = differences.std() / 50**0.5
    for share, width in ((0.95, 1.96), (0.9, 1.645)):
        low, high = paired_interval(differences, np.random.default_rng(1), share)
        assert low == pytest.approx(differences.mean() - width * half, abs=0.1 * half)
        assert high == pytest.approx(differences.mean() + width * half, abs=0.1 * half)
