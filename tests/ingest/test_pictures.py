"""Photographs: every kind is read as a viewer shows it, and the rest is refused."""

import io
import os
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from leap_audit.errors import PictureRefused
from leap_audit.ingest.pictures.images import find_pictures, read_picture, write_mask, write_picture
from tests.builders.preprocessings import asking


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def speckled(height: int, width: int) -> Image.Image:
    levels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(levels)


@pytest.mark.parametrize("size", [224, 192, 96])
def test_the_crop_is_the_one_that_models_are_tested_with(
    shared: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.syspath_prepend(shared / "tools")
    from seeing import centre_crop

    sys.modules.pop("seeing")
    for path in sorted((shared / "images/imagenet").rglob("*.jpg"))[:4]:
        expected = centre_crop(path, size).transpose(2, 0, 1)
        np.testing.assert_array_equal(read_picture(path, asking(size, size)), expected)


def test_a_picture_of_the_right_size_is_left_as_it_is(tmp_path: Path) -> None:
    image = speckled(28, 20)
    path = saved(tmp_path / "a.png", image)
    for resize in ("crop", "stretch"):
        seen = read_picture(path, asking(28, 20, resize=resize))
        assert seen.dtype == np.float32
        np.testing.assert_array_equal(np.rint(seen * 255), np.asarray(image).transpose(2, 0, 1))


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (40, 10), (10, 40), (64, 64)])
@pytest.mark.parametrize("resize", ["crop", "stretch"])
@pytest.mark.parametrize("source", [(30, 50), (50, 30), (3, 3), (1, 9)])
def test_the_size_is_always_the_models(
    tmp_path: Path, size: tuple[int, int], resize: str, source: tuple[int, int]
) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", source[::-1], (10, 20, 30)))
    seen = read_picture(path, asking(*size, resize=resize))
    assert seen.shape == (3, *size)
    np.testing.assert_array_equal(np.rint(seen * 255)[:, 0, 0], (10, 20, 30))


def test_stretch_keeps_the_corners_and_crop_drops_them(tmp_path: Path) -> None:
    image = Image.new("L", (64, 32), 0)
    image.paste(255, (0, 0, 8, 8))
    path = saved(tmp_path / "a.png", image)
    grey = {"channel_order": "GRAY"}
    assert read_picture(path, asking(16, 16, resize="stretch", **grey))[0, 0, 0] > 0.9
    assert read_picture(path, asking(16, 16, **grey)).max() == 0


def _kinds() -> dict[str, tuple[Image.Image, dict[str, Any], tuple[int, int, int]]]:
    red = Image.new("RGB", (8, 8), (250, 0, 0))
    clear = Image.new("RGBA", (8, 8), (9, 9, 9, 0))
    palette = red.quantize(2)
    return {
        "palette.png": (palette, {}, (250, 0, 0)),
        "palette.gif": (red, {}, (250, 0, 0)),
        "clear.png": (clear, {}, (255, 255, 255)),
        "clear.webp": (clear, {"lossless": True}, (255, 255, 255)),
        "la.png": (Image.new("LA", (8, 8), (0, 51)), {}, (204, 204, 204)),
        "key.png": (Image.new("L", (8, 8), 7), {"transparency": 7}, (255, 255, 255)),
        "bits.png": (Image.new("1", (8, 8), 1), {}, (255, 255, 255)),
        "deep.png": (Image.new("I;16", (8, 8), 32896), {}, (128, 128, 128)),
        "deep.tif": (Image.new("I;16", (8, 8), 257 * 40), {}, (40, 40, 40)),
        "inks.tif": (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), {}, (255, 0, 0)),
        "grey.pgm": (Image.new("L", (8, 8), 77), {}, (77, 77, 77)),
        "plain.bmp": (red, {}, (250, 0, 0)),
    }


@pytest.mark.parametrize("name", _kinds())
def test_every_kind_of_picture_is_read(tmp_path: Path, name: str) -> None:
    image, options, colour = _kinds()[name]
    path = saved(tmp_path / name, image, **options)
    seen = np.rint(read_picture(path, asking(8, 8)) * 255)
    np.testing.assert_array_equal(seen[:, 3, 3], colour)


def test_a_deep_netpbm_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 1 1 65535\n" + (257 * 40).to_bytes(2, "big"))
    assert np.rint(read_picture(path, asking(1, 1)) * 255).ravel().tolist() == [40, 40, 40]


def test_the_orientation_of_the_camera_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8))
    image.paste((255, 255, 255), (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    seen = read_picture(saved(tmp_path / "a.png", image, exif=exif), asking(8, 8))
    assert seen[0, 0, 7] == 1
    assert seen[0, 0, 0] == 0


def _png_claiming(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")))
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _cut() -> bytes:
    whole = io.BytesIO()
    speckled(64, 64).save(whole, "JPEG")
    return whole.getvalue()[:2000]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is not a picture"),
        (b"hello", "is not a picture"),
        (b"%PDF-1.4 ", "is a PDF document, not a picture"),
        (_cut(), "cannot be read .*truncated"),
        (_png_claiming(20_000, 20_000), "more than 100 million pixels"),
        (_png_claiming(12_000, 10_000), "more than 100 million pixels"),
        (_png_claiming(8, 8), "cannot be read"),
    ],
)
@pytest.mark.parametrize("lenient", [False, True])
def test_what_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, says: str, lenient: bool
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)  # as WeasyPrint leaves it
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(PictureRefused, match=says) as refusal:
        read_picture(path, asking(8, 8))
    assert str(path) in str(refusal.value)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_what_has_no_known_white_or_is_too_thin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PictureRefused, match=r"from -1 to -1, .*--photo-range"):
        read_picture(saved(tmp_path / "f.tif", Image.new("F", (8, 8), -1)), asking(8, 8))
    with pytest.raises(PictureRefused, match="long and thin"):
        read_picture(saved(tmp_path / "t.png", Image.new("L", (40_000, 1))), asking(64, 64))
    with pytest.raises(PictureRefused, match="No such file"):
        read_picture(tmp_path / "none.png", asking(8, 8))
    with pytest.raises(PictureRefused, match="not a file"):
        read_picture(tmp_path, asking(8, 8))


def test_pictures_are_found_in_order_and_once(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/10.png", "a/x.webp", "a/.hidden.png", ".git/x.png", "a/n.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    found = find_pictures([tmp_path, tmp_path / "a" / "n.txt", tmp_path / "b" / "2.JPG"])
    names = [path.relative_to(tmp_path).as_posix() for path in found]
    assert names == ["a/x.webp", "b/10.png", "b/2.JPG", "a/n.txt"]


def test_the_paths_of_many_pictures_take_little_memory(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"{number}.png").touch()
    sizes = []
    for _ in range(3):  # the first may import, and threads of other tests may take some too
        tracemalloc.start()
        found = find_pictures([tmp_path])
        assert len({path.parent for path in found}) == 1
        sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert min(sizes) < 300 * len(found)
    assert (found[3], found[-1]) == (tmp_path / "100.png", tmp_path / "999.png")
    assert list(found[1:3]) == [tmp_path / "1.png", tmp_path / "10.png"]


def test_nothing_found_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PictureRefused, match="no pictures in this folder"):
        find_pictures([tmp_path / "empty"])
    with pytest.raises(PictureRefused, match="No such file"):
        find_pictures([tmp_path / "none"])
    with pytest.raises(PictureRefused, match="too long"):
        find_pictures([tmp_path / ("x" * 300)])


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(PictureRefused, match="no pictures"):
        find_pictures([tmp_path])
    with pytest.raises(PictureRefused, match="not a file"):
        read_picture(tmp_path / "a.png", asking(8, 8))


def test_what_is_written(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).random((3, 5, 7)).astype(np.float32)
    write_picture(tmp_path / "a.png", picture)
    write_picture(tmp_path / "b.png", picture)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert (image.mode, image.size, image.info) == ("RGB", (7, 5), {})
        np.testing.assert_array_equal(np.asarray(image).transpose(2, 0, 1), np.rint(picture * 255))
    write_picture(tmp_path / "g.png", np.full((1, 2, 2), 1.5))
    with Image.open(tmp_path / "g.png") as image:
        assert image.getpixel((1, 1)) == (255, 255, 255)
    write_mask(tmp_path / "m.png", np.arange(6, dtype=np.uint8).reshape(2, 3))
    with Image.open(tmp_path / "m.png") as image:
        assert (image.mode, image.size) == ("L", (3, 2))
