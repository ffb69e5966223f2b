"""Photographs: found, read as the model will see them, and written beside the audit."""

import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from leap_audit.artifacts import Preprocessing
from leap_audit.errors import PictureRefused, reason_of
from leap_audit.ingest.bands import frames_of, in_colour, read_array, scaled
from leap_audit.ingest.kinds import HEAD, described

__all__ = [
    "MAX_PIXELS",
    "covering_size",
    "find_pictures",
    "read_picture",
    "write_mask",
    "write_picture",
]

MAX_PIXELS = 100_000_000
"""Of a picture, checked before it is decoded: a small file can claim to be enormous."""

_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp"}
    | {".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
)
_ARRAY = ".npy"
_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def find_pictures(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the pictures in files and folders, each once, in the order given, folders by name.

    Folders are searched to any depth; hidden files and files that are not named like pictures
    are passed over. A file that is named itself is always taken.

    Raises PictureRefused: a path is missing, or a folder has no picture in it.
    """
    found: dict[Path, None] = {}
    for path in paths:
        try:
            path.stat()
        except OSError as error:
            raise PictureRefused(f"{path}: cannot be read ({error.strerror}).") from None
        pictures = list(_walk(path, set())) if path.is_dir() else [path]
        if not pictures:
            raise PictureRefused(
                f"{path}: no pictures in this folder (JPEG, PNG, BMP, GIF, WebP, TIFF, PPM or "
                "arrays, .npy)."
            )
        found.update(dict.fromkeys(pictures))
    return tuple(found)


def read_picture(path: Path, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return the picture at the model's size: (channels, height, width), 8-bit levels in 0..1.

    Channels are RGB, or one of grey; the channel swap, mean and std come later. The EXIF
    orientation is applied; transparent parts are laid on white, as a viewer shows them; of an
    animation the first frame is taken. `crop` scales the picture to cover size / `crop`, then
    takes the centre; `stretch` scales it straight; a picture that has the size is left as it is.

    An array (.npy) is taken as it is, and so are bands, of which nothing is a colour: their
    levels need not be 8-bit (see bands.py).

    Raises PictureRefused: the file is missing, no picture, damaged, or above `MAX_PIXELS`.
    """
    if path.suffix.lower() == _ARRAY:
        _require_file(path)
        return _fit_bands(read_array(path, preprocessing, MAX_PIXELS), preprocessing, path)
    mode = "L" if preprocessing.channel_order == "GRAY" else "RGB"
    with _opened(path) as image:
        if image.width * image.height > MAX_PIXELS:
            raise PictureRefused(_enormous(path, f"{image.width} × {image.height}"))
        if preprocessing.channel_order == "BANDS":
            frames = frames_of(image, len(preprocessing.mean), path)
            return _fit_bands(scaled(frames, preprocessing.range, path), preprocessing, path)
        upright = ImageOps.exif_transpose(image)
        fitted = _fit(_flat(upright, image.format, path).convert(mode), preprocessing, path)
    pixels = np.asarray(fitted, np.float32) / 255
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


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Yield the pictures below a folder by name; links are followed, each folder entered once."""
    try:
        status = folder.stat()
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise PictureRefused(f"{folder}: cannot be read ({error.strerror}).") from None
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry, seen)
        elif entry.suffix.lower() in (*_SUFFIXES, _ARRAY) and entry.is_file():
            yield entry


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture; whatever its decoder stumbles on while it is open is one sentence."""
    limit, lenient = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        _require_file(path)
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
        raise PictureRefused(_enormous(path, "enormous")) from None
    except UnidentifiedImageError:
        raise PictureRefused(f"{path}: {_no_picture(path)}") from None
    except Exception as error:  # a decoder may raise anything on a damaged file
        reason = error.strerror if isinstance(error, OSError) else None
        reason = reason or reason_of(error)
        raise PictureRefused(f"{path}: the picture cannot be read ({reason}).") from None
    finally:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = limit, lenient


def _no_picture(path: Path) -> str:
    """What is wrong with a file that no decoder recognises."""
    with path.open("rb") as file:
        words = described(file.read(HEAD)) or ""
    if words.split()[1:2] and words.split()[1].upper() in _FORMATS:
        return f"begins like {words}, but is damaged or was cut off on its way."
    kind = f"{words}, not a picture" if words else "not a picture"
    return f"is {kind} that can be read (JPEG, PNG, BMP, GIF, WebP, TIFF or PPM)."


def _require_file(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise PictureRefused(f"{path}: the picture cannot be read ({error.strerror}).") from None
    if not stat.S_ISREG(status.st_mode):
        raise PictureRefused(f"{path}: is not a file.")


def _enormous(path: Path, size: str) -> str:
    return (
        f"{path}: the picture is {size}, more than {MAX_PIXELS // 1_000_000} million pixels; "
        "make it smaller first."
    )


def _flat(image: Image.Image, kind: str | None, path: Path) -> Image.Image:
    """Return the picture as L or RGB: 8 bits, without transparency or palette."""
    if image.mode.startswith("I") or image.mode == "F":
        if image.mode == "F" or (image.mode == "I" and kind == "TIFF"):
            raise PictureRefused(
                f"{path}: its pixels have 32 bits, without a known white; save it with 8 or 16."
            )
        levels = np.asarray(image).astype(np.float64) / 65535
        return Image.fromarray(np.rint(levels.clip(0, 1) * 255).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _fit_bands(
    bands: NDArray[np.float32], preprocessing: Preprocessing, path: Path
) -> NDArray[np.float32]:
    """Fit each band like a picture of its own."""
    fitted = [np.asarray(_fit(Image.fromarray(b), preprocessing, path)) for b in bands]
    return np.ascontiguousarray(np.clip(np.stack(fitted), 0, 1), np.float32)


def _fit(image: Image.Image, preprocessing: Preprocessing, path: Path) -> Image.Image:
    height, width = preprocessing.input_size
    if image.size == (width, height):
        return image
    if preprocessing.resize == "stretch":
        return image.resize((width, height), _RESAMPLING[preprocessing.interpolation])
    size = covering_size((image.height, image.width), (height, width), preprocessing.crop)[::-1]
    if size[0] * size[1] > MAX_PIXELS:
        raise PictureRefused(
            f"{path}: {image.width} × {image.height} pixels is too long and thin to crop; "
            "pass --resize stretch or crop it first."
        )
    image = image.resize(size, _RESAMPLING[preprocessing.interpolation])
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
