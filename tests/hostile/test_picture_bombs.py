"""Pictures of every kind that claim or hold too much: one sentence in seconds, in the child."""

import io
import struct
import time
from pathlib import Path

import pytest
from PIL import Image

from leap_audit.errors import PictureRefused
from tools.fuzz import pictures_in


def tiff(width: int, height: int, *, loops: bool = False) -> bytes:
    """Return a TIFF with one strip that is not there; loops: its second page is the first."""
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1)]
    tags += [(262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, 64)]
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<I", 8) + body + struct.pack("<I", 8 if loops else 0)


def saved(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(out, kind, **options)
    return out.getvalue()


def bmp(width: int, height: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head


BOMBS = {
    "gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b",",
    "bmp": bmp(60_000, 60_000),
    "bmp upside down": bmp(60_000, -60_000),
    "tiff": tiff(100_000, 100_000),
    "tiff of one line": tiff(2**31, 1),
    "tiff in a circle": tiff(64, 1, loops=True),
    "ppm": b"P6 100000 100000 255\n",
    "ppm of many digits": b"P6 " + b"9" * 5000 + b" 1 255\n",
    "pgm of many levels": b"P5 16 16 99999999\n" + bytes(600),
    "a cut webp": saved("WEBP")[:40],
    "webp that claims": saved("WEBP")[:26] + b"\xff\x3f\xff\x3f" + saved("WEBP")[30:],
    "icc of sixteen megabytes in png": saved("PNG", icc_profile=bytes(16_000_000)),
    "icc in tiff": saved("TIFF", icc_profile=bytes(16_000_000)),
    "exif without end": saved("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(60_000)),
    "exif in a circle": saved("PNG", exif=b"II*\0\x08\0\0\0\1\0\x69\x87\4\0\1\0\0\0\x08\0\0\0"),
    "many frames": saved("GIF", save_all=True, append_images=[Image.new("P", (16, 16))] * 2000),
    "an array that claims": b"\x93NUMPY\1\0v\0{'descr': '<f4', 'fortran_order': False, "
    b"'shape': (999999999, 3, 999999), }".ljust(118)
    + b"\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEAP_AUDIT_CONTAINED")
    path = tmp_path / ("p.npy" if "array" in name else "p.img")
    path.write_bytes(BOMBS[name])
    begun = time.monotonic()
    try:
        ((picture, _),) = pictures_in([path])
        assert picture.shape == (3, 8, 8)
    except PictureRefused as error:
        said = str(error)
        assert said.startswith(str(path))
        assert "defect" not in said, said
        assert "\n" not in said
    assert time.monotonic() - begun < 60
