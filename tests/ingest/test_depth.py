"""Pictures of more than 8 bits: what is black and white is declared, asked for or measured."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from leap_audit.config import AuditOptions
from leap_audit.errors import ConfigRefused, PictureRefused
from leap_audit.ingest.pictures.photographs import Photographs, photograph_names, read_photographs
from tests.builders.preprocessings import asking, bands

GREY = asking(8, 8, channel_order="GRAY")
RAMP = np.arange(64).reshape(8, 8)


def read(*paths: Path, asked: Any = None, into: Any = GREY) -> Photographs:
    return read_photographs(paths, photograph_names(paths), into, asked)


def tiff(path: Path, numbers: Any, most: int | None = None) -> Path:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    if most is not None:
        info.tagtype[281] = 3
        info[281] = most
    Image.fromarray(np.asarray(numbers)).save(path, tiffinfo=info)
    return path


def tiff_of_colours(path: Path, numbers: Any, order: str, packed: bool) -> Path:
    """Write a TIFF of 16 bits a colour, which Pillow does not write."""
    array = np.asarray(numbers, f"{order}u2")
    data = zlib.compress(array.tobytes()) if packed else array.tobytes()
    height, width, _ = array.shape
    short = {256: width, 257: height, 259: 8 if packed else 1, 262: 2, 277: 3, 278: height, 284: 1}
    behind = 8 + 2 + 12 * 10 + 4
    entries = {tag: struct.pack(f"{order}HHIHH", tag, 3, 1, n, 0) for tag, n in short.items()}
    entries[258] = struct.pack(f"{order}HHII", 258, 3, 3, behind)
    entries[273] = struct.pack(f"{order}HHII", 273, 4, 1, behind + 6)
    entries[279] = struct.pack(f"{order}HHII", 279, 4, 1, len(data))
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, 10)
    body = b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    path.write_bytes(head + body + struct.pack(f"{order}HHH", 16, 16, 16) + data)
    return path


def png(path: Path, numbers: Any, significant: int | None = None) -> Path:
    """Write 16-bit grey or RGB, which Pillow does not write, with an sBIT chunk."""
    array = np.asarray(numbers, ">u2")
    colours = array.ndim == 3
    head = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 16, 2 if colours else 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in array)
    bits = bytes([significant or 16]) * (3 if colours else 1)
    parts = [(b"IHDR", head), *([(b"sBIT", bits)] if significant else [])]
    parts += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in parts
        )
    )
    return path


@pytest.mark.parametrize(("most", "white"), [(200, 255), (900, 1023), (3000, 4095), (9000, 16383)])
@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_the_bits_are_measured_over_all(tmp_path: Path, most: int, white: int, suffix: str) -> None:
    write = tiff if suffix == "tif" else png
    dim = write(tmp_path / f"a.{suffix}", (RAMP * most // 200).astype(np.uint16))
    bright = write(tmp_path / f"b.{suffix}", (RAMP * most / 63).astype(np.uint16))
    found = read(dim, bright)
    np.testing.assert_allclose(found.pictures[0][0], RAMP * most // 200 / white, atol=0.003)
    np.testing.assert_allclose(found.pictures[1][0], RAMP * most / 63 / white, atol=0.006)
    (note,) = found.notes
    assert "2 photographs of more than 8 bits do not declare their range" in note
    assert f"from 0 to {most}: 0 was taken for black and {white} for white" in note


@pytest.mark.parametrize("kind", ["png", "<raw", ">raw", "<deflate", ">deflate"])
def test_colours_of_16_bits_keep_all_of_them(tmp_path: Path, kind: str) -> None:
    numbers = np.stack([RAMP * 60, RAMP * 30, RAMP * 7], -1).astype(np.uint16)
    if kind == "png":
        path = png(tmp_path / "a.png", numbers)
    else:
        path = tiff_of_colours(tmp_path / "a.tif", numbers, kind[0], kind[1:] == "deflate")
    found = read(path, into=asking(8, 8))
    np.testing.assert_allclose(found.pictures[0], numbers.transpose(2, 0, 1) / 4095, atol=0.003)
    assert "4095 for white" in found.notes[0]


def test_what_a_tiff_declares(tmp_path: Path) -> None:
    numbers = (RAMP * 3).astype(np.uint16)
    found = read(tiff(tmp_path / "a.tif", numbers, most=4095))
    np.testing.assert_allclose(found.pictures[0][0], numbers / 4095, atol=0.003)
    assert found.notes == ()
    # The largest number that happens to be there is no range.
    found = read(tiff(tmp_path / "b.tif", numbers, most=int(numbers.max())))
    np.testing.assert_allclose(found.pictures[0][0], numbers / 255, atol=0.003)


def test_what_a_png_declares(tmp_path: Path) -> None:
    numbers = (RAMP * 3).astype(np.uint16)
    found = read(png(tmp_path / "a.png", numbers, 12))
    np.testing.assert_allclose(found.pictures[0][0], numbers / 4095, atol=0.003)
    spread = (RAMP * 1040).astype(np.uint16)  # as the standard asks: scaled up to 16 bits
    found = read(png(tmp_path / "b.png", spread, 12))
    np.testing.assert_allclose(found.pictures[0][0], spread / 65535, atol=0.003)


@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.int32, np.float32])
def test_a_range_that_is_asked_for(tmp_path: Path, kind: type) -> None:
    numbers = (RAMP * 10).astype(kind)
    found = read(tiff(tmp_path / "a.tif", numbers), asked=(100.0, 500.0))
    np.testing.assert_allclose(
        found.pictures[0][0], np.clip((RAMP * 10 - 100) / 400, 0, 1), atol=0.003
    )
    assert found.notes == (
        "In 1 photograph 100 is black and 500 white, as --photo-range says; 1 of them go beyond "
        "that, and were cut off there.",
    )


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32])
def test_other_kinds_of_numbers(tmp_path: Path, kind: type) -> None:
    found = read(tiff(tmp_path / "a.tif", (RAMP * 10).astype(kind)))
    np.testing.assert_allclose(found.pictures[0][0], RAMP * 10 / 1023, atol=0.003)


def test_fractions_in_0_to_1(tmp_path: Path) -> None:
    found = read(tiff(tmp_path / "a.tif", (RAMP / 200).astype(np.float32)))
    np.testing.assert_allclose(found.pictures[0][0], RAMP / 200, atol=0.003)
    assert "0 was taken for black and 1 for white (" in found.notes[0]


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        (RAMP.astype(np.int16) - 9, "from -9 to 54, and nothing says .*--photo-range"),
        (RAMP.astype(np.int32) * 9999, "from 0 to 629937, and nothing says"),
        (np.full((8, 8), np.nan, np.float32), "not finite"),
    ],
)
def test_without_a_known_white_it_is_asked_for(tmp_path: Path, numbers: Any, says: str) -> None:
    with pytest.raises(PictureRefused, match=says):
        read(tiff(tmp_path / "a.tif", numbers))


def test_pictures_of_8_bits_and_fewer_are_as_they_were(tmp_path: Path) -> None:
    Image.fromarray(RAMP.astype(np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(RAMP > 31).save(tmp_path / "b.tif")
    found = read(tmp_path / "a.png", tmp_path / "b.tif", asked=(0.0, 9.0))
    np.testing.assert_allclose(found.pictures[0][0], RAMP / 255, atol=1e-6)
    np.testing.assert_array_equal(found.pictures[1][0], RAMP > 31)
    assert found.notes == ("--photo-range changed nothing: no photograph has more than 8 bits.",)


def test_arrays_of_whole_numbers(tmp_path: Path) -> None:
    for name, factor in (("a", 1), ("b", 7)):
        np.save(tmp_path / f"{name}.npy", np.stack([RAMP * factor * 9] * 4).astype(np.uint16))
    into = bands(8, 8, 4)
    found = read(tmp_path / "a.npy", tmp_path / "b.npy", into=into)
    np.testing.assert_allclose(found.pictures[0][3], RAMP * 9 / 4095, atol=1e-4)
    assert "4095 for white" in found.notes[0]
    found = read(tmp_path / "a.npy", into=into, asked=(0.0, 1134.0))
    np.testing.assert_allclose(found.pictures[0][0], RAMP * 9 / 1134, atol=1e-4)


def test_the_option_needs_an_order() -> None:
    assert AuditOptions.parse({"photo_range": (0, 4095)}, "x").photo_range == (0, 4095)
    with pytest.raises(ConfigRefused, match=r"photo_range: .*larger one"):
        AuditOptions.parse({"photo_range": (5, 5)}, "x")
