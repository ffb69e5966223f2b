"""Pictures: every common kind read right, and whatever is none refused with what it is."""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leap_audit.artifacts import Preprocessing
from leap_audit.errors import PictureRefused
from leap_audit.ingest.pictures.images import MAX_PIXELS, read_picture

PLAIN = Preprocessing(
    layout="NCHW",
    channel_order="RGB",
    range=(0, 1),
    mean=(0, 0, 0),
    std=(1, 1, 1),
    resize="crop",
    input_size=(16, 16),
    assumed={},
)


def _smooth() -> Image.Image:
    """Two ramps, which no way of compressing changes by much."""
    row, column = np.mgrid[:16, :16] * 12
    return Image.fromarray(np.stack([row, column, np.full_like(row, 90)], -1).astype(np.uint8))


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _deep() -> Image.Image:
    levels = np.asarray(_smooth().convert("L")).astype(np.uint16) * 257
    return Image.fromarray(levels)


def _see_through() -> Image.Image:
    image = _smooth().quantize(200)
    image.info["transparency"] = 255
    return image


SMOOTH = np.asarray(_smooth()).transpose(2, 0, 1).astype(float)
GREY = np.repeat(np.asarray(_smooth().convert("L"))[None].astype(float), 3, 0)
HALF = 255 - (255 - GREY) * 128 / 255
READ = {
    "JPEG": (_saved(_smooth(), "JPEG", quality=95), SMOOTH),
    "PNG": (_saved(_smooth(), "PNG"), SMOOTH),
    "BMP": (_saved(_smooth(), "BMP"), SMOOTH),
    "GIF": (_saved(_smooth(), "GIF"), SMOOTH),
    "WebP": (_saved(_smooth(), "WEBP", lossless=True), SMOOTH),
    "TIFF": (_saved(_smooth(), "TIFF", compression="tiff_lzw"), SMOOTH),
    "PPM": (_saved(_smooth(), "PPM"), SMOOTH),
    "PNG of 16 bits": (_saved(_deep(), "PNG"), GREY),
    "PNG with a palette and transparency": (_saved(_see_through(), "PNG"), SMOOTH),
    "JPEG of inks": (_saved(_smooth().convert("CMYK"), "JPEG", quality=95), SMOOTH),
    "PNG of grey and alpha": (
        _saved(Image.merge("LA", (_smooth().convert("L"), Image.new("L", (16, 16), 128))), "PNG"),
        HALF,
    ),
}


@pytest.mark.parametrize("kind", READ)
def test_every_kind_is_read_right(tmp_path: Path, kind: str) -> None:
    data, want = READ[kind]
    (tmp_path / "p.png").write_bytes(data)  # whatever it is called
    have = read_picture(tmp_path / "p.png", PLAIN) * 255.0
    assert np.abs(have - want).mean() < 4
    assert np.abs(have - want).max() < 24


def _png(width: int, height: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _bomb() -> bytes:
    """A PNG of kilobytes that claims few pixels and unpacks to 64 MB."""
    return _png(16, 16, zlib.compress(b"\0" * (64 << 20), 9))


def _text_bomb() -> bytes:
    """A PNG whose text unpacks to 64 MB."""
    text = b"a\0\0" + zlib.compress(b"\0" * (64 << 20), 9)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text
    whole = _saved(_smooth(), "PNG")
    return whole[:33] + chunk + struct.pack(">I", zlib.crc32(b"zTXt" + text)) + whole[33:]


REFUSED = {
    "a hundred million pixels": (_png(MAX_PIXELS // 1000 + 1, 1000, b""), "million pixels"),
    "a square of them": (_png(2**31 - 1, 2**31 - 1, b""), "million pixels"),
    "no pixels": (_png(0, 16, b""), "begins like a PNG picture, but is damaged"),
    "text that unpacks": (_text_bomb(), "cannot be read"),
    "a cut JPEG": (_saved(_smooth(), "JPEG")[:-200], "cannot be read .*[Tt]runcated"),
    "a cut PNG": (_saved(_smooth(), "PNG")[:-60], "cannot be read"),
    "a cut GIF": (_saved(_smooth(), "GIF")[:200], "begins like a GIF picture"),
    "an SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"></svg>', "is an SVG picture, not"),
    "a PDF": (b"%PDF-1.7\n", "is a PDF document, not"),
    "an executable": (Path(sys.executable).read_bytes()[:5000], "executable, not a picture"),
    "an EPS, which an interpreter would run": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "not a picture",
    ),
    "a file of lines": (b"P3\n# \n" + b"9" * 10_000, "cannot be read|not a picture"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_bad_picture_is_one_sentence(tmp_path: Path, kind: str) -> None:
    data, says = REFUSED[kind]
    (tmp_path / "p.png").write_bytes(data)
    with pytest.raises(PictureRefused, match=says) as caught:
        read_picture(tmp_path / "p.png", PLAIN)
    sentence = str(caught.value)
    assert sentence.startswith(str(tmp_path / "p.png"))
    assert len(sentence.splitlines()) == 1
    assert sentence.endswith(".")
    assert [path.name for path in tmp_path.iterdir()] == ["p.png"]


def test_what_unpacks_beyond_its_size_is_cut(tmp_path: Path) -> None:
    """The decoder stops at the last pixel; what is behind it is never unpacked."""
    (tmp_path / "p.png").write_bytes(_bomb())
    assert read_picture(tmp_path / "p.png", PLAIN).max() == 0
