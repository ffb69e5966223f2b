"""The thresholds of what is measured of vectors, each at the edge where it starts to matter."""

import numpy as np
import pytest

from leap_audit.measure.embedding.directions import class_directions
from leap_audit.measure.embedding.duplicates import near_duplicates, same_picture
from leap_audit.measure.embedding.folders import separation_of
from leap_audit.measure.embedding.quality import WITHOUT, contrast_of, lengths_differ
from leap_audit.measure.embedding.spread import effective_rank, hubs_of
from leap_audit.measure.smooth import blur_matrix
from leap_audit.run.session import Array


def noise(count: int, seed: int = 0, side: int = 24) -> Array:
    drawn = np.random.default_rng(seed).random((count, 1, side, side))
    return np.asarray(0.3 + 0.4 * drawn, np.float32)


def at(*angles: float) -> Array:
    return np.array([[np.cos(each), np.sin(each)] for each in angles])


@pytest.mark.parametrize(("nearer", "found"), [(4, [(0, 1)]), (5, [])])
def test_the_five_nearest_are_compared(nearer: int, found: list[tuple[int, int]]) -> None:
    """The copy has five others that are nearer to it than the first picture is."""
    pictures = noise(2 + nearer + 5)
    pictures[1] = 0.9 * pictures[0]
    near_first = [-0.001 * k for k in range(1, nearer + 1)]
    near_copy = [0.05 + 0.001 * k for k in range(1, 6)]
    pairs = near_duplicates(pictures, at(0.0, 0.05, *near_first, *near_copy))
    assert [(each.first, each.second) for each in pairs] == found


def test_pictures_that_differ_in_detail_alone_are_not_the_same() -> None:
    coarse = np.kron(np.random.default_rng(5).random((8, 8)), np.ones((3, 3)))
    fine = [np.random.default_rng(seed).standard_normal((8, 3, 8, 3)) for seed in (1, 2)]
    flat = [(each - each.mean((1, 3), keepdims=True)).reshape(24, 24) for each in fine]
    pictures = np.stack([(0.5 + 0.1 * coarse + 0.05 * each)[None] for each in flat])
    assert near_duplicates(pictures, np.ones((2, 3))) == ()


@pytest.mark.parametrize(("cells", "same"), [(1, True), (2, False)])
def test_pictures_may_be_shifted_by_one_cell(cells: int, same: bool) -> None:
    picture = noise(1)[0]
    both = np.stack([picture, np.roll(picture, cells, (1, 2))])
    assert bool(near_duplicates(both, np.ones((2, 3)))) == same


@pytest.mark.parametrize(("strength", "same"), [(0.3, True), (0.36, False)])
def test_details_correlate_by_95_hundredths(strength: float, same: bool) -> None:
    one, other = noise(2)
    both = np.stack([one, 0.5 + (one - 0.5) + strength * (other - 0.5)])
    assert same_picture(both[0, 0], both[1, 0]) == pytest.approx(0.95, abs=0.02)
    assert bool(near_duplicates(both, np.ones((2, 3)))) == same


@pytest.mark.parametrize(("contrast", "same"), [(0.02, True), (0.004, False)])
def test_what_is_flat_shows_nothing(contrast: float, same: bool) -> None:
    faint = 0.5 + contrast * (noise(1) - 0.5)
    both = np.concatenate([faint, 0.9 * faint])
    assert bool(near_duplicates(both, np.ones((2, 3)))) == same


def test_five_neighbours_are_compared_by_class() -> None:
    """Each picture has a twin of its class; all others are of any class."""
    rng = np.random.default_rng(0)
    pairs = np.repeat(rng.normal(size=(12, 40)), 2, axis=0)
    classes = [i // 2 % 3 for i in range(24)]
    found = separation_of(pairs + 0.01 * rng.normal(size=(24, 40)), classes, rng)
    assert found is not None
    assert 0.2 <= found.agreement < 0.7


def test_eight_pairs_and_pictures_are_listed() -> None:
    classes = [i % 2 for i in range(60)]
    vectors = np.random.default_rng(0).normal(size=(60, 5))
    found = separation_of(vectors, classes, np.random.default_rng(0))
    assert found is not None
    assert (len(found.near), len(found.far)) == (8, 8)


def test_classes_by_chance_are_told_apart_once_in_200_times() -> None:
    classes = [i % 2 for i in range(20)]
    apart = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        found = separation_of(rng.normal(size=(20, 5)), classes, rng)
        assert found is not None
        apart += found.agreement > found.chance
    assert apart <= 1


@pytest.mark.parametrize(("spread", "differ"), [(1.1e-4, True), (0.9e-4, False)])
def test_lengths_that_hardly_differ_are_equal(spread: float, differ: bool) -> None:
    lengths = 1 + spread * np.tile([-1.0, 1.0], 4)
    assert lengths_differ(lengths[:, None] * np.eye(8)[0]) == differ


def test_how_much_sharpness_and_contrast_are_taken() -> None:
    pictures = noise(8, side=32)
    blur = blur_matrix(32, 0.03 * 32)
    assert np.allclose(WITHOUT["sharpness"](pictures), blur @ pictures @ blur.T, atol=1e-5)
    paler = contrast_of(WITHOUT["contrast"](pictures))
    assert paler == pytest.approx(0.5 * contrast_of(pictures), rel=1e-4)


def test_hubs_of_points_without_hubs_are_usual() -> None:
    more = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        found = hubs_of(rng.normal(size=(60, 8)), rng)
        more += found.skewness > found.usual
    assert more <= 2


def test_of_many_pictures_a_thousand_are_counted() -> None:
    rng = np.random.default_rng(0)
    found = hubs_of(rng.normal(size=(1001, 2)), rng, 1)
    assert len(found.chosen) == 1000


def test_small_singular_values_count_and_rounding_does_not() -> None:
    assert effective_rank(np.diag([1.0, 0.001])) > 1.005
    assert effective_rank(np.diag([1.0, 1e-7])) == pytest.approx(1, abs=1e-9)


def test_classes_a_little_apart_have_directions_and_rounding_has_none() -> None:
    apart = 1 + 1e-3 * np.eye(8)[[0, 1] * 5]
    assert class_directions(apart, [0, 1] * 5, "ab").names == ("a", "b")
    rounded = 1 + 1e-6 * np.eye(8)[[0, 1] * 5]
    assert class_directions(rounded, [0, 1] * 5, "ab").names == ("dimension 0", "dimension 1")
