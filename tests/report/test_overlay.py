"""Maps over their pictures: which colour, how strong, and what shows through."""

import numpy as np
import pytest

from leap_audit.report.overlay import (
    AGAINST,
    BOX,
    FOR,
    OPAQUE,
    overlay,
    same_everywhere,
    with_box,
)

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


def yellow(shown: np.ndarray) -> np.ndarray:
    """(height, width) bool: where the line of a box is."""
    return np.asarray((np.abs(shown - BOX[:, None, None]) < 1e-6).all(0))


def test_a_box_is_a_line_between_two_black_ones_and_leaves_the_rest() -> None:
    picture = np.full((3, 100, 200), 0.4)
    shown = with_box(picture, (0.25, 0.2, 0.75, 0.6))
    line = yellow(shown)
    rows, columns = np.nonzero(line)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 60, 50, 150)
    assert line[20, 50:151].all()
    assert line[20:61, 150].all()
    for row, column in ((40, 49), (40, 51), (19, 100), (61, 100), (59, 100)):
        np.testing.assert_array_equal(shown[:, row, column], 0)
    np.testing.assert_array_equal(shown[:, 22:59, 52:149], 0.4)
    outside = np.ones((100, 200), bool)
    outside[18:64, 48:154] = False
    np.testing.assert_array_equal(shown[:, outside], 0.4)
    np.testing.assert_array_equal(picture, 0.4)


@pytest.mark.parametrize(
    ("side", "wide"),
    [("left", "l"), ("top", "t"), ("right", "r"), ("bottom", "b"), ("box", "ltrb"), ("", "")],
)
def test_the_explained_side_of_a_box_is_three_times_as_wide(side: str, wide: str) -> None:
    line = yellow(with_box(np.zeros((1, 100, 100)), (0.25, 0.25, 0.75, 0.75), side))
    widths = {
        "l": line[50, :40].sum(),
        "t": line[:40, 50].sum(),
        "r": line[50, 60:].sum(),
        "b": line[60:, 50].sum(),
    }
    assert widths == {each: 3 if each in wide else 1 for each in "ltrb"}


@pytest.mark.parametrize("side", ["", "box"])
def test_a_box_beyond_the_picture_has_its_lines_at_the_edge(side: str) -> None:
    line = yellow(with_box(np.zeros((1, 40, 60)), (-0.5, -0.1, 1.2, 3.0), side))
    rows, columns = np.nonzero(line)
    assert rows.min() <= 3
    assert columns.min() <= 3
    assert rows.max() >= 36
    assert columns.max() >= 56
    assert line[20].sum() == (6 if side else 2)
    assert line[:, 30].sum() == (6 if side else 2)
