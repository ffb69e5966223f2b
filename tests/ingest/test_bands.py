"""Arrays and pictures of bands: the values as they are, fitted like pictures, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leap_audit.errors import PictureRefused
from leap_audit.ingest.pictures.bands import GAP, in_colour, tiles, write_bands
from leap_audit.ingest.pictures.images import find_pictures, read_picture
from leap_audit.ingest.pictures.preprocessing import statement
from tests.builders.preprocessings import asking, bands

RNG = np.random.default_rng(0)


def saved(path: Path, array: np.ndarray[Any, Any]) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize(
    ("dtype", "low_high"), [("float32", (-1, 3)), ("uint16", (0, 10_000)), ("int16", (-100, 900))]
)
@pytest.mark.parametrize("last", [False, True])
def test_values_stand_in_the_range(
    tmp_path: Path, dtype: str, low_high: tuple[float, float], last: bool
) -> None:
    values = RNG.uniform(*low_high, (7, 6, 5)).astype(dtype)
    path = saved(tmp_path / "a.npy", values.transpose(1, 2, 0) if last else values)
    seen = read_picture(path, bands(6, 5, range=low_high))
    assert (seen.shape, seen.dtype) == ((7, 6, 5), np.float32)
    low, high = low_high
    np.testing.assert_allclose(seen * (high - low) + low, values, rtol=1e-5, atol=1e-3)


def test_eight_bits_are_levels(tmp_path: Path) -> None:
    levels = RNG.integers(0, 256, (7, 6, 5), np.uint8)
    seen = read_picture(saved(tmp_path / "a.npy", levels), bands(6, 5, range=(0, 10_000)))
    np.testing.assert_allclose(seen * 255, levels, atol=1e-4)


def test_an_array_may_also_hold_colours_or_grey(tmp_path: Path) -> None:
    grey = saved(tmp_path / "g.npy", RNG.random((6, 5)))
    assert read_picture(grey, asking(6, 5, channel_order="GRAY")).shape == (1, 6, 5)
    colour = saved(tmp_path / "c.npy", RNG.random((6, 5, 3)))
    assert read_picture(colour, asking(6, 5, mean=(0,) * 3)).shape == (3, 6, 5)


def test_where_both_ends_could_be_channels_the_layout_decides(tmp_path: Path) -> None:
    values = RNG.random((7, 6, 7))
    path = saved(tmp_path / "a.npy", values)
    np.testing.assert_allclose(read_picture(path, bands(6, 7)), values, rtol=1e-6)
    turned = read_picture(path, bands(7, 6, layout="NHWC"))
    np.testing.assert_allclose(turned, values.transpose(2, 0, 1), rtol=1e-6)


def test_bands_are_fitted_as_pictures_are(tmp_path: Path) -> None:
    levels = RNG.integers(0, 256, (40, 30, 3), np.uint8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    array = saved(tmp_path / "a.npy", levels.transpose(2, 0, 1))
    for resize in ("crop", "stretch"):
        wish: dict[str, Any] = {"resize": resize, "mean": (0,) * 3}
        as_picture = read_picture(tmp_path / "a.png", asking(16, 16, **wish))
        as_array = read_picture(array, asking(16, 16, **wish))
        np.testing.assert_allclose(as_array, as_picture, atol=1.1 / 255)  # rounded twice


def test_a_tiff_of_pages_and_a_picture_of_channels(tmp_path: Path) -> None:
    values = RNG.integers(0, 65536, (5, 6, 5), np.uint16)
    pages = [Image.fromarray(page) for page in values]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    seen = read_picture(tmp_path / "a.tif", bands(6, 5, 5, range=(0, 65535)))
    np.testing.assert_allclose(seen * 65535, values, atol=0.01)
    four = RNG.integers(0, 256, (6, 5, 4), np.uint8)
    Image.fromarray(four).save(tmp_path / "a.png")  # its fourth is a band, not transparency
    seen = read_picture(tmp_path / "a.png", bands(6, 5, 4))
    np.testing.assert_allclose(seen * 255, four.transpose(2, 0, 1), atol=1e-4)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((6, 6, 5)), "holds 6 × 6 × 5 numbers; the model takes 7"),
        (np.zeros(7), "holds 7 numbers"),
        (np.full((7, 6, 5), np.nan), "not finite"),
        (np.full((7, 6, 5), 1.5), "between 1.5 and 1.5, outside the range 0 to 1; .* --range"),
        (np.zeros((7, 6, 5), complex), "not one array of real numbers"),
        (np.zeros((7, 0, 5)), "holds 0 numbers"),
        (np.array([{}], dtype=object), "cannot be read"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, array: np.ndarray[Any, Any], says: str) -> None:
    with pytest.raises(PictureRefused, match=says):
        read_picture(saved(tmp_path / "a.npy", array), bands(6, 5))


def test_what_is_no_array_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"no array")
    for path in (tmp_path / "a.npy", tmp_path / "b.npy", tmp_path):
        with pytest.raises(PictureRefused):
            read_picture(path if path != tmp_path else tmp_path / "c.npy", bands(6, 5))
    (tmp_path / "d.npy").mkdir()
    with pytest.raises(PictureRefused, match="is not a file"):
        read_picture(tmp_path / "d.npy", bands(6, 5))


def test_a_picture_with_too_few_channels_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (5, 6)).save(tmp_path / "a.png")
    with pytest.raises(PictureRefused, match="has 3 channels, and the model takes 7 bands"):
        read_picture(tmp_path / "a.png", bands(6, 5))


def test_arrays_are_found_in_folders(tmp_path: Path) -> None:
    saved(tmp_path / "a.npy", np.zeros((7, 6, 5)))
    assert tuple(find_pictures([tmp_path])) == (tmp_path / "a.npy",)


def test_bands_are_shown_in_colour_and_one_by_one(tmp_path: Path) -> None:
    picture = RNG.random((7, 20, 30)).astype(np.float32)
    np.testing.assert_array_equal(in_colour(picture), picture[:3])
    np.testing.assert_array_equal(in_colour(picture[:2]), picture[[0, 1, 1]])
    np.testing.assert_array_equal(in_colour(picture[:1]), picture[[0, 0, 0]])
    sheet = tiles(picture)
    columns = (sheet.shape[2] + GAP) // (30 + GAP)
    assert (sheet.shape[1] + GAP) // (20 + GAP) * columns >= 7
    for band in range(7):
        top, left = band // columns * (20 + GAP), band % columns * (30 + GAP)
        np.testing.assert_array_equal(sheet[0, top : top + 20, left : left + 30], picture[band])
    (tmp_path / "images").mkdir()
    name = write_bands(tmp_path, "images/a.png", picture, bands(20, 30))
    assert name == "images/a-bands.png"
    with Image.open(tmp_path / name) as image:
        assert image.mode == "L"
        np.testing.assert_allclose(np.asarray(image) / 255, sheet[0], atol=0.51 / 255)
    assert write_bands(tmp_path, "images/a.png", picture[:3], asking(20, 30)) is None


def test_the_statement_says_which_band_is_which_colour() -> None:
    (line,) = [line for line in statement(bands(6, 5)) if line.startswith("Channels")]
    assert line == (
        "Channels: 7 bands, as they are; band 1 is shown as red, 2 as green, 3 as blue."
    )
