"""Read arrays and multispectral pictures, and render them for a reader.

Bands are channels that are no colours, such as those of a satellite. Files of arrays hold their
values in units of the preprocessing's range, unless they have 8 bits, which count as 0..255.
"""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from leap_audit.artifacts import Preprocessing
from leap_audit.errors import PictureRefused, reason_of
from leap_audit.ingest.pictures.depth import PixelValues

__all__ = [
    "IN_COLOUR",
    "array_values",
    "band_values",
    "frames_of",
    "in_colour",
    "tiles",
    "write_bands",
]

IN_COLOUR = (0, 1, 2)
"""The bands shown as red, green and blue."""
GAP = 2
"""Pixels between two tiles."""
TOLERANCE = 1e-6
"""Share of the range by which rounding may leave it."""


def in_colour(picture: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return a picture of any channels, (channels, height, width), as one to look at.

    (3, height, width): colours as they are, one channel as grey, of bands the first three as red,
    green and blue, of two the second as green and blue.
    """
    if len(picture) == 1:
        return np.broadcast_to(picture, (3, *picture.shape[1:]))
    return picture[[min(band, len(picture) - 1) for band in IN_COLOUR]]


def tiles(picture: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return all channels as tiles of grey, row by row, on white: (1, height, width)."""
    channels, height, width = picture.shape
    columns = math.ceil(math.sqrt(channels * height / width))
    columns = min(max(columns, 1), channels)
    rows = math.ceil(channels / columns)
    sheet = np.ones((1, rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), np.float32)
    for band, values in enumerate(picture):
        top, left = (band // columns) * (height + GAP), (band % columns) * (width + GAP)
        sheet[0, top : top + height, left : left + width] = values
    return sheet


def write_bands(
    folder: Path, image: str, picture: NDArray[np.floating], preprocessing: Preprocessing
) -> str | None:
    """Write the bands of a picture beside its `image`; return their path, None without bands."""
    if preprocessing.channel_order != "BANDS":
        return None
    name = f"{image.removesuffix('.png')}-bands.png"
    levels = np.rint(np.clip(tiles(picture)[0], 0, 1) * 255).astype(np.uint8)
    Image.fromarray(levels).save(folder / name, "PNG", optimize=False)
    return name


def array_values(
    path: Path,
    preprocessing: Preprocessing,
    limit: int,
    label: str,
    asked: tuple[float, float] | None,
) -> PixelValues:
    """Return the array of a .npy file as (channels, height, width), in the numbers of the file.

    The file holds (channels, height, width) or (height, width, channels), of one channel also
    (height, width). limit: most numbers for each channel. asked: see `band_values`.

    Raises PictureRefused: no array of numbers of that form, or as `band_values` does.
    """
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy parses the file's head as Python, which may fail anyhow
        reason = error.strerror if isinstance(error, OSError) else None
        reason = reason or reason_of(error)
        raise PictureRefused(f"{label}: the array cannot be read ({reason}).") from None
    channels = len(preprocessing.mean)
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "uif":
        raise PictureRefused(f"{label}: is not one array of real numbers; save it with numpy.save.")
    if values.ndim == 2 and channels == 1:
        values = values[None]
    elif values.ndim != 3 or channels not in (values.shape[0], values.shape[2]):
        raise PictureRefused(
            f"{label}: holds {' × '.join(map(str, values.shape))} numbers; the model takes "
            f"{channels} × height × width, or height × width × {channels}."
        )
    elif values.shape[0] != channels or (
        values.shape[2] == channels and preprocessing.layout == "NHWC"
    ):
        values = values.transpose(2, 0, 1)
    if not 0 < values.size <= limit * channels:
        raise PictureRefused(
            f"{label}: holds {values.size:,} numbers; at least 1 and at most {limit:,} for each "
            "channel can be read."
        )
    return band_values(np.asarray(values), preprocessing.range, label, asked)


def frames_of(image: Image.Image, channels: int, label: str) -> NDArray[np.generic]:
    """Return the bands of an opened picture, (channels, height, width), in units of the file.

    They are its channels, or the pages of a TIFF, one band each. Raises PictureRefused: they are
    not as many as the model takes, or differ in size.
    """
    pages = getattr(image, "n_frames", 1)
    if pages > 1:
        frames = []
        for page in range(min(pages, channels + 1)):
            image.seek(page)
            frames.append(np.array(image))
        if len({frame.shape for frame in frames}) > 1:
            raise PictureRefused(f"{label}: its pages differ in size or kind; save one band each.")
        bands = np.stack(frames)
    else:
        bands = np.atleast_3d(np.array(image)).transpose(2, 0, 1)
    if bands.ndim != 3 or len(bands) != channels:
        held = f"{pages} pages" if pages > 1 else f"{len(bands)} channels"
        raise PictureRefused(
            f"{label}: has {held}, and the model takes {channels} bands; save them as one .npy "
            f"array of {channels} × height × width, or as a TIFF with a page for each."
        )
    return bands


def band_values(
    numbers: NDArray[np.generic],
    low_high: tuple[float, float],
    label: str,
    asked: tuple[float, float] | None,
) -> PixelValues:
    """Return numbers of a file with the two that are 0 and 1 in the picture, where they are known.

    Those that were asked for; of 8 bits 0 and 255; else the range, if all numbers lie in it. Of
    whole numbers outside of it none are known: they are measured over all photographs (depth.py).

    Raises PictureRefused: fractions outside the range, or numbers that are not finite.
    """
    low, high = (0.0, 255.0) if numbers.dtype == np.uint8 else low_high
    if asked is not None and numbers.dtype != np.uint8:
        return PixelValues(numbers, asked, bands=True)
    if not np.isfinite(numbers).all():
        raise PictureRefused(f"{label}: holds numbers that are not finite; fill them in first.")
    least, most = float(numbers.min()), float(numbers.max())
    slack = TOLERANCE * (high - low)
    if low - slack <= least and most <= high + slack:
        return PixelValues(numbers, (low, high), bands=True)
    if numbers.dtype.kind in "ui" and least >= 0:
        return PixelValues(numbers, None, bands=True)
    raise PictureRefused(
        f"{label}: its values lie between {least:g} and {most:g}, outside the range {low:g} to "
        f"{high:g}; give black and white in numbers of the files with --photo-range, or the range "
        "of the model with --range."
    )
