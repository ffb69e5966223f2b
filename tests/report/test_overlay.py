"""Maps over their pictures: which colour, how strong, and what shows through."""

import numpy as np
import pytest

from leap_audit.report.overlay import AGAINST, FOR, OPAQUE, overlay, same_everywhere

PICTURE = np.full((3, 1, 4), 0.4)
GREY = 0.35 + 0.65 * 0.4


def test_colours_say_for_against_and_neither() -> None:
    shown = overlay(PICTURE, np.array([[2.0, 0.0, -2.0, 1.0]]))
    np.testing.assert_allclose(shown[:, 0, 1], GREY)
    np.testing.assert_allclose(shown[:, 0, 0], (1 - OPAQUE) * GREY + OPAQUE * FOR, atol=1e-6)
    np.testing.assert_allclose(shown[:, 0, 2], (1 - OPAQUE) * GREY + OPAQUE * AGAINST, atol=1e-6)
    half = OPAQUE / 2
    np.testing.assert_allclose(shown[:, 0, 3], (1 - half) * GREY + half * FOR, atol=1e-6)


@pytest.mark.parametrize(("sign", "colour"), [(1, FOR), (-1, AGAINST)])
def test_a_map_of_one_sign_starts_at_its_number_nearest_to_zero(
    sign: int, colour: np.ndarray
) -> None:
    shown = overlay(PICTURE, sign * np.array([[10.0, 10.5, 11.0, 11.0]]))
    np.testing.assert_allclose(shown[:, 0, 0], GREY)
    half = OPAQUE / 2
    np.testing.assert_allclose(shown[:, 0, 1], (1 - half) * GREY + half * colour, atol=1e-6)


def test_a_map_that_is_the_same_everywhere_colours_nothing() -> None:
    for value in (0.0, 3.0, -3.0):
        flat = np.full((1, 4), value, np.float32)
        np.testing.assert_allclose(overlay(PICTURE, flat), GREY)
        assert same_everywhere(flat)
    assert same_everywhere(np.array([[1.0, 1.0 + 1e-6]]))
    assert not same_everywhere(np.array([[1.0, 1.0001]]))


def test_the_picture_shows_through_what_is_strongest() -> None:
    picture = np.linspace(0, 1, 12).reshape(3, 1, 4)
    shown = overlay(picture, np.ones((1, 4)) * [1, 2, 1, 2])
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert len(np.unique(shown[0].round(6))) == 4
