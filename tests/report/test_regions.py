"""Isolations as pictures: outlined, in light and dark, and the ranking laid over in colour."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leap_audit.artifacts import AlikePart
from leap_audit.report.pictures import Pictures
from leap_audit.report.regions import MAP_COLOURS, ORANGE, SURROUND, Regions, ramp_colour
from tests.builders.vectors import PICTURE
from tests.report.conftest import Build

SIDE = 160


def pixels(uri: str) -> np.ndarray:
    data = base64.b64decode(uri.partition("base64,")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float64)


@pytest.fixture
def regions(build: Build, folder: Path) -> Regions:
    """An audit whose picture is light grey, and whose ranking puts the left half first."""
    images = folder / "images"
    Image.new("RGB", (SIDE, SIDE), (200, 200, 200)).save(images / "large.png")
    ramp = np.tile(np.linspace(255, 0, SIDE).astype(np.uint8), (SIDE, 1))
    Image.fromarray(ramp).save(images / "large-mask.png")
    levels = np.repeat(np.array([[1], [2]], np.uint8), SIDE // 2, 0).repeat(SIDE, 1)
    Image.fromarray(levels).save(images / "map.png")
    return Regions(build(picture="large"), Pictures(folder))


def test_a_region_is_in_full_light_with_an_orange_line_on_a_dark_surround(
    build: Build, regions: Regions
) -> None:
    half = build(picture="large").prototypes[0].isolations[0].model_copy(update={"area": 0.5})
    shown = pixels(regions.outlined("images/large.png", half, SIDE))
    assert shown[80, 40] == pytest.approx([200] * 3, abs=6)
    assert shown[80, 120] == pytest.approx([200 * SURROUND] * 3, abs=6)
    line = 20 + np.abs(shown[:, 20:140] - ORANGE).sum(2).argmin(1)
    assert np.median(line) == pytest.approx(80, abs=3)


def test_what_makes_two_pictures_alike_is_outlined_as_well(build: Build, regions: Regions) -> None:
    half = build(picture="large").prototypes[0].isolations[0].model_copy(update={"area": 0.5})
    part = AlikePart(
        picture=PICTURE, other=PICTURE, image="", mask=half.mask, area=0.5, cosine=0.9, kept=0.8,
        erased=0.3, blank=0.1, enough=True,
    )  # fmt: skip
    drawn = regions.outlined("images/large.png", part, SIDE)
    assert drawn == regions.outlined("images/large.png", half, SIDE)


def test_the_ranking_is_brightest_where_it_is_needed_first(build: Build, regions: Regions) -> None:
    part = build(picture="large").prototypes[0].isolations[0]
    shown = pixels(regions.overlaid("images/large.png", part.mask, SIDE)).mean((0, 2))
    assert shown[4] > shown[80] > shown[155]
    brightness = [sum(ramp_colour(level / 10)) for level in range(11)]
    assert brightness == sorted(brightness)  # so that grey print reads the same


@pytest.mark.parametrize("later", [0.0, 0.25, 0.5, 0.75])
def test_a_quarter_of_the_ranking_outweighs_black_and_white_in_grey_print(
    regions: Regions, folder: Path, later: float
) -> None:
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[:, SIDE // 2 :] = 255
    Image.fromarray(picture).save(folder / "images" / "large.png")
    levels = np.full((SIDE, SIDE), round(255 * later), np.uint8)
    levels[:, : SIDE // 2] = round(255 * (later + 0.25))
    Image.fromarray(levels).save(folder / "images" / "large-mask.png")
    shown = pixels(regions.overlaid("images/large.png", "images/large-mask.png", SIDE))
    grey = shown @ [0.299, 0.587, 0.114]
    assert grey[:, 20:60].mean() > grey[:, 100:140].mean()


def test_the_line_around_a_region_of_squares_is_of_its_colour(build: Build, folder: Path) -> None:
    part = build(picture="small").prototypes[0].isolations[0]
    ramp = np.add.outer(np.arange(28) * 5, np.arange(28) * 4)
    smooth = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], -1).astype(np.uint8)
    Image.fromarray(smooth).save(folder / "images" / "small.png")
    shown = pixels(
        Regions(build(picture="small"), Pictures(folder)).outlined("images/small.png", part, 360)
    )
    assert shown.shape == (336, 336, 3)  # twelve pixels for each of 28
    assert (shown == ORANGE).all(2).sum() > 336
    inside = shown[6::12, 6::12][-2]  # the last rows are needed first
    assert np.abs(inside - smooth[-2].astype(np.float64)).mean() < 6


def test_a_large_picture_is_enlarged_for_print_alone(build: Build, folder: Path) -> None:
    for paper, side in ((False, SIDE), (True, 360)):
        regions = Regions(build(picture="large"), Pictures(folder, paper=paper))
        shown = pixels(regions.overlaid("images/large.png", "images/large-mask.png", 360))
        assert shown.shape == (side, side, 3)


def test_a_map_has_the_colour_of_each_class(regions: Regions) -> None:
    shown = pixels(regions.predicted_map("images/large.png", "images/map.png", SIDE))
    for row, colour in ((40, MAP_COLOURS[0]), (120, MAP_COLOURS[1])):
        expected = 0.45 * 200 + 0.55 * np.array(colour)
        assert shown[row, 80] == pytest.approx(expected, abs=8)


def test_four_classes_of_a_map_differ_in_grey_print_too() -> None:
    grey = sorted(0.299 * r + 0.587 * g + 0.114 * b for r, g, b in MAP_COLOURS[:4])
    assert min(np.diff(grey)) > 30


def test_a_photograph_that_was_kept_out_is_grey(build: Build, regions: Regions) -> None:
    part = build(picture="large").prototypes[0].isolations[0].model_copy(update={"area": 0.5})
    assert pixels(regions.outlined("", part, SIDE))[80, 40] == pytest.approx([150] * 3, abs=6)


def test_the_picture_of_a_finding_is_outlined_where_it_is_of_an_isolation(
    build: Build, folder: Path
) -> None:
    audit = build()
    known = Regions(audit, Pictures(folder))
    assert known.is_isolation(audit.prototypes[0].isolations[0].image)
    assert not known.is_isolation("images/other.png")
