"""The random views: matrices that resample a picture along each axis."""

import numpy as np
import pytest

from leap_audit.config import PrototypeOptions
from leap_audit.measure.prototype import settled
from leap_audit.measure.prototype.transforms import blur_at, light, view
from leap_audit.measure.smooth import blur_matrix


def options(
    scale: tuple[float, float] = (1.0, 1.0), shift: float = 0.0, flip: bool = False
) -> PrototypeOptions:
    given = PrototypeOptions(scale=scale, shift=shift, flip=flip)
    return settled(given, (3, 8, 8))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 14), (1, 5), (2, 1)])
def test_rows_sum_to_one(height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        for n, matrix in zip(
            (height, width),
            view(rng, height, width, options((0.3, 4.0), 1.5, True)),
            strict=True,
        ):
            assert matrix.shape == (n, n)
            assert matrix.dtype == np.float32
            assert matrix.min() >= 0
            np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-5)


def test_whole_and_unmoved_is_the_identity() -> None:
    rows, columns = view(np.random.default_rng(0), 8, 11, options())
    np.testing.assert_allclose(rows, np.eye(8), atol=1e-6)
    np.testing.assert_allclose(columns, np.eye(11), atol=1e-6)


def test_half_of_the_views_are_mirrored_left_to_right_only() -> None:
    rng = np.random.default_rng(0)
    mirrored = 0
    for _ in range(60):
        rows, columns = view(rng, 8, 8, options(flip=True))
        np.testing.assert_allclose(rows, np.eye(8), atol=1e-6)
        turned = bool(columns[0, 7] > 0.5)
        np.testing.assert_allclose(columns, np.eye(8)[::-1] if turned else np.eye(8), atol=1e-6)
        mirrored += turned
    assert 15 < mirrored < 45


@pytest.mark.parametrize("zoom", [1.7, 5.0])
def test_nothing_lies_beyond_the_border_of_a_plain_ground(zoom: float) -> None:
    n = 6
    picture = np.random.default_rng(1).random(n)
    given = options((zoom, zoom)).model_copy(update={"plain_ground": True})
    rows, columns = view(np.random.default_rng(0), n, n, given)
    np.testing.assert_array_equal(rows, columns)
    padded = np.concatenate([np.zeros(20), picture, np.zeros(20)])
    for i in range(n):
        source = (n - 1) / 2 + zoom * (i - (n - 1) / 2)
        want = np.interp(source + 20, np.arange(len(padded)), padded)
        np.testing.assert_allclose(rows[i] @ picture, want, atol=1e-5)


@pytest.mark.parametrize("zoom", [0.5, 1.7, 5.0])
def test_pixels_are_interpolated_and_reflected_beyond_the_border(zoom: float) -> None:
    n = 6
    picture = np.random.default_rng(1).random(n)
    rows, _ = view(np.random.default_rng(0), n, n, options((zoom, zoom)))
    periodic = np.concatenate([picture, picture[-2:0:-1]])  # d c b [a b c d] c b a ...
    for i in range(n):
        source = (n - 1) / 2 + zoom * (i - (n - 1) / 2)
        low = int(np.floor(source))
        weight = source - low
        want = (1 - weight) * periodic[low % (2 * n - 2)]
        want += weight * periodic[(low + 1) % (2 * n - 2)]
        assert float(rows[i] @ picture) == pytest.approx(want, abs=1e-5)


def test_a_view_belongs_to_its_generator() -> None:
    wild = options((0.5, 1.5), 0.3, True)
    first, again, other = (view(np.random.default_rng(seed), 8, 8, wild) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_shifts_stay_within_their_bound() -> None:
    rng = np.random.default_rng(0)
    ramp = np.arange(40.0)
    for _ in range(30):
        rows, _ = view(rng, 40, 40, options(shift=0.1))
        middle = float((rows @ ramp)[19:21].mean())
        assert abs(middle - 19.5) <= 4 + 1e-4


def test_light_leaves_grey_where_it_is_but_for_the_shift() -> None:
    rng = np.random.default_rng(0)
    gains, greys = [], []
    for _ in range(200):
        gain, shift = light(rng, 3, 0.25)
        gains.append(gain)
        greys.append(gain * 0.5 + shift[:, 0, 0])
    assert np.exp(-0.5) <= min(gains) < 0.7
    assert 1.5 < max(gains) <= np.exp(0.5)
    np.testing.assert_allclose(np.abs(np.array(greys) - 0.5).max(0), 0.25, atol=0.02)
    assert np.abs(np.mean(greys, 0) - 0.5).max() < 0.04


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_a_blur_goes_by_equal_factors(steps: int) -> None:
    given = PrototypeOptions(steps=steps, blur=(4.0, 0.5))
    first, last = blur_at(12, given, 0), blur_at(12, given, steps - 1)
    assert first is not None
    np.testing.assert_allclose(first, blur_matrix(12, 4.0))
    if steps > 1:
        assert last is not None
        np.testing.assert_allclose(last, blur_matrix(12, 0.5), atol=1e-6)
    if steps == 9:
        np.testing.assert_allclose(blur_at(12, given, 4), blur_matrix(12, 2**0.5), atol=1e-5)


def test_no_blur_where_none_is_asked_for_or_can_be_seen() -> None:
    assert blur_at(8, PrototypeOptions(), 0) is None
    assert blur_at(8, PrototypeOptions(blur=(1.0, 0.01)), 191) is None
