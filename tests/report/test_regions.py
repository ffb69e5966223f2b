"""Isolations as pictures: outlined, in light and dark, and the ranking laid over in colour."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leap_audit.report.pictures import Pictures
from leap_audit.report.regions import MAP_COLOURS, ORANGE, SURROUND, Regions, ramp_colour
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


def test_the_ranking_is_brightest_where_it_is_needed_first(build: Build, regions: Regions) -> None:
    part = build(picture="large").prototypes[0].isolations[0]
    shown = pixels(regions.overlaid("images/large.png", part.mask, SIDE)).mean((0, 2))
    assert shown[4] > shown[80] > shown[155]
    brightness = [sum(ramp_colour(level / 10)) for level in range(11)]
    assert brightness == sorted(brightness)  # so that grey print reads the same


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
