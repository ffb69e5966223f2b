"""Decode a photograph, fit it to the model's input, and write it beside the audit."""

import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from leap_audit.artifacts import Preprocessing
from leap_audit.errors import PictureRefused, reason_of
from leap_audit.files import open_regular
from leap_audit.ingest.files.magic import HEAD, identify
from leap_audit.ingest.pictures.bands import array_values, band_values, frames_of, in_colour
from leap_audit.ingest.pictures.depth import (
    FULL,
    PixelValues,
    UndeclaredPixels,
    deep_values,
    levels_of,
    measured_range,
)
from leap_audit.ingest.pictures.dicom import DicomRendering, is_dicom, read_dicom
from leap_audit.ingest.pictures.files import DICOM_SUFFIXES, VOLUMES, find_pictures

__all__ = [
    "LETTERBOX",
    "MAX_PIXELS",
    "covering_size",
    "decoded_picture",
    "find_pictures",
    "fitted",
    "fitting_size",
    "read_picture",
    "write_mask",
    "write_picture",
]

MAX_PIXELS = 100_000_000
"""Of a picture, checked before it is decoded: a small file can claim to be enormous."""

_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_ARRAY = ".npy"
LETTERBOX = 114
"""The grey around a picture that is fitted whole, of 255, as the detectors of YOLO have it."""
_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def read_picture(
    path: Path,
    preprocessing: Preprocessing,
    *,
    low_high: tuple[float, float] | None = None,
    label: str = "",
) -> NDArray[np.float32]:
    """Return the picture at the model's size: (channels, height, width), 8-bit levels in 0..1.

    Channels are RGB, or one of grey; the channel swap, mean and std come later. The EXIF
    orientation is applied; transparent parts are laid on white, as a viewer shows them; of an
    animation the first frame is taken. `crop` scales the picture to cover size / `crop`, then
    takes the centre; `stretch` scales it straight; a picture that has the size is left as it is.

    An array (.npy) is taken as it is, and so are bands, of which nothing is a colour: their
    levels need not be 8-bit (see bands.py).

    low_high: the numbers of the file that are black and white, where it has more than 8 bits and
    does not declare them (see depth.py); None: 0 and the greatest of 16 bits. label: what messages
    call the file; its path unless given.

    Raises PictureRefused: the file is missing, no picture, damaged, or above `MAX_PIXELS`.
    """
    name = label or str(path)
    return fitted(decoded_picture(path, preprocessing, label=name), preprocessing, name, low_high)


def decoded_picture(
    path: Path,
    preprocessing: Preprocessing,
    *,
    label: str,
    asked: tuple[float, float] | None = None,
) -> Image.Image | PixelValues | DicomRendering:
    """Return what is in the file of a picture: the one place where files are decoded.

    asked: the numbers that are black and white by the user's word. An Image has 8 bits and is
    ready to be fitted; `PixelValues` are numbers whose black and white the file declares or not;
    `DicomRendering` are those of a DICOM file. Raises PictureRefused as `read_picture` does.
    """
    if path.suffix.lower() == _ARRAY:
        _require_file(path, label)
        return array_values(path, preprocessing, MAX_PIXELS, label, asked)
    if is_dicom(path):
        shown = read_dicom(path, label, MAX_PIXELS, asked)
        if preprocessing.channel_order == "BANDS":
            raise PictureRefused(
                f"{label}: is a DICOM file, and the model takes {len(preprocessing.mean)} bands; "
                "save them as one .npy array."
            )
        return shown
    with _opened(path, label) as image:
        if image.width * image.height > MAX_PIXELS:
            raise PictureRefused(_enormous(label, f"{image.width} × {image.height}"))
        if preprocessing.channel_order == "BANDS":
            frames = frames_of(image, len(preprocessing.mean), label)
            return band_values(frames, preprocessing.range, label, asked)
        with open_regular(path) as file:
            values = _deep(image, file, label)
        if values is None:
            return _flat(ImageOps.exif_transpose(image))
        return values if asked is None else replace(values, low_high=asked, bits=None)


def fitted(
    found: Image.Image | PixelValues | DicomRendering,
    preprocessing: Preprocessing,
    label: str,
    low_high: tuple[float, float] | None = None,
) -> NDArray[np.float32]:
    """Return what `decoded_picture` returned as the model sees it: see `read_picture`."""
    values = found.values if isinstance(found, DicomRendering) else found
    if isinstance(values, PixelValues):
        span = values.low_high or low_high
        if span is None:
            alone = [UndeclaredPixels.of(values, label)]
            span = FULL if values.numbers.dtype == np.uint16 else measured_range(alone, [label])
        levels = levels_of(values, span)
        if preprocessing.channel_order == "BANDS" or values.bands:
            return _fit_bands(levels.astype(np.float32), preprocessing, label)
        values = _shown(levels, values)
    mode = "L" if preprocessing.channel_order == "GRAY" else "RGB"
    pixels = np.asarray(_fit(values.convert(mode), preprocessing, label), np.float32) / 255
    return np.ascontiguousarray(np.atleast_3d(pixels).transpose(2, 0, 1))


def write_picture(path: Path, picture: NDArray[np.floating]) -> None:
    """Write a picture of (channels, height, width) in 0..1 as an RGB PNG without metadata."""
    levels = np.rint(np.clip(in_colour(picture), 0, 1) * 255).astype(np.uint8)
    rgb = np.ascontiguousarray(levels.transpose(1, 2, 0))
    Image.fromarray(rgb).save(path, "PNG", optimize=False)


def write_mask(path: Path, mask: NDArray[np.uint8]) -> None:
    """Write a ranking of (height, width), 255 kept first, as a greyscale PNG."""
    Image.fromarray(np.ascontiguousarray(mask, np.uint8)).save(path, "PNG", optimize=False)


def covering_size(
    size: tuple[int, int], input_size: tuple[int, int], crop: float
) -> tuple[int, int]:
    """Return the (height, width) to which a picture of `size` is scaled before it is cropped.

    crop: the part of the scaled short side that is kept.
    """
    scale = max(round(b / crop) / a for a, b in zip(size, input_size, strict=True))
    return round(size[0] * scale), round(size[1] * scale)


def fitting_size(size: tuple[int, int], input_size: tuple[int, int]) -> tuple[int, int]:
    """Return the (height, width) to which a picture of `size` is scaled to fit in whole."""
    scale = min(b / a for a, b in zip(size, input_size, strict=True))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@contextmanager
def _opened(path: Path, label: str) -> Iterator[Image.Image]:
    """Open a picture; whatever its decoder stumbles on while it is open is one sentence."""
    limit, lenient = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        _require_file(path, label)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            Image.MAX_IMAGE_PIXELS = MAX_PIXELS
            ImageFile.LOAD_TRUNCATED_IMAGES = False  # importing WeasyPrint turns it on
            with Image.open(path, formats=_FORMATS) as image:
                yield image
    except PictureRefused:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureRefused(_enormous(label, "enormous")) from None
    except UnidentifiedImageError:
        raise PictureRefused(f"{label}: {_no_picture(path)}") from None
    except Exception as error:  # a decoder may raise anything on a damaged file
        reason = error.strerror if isinstance(error, OSError) else None
        reason = reason or reason_of(error)
        raise PictureRefused(f"{label}: the picture cannot be read ({reason}).") from None
    finally:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = limit, lenient


def _deep(image: Image.Image, file: BinaryIO, label: str) -> PixelValues | None:
    try:
        values = deep_values(image, file)
    except PictureRefused as error:
        raise PictureRefused(f"{label}: {error}") from None
    if values is None:
        return None
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return replace(values, orientation=orientation)


def _no_picture(path: Path) -> str:
    """What is wrong with a file that no decoder recognises."""
    with open_regular(path) as file:
        head = file.read(HEAD)
    words = identify(head) or ""
    if path.name.lower().endswith(VOLUMES) or head[344:348] in (b"n+1\0", b"ni1\0"):
        return "is a NIfTI volume, which is not read; write its slices as PNG or DICOM."
    if path.suffix.lower() in DICOM_SUFFIXES:
        held = f"is {words}, not DICOM" if words else "lacks the mark of DICOM files"
        return f"{held}; copy it again, or write it anew as DICOM (dcmconv)."
    if words.split()[1:2] and words.split()[1].upper() in _FORMATS:
        return f"begins like {words}, but is damaged or was cut off on its way."
    kind = f"{words}, not a picture" if words else "not a picture"
    return f"is {kind} that can be read (JPEG, PNG, BMP, GIF, WebP, TIFF, PPM or DICOM)."


def _require_file(path: Path, label: str) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise PictureRefused(f"{label}: the picture cannot be read ({error.strerror}).") from None
    if not stat.S_ISREG(status.st_mode):
        raise PictureRefused(f"{label}: is not a file.")


def _enormous(label: str, size: str) -> str:
    return (
        f"{label}: the picture is {size}, more than {MAX_PIXELS // 1_000_000} million pixels; "
        "make it smaller first."
    )


def _flat(image: Image.Image) -> Image.Image:
    """Return the picture as L or RGB: 8 bits, without transparency or palette."""
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"))
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _shown(levels: NDArray[np.float64], values: PixelValues) -> Image.Image:
    """Return levels as a picture of 8 bits, upright and on white."""
    image = Image.fromarray(np.rint(levels * 255).astype(np.uint8))
    if values.alpha is not None:
        image.putalpha(Image.fromarray(values.alpha))
        image = _on_white(image)
    if values.orientation != 1:
        image.getexif()[ExifTags.Base.Orientation] = values.orientation
        image = ImageOps.exif_transpose(image)
    return image


def _on_white(rgba: Image.Image) -> Image.Image:
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def _fit_bands(
    bands: NDArray[np.float32], preprocessing: Preprocessing, label: str
) -> NDArray[np.float32]:
    """Fit each band like a picture of its own."""
    fitted = [np.asarray(_fit(Image.fromarray(b), preprocessing, label)) for b in bands]
    return np.ascontiguousarray(np.clip(np.stack(fitted), 0, 1), np.float32)


def _fit(image: Image.Image, preprocessing: Preprocessing, label: str) -> Image.Image:
    height, width = preprocessing.input_size
    if image.size == (width, height):
        return image
    if preprocessing.resize == "stretch":
        return image.resize((width, height), _RESAMPLING[preprocessing.interpolation])
    if preprocessing.resize == "letterbox":
        return _letterboxed(image, width, height, _RESAMPLING[preprocessing.interpolation])
    size = covering_size((image.height, image.width), (height, width), preprocessing.crop)[::-1]
    if size[0] * size[1] > MAX_PIXELS:
        raise PictureRefused(
            f"{label}: {image.width} × {image.height} pixels is too long and thin to crop; "
            "pass --resize stretch or crop it first."
        )
    image = image.resize(size, _RESAMPLING[preprocessing.interpolation])
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _letterboxed(image: Image.Image, width: int, height: int, how: Image.Resampling) -> Image.Image:
    """The whole picture, as large as fits, in the middle of a canvas of grey."""
    size = fitting_size((image.height, image.width), (height, width))[::-1]
    grey = LETTERBOX / 255 if image.mode == "F" else LETTERBOX
    canvas = Image.new(image.mode, (width, height), (grey,) * 3 if image.mode == "RGB" else grey)
    canvas.paste(image.resize(size, how), ((width - size[0]) // 2, (height - size[1]) // 2))
    return canvas
