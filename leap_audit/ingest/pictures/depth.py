"""Determine which pixel values are black and white, where they are not 0 and 255.

The rule, in this order: what the user says (--photo-range); what the file declares (its bits, as
BitsPerSample and MaxSampleValue of TIFF, sBIT of PNG, the window or BitsStored of DICOM); what is
measured over all the photographs that declare nothing, together: 0 is black, and white the
greatest number of 1 (numbers with a fraction), 8, 10, 12, 14 or 16 bits that holds the largest of
them. What lies below 0 or needs more bits has no known black and white, and is asked for.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from leap_audit.errors import PictureRefused

__all__ = ["FULL", "PixelValues", "UndeclaredPixels", "deep_values", "levels_of", "measured_range"]

WHITES = tuple(float((1 << bits) - 1) for bits in (8, 10, 12, 14, 16))
FULL = (0.0, 65535.0)
_BITS, _LEAST, _MOST, _S_LEAST, _S_MOST = 258, 280, 281, 340, 341
"""Tags of TIFF: BitsPerSample, MinSampleValue, MaxSampleValue, SMinSampleValue, SMaxSampleValue."""


@dataclass(frozen=True)
class PixelValues:
    """The numbers of a file as they are, before black and white are known."""

    numbers: NDArray[np.generic]
    """(height, width), (height, width, 3), or of bands (bands, height, width)."""
    low_high: tuple[float, float] | None
    """Black and white, where the file declares them."""
    bits: int | None = None
    """How many bits of 16 the file says are used; whether they are the low ones is measured."""
    inverted: bool = False
    """Whether the low number is white, as in MONOCHROME1 of DICOM."""
    alpha: NDArray[np.uint8] | None = None
    """The opacity, (height, width)."""
    orientation: int = 1
    """As EXIF numbers it."""
    bands: bool = False
    """Whether the numbers are (bands, height, width)."""


@dataclass(frozen=True)
class UndeclaredPixels:
    """The numbers of a picture that does not declare which are black and white."""

    least: float
    most: float
    fractions: bool
    bits: int | None = None

    @classmethod
    def of(cls, values: PixelValues, label: str) -> "UndeclaredPixels":
        """Raises PictureRefused: there are numbers that are not finite."""
        numbers = values.numbers
        if not np.isfinite(numbers).all():
            raise PictureRefused(f"{label}: holds numbers that are not finite; fill them in first.")
        return cls(
            float(numbers.min()), float(numbers.max()), numbers.dtype.kind == "f", values.bits
        )


def measured_range(found: Sequence[UndeclaredPixels], labels: Sequence[str]) -> tuple[float, float]:
    """Return black and white of pictures that declare none, by the rule above.

    labels: what each picture is called. Raises PictureRefused: there is no such range.
    """
    least, most = min(each.least for each in found), max(each.most for each in found)
    if least >= 0:
        if all(each.fractions for each in found) and most <= 1:
            return 0.0, 1.0
        said = {each.bits for each in found}
        (bits,) = said if len(said) == 1 else (None,)
        if bits is not None:
            white = float((1 << bits) - 1)
            return (0.0, white) if most <= white else FULL
        for white in WHITES:
            if most <= white:
                return 0.0, white
    where = labels[int(np.argmin([each.least for each in found]))]
    raise PictureRefused(
        f"{where}: the photographs hold numbers from {least:g} to {most:g}, and nothing says which "
        "are black and white; pass --photo-range LOW,HIGH in these numbers."
    )


def levels_of(values: PixelValues, low_high: tuple[float, float]) -> NDArray[np.float64]:
    """Return the numbers as levels in 0..1; what lies outside of black and white is cut off."""
    low, high = low_high
    levels = np.clip((values.numbers.astype(np.float64) - low) / (high - low), 0, 1)
    return 1 - levels if values.inverted else levels


def deep_values(image: Image.Image, file: BinaryIO) -> PixelValues | None:
    """Return the numbers of an opened picture of more than 8 bits; None where it has 8 or fewer.

    file: where it is read from. Raises PictureRefused, and whatever Pillow meets.
    """
    if image.mode.startswith("I") or image.mode == "F":
        low_high = FULL if image.format == "PPM" else _of_tiff(image)
        bits = _significant(file) if image.format == "PNG" else None
        return PixelValues(np.asarray(image), low_high, bits)
    raw = _raw_mode(image)
    if image.format == "PPM" or ";16" not in raw:
        return None
    if image.mode not in ("RGB", "RGBA"):
        raise PictureRefused(
            f"is a picture of 16 bits with {image.mode} channels; save it as grey or RGB of 16 "
            "bits, without transparency."
        )
    return _of_colours(image, file, raw)


def _of_colours(image: Image.Image, file: BinaryIO, raw: str) -> PixelValues:
    """16 bits a colour, of which Pillow keeps the high byte: the low one is read as if it were."""
    head, mark = raw.rsplit(";", 1)
    natural = {"16L": "16B", "16B": "16L", "16N": "16B"}  # the bytes of a native number are L's
    first = np.asarray(image)
    file.seek(0)
    with Image.open(file, formats=(image.format,) if image.format else None) as again:
        tiles = [
            tile._replace(args=_with(tile.args, f"{head};{natural[mark]}")) for tile in again.tile
        ]
        again.tile = tiles
        second = np.asarray(again)
    high, low = first[..., :3].astype(np.uint16), second[..., :3].astype(np.uint16)
    alpha = np.ascontiguousarray(first[..., 3]) if image.mode == "RGBA" else None
    bits = _significant(file) if image.format == "PNG" else None
    return PixelValues((high << 8) | low, _of_tiff(image), bits, alpha=alpha)


def _raw_mode(image: Image.Image) -> str:
    """How the pixels stand in the file, as Pillow calls it: 'RGB;16B'."""
    tile = next(iter(getattr(image, "tile", [])), None)
    args = tile.args if tile is not None else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _with(args: Any, raw: str) -> Any:
    return (raw, *args[1:]) if isinstance(args, tuple) else raw


def _of_tiff(image: Image.Image) -> tuple[float, float] | None:
    """Black and white as a TIFF declares them; None where it declares the whole of its type.

    MaxSampleValue is what the file was made for, or the largest number that happens to be in it:
    the first only where it is the greatest number of so many bits.
    """
    tags = getattr(image, "tag_v2", None)
    if tags is None or image.format != "TIFF":
        return None
    least, most = tags.get(_S_LEAST), tags.get(_S_MOST)
    if image.mode == "F" and least is not None and most is not None:
        return _pair(least, most)
    bits = max(_numbers(tags.get(_BITS)), default=16)
    if 8 < bits < 16:
        return 0.0, float((1 << int(bits)) - 1)
    whole = max(_numbers(tags.get(_MOST)) or _numbers(most), default=0)
    if whole in WHITES[1:-1]:
        return 0.0, float(whole)
    return None


def _pair(least: object, most: object) -> tuple[float, float] | None:
    low, high = min(_numbers(least), default=0.0), max(_numbers(most), default=0.0)
    return (low, high) if low < high else None


def _numbers(value: object) -> list[float]:
    values = value if isinstance(value, tuple) else (value,)
    return [float(each) for each in values if isinstance(each, int | float)]


def _significant(file: BinaryIO) -> int | None:
    """The bits that the sBIT chunk of a PNG says are used, where fewer than 16."""
    file.seek(8)
    for _ in range(64):
        head = file.read(8)
        if len(head) < 8 or head[4:] in (b"IDAT", b"PLTE"):
            return None
        (length,) = struct.unpack(">I", head[:4])
        if head[4:] == b"sBIT":
            bits = max(file.read(min(length, 3)), default=16)
            return bits if 8 <= bits < 16 else None
        file.seek(length + 4, 1)
    return None
