"""Marks: pasting puts them where they were, erasing takes them out, and nothing else changes."""

import numpy as np
import pytest

from leap_audit.measure.experiments import marks

SIDE = 32
RNG = np.random.default_rng(0)
PICTURE = RNG.random((3, SIDE, SIDE)).astype(np.float32)
OTHERS = (0.3 + 0.1 * RNG.random((4, 3, SIDE, SIDE))).astype(np.float32)
BOX = (4, 20, 6, 8)
INSIDE = np.zeros((SIDE, SIDE), bool)
INSIDE[4:10, 20:28] = True


def test_a_region_is_pasted_at_its_place_alone() -> None:
    mark = marks.region_mark(PICTURE, BOX)
    pasted = mark.paste(OTHERS)
    assert (pasted[:, :, INSIDE] == PICTURE[:, INSIDE]).all()
    assert (pasted[:, :, ~INSIDE] == OTHERS[:, :, ~INSIDE]).all()
    assert mark.area == pytest.approx(6 * 8 / SIDE**2)


def test_nothing_of_a_covered_region_shines_through() -> None:
    bright = OTHERS.copy()
    bright[:, :, INSIDE] = 1
    covered = marks.region_mark(PICTURE, BOX).erase(bright)
    assert covered[:, :, INSIDE].max() < 0.41, "the fill is made of what surrounds the region"
    assert (covered[:, :, ~INSIDE] == bright[:, :, ~INSIDE]).all()


def test_a_moved_region_lies_elsewhere_on_each_picture_and_the_same_when_asked_again() -> None:
    mark = marks.moved_mark(np.ones_like(PICTURE), BOX, np.random.default_rng(1))
    first, second = mark.paste(OTHERS), mark.paste(OTHERS)
    assert (first == second).all()
    places = [tuple(np.argwhere(each[0] == 1)[0]) for each in first]
    assert len(set(places)) > 1
    assert [(each[0] == 1).sum() for each in first] == [48] * len(OTHERS)


def test_a_frame_is_a_sixteenth_of_the_side_wide() -> None:
    mark = marks.frame_mark(PICTURE)
    pasted = mark.paste(OTHERS)
    assert (pasted[:, :, 2:-2, 2:-2] == OTHERS[:, :, 2:-2, 2:-2]).all()
    assert (pasted[:, :, :2] == PICTURE[:, :2]).all()
    framed = OTHERS.copy()
    framed[:, :, [0, 1, -2, -1]] = 1
    assert mark.erase(framed)[:, :, :2].max() < 0.6


def test_a_pattern_in_common_is_found_and_taken_out() -> None:
    rng = np.random.default_rng(2)
    lines = np.zeros((SIDE, SIDE), np.float32)
    lines[::5] = 0.4
    plain = (0.2 + 0.2 * rng.random((12, 3, SIDE, SIDE))).astype(np.float32)
    mark = marks.pattern_mark(plain + lines, plain)
    gained = mark.paste(OTHERS) - OTHERS
    assert gained[:, :, 5].mean() - gained[:, :, 7].mean() == pytest.approx(0.4, abs=0.08)
    left = mark.erase(OTHERS + lines)
    assert abs(left[:, :, 5].mean() - left[:, :, 7].mean()) < 0.08


def test_colours_are_carried_with_their_covariance() -> None:
    blue = PICTURE * np.reshape([0.1, 0.2, 0.5], (3, 1, 1)).astype(np.float32) + 0.2
    pasted = marks.colour_mark(blue, OTHERS).paste(OTHERS)
    for each in pasted:
        assert each.mean((1, 2)) == pytest.approx(blue.mean((1, 2)), abs=0.02)
        assert each.std((1, 2)) == pytest.approx(blue.std((1, 2)), abs=0.02)


def test_a_grey_picture_makes_others_grey() -> None:
    grey = np.repeat(PICTURE[:1], 3, 0)
    pasted = marks.colour_mark(grey, OTHERS).paste(OTHERS)
    assert np.abs(pasted - pasted.mean(1, keepdims=True)).max() < 0.05


def test_detail_is_carried_and_the_coarse_picture_stays() -> None:
    noisy = np.clip(0.5 + 0.2 * np.random.default_rng(3).standard_normal(PICTURE.shape), 0, 1)
    flat = np.full((2, 3, SIDE, SIDE), 0.5, np.float32)
    pasted = marks.detail_mark(noisy, flat, 0).paste(flat)
    assert pasted.std() > 0.15
    assert pasted.mean() == pytest.approx(0.5, abs=0.03)
    smooth = marks.detail_mark(flat[0], OTHERS, 0).paste(noisy[None])
    assert smooth.std() < 0.1


def test_detail_does_not_draw_the_object_that_it_comes_from() -> None:
    drawn = np.full((3, 64, 64), 0.5, np.float32)
    drawn[:, 20:44, 20:44] = 0.9
    flat = np.full((2, 3, 64, 64), 0.5, np.float32)
    gained = marks.detail_mark(drawn, flat, 0).paste(flat)[0] - 0.5
    own = drawn - marks.detail_mark(flat[0], flat, 0).paste(drawn[None])[0]
    assert gained.std() == pytest.approx(own.std(), rel=0.1)
    assert abs(np.corrcoef(gained.ravel(), own.ravel())[0, 1]) < 0.3
